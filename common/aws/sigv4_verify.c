/* Checks signatures as AWS does: rebuilds what the client must have signed, and compares. */
#include "common/aws/sigv4.h"

#include "common/aws/canonical.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"

#define DAY_BYTES        8
#define HEX_BYTES        64
#define SKEW_MAX_MS      INT64_C(900000)
#define UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

/* What an Authorization header says. */
struct authorization {
    struct view access_key_id, day, region, service, signed_headers, signature;
};

static const struct sigv4_header *find_header(const struct sigv4_header *headers, size_t count,
                                              struct view name, size_t *times);
static bool signed_in_query(struct view query);
static bool parse_authorization(struct view text, struct authorization *out);
static bool parse_credential(struct view text, struct authorization *out);
static bool names_lawful(struct view names);
static bool name_listed(struct view names, struct view name);
static bool timestamp_of(const struct sigv4_header *headers, size_t count, int64_t *wall_ms);
static bool all_signed(struct view names, const struct sigv4_header *headers, size_t count);
static bool payload_agrees(const struct sigv4_request *request, const struct sigv4_header *headers,
                           size_t count, char hash[HEX_BYTES + 1], struct view *payload);
static bool rebuild(struct buffer *out, const struct sigv4_request *request,
                    const struct sigv4_header *headers, size_t count, struct view names,
                    struct view payload);
static bool signature_agrees(const struct authorization *authorization, const char *amz_date,
                             struct view canonical, struct view secret);

enum sigv4_verdict sigv4_verify(
    const struct sigv4_request *request, const struct sigv4_header *headers, size_t header_count,
    int64_t now_ms, bool (*lookup)(struct view access_key_id, struct view *secret, void *context),
    void *context)
{
    struct authorization authorization;
    const struct sigv4_header *header;
    char amz_date[CLOCK_AMZ_SIZE];
    char hash[HEX_BYTES + 1];
    struct view payload, secret;
    struct buffer canonical;
    int64_t signed_at_ms;
    size_t times;
    bool valid;

    header = find_header(headers, header_count, VIEW("authorization"), &times);
    if (!header)
        return signed_in_query(request->query) ? SIGV4_INCOMPLETE : SIGV4_MISSING;
    if (times != 1 || !parse_authorization(header->value, &authorization) ||
        !timestamp_of(headers, header_count, &signed_at_ms))
        return SIGV4_INCOMPLETE;
    if (!lookup(authorization.access_key_id, &secret, context))
        return SIGV4_UNKNOWN_KEY;
    if (signed_at_ms > now_ms + SKEW_MAX_MS || signed_at_ms < now_ms - SKEW_MAX_MS)
        return SIGV4_EXPIRED;
    clock_format_amz(signed_at_ms, amz_date);
    if (!view_equal(authorization.day, view_from(amz_date, DAY_BYTES)) ||
        !view_equal(authorization.region, request->region) ||
        !view_equal(authorization.service, request->service) ||
        !all_signed(authorization.signed_headers, headers, header_count) ||
        !payload_agrees(request, headers, header_count, hash, &payload))
        return SIGV4_WRONG;
    buffer_init(&canonical, CANONICAL_MAX_BYTES);
    valid = rebuild(&canonical, request, headers, header_count, authorization.signed_headers,
                    payload) &&
            signature_agrees(&authorization, amz_date, buffer_view(&canonical), secret);
    buffer_release(&canonical);
    return valid ? SIGV4_VALID : SIGV4_WRONG;
}

static const struct sigv4_header *find_header(const struct sigv4_header *headers, size_t count,
                                              struct view name, size_t *times)
{
    const struct sigv4_header *found = NULL;

    *times = 0;
    for (size_t i = 0; i < count; i++)
        if (view_equal_nocase(headers[i].name, name)) {
            found = found ? found : &headers[i];
            (*times)++;
        }
    return found;
}

static bool signed_in_query(struct view query)
{
    struct view pair;

    while (view_split(&query, '&', &pair))
        if (view_starts_with(pair, VIEW("X-Amz-Signature=")))
            return true;
    return false;
}

/* "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…", the parts in any order. */
static bool parse_authorization(struct view text, struct authorization *out)
{
    bool credential = false;
    struct view part;

    *out = (struct authorization){0};
    text = view_trim(text);
    if (!view_starts_with(text, VIEW(SIGV4_ALGORITHM " ")))
        return false;
    text = view_slice(text, sizeof(SIGV4_ALGORITHM), SIZE_MAX);
    while (view_split(&text, ',', &part)) {
        size_t at;
        struct view name, value;

        part = view_trim(part);
        at = view_find(part, '=');
        if (at == SIZE_MAX)
            return false;
        name = view_slice(part, 0, at);
        value = view_slice(part, at + 1, SIZE_MAX);
        if (view_equal(name, VIEW("Credential")) && !credential)
            credential = parse_credential(value, out);
        else if (view_equal(name, VIEW("SignedHeaders")) && !out->signed_headers.length)
            out->signed_headers = value;
        else if (view_equal(name, VIEW("Signature")) && !out->signature.length)
            out->signature = value;
        else
            return false;
    }
    return credential && out->signature.length == HEX_BYTES && names_lawful(out->signed_headers);
}

