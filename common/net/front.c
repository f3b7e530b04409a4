/* Serves HTTP/1.1 over the guard, body bytes straight from the socket to the user's callback. */
#include "common/net/front_exchange.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define AHEAD_BYTES     (64 * 1024) /* read beyond what is wanted; then reading stops */
#define LOW_MARK_BYTES  (64 * 1024)
#define MAX_CONNECTIONS 4096
#define LINGER_MS       1000
#define LINGER_BYTES    (8 * 1024 * 1024)
#define STEPS_IN_ONE_GO 16 /* pipelined messages of one connection before others have their turn */
#define HEAD_ROOM_BYTES (64 * 1024) /* head of an answer */

/* ---- ends ---- */

/* From the top of a callback only: nothing of the exchange is on the stack below. */
static void close_connection(struct front_exchange *exchange)
{
    struct front *front = exchange->front;
    struct linger reset = {1, 0};

    exchange_tell_close(exchange, false);
    if (exchange->cut)
        setsockopt(exchange->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    event_free(exchange->reading);
    event_free(exchange->writing);
    event_free(exchange->turn);
    evbuffer_free(exchange->ahead);
    evbuffer_free(exchange->out);
    guard_release(&exchange->guard);
    close(exchange->fd);
    *exchange->link = exchange->next;
    if (exchange->next)
        exchange->next->link = exchange->link;
    front->connection_count--;
    listener_pause(front->listener, false);
    free(exchange);
}

static void begin_linger(struct front_exchange *exchange)
{
    struct timeval delay = {LINGER_MS / 1000, (LINGER_MS % 1000) * 1000};

    exchange->lingering = true;
    shutdown(exchange->fd, SHUT_WR);
    evbuffer_drain(exchange->ahead, evbuffer_get_length(exchange->ahead));
    /* The turn's timer ends it, whatever comes meanwhile; a turn asked for before is void. */
    event_del(exchange->turn);
    event_add(exchange->turn, &delay);
    event_remove_timer(exchange->reading);
    event_add(exchange->reading, NULL);
}

/* ---- reading ---- */

static void tell_head(struct front_exchange *exchange, bool more_is_here)
{
    struct front *front = exchange->front;

    exchange->told = true;
    front->handlers.on_head(exchange, front->context);
    if (exchange->guard.expects_continue && guard_has_body(&exchange->guard) &&
        !exchange->answer_begun && !more_is_here)
        exchange_send_continue(exchange);
}

static bool may_scan(const struct front_exchange *exchange)
{
    return !exchange->gone && !exchange->ended && !exchange->paused &&
           exchange->guard.state != GUARD_STATE_REFUSED;
}

/* Scans until the message is complete, the user pauses, or the bytes are used up. */
static size_t scan(struct front_exchange *exchange, struct view bytes)
{
    struct front *front = exchange->front;
    struct guard_step step = {.event = GUARD_EVENT_HEAD};
    size_t used = 0;

    while (may_scan(exchange) && step.event != GUARD_EVENT_MORE) {
        used += guard_feed(&exchange->guard, view_slice(bytes, used, SIZE_MAX), &step);
        switch (step.event) {
        case GUARD_EVENT_HEAD:
            tell_head(exchange, used < bytes.length);
            break;
        case GUARD_EVENT_BODY:
            if (!exchange->answer_begun && front->handlers.on_body)
                front->handlers.on_body(exchange, step.piece, front->context);
            break;
        case GUARD_EVENT_END:
            exchange->ended = true;
            if (!exchange->answer_begun)
                front->handlers.on_end(exchange, front->context);
            break;
        case GUARD_EVENT_REFUSED:
            exchange_refuse(exchange);
            break;
        case GUARD_EVENT_MORE:
            break;
        }
    }
    exchange->stalled = exchange->paused;
    return used;
}

static void scan_ahead(struct front_exchange *exchange)
{
    do {
        struct evbuffer_iovec first = {0};
        size_t used;

        if (evbuffer_peek(exchange->ahead, -1, NULL, &first, 1) < 1)
            first.iov_len = 0;
        used = scan(exchange, view_from(first.iov_base, first.iov_len));
        evbuffer_drain(exchange->ahead, used);
        if (used < first.iov_len)
            return;
    } while (may_scan(exchange) && evbuffer_get_length(exchange->ahead) > 0);
}

/* Reads while it may, with a timeout only while a message is under way. */
static void settle_reading(struct front_exchange *exchange)
{
    bool waiting = exchange->told && exchange->paused && !exchange->ended;
    bool want = !waiting && evbuffer_get_length(exchange->ahead) < AHEAD_BYTES;
    bool due = want && !exchange->ended && exchange->guard.scanned > 0;

    if (!want) {
        event_del(exchange->reading);
        exchange->timed_reading = false;
    } else if (due) {
        exchange_add_timed(exchange, exchange->reading);
        exchange->timed_reading = true;
    } else if (exchange->timed_reading || !event_pending(exchange->reading, EV_READ, NULL)) {
        event_remove_timer(exchange->reading);
        event_add(exchange->reading, NULL);
        exchange->timed_reading = false;
    }
}

static void begin_next(struct front_exchange *exchange)
{
    guard_next(&exchange->guard);
    exchange->data = NULL;
    exchange->on_writable = NULL;
    exchange->ended = exchange->answer_begun = exchange->answer_whole = false;
    exchange->chunked = exchange->bodiless = exchange->wants_writable = exchange->paused = false;
    if (evbuffer_get_length(exchange->ahead) > 0)
        scan_ahead(exchange);
}

/* One step on; true when another may follow at once. The exchange is gone after false with `*dead`. */
static bool advance(struct front_exchange *exchange, bool *dead)
{
    bool drained = evbuffer_get_length(exchange->out) == 0;

    if (exchange->gone)
        goto close;
    if (exchange->answer_whole && drained) {
        exchange_tell_close(exchange, true);
        if (!exchange->closing) {
            begin_next(exchange);
            return true;
        }
        /* A reset would overtake the answer if input were left unread. */
        if (exchange->ended && evbuffer_get_length(exchange->ahead) == 0)
            goto close;
        begin_linger(exchange);
        return false;
    }
    if (exchange->wants_writable && !exchange->answer_whole &&
        evbuffer_get_length(exchange->out) < LOW_MARK_BYTES) {
        exchange->wants_writable = false;
        if (exchange->on_writable)
            exchange->on_writable(exchange, exchange->front->context);
        return true;
    }
    if (may_scan(exchange) && (exchange->stalled || evbuffer_get_length(exchange->ahead) > 0)) {
        scan_ahead(exchange);
        return true;
    }
    return false;
close:
    close_connection(exchange);
    *dead = true;
    return false;
}

/* The end of each of our callbacks: `inside` is set, the exchange may die here. */
static void finish_turn(struct front_exchange *exchange)
{
    bool dead = false;
    unsigned steps = 0;

    while (steps < STEPS_IN_ONE_GO && advance(exchange, &dead))
        steps++;
    if (dead)
        return;
    exchange->inside = false;
    if (steps == STEPS_IN_ONE_GO)
        exchange_want_turn(exchange);
    if (!exchange->lingering)
        settle_reading(exchange);
}

static void on_turn(int fd, short what, void *context)
{
    struct front_exchange *exchange = context;

    (void)fd;
    (void)what;
    if (exchange->lingering) {
        close_connection(exchange);
        return;
    }
    exchange->inside = true;
    finish_turn(exchange);
}

static void on_writing(int fd, short what, void *context)
{
    struct front_exchange *exchange = context;

    exchange->inside = true;
    if ((what & EV_TIMEOUT) || evbuffer_write(exchange->out, fd) < 0) {
        /* EAGAIN cannot be told from the others by the result alone. */
        if ((what & EV_TIMEOUT) || (errno != EAGAIN && errno != EINTR))
            exchange->gone = true;
    }
    if (evbuffer_get_length(exchange->out) == 0)
        event_del(exchange->writing);
    finish_turn(exchange);
}

static void swallow(struct front_exchange *exchange)
{
    ssize_t got = recv(exchange->fd, exchange->front->block, FRONT_READ_BYTES, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    exchange->swallowed += got > 0 ? (uint64_t)got : 0;
    if (got <= 0 || exchange->swallowed > LINGER_BYTES) {
        exchange->cut = got > 0;
        close_connection(exchange);
    }
}

static void read_some(struct front_exchange *exchange)
{
    struct front *front = exchange->front;
    ssize_t got = recv(exchange->fd, front->block, FRONT_READ_BYTES, 0);
    struct view bytes = view_from(front->block, got > 0 ? (size_t)got : 0);
    size_t used = 0;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        exchange->gone = true;
        return;
    }
    if (may_scan(exchange) && evbuffer_get_length(exchange->ahead) == 0)
        used = scan(exchange, bytes);
    bytes = view_slice(bytes, used, SIZE_MAX);
    if (bytes.length > 0 && evbuffer_add(exchange->ahead, bytes.data, bytes.length) != 0)
        exchange->gone = true;
}

static void on_reading(int fd, short what, void *context)
{
    struct front_exchange *exchange = context;

    (void)fd;
    if (exchange->lingering) {
        swallow(exchange);
        return;
    }
    exchange->inside = true;
    if (!(what & EV_TIMEOUT)) {
        read_some(exchange);
    } else if (exchange->answer_begun) {
        exchange->gone = true;
    } else {
        guard_refuse(&exchange->guard, GUARD_SLOW);
        exchange_refuse(exchange);
    }
    finish_turn(exchange);
}

/* ---- the server ---- */

static void on_accept(struct evconnlistener *evconn, int fd, struct sockaddr *address, int length,
                      void *context)
{
    struct front *front = context;
    struct front_exchange *exchange = calloc(1, sizeof(*exchange));

    (void)evconn;
    (void)address;
    (void)length;
    REQUIRE(exchange);
    exchange->front = front;
    exchange->fd = fd;
    exchange->reading = event_new(front->base, fd, EV_READ | EV_PERSIST, on_reading, exchange);
    exchange->writing = event_new(front->base, fd, EV_WRITE | EV_PERSIST, on_writing, exchange);
    exchange->turn = event_new(front->base, -1, 0, on_turn, exchange);
    exchange->ahead = evbuffer_new();
    exchange->out = evbuffer_new();
    REQUIRE(exchange->reading && exchange->writing && exchange->turn && exchange->ahead &&
            exchange->out);
    guard_init(&exchange->guard, &front->limits);
    exchange->link = &front->connections;
    exchange->next = front->connections;
    if (exchange->next)
        exchange->next->link = &exchange->next;
    front->connections = exchange;
    front->connection_count++;
    listener_pause(front->listener, front->connection_count >= MAX_CONNECTIONS);
    REQUIRE(event_add(exchange->reading, NULL) == 0);
}

struct front *front_new(struct event_base *base, const struct guard_limits *limits,
                        const struct front_handlers *handlers, void *context)
{
    struct front *front = calloc(1, sizeof(*front));

    REQUIRE(front && handlers->on_head && handlers->on_end && handlers->on_close);
    front->base = base;
    front->limits = *limits;
    front->handlers = *handlers;
    front->context = context;
    buffer_init(&front->head, HEAD_ROOM_BYTES);
    return front;
}

enum error front_listen(struct front *front, const char *address, struct buffer *problem)
{
    enum error error;

    REQUIRE(!front->listener);
    error = listener_new(front->base, address, false, &front->listener, problem);
    if (error == ERROR_NONE)
        evconnlistener_set_cb(listener_evconn(front->listener, 0), on_accept, front);
    return error;
}

const char *front_address(const struct front *front)
{
    return front->listener ? listener_address(front->listener) : "";
}

void front_set_timeout(struct front *front, int64_t timeout_ms)
{
    front->timeout_ms = timeout_ms;
}

void front_free(struct front *front)
{
    if (!front)
        return;
    while (front->connections)
        close_connection(front->connections);
    listener_free(front->listener);
    buffer_release(&front->head);
    free(front);
}
