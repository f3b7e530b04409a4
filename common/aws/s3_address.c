/* Makes the addresses of buckets and objects, by host name or by path. */
#include "common/aws/s3_address.h"

#include "common/aws/s3.h"
#include "common/base/escape.h"

#define REGION_MAX 63
#define URL_MAX    8192

static bool lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_ipv4(struct view host)
{
    size_t dots = 0;

    for (size_t i = 0; i < host.length; i++) {
        if (host.data[i] != '.' && (host.data[i] < '0' || host.data[i] > '9'))
            return false;
        dots += host.data[i] == '.';
    }
    return dots == 3;
}

/* S3's user guide, "Bucket naming rules". */
bool s3_bucket_lawful(struct view bucket)
{
    if (bucket.length < 3 || bucket.length > 63 || !lower_or_digit(bucket.data[0]) ||
        !lower_or_digit(bucket.data[bucket.length - 1]) || is_ipv4(bucket))
        return false;
    for (size_t i = 0; i < bucket.length; i++) {
        char c = bucket.data[i];

        if (!lower_or_digit(c) && c != '-' && (c != '.' || bucket.data[i - 1] == '.'))
            return false;
    }
    return true;
}

bool s3_region_lawful(struct view region)
{
    if (region.length == 0 || region.length > REGION_MAX || region.data[0] == '-' ||
        region.data[region.length - 1] == '-')
        return false;
    for (size_t i = 0; i < region.length; i++)
        if (!lower_or_digit(region.data[i]) && region.data[i] != '-')
            return false;
    return true;
}

/* A name with dots has no certificate; an address has no names below it. */
static bool by_host(const struct endpoint *endpoint, struct view bucket)
{
    struct view host = view_slice(endpoint->host, 0, view_find(endpoint->host, ':'));

    if (endpoint->addressing == ENDPOINT_ADDRESSING_PATH || is_ipv4(host) ||
        endpoint->host.data[0] == '[' || view_find(bucket, '.') != SIZE_MAX)
        return false;
    return endpoint->addressing == ENDPOINT_ADDRESSING_VIRTUAL || !endpoint->custom ||
           view_ends_with(host, VIEW(".amazonaws.com")) ||
           view_ends_with(host, VIEW(".amazonaws.com.cn"));
}

/* AWS's own hosts name their region as a part of its own: s3.REGION.amazonaws.com. */
static void append_host(struct buffer *out, const struct endpoint *endpoint, struct view region)
{
    struct view rest = endpoint->host, label;
    bool first = true;

    while (view_split(&rest, '.', &label)) {
        if (!first)
            buffer_append_byte(out, '.');
        first = false;
        buffer_append_view(out, !endpoint->custom && view_equal(label, endpoint->region) ? region
                                                                                         : label);
    }
}

void s3_place(const struct endpoint *endpoint, struct view region, struct view bucket,
              struct view key, struct arena *arena, struct s3_place *place)
{
    bool host = by_host(endpoint, bucket);
    struct buffer text;

    buffer_init(&text, URL_MAX);
    if (host) {
        buffer_append_view(&text, bucket);
        buffer_append_byte(&text, '.');
    }
    append_host(&text, endpoint, region);
    place->host = arena_copy(arena, buffer_view(&text));
    place->url = view_of(arena_format(arena, "%s://%.*s", endpoint->tls ? "https" : "http",
                                      VIEW_FORMAT(place->host)));
    buffer_clear(&text);
    buffer_append_view(&text, endpoint->path);
    buffer_append_byte(&text, '/');
    if (!host)
        buffer_append_view(&text, bucket);
    if (!host && key.length)
        buffer_append_byte(&text, '/');
    percent_encode(&text, key, "/");
    REQUIRE(text.error == ERROR_NONE); /* keys, buckets and endpoints are short */
    place->path = arena_copy(arena, buffer_view(&text));
    buffer_release(&text);
}

void s3_query(struct buffer *query, const char *name, struct view value)
{
    if (query->length)
        buffer_append_byte(query, '&');
    buffer_append_string(query, name);
    buffer_append_byte(query, '=');
    percent_encode(query, value, "");
}