/* The scope is the last four parts: a key id may hold a slash. */
static bool parse_credential(struct view text, struct authorization *out)
{
    struct view parts[4];

    for (size_t i = 4; i > 0; i--) {
        size_t at = text.length;

        while (at > 0 && text.data[at - 1] != '/')
            at--;
        if (at == 0)
            return false;
        parts[i - 1] = view_slice(text, at, SIZE_MAX);
        text = view_slice(text, 0, at - 1);
    }
    out->access_key_id = text;
    out->day = parts[0];
    out->region = parts[1];
    out->service = parts[2];
    return text.length > 0 && view_equal(parts[3], VIEW("aws4_request"));
}

/* In rising order, so that none is named twice; the host among them. */
static bool names_lawful(struct view names)
{
    struct view before = {"", 0};
    struct view name;
    bool host = false;

    while (view_split(&names, ';', &name)) {
        if (view_compare(before, name) >= 0)
            return false;
        for (size_t i = 0; i < name.length; i++)
            if (name.data[i] <= ' ' || name.data[i] > '~' ||
                (name.data[i] >= 'A' && name.data[i] <= 'Z'))
                return false;
        host = host || view_equal(name, VIEW("host"));
        before = name;
    }
    return host;
}

static bool name_listed(struct view names, struct view name)
{
    struct view listed;

    while (view_split(&names, ';', &listed))
        if (view_equal_nocase(listed, name))
            return true;
    return false;
}

/* X-Amz-Date, else Date. Two of a kind could be read in two ways. */
static bool timestamp_of(const struct sigv4_header *headers, size_t count, int64_t *wall_ms)
{
    const struct sigv4_header *header;
    size_t times;

    header = find_header(headers, count, VIEW("x-amz-date"), &times);
    if (header)
        return times == 1 && clock_parse_amz(view_trim(header->value), wall_ms) == ERROR_NONE;
    header = find_header(headers, count, VIEW("date"), &times);
    return header && times == 1 &&
           clock_parse_http(view_trim(header->value), wall_ms) == ERROR_NONE;
}

/* AWS wants each x-amz-* header signed: what is not signed could be added on the way. */
static bool all_signed(struct view names, const struct sigv4_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct view start = view_slice(headers[i].name, 0, 6);

        if (view_equal_nocase(start, VIEW("x-amz-")) && !name_listed(names, headers[i].name))
            return false;
    }
    return true;
}

/* What stands for the body in the canonical request: a stated hash must be true. */
static bool payload_agrees(const struct sigv4_request *request, const struct sigv4_header *headers,
                           size_t count, char hash[HEX_BYTES + 1], struct view *payload)
{
    const struct sigv4_header *stated;
    uint8_t bytes[SHA256_BYTES];
    size_t times;

    stated = find_header(headers, count, VIEW("x-amz-content-sha256"), &times);
    if (times > 1)
        return false;
    if (stated && view_equal_string(view_trim(stated->value), UNSIGNED_PAYLOAD)) {
        *payload = VIEW(UNSIGNED_PAYLOAD);
        return true;
    }
    sha256(request->body, bytes);
    hex_write(hash, bytes, sizeof(bytes));
    *payload = view_from(hash, HEX_BYTES);
    return !stated || constant_time_equal(view_trim(stated->value), *payload);
}

static bool rebuild(struct buffer *out, const struct sigv4_request *request,
                    const struct sigv4_header *headers, size_t count, struct view names,
                    struct view payload)
{
    struct canonical_headers list;
    struct view rest = names;
    struct view name;

    list.count = 0;
    while (view_split(&rest, ';', &name)) {
        size_t before = list.count;

        for (size_t i = 0; i < count; i++) {
            if (!view_equal_nocase(headers[i].name, name))
                continue;
            if (list.count == SIGV4_MAX_HEADERS)
                return false;
            canonical_insert(&list, headers[i].name, headers[i].value);
        }
        if (list.count == before) /* signed, but not sent */
            return false;
    }
    canonical_request(out, request, &list, payload);
    return out->error == ERROR_NONE;
}

static bool signature_agrees(const struct authorization *authorization, const char *amz_date,
                             struct view canonical, struct view secret)
{
    uint8_t key[SHA256_BYTES], bytes[SHA256_BYTES];
    char hex[HEX_BYTES];
    struct buffer text;
    bool equal;

    sha256(canonical, bytes);
    hex_write(hex, bytes, sizeof(bytes));
    buffer_init(&text, 1024);
    buffer_append_string(&text, SIGV4_ALGORITHM "\n");
    buffer_append_string(&text, amz_date);
    buffer_append_byte(&text, '\n');
    buffer_append_view(&text, authorization->day);
    buffer_append_byte(&text, '/');
    buffer_append_view(&text, authorization->region);
    buffer_append_byte(&text, '/');
    buffer_append_view(&text, authorization->service);
    buffer_append_string(&text, "/aws4_request\n");
    buffer_append(&text, hex, sizeof(hex));
    if (text.error != ERROR_NONE) {
        buffer_release(&text);
        return false;
    }
    sigv4_day_key(secret, authorization->day, authorization->region, authorization->service, key);
    hmac_sha256(view_from(key, sizeof(key)), buffer_view(&text), bytes);
    hex_write(hex, bytes, sizeof(bytes));
    equal = constant_time_equal(view_from(hex, sizeof(hex)), authorization->signature);
    wipe(key, sizeof(key));
    buffer_release(&text);
    return equal;
}
