/* Writes payload format 2.0, as a Lambda Function URL delivers it. */
#include "common/contract/event_parts.h"

#include "common/base/clock.h"
#include "common/base/escape.h"
#include "common/contract/jwt.h"

/* Every cookie of every cookie header; no member when there is none. */
static void write_cookies(struct json_writer *w, const struct event_request *request)
{
    bool open = false;

    for (size_t i = 0; i < request->header_count; i++) {
        struct view rest = request->headers[i].value, cookie;

        if (!view_equal_nocase(request->headers[i].name, VIEW("cookie")))
            continue;
        while (view_split(&rest, ';', &cookie)) {
            cookie = view_trim(cookie);
            if (cookie.length == 0)
                continue;
            if (!open)
                json_open_array(w, "cookies");
            open = true;
            json_write_string(w, NULL, cookie);
        }
    }
    if (open)
        json_close_array(w);
}

/* The path is decoded here, though rawPath is as sent: so does AWS. */
static void write_decoded_path(struct json_writer *w, struct view raw_path)
{
    struct buffer decoded;
    enum error error = ERROR_NONE;

    if (view_find(raw_path, '%') == SIZE_MAX) {
        json_write_string(w, "path", raw_path);
        return;
    }
    buffer_init(&decoded, raw_path.length);
    error = percent_decode(&decoded, raw_path, false, false);
    if (error == ERROR_NONE)
        json_write_string(w, "path", buffer_view(&decoded));
    else if (w->out->error == ERROR_NONE)
        w->out->error = error;
    buffer_release(&decoded);
}

static void write_http(struct json_writer *w, const struct event_request *request)
{
    json_open_object(w, "http");
    json_write_string(w, "method", request->method);
    write_decoded_path(w, request->raw_path);
    json_write_string(w, "protocol", request->protocol);
    json_write_string(w, "sourceIp", request->source_ip);
    json_write_string(w, "userAgent", event_header(request, "user-agent"));
    json_close_object(w);
}

static void write_context(struct json_writer *w, const struct event_request *request)
{
    char time[CLOCK_CLF_SIZE];

    clock_format_clf(request->time_ms, time);
    json_open_object(w, "requestContext");
    json_write_string(w, "accountId", event_account(request));
    json_write_string(w, "apiId", request->app);
    if (request->claims.length) {
        json_open_object(w, "authorizer");
        json_open_object(w, "jwt");
        jwt_write_claims(w, request->claims);
        jwt_write_scopes(w, request->claims, request->scopes_asked);
        json_close_object(w);
        json_close_object(w);
    }
    json_write_string(w, "domainName", request->domain_name);
    json_write_string(w, "domainPrefix", event_domain_prefix(request));
    write_http(w, request);
    json_write_string(w, "requestId", request->request_id);
    json_write_string(w, "routeKey", VIEW("$default"));
    json_write_string(w, "stage", VIEW("$default"));
    json_write_string(w, "time", view_of(time));
    json_write_integer(w, "timeEpoch", request->time_ms);
    json_close_object(w);
}

void event_write_2_0(struct json_writer *w, const struct event_request *request,
                     const struct event_pairs *headers, const struct event_pairs *query)
{
    json_write_string(w, "version", VIEW("2.0"));
    json_write_string(w, "routeKey", VIEW("$default"));
    json_write_string(w, "rawPath", request->raw_path);
    json_write_string(w, "rawQueryString", request->raw_query);
    write_cookies(w, request);
    event_pairs_write_joined(w, "headers", headers);
    if (query->count)
        event_pairs_write_joined(w, "queryStringParameters", query);
    write_context(w, request);
    if (request->body.length == 0)
        json_write_bool(w, "isBase64Encoded", false);
    else
        event_write_body(w, request->body,
                         event_body_is_binary(event_header(request, "content-type"),
                                              event_header(request, "content-encoding"),
                                              request->body));
}
