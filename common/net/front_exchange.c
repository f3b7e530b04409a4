/* Writes the answers of the small server, straight to the kernel while it takes them. */
#include "common/net/front_exchange.h"

#include "common/net/response.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PROBLEM_BYTES 1024

/* ---- writing ---- */

void exchange_want_turn(struct front_exchange *exchange)
{
    if (!exchange->inside)
        event_active(exchange->turn, 0, 0);
}

void exchange_lose(struct front_exchange *exchange)
{
    exchange->gone = true;
    exchange_want_turn(exchange);
}

void exchange_add_timed(struct front_exchange *exchange, struct event *event)
{
    int64_t ms = exchange->front->timeout_ms;
    struct timeval delay = {ms / 1000, (ms % 1000) * 1000};

    REQUIRE(event_add(event, ms ? &delay : NULL) == 0);
}

/* Straight to the kernel while it takes everything; the rest waits in `out`. */
static void send_parts(struct front_exchange *exchange, struct iovec *parts, int count)
{
    ssize_t sent = 0;

    if (exchange->gone)
        return;
    if (evbuffer_get_length(exchange->out) == 0) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};

        sent = sendmsg(exchange->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            exchange_lose(exchange);
            return;
        }
        if (sent < 0)
            sent = 0;
    }
    for (int i = 0; i < count; i++) {
        size_t done = (size_t)sent < parts[i].iov_len ? (size_t)sent : parts[i].iov_len;

        sent -= (ssize_t)done;
        if (done < parts[i].iov_len && evbuffer_add(exchange->out, (char *)parts[i].iov_base + done,
                                                    parts[i].iov_len - done) != 0) {
            exchange_lose(exchange);
            return;
        }
    }
    if (evbuffer_get_length(exchange->out) > 0 && !event_pending(exchange->writing, EV_WRITE, NULL))
        exchange_add_timed(exchange, exchange->writing);
}

static struct iovec part(struct view bytes)
{
    return (struct iovec){(void *)(uintptr_t)bytes.data, bytes.length};
}

/* ---- answers ---- */

static void begin_answer(struct front_exchange *exchange)
{
    REQUIRE(!exchange->answer_begun);
    exchange->answer_begun = true;
    if (!exchange->ended || !guard_keeps_alive(&exchange->guard))
        exchange->closing = true;
}

static bool is_head_request(const struct front_exchange *exchange)
{
    return view_equal_string(guard_method(&exchange->guard), "HEAD");
}

static void end_answer(struct front_exchange *exchange)
{
    exchange->answer_whole = true;
    exchange_want_turn(exchange);
}

void exchange_send_continue(struct front_exchange *exchange)
{
    struct iovec interim = part(VIEW("HTTP/1.1 100 Continue\r\n\r\n"));

    send_parts(exchange, &interim, 1);
}

static void send_whole(struct front_exchange *exchange, int status,
                       const struct incoming_header *headers, size_t header_count, struct view body)
{
    struct buffer *head = &exchange->front->head;
    enum response_framing framing =
        response_has_body(status, false) ? RESPONSE_LENGTH : RESPONSE_BODILESS;
    struct iovec parts[2];

    buffer_clear(head);
    response_write_head(head, status, headers, header_count, framing, body.length,
                        exchange->closing);
    REQUIRE(head->error == ERROR_NONE);
    parts[0] = part(buffer_view(head));
    parts[1] = part(body);
    send_parts(exchange, parts, response_has_body(status, is_head_request(exchange)) ? 2 : 1);
}

void front_reply(struct front_exchange *exchange, int status, const struct incoming_header *headers,
                 size_t header_count, struct view body)
{
    response_require_lawful(status, headers, header_count);
    begin_answer(exchange);
    send_whole(exchange, status, headers, header_count, body);
    end_answer(exchange);
}

