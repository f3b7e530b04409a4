/* Answers requests through evhttp: whole, or in pieces at the client's pace. */
#include "common/net/incoming_server.h"

#include "common/net/response.h"
#include "common/net/tls_written.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>

#define LOW_MARK_BYTES (64 * 1024)

void incoming_bury(struct incoming_request *request)
{
    if (request->evhttp)
        evhttp_request_free(request->evhttp);
    incoming_request_free(request);
}

/* ---- answers ---- */

/* After each call that has evhttp set its callbacks. */
static void mind_writing(struct connection *connection)
{
    if (connection->tls)
        tls_written_mind(connection->bufferevent);
}

static struct view next_string(struct buffer *strings, struct view text)
{
    size_t start = strings->length;

    buffer_append_view(strings, text);
    buffer_append_byte(strings, '\0');
    return view_slice(buffer_view(strings), start, text.length);
}

static void add_header(struct incoming_request *request, struct view name, struct view value)
{
    struct buffer *strings = &request->incoming->strings;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request->evhttp);

    buffer_clear(strings);
    REQUIRE(buffer_reserve(strings, name.length + value.length + 2));
    name = next_string(strings, name);
    value = next_string(strings, value);
    REQUIRE(evhttp_add_header(headers, name.data, value.data) == 0);
}

static bool is_head_request(const struct incoming_request *request)
{
    return view_equal_string(guard_method(request->guard), "HEAD");
}

static void add_head(struct incoming_request *request, int status,
                     const struct incoming_header *headers, size_t count)
{
    add_header(request, VIEW("Date"), response_date());
    for (size_t i = 0; i < count; i++)
        add_header(request, headers[i].name, headers[i].value);
    request->bodiless = !response_has_body(status, is_head_request(request));
    request->closes = request->close_after || request->incoming->connections.draining ||
                      !guard_keeps_alive(request->guard);
    if (request->closes)
        add_header(request, VIEW("Connection"), VIEW("close"));
}

/* Where the status allows a body. */
static void tell_length(struct incoming_request *request, int status, uint64_t length)
{
    char digits[24];
    int count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)length);

    if (response_has_body(status, false))
        add_header(request, VIEW("Content-Length"), view_from(digits, (size_t)count));
}

/* Bodies are as large as clients and apps make them: want of memory costs the connection only. */
static bool fill_out(struct incoming *incoming, struct view body,
                     void (*free_body)(const void *data, size_t length, void *context),
                     void *free_context)
{
    if (!free_body)
        return evbuffer_add(incoming->out, body.data, body.length) == 0;
    return evbuffer_add_reference(incoming->out, body.data, body.length, free_body, free_context) ==
           0;
}

void incoming_reply(struct incoming_request *request, int status,
                    const struct incoming_header *headers, size_t header_count, struct view body,
                    void (*free_body)(const void *data, size_t length, void *context),
                    void *free_context)
{
    struct incoming *incoming = request->incoming;
    bool wanted = request->connection && body.length > 0, filled = false;

    REQUIRE(!request->answered && !request->streaming);
    response_require_lawful(status, headers, header_count);
    if (request->connection) {
        add_head(request, status, headers, header_count);
        /* RFC 9110 section 8.6: to HEAD, the length that GET would bring, or none. */
        if (body.length > 0 || !is_head_request(request))
            tell_length(request, status, body.length);
        else if (request->tells_length)
            tell_length(request, status, request->told_length);
        wanted = wanted && !request->bodiless;
        filled = wanted && fill_out(incoming, body, free_body, free_context);
    }
    if (!filled && free_body)
        free_body(body.data, body.length, free_context);
    if (!request->connection) {
        incoming_bury(request);
        return;
    }
    incoming_request_answered(request);
    if (wanted && !filled) {
        connection_close(request->connection, true);
        return;
    }
    if (!free_body)
        incoming_request_hold(request, evbuffer_get_length(incoming->out));
    evhttp_send_reply(request->evhttp, status, response_phrase(status), incoming->out);
    mind_writing(request->connection);
}

void incoming_tell_length(struct incoming_request *request, uint64_t length)
{
    request->tells_length = is_head_request(request);
    request->told_length = length;
}

void incoming_close_after(struct incoming_request *request)
{
    request->close_after = true;
}

/* ---- streams ---- */

static void on_written(struct evhttp_connection *evhttp, void *context)
{
    (void)evhttp;
    incoming_request_tell_writable(context);
}

void incoming_stream_begin(struct incoming_request *request, int status,
                           const struct incoming_header *headers, size_t header_count,
                           void (*on_writable)(void *context), void *context)
{
    REQUIRE(!request->answered && !request->streaming);
    response_require_lawful(status, headers, header_count);
    request->streaming = true;
    if (request->body) /* the user has read it: a slow reader must not hold it as well */
        evbuffer_free(request->body);
    request->body = NULL;
    incoming_request_hold(request, 0);
    request->on_writable = on_writable;
    request->writable_context = context;
    if (!request->connection)
        return;
    add_head(request, status, headers, header_count);
    if (request->tells_length)
        tell_length(request, status, request->told_length);
    evhttp_send_reply_start(request->evhttp, status, response_phrase(status));
    mind_writing(request->connection);
    bufferevent_setwatermark(request->connection->bufferevent, EV_WRITE, LOW_MARK_BYTES, 0);
}

void incoming_stream_write(struct incoming_request *request, struct view bytes)
{
    struct incoming *incoming = request->incoming;

    REQUIRE(request->streaming && !request->answered);
    if (!request->connection || bytes.length == 0)
        return;
    bool added = false;
    bool good = request->bodiless || incoming_request_add_small(request, bytes, &added);
    request->wants_writable = true;
    if (request->bodiless) {
        incoming_request_notice(request);
        return;
    }
    if (added && good) {
        incoming_request_hold(request, incoming_stream_unsent(request));
        return;
    }
    if (!good || !fill_out(incoming, bytes, NULL, NULL)) {
        connection_close(request->connection, true);
        return;
    }
    evhttp_send_reply_chunk_with_cb(request->evhttp, incoming->out, on_written, request);
    incoming_request_hold(request, incoming_stream_unsent(request));
    mind_writing(request->connection);
}

size_t incoming_stream_unsent(const struct incoming_request *request)
{
    if (!request->connection)
        return 0;
    return evbuffer_get_length(bufferevent_get_output(request->connection->bufferevent));
}

void incoming_stream_end(struct incoming_request *request)
{
    struct incoming *incoming = request->incoming;
    struct connection *connection = request->connection;
    int descriptor = connection ? connection->descriptor : -1;

    REQUIRE(request->streaming && !request->answered);
    if (!request->connection) {
        incoming_bury(request);
        return;
    }
    incoming_request_answered(request);
    bufferevent_setwatermark(connection->bufferevent, EV_WRITE, 0, 0);
    evhttp_send_reply_end(request->evhttp); /* may end the request and the connection at once */
    if (incoming->by_descriptor[descriptor] == connection)
        mind_writing(connection);
}

void incoming_stream_abort(struct incoming_request *request)
{
    REQUIRE(request->streaming && !request->answered);
    if (!request->connection) {
        incoming_bury(request);
        return;
    }
    incoming_request_answered(request);
    connection_close(request->connection, true);
}
