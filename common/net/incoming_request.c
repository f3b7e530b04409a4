/* Keeps the requests that users hold, and tells the users what becomes of their clients. */
#include "common/net/incoming_request.h"

#include "common/base/clock.h"
#include "common/net/spool.h"
#include "common/net/tls.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_PIECE_BYTES 2048

void incoming_request_tell_writable(struct incoming_request *request)
{
    if (!request->wants_writable || request->answered)
        return;
    request->wants_writable = false;
    if (request->connection)
        incoming_request_hold(request, incoming_stream_unsent(request));
    if (request->on_writable)
        request->on_writable(request->writable_context);
}

static void on_notice(int fd, short what, void *context)
{
    struct incoming_request_set *set = context;
    struct incoming_request *request;

    (void)fd;
    (void)what;
    while ((request = TAILQ_FIRST(&set->notices)) != NULL) {
        TAILQ_REMOVE(&set->notices, request, notice);
        request->noticed = false;
        if (request->connection)
            incoming_request_tell_writable(request);
        else if (request->on_gone)
            request->on_gone(request->gone_context);
    }
}

void incoming_request_notice(struct incoming_request *request)
{
    struct incoming_request_set *set = request->set;

    if (request->noticed)
        return;
    request->noticed = true;
    TAILQ_INSERT_TAIL(&set->notices, request, notice);
    event_active(&set->notice_event, 0, 0);
}

void incoming_request_hold(struct incoming_request *request, size_t bytes)
{
    budget_hold(request->set->budget, &request->held, bytes);
}

void incoming_request_set_init(struct incoming_request_set *set, struct event_base *base,
                               struct budget *budget)
{
    *set = (struct incoming_request_set){.budget = budget};
    TAILQ_INIT(&set->all);
    TAILQ_INIT(&set->notices);
    event_assign(&set->notice_event, base, -1, 0, on_notice, set);
}

void incoming_request_set_release(struct incoming_request_set *set)
{
    REQUIRE(TAILQ_EMPTY(&set->all));
    event_del(&set->notice_event);
}

struct incoming_request *incoming_request_new(struct incoming_request_set *set,
                                              struct connection *connection, struct evbuffer *body)
{
    struct incoming_request *request = calloc(1, sizeof(*request));

    REQUIRE(request);
    request->set = set;
    request->connection = connection;
    request->guard = connection->guard;
    request->body = body;
    request->spool = spool_hand_over(connection);
    request->started_us = connection->started_us;
    request->received_us = clock_monotonic_us();
    request->peer_port = connection->peer_port;
    request->local_port = connection->local_port;
    if (connection->tls) {
        request->tls_version = tls_session_version(connection->tls);
        request->tls_cipher = tls_session_cipher(connection->tls);
    }
    memcpy(request->peer_address, connection->peer_address, sizeof(request->peer_address));
    TAILQ_INSERT_TAIL(&set->all, request, all);
    set->pending++;
    if (body)
        incoming_request_hold(request, evbuffer_get_length(body));
    budget_hold(set->budget, &connection->held, 0);
    connection->request = request;
    return request;
}

void incoming_request_free(struct incoming_request *request)
{
    struct incoming_request_set *set = request->set;

    if (!request->answered)
        set->pending--;
    if (request->noticed)
        TAILQ_REMOVE(&set->notices, request, notice);
    TAILQ_REMOVE(&set->all, request, all);
    incoming_request_hold(request, 0);
    if (!request->connection) {
        guard_release(request->guard);
        free(request->guard);
    }
    if (request->body)
        evbuffer_free(request->body);
    spool_drop(request->spool);
    free(request);
}

void incoming_request_answered(struct incoming_request *request)
{
    request->answered = true;
    request->set->pending--;
    /* A slow reader of the answer must not hold what it has sent as well. */
    if (request->body)
        evbuffer_free(request->body);
    request->body = NULL;
    if (!request->streaming)
        incoming_request_hold(request, 0);
}

void incoming_request_orphan(struct incoming_request *request)
{
    request->guard = connection_take_guard(request->connection);
    request->connection = NULL;
}

bool incoming_request_add_small(struct incoming_request *request, struct view bytes, bool *added)
{
    struct evbuffer *output = bufferevent_get_output(request->connection->bufferevent);
    bool chunked = !request->guard->http_1_0;
    char size[16];

    *added = request->wants_writable && bytes.length <= SMALL_PIECE_BYTES &&
             evbuffer_get_length(output) > 0;
    if (!*added)
        return true;
    int length = snprintf(size, sizeof(size), "%zx\r\n", bytes.length);
    return (!chunked || evbuffer_add(output, size, (size_t)length) == 0) &&
           evbuffer_add(output, bytes.data, bytes.length) == 0 &&
           (!chunked || evbuffer_add(output, "\r\n", 2) == 0);
}

void incoming_request_cut_streams(struct incoming_request_set *set)
{
    struct incoming_request *request;

    TAILQ_FOREACH(request, &set->all, all)
    {
        if (request->connection && request->streaming)
            connection_close(request->connection, true);
    }
}

/* ---- reading a request ---- */

struct view incoming_method(const struct incoming_request *request)
{
    return guard_method(request->guard);
}

struct view incoming_target(const struct incoming_request *request)
{
    return guard_target(request->guard);
}

struct view incoming_host(const struct incoming_request *request)
{
    return guard_host(request->guard);
}

bool incoming_is_http_1_0(const struct incoming_request *request)
{
    return request->guard->http_1_0;
}

struct view incoming_body(struct incoming_request *request)
{
    size_t length = request->body ? evbuffer_get_length(request->body) : 0;

    if (length == 0)
        return VIEW("");
    return view_from(evbuffer_pullup(request->body, -1), length);
}

struct incoming_spool *incoming_take_spool(struct incoming_request *request)
{
    struct incoming_spool *spool = request->spool;

    request->spool = NULL;
    return spool;
}

struct view incoming_peer_address(const struct incoming_request *request)
{
    return view_of(request->peer_address);
}

uint16_t incoming_peer_port(const struct incoming_request *request)
{
    return request->peer_port;
}

bool incoming_is_tls(const struct incoming_request *request)
{
    return request->tls_version != NULL;
}

struct view incoming_tls_version(const struct incoming_request *request)
{
    return view_of(request->tls_version);
}

bool incoming_client_shown(const struct incoming_request *request, struct tls_shown *shown)
{
    return request->connection && request->connection->tls &&
           tls_session_shown(request->connection->tls, shown);
}

bool incoming_client_welcome(const struct incoming_request *request)
{
    return !request->connection || !request->connection->tls ||
           tls_session_welcome(request->connection->tls);
}

struct view incoming_tls_cipher(const struct incoming_request *request)
{
    return view_of(request->tls_cipher);
}

uint16_t incoming_local_port(const struct incoming_request *request)
{
    return request->local_port;
}

uint64_t incoming_started_us(const struct incoming_request *request)
{
    return request->started_us;
}

uint64_t incoming_received_us(const struct incoming_request *request)
{
    return request->received_us;
}

bool incoming_header(const struct incoming_request *request, const char *name, struct view *value)
{
    return guard_header(request->guard, name, value);
}

bool incoming_header_at(const struct incoming_request *request, size_t index, struct view *name,
                        struct view *value)
{
    return guard_header_at(request->guard, index, name, value);
}

void incoming_watch(struct incoming_request *request, void (*on_gone)(void *context), void *context)
{
    request->on_gone = on_gone;
    request->gone_context = context;
}
