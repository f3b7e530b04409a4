/* Turns requests into events, and says what of a request may pass. */
#include "common/contract/event_parts.h"

#include "common/base/escape.h"

enum error event_encode(enum event_format format, const struct event_request *request,
                        struct buffer *out)
{
    struct event_pairs headers, query;
    struct json_writer writer;
    enum error error;

    error = event_pairs_from_headers(&headers, request,
                                     format == EVENT_1_0 ? EVENT_NAMES_REST : EVENT_NAMES_LOWER);
    if (error != ERROR_NONE)
        return error;
    error = event_pairs_from_query(&query, request->raw_query, format != EVENT_ALB);
    if (error != ERROR_NONE)
        goto out;
    json_begin(&writer, out);
    json_open_object(&writer, NULL);
    switch (format) {
    case EVENT_1_0:
        event_write_1_0(&writer, request, &headers, &query);
        break;
    case EVENT_2_0:
        event_write_2_0(&writer, request, &headers, &query);
        break;
    case EVENT_ALB:
        event_write_alb(&writer, request, &headers, &query);
        break;
    }
    json_close_object(&writer);
    error = out->error;
    event_pairs_release(&query);
out:
    event_pairs_release(&headers);
    return error;
}

/* The type without parameters. */
static struct view media_type(struct view content_type)
{
    return view_trim(view_slice(content_type, 0, view_find(content_type, ';')));
}

static bool ends_with_nocase(struct view whole, struct view end)
{
    return whole.length > end.length &&
           view_equal_nocase(view_slice(whole, whole.length - end.length, SIZE_MAX), end);
}

static bool media_type_is_text(struct view type)
{
    static const char *const names[] = {"application/json", "application/javascript",
                                        "application/xml", "application/x-www-form-urlencoded"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (view_equal_nocase(type, view_of(names[i])))
            return true;
    return view_equal_nocase(view_slice(type, 0, 5), VIEW("text/")) ||
           ends_with_nocase(type, VIEW("+json")) || ends_with_nocase(type, VIEW("+xml"));
}

bool event_body_is_binary(struct view content_type, struct view content_encoding, struct view body)
{
    struct view encoding = view_trim(content_encoding);
    struct view type = media_type(content_type);

    if (encoding.length && !view_equal_nocase(encoding, VIEW("identity")))
        return true;
    /* Without a type the bytes themselves are asked (RFC 9110 section 8.3). */
    if (type.length && !media_type_is_text(type))
        return true;
    return !utf8_valid(body);
}

static bool named_in(struct view name, struct view connection)
{
    struct view option;

    while (view_split(&connection, ',', &option))
        if (view_equal_nocase(view_trim(option), name))
            return true;
    return false;
}

bool event_header_passes(struct view name, struct view connection)
{
    static const struct view hop_by_hop[] = {VIEW("Connection"),
                                             VIEW("Keep-Alive"),
                                             VIEW("Proxy-Connection"),
                                             VIEW("Proxy-Authenticate"),
                                             VIEW("TE"),
                                             VIEW("Trailer"),
                                             VIEW("Transfer-Encoding"),
                                             VIEW("Upgrade"),
                                             VIEW("Expect"),
                                             VIEW("Trailers"),
                                             VIEW("Proxy-Authorization")};

    for (size_t i = 0; i < sizeof(hop_by_hop) / sizeof(*hop_by_hop); i++)
        if (view_equal_nocase(name, hop_by_hop[i]))
            return false;
    return connection.length == 0 || !named_in(name, connection);
}
