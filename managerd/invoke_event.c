/* Makes the event that a call of /invoke asks for. */
#include "managerd/invoke_event.h"

#include "common/base/escape.h"
#include "managerd/records.h"

static size_t header_count(const struct json *headers)
{
    const struct json *header = json_first(headers);
    size_t count = 0;
    for (; header; header = json_next(header))
        count += json_type_of(header) == JSON_ARRAY ? json_count(header) : 1;
    return count;
}

void invoke_check(const struct json *body, struct faults *faults)
{
    const struct json *request = json_get(body, "request");
    struct view path = VIEW("");
    if ((json_get(body, "event") != NULL) == (request != NULL))
        fault_pointer(faults, "", "must have either event or request");
    if (header_count(json_get(request, "headers")) > ASK_MAX_HEADERS)
        fault_pointer(faults, "/request/headers", "has more than %d headers", ASK_MAX_HEADERS);
    if (json_get(request, "query") && json_get_string(request, "path", &path) &&
        view_find(path, '?') != SIZE_MAX)
        fault_pointer(faults, "/request/query", "does not go with a path that has a query");
    if (truth_of(request, "isBase64Encoded")) {
        struct view text = text_of(request, "body");
        struct buffer decoded;
        buffer_init(&decoded, text.length + 1);
        if (base64_decode(&decoded, text))
            fault_pointer(faults, "/request/body", "must be base64, as isBase64Encoded says");
        buffer_release(&decoded);
    }
}

static void append_pair(struct buffer *target, const struct json *name, const struct json *value)
{
    buffer_append_byte(target, view_find(buffer_view(target), '?') == SIZE_MAX ? '?' : '&');
    percent_encode(target, json_name(name), "");
    buffer_append_byte(target, '=');
    percent_encode(target, json_string(value), "");
}

static void append_query(struct buffer *target, const struct json *query)
{
    if (json_type_of(query) == JSON_STRING) {
        if (json_string(query).length)
            buffer_append_byte(target, '?');
        buffer_append_view(target, json_string(query));
        return;
    }
    for (const struct json *one = json_first(query); one; one = json_next(one)) {
        if (json_type_of(one) == JSON_STRING)
            append_pair(target, one, one);
        const struct json *value = json_type_of(one) == JSON_ARRAY ? json_first(one) : NULL;
        for (; value; value = json_next(value))
            append_pair(target, one, value);
    }
}

static void add_headers(struct ask_request *asked, const struct json *headers)
{
    for (const struct json *one = json_first(headers); one; one = json_next(one)) {
        const struct json *value = json_type_of(one) == JSON_ARRAY ? json_first(one) : one;
        for (; value && asked->header_count < ASK_MAX_HEADERS;
             value = value == one ? NULL : json_next(value))
            asked->headers[asked->header_count++] =
                (struct event_header){json_name(one), json_string(value)};
    }
}

static enum error encode_request(const struct json *request, const struct json *version,
                                 const struct invoke_origin *origin, struct buffer *event)
{
    struct ask_request asked = {.method = VIEW("GET"),
                                .body = text_of(request, "body"),
                                .user_agent = VIEW("app-orchestrator-invoke"),
                                .id = origin->id,
                                .host = origin->host,
                                .peer = origin->peer};
    struct view path = VIEW("/");
    struct buffer target, decoded;
    enum error error = ERROR_NONE;
    json_get_string(request, "method", &asked.method);
    json_get_string(request, "path", &path);
    buffer_init(&target, 8 * ASK_MAX_TARGET_BYTES);
    buffer_append_view(&target, path);
    append_query(&target, json_get(request, "query"));
    asked.target = buffer_view(&target);
    add_headers(&asked, json_get(request, "headers"));
    buffer_init(&decoded, asked.body.length + 1);
    if (truth_of(request, "isBase64Encoded")) {
        REQUIRE(base64_decode(&decoded, asked.body) == ERROR_NONE); /* invoke_check has looked */
        asked.body = buffer_view(&decoded);
    }
    error = target.error ? target.error : ask_encode(version, origin->app, &asked, event);
    buffer_release(&target);
    buffer_release(&decoded);
    return error;
}

enum error invoke_event(const struct json *body, struct view given, const struct json *version,
                        const struct invoke_origin *origin, struct buffer *event)
{
    const struct json *request = json_get(body, "request");
    if (request)
        return encode_request(request, version, origin, event);
    buffer_append_view(event, given);
    return event->error;
}