void front_stream_begin(struct front_exchange *exchange, int status,
                        const struct incoming_header *headers, size_t header_count,
                        void (*on_writable)(struct front_exchange *exchange, void *context))
{
    struct buffer *head = &exchange->front->head;
    enum response_framing framing = RESPONSE_CHUNKED;
    struct iovec whole;

    response_require_lawful(status, headers, header_count);
    begin_answer(exchange);
    exchange->on_writable = on_writable;
    exchange->bodiless = !response_has_body(status, is_head_request(exchange));
    if (!response_has_body(status, false)) {
        framing = RESPONSE_BODILESS;
    } else if (exchange->guard.http_1_0) {
        framing = RESPONSE_UNTIL_CLOSE;
        exchange->closing = true;
    }
    exchange->chunked = framing == RESPONSE_CHUNKED && !exchange->bodiless;
    buffer_clear(head);
    response_write_head(head, status, headers, header_count, framing, 0, exchange->closing);
    REQUIRE(head->error == ERROR_NONE);
    whole = part(buffer_view(head));
    send_parts(exchange, &whole, 1);
}

void front_stream_write(struct front_exchange *exchange, struct view bytes)
{
    char size[20];
    struct iovec parts[3] = {{size, 0}, part(bytes), part(VIEW("\r\n"))};

    REQUIRE(exchange->answer_begun && !exchange->answer_whole);
    if (bytes.length == 0)
        return;
    exchange->wants_writable = true;
    exchange_want_turn(exchange);
    if (exchange->bodiless)
        return;
    if (exchange->chunked) {
        parts[0].iov_len = (size_t)snprintf(size, sizeof(size), "%zx\r\n", bytes.length);
        send_parts(exchange, parts, 3);
    } else {
        send_parts(exchange, parts + 1, 1);
    }
}

size_t front_stream_unsent(const struct front_exchange *exchange)
{
    return exchange->gone ? 0 : evbuffer_get_length(exchange->out);
}

void front_stream_end(struct front_exchange *exchange)
{
    struct iovec last = part(VIEW("0\r\n\r\n"));

    REQUIRE(exchange->answer_begun && !exchange->answer_whole);
    if (exchange->chunked)
        send_parts(exchange, &last, 1);
    end_answer(exchange);
}

void front_stream_abort(struct front_exchange *exchange)
{
    REQUIRE(exchange->answer_begun && !exchange->answer_whole);
    exchange->cut = true;
    exchange_lose(exchange);
}

void exchange_refuse(struct front_exchange *exchange)
{
    struct incoming_refusal refusal = {.reason = exchange->guard.reason,
                                       .status = guard_reason_status(exchange->guard.reason)};
    struct incoming_header type = {VIEW("Content-Type"), VIEW("application/problem+json")};
    struct buffer body;

    exchange->closing = true;
    if (exchange->answer_begun) {
        /* The answer is on its way already: it ends the connection, nothing more can be said. */
        return;
    }
    exchange_tell_close(exchange, false);
    buffer_init(&body, PROBLEM_BYTES);
    response_write_problem(&body, &refusal);
    exchange->answer_begun = true;
    send_whole(exchange, refusal.status, &type, 1, buffer_view(&body));
    exchange->answer_whole = true;
    buffer_release(&body);
}

void exchange_tell_close(struct front_exchange *exchange, bool complete)
{
    struct front *front = exchange->front;

    if (!exchange->told)
        return;
    exchange->told = false;
    front->handlers.on_close(exchange, complete, front->context);
}

/* ---- what the user reads and sets ---- */

void front_set_data(struct front_exchange *exchange, void *data)
{
    exchange->data = data;
}

void *front_data(const struct front_exchange *exchange)
{
    return exchange->data;
}

struct view front_method(const struct front_exchange *exchange)
{
    return guard_method(&exchange->guard);
}

struct view front_target(const struct front_exchange *exchange)
{
    return guard_target(&exchange->guard);
}

bool front_header(const struct front_exchange *exchange, const char *name, struct view *value)
{
    return guard_header(&exchange->guard, name, value);
}

bool front_header_at(const struct front_exchange *exchange, size_t index, struct view *name,
                     struct view *value)
{
    return guard_header_at(&exchange->guard, index, name, value);
}

bool front_trailer(const struct front_exchange *exchange, const char *name, struct view *value)
{
    return guard_trailer(&exchange->guard, name, value);
}

struct view front_peer_address(const struct front_exchange *exchange)
{
    /* Looked up when first asked for: most users never ask. */
    struct front_exchange *writable = (struct front_exchange *)(uintptr_t)exchange;
    uint16_t port;

    if (!exchange->peer[0])
        listener_peer(exchange->fd, writable->peer, &port);
    return view_of(exchange->peer);
}

void front_pause(struct front_exchange *exchange, bool paused)
{
    exchange->paused = paused;
    exchange_want_turn(exchange);
}
