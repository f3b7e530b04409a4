/* Writes what an Application Load Balancer delivers to a Lambda target. */
#include "common/contract/event_parts.h"

#include "common/base/escape.h"

/* The load balancer's own list; any content coding, and no type, mean base64. */
static bool body_is_text(const struct event_request *request)
{
    static const char *const names[] = {"application/json", "application/javascript",
                                        "application/xml"};
    struct view type = event_header(request, "content-type");

    type = view_trim(view_slice(type, 0, view_find(type, ';')));
    if (event_header(request, "content-encoding").length || !utf8_valid(request->body))
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (view_equal_nocase(type, view_of(names[i])))
            return true;
    return view_equal_nocase(view_slice(type, 0, 5), VIEW("text/"));
}

void event_write_alb(struct json_writer *w, const struct event_request *request,
                     const struct event_pairs *headers, const struct event_pairs *query)
{
    json_open_object(w, "requestContext");
    json_open_object(w, "elb");
    json_write_string(w, "targetGroupArn", request->target_group_arn);
    json_close_object(w);
    json_close_object(w);
    json_write_string(w, "httpMethod", request->method);
    json_write_string(w, "path", request->raw_path);
    if (request->multi_value) {
        event_pairs_write_arrays(w, "multiValueQueryStringParameters", query);
        event_pairs_write_arrays(w, "multiValueHeaders", headers);
    } else {
        event_pairs_write_last(w, "queryStringParameters", query);
        event_pairs_write_last(w, "headers", headers);
    }
    if (request->body.length) {
        event_write_body(w, request->body, !body_is_text(request));
    } else {
        json_write_string(w, "body", VIEW(""));
        json_write_bool(w, "isBase64Encoded", false);
    }
}
