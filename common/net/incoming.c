/* Serves HTTP requests through evhttp, which sees only what the guard has let through. */
#include "common/net/incoming.h"

#include "common/net/connection.h"
#include "common/net/incoming_server.h"
#include "common/net/listener.h"
#include "common/net/relief.h"
#include "common/net/response.h"
#include "common/net/spool.h"
#include "common/net/tls.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_BYTES (64 * 1024) /* header names and values of one answer, as C strings */

const struct incoming_limits incoming_default_limits = {
    .guard =
        {
            .max_target_bytes = 8 * 1024,
            .max_line_bytes = 16 * 1024,
            .max_head_bytes = 32 * 1024,
            .max_headers = 100,
            .max_body_bytes = 6 * 1024 * 1024,
            .allow_trailers = false,
            .allow_unknown_methods = true,
        },
    .head_timeout_ms = 10 * 1000,
    .idle_timeout_ms = 75 * 1000,
    .drain_idle_ms = 1000,
    .body_timeout_ms = 30 * 1000,
    .body_min_bytes_per_s = 1000,
    .spool_min_bytes_per_s = 8192,
    .write_timeout_ms = 30 * 1000,
    .max_connections = 10000,
    .max_connections_per_address = 1000,
};

/* ---- requests' ends ---- */

static void orphan_request(struct incoming_request *request)
{
    /* Only a request that evhttp has let go of is ours to free; else it frees it right now. */
    if (evhttp_request_get_connection(request->evhttp))
        request->evhttp = NULL;
    incoming_request_orphan(request);
    if (!request->incoming->freeing)
        incoming_request_notice(request);
}

/* A stream that was cut is answered for us; for evhttp it is under way, and when the client leaves
 * before the connection is closed, evhttp lets go of it: it is ours to free then. */
static void release_answered(struct incoming_request *request)
{
    if (evhttp_request_get_connection(request->evhttp))
        incoming_request_free(request);
    else
        incoming_bury(request);
}

/* ---- connections ---- */

/* evhttp takes its read callback away while it writes an answer. */
static bool is_reading(const struct connection *connection)
{
    bufferevent_data_cb on_read, on_write;
    bufferevent_event_cb on_event;
    void *context;

    bufferevent_getcb(connection->bufferevent, &on_read, &on_write, &on_event, &context);
    return on_read != NULL;
}

static void on_evhttp_close(struct evhttp_connection *evhttp, void *context)
{
    struct connection *connection = context;
    struct incoming *incoming = connection->set->context;

    (void)evhttp;
    if (connection->request && connection->request->answered)
        release_answered(connection->request);
    else if (connection->request)
        orphan_request(connection->request);
    else if (connection->state == CONNECTION_PENDING && !is_reading(connection))
        incoming->disagreements++; /* evhttp has itself answered a message that we found legal */
    incoming->by_descriptor[connection->descriptor] = NULL;
    connection_free(connection);
}

static void note_descriptor(struct incoming *incoming, int fd, struct connection *connection)
{
    if ((size_t)fd >= incoming->descriptor_capacity) {
        size_t capacity = (size_t)fd * 2 + 64;
        struct connection **table =
            realloc(incoming->by_descriptor, capacity * sizeof(struct connection *));

        REQUIRE(table);
        incoming->by_descriptor = table;
        incoming->descriptor_capacity = capacity;
    }
    incoming->by_descriptor[fd] = connection;
}

static void note_peer(struct connection *connection)
{
    char *address = NULL;

    listener_peer(connection->descriptor, connection->peer_address, &connection->peer_port);
    if (connection->peer_address[0])
        return;
    /* It has reset already, and the kernel has forgotten who it was; evhttp asked when accepting. */
    evhttp_connection_get_peer(connection->evhttp, &address, &connection->peer_port);
    if (address && strncmp(address, "::ffff:", 7) == 0 && strchr(address, '.'))
        address += 7;
    snprintf(connection->peer_address, LISTENER_ADDRESS_SIZE, "%s", address ? address : "");
}

static void adopt_connection(struct connection *connection, void *context)
{
    struct incoming *incoming = context;
    bufferevent_data_cb on_read, on_write;
    bufferevent_event_cb on_event;
    void *evhttp;

    /* evhttp's own argument is its connection: there is no other way to get at it this early. */
    bufferevent_getcb(connection->bufferevent, &on_read, &on_write, &on_event, &evhttp);
    REQUIRE(evhttp);
    connection->evhttp = evhttp;
    evhttp_connection_set_closecb(connection->evhttp, on_evhttp_close, connection);
    connection->descriptor = bufferevent_getfd(connection->bufferevent);
    note_descriptor(incoming, connection->descriptor, connection);
    note_peer(connection);
}

static struct bufferevent *make_bufferevent(struct event_base *base, void *context)
{
    struct incoming *incoming = context;
    struct ssl_st *session = incoming->tls ? tls_session_new(incoming->tls) : NULL;
    struct bufferevent *bufferevent =
        session ? bufferevent_openssl_socket_new(base, -1, session, BUFFEREVENT_SSL_ACCEPTING,
                                                 BEV_OPT_CLOSE_ON_FREE)
                : bufferevent_socket_new(base, -1, 0);

    REQUIRE(bufferevent);
    connection_new(&incoming->connections, bufferevent, session);
    return bufferevent;
}

static struct incoming_head head_of(const struct connection *connection)
{
    const struct guard *guard = connection->guard;
    struct incoming_head head = {
        .method = guard_method(guard),
        .target = guard_target(guard),
        .host = guard_host(guard),
        .content_length = guard_content_length(guard),
        .expects_continue = guard->expects_continue,
        .peer_address = view_of(connection->peer_address),
    };

    guard_header(guard, "Content-Type", &head.content_type);
    guard_header(guard, "Authorization", &head.authorization);
    return head;
}

static uint64_t limit_body(struct connection *connection, void *context)
{
    struct incoming *incoming = context;
    struct guard *guard = connection->guard;
    struct incoming_head head;

    if (!incoming->handlers.body_limit || !guard_has_body(guard))
        return UINT64_MAX;
    head = head_of(connection);
    return incoming->handlers.body_limit(&head, &guard->over_limit, incoming->context);
}

static struct incoming_spool *spool_body(struct connection *connection, void *context)
{
    struct incoming *incoming = context;
    struct incoming_spool *spool;
    struct incoming_head head;
    enum guard_reason over = GUARD_NONE;

    if (!incoming->handlers.spool)
        return NULL;
    head = head_of(connection);
    spool = incoming->handlers.spool(&head, &over, incoming->context);
    REQUIRE(!spool || over == GUARD_NONE);
    if (over != GUARD_NONE)
        guard_refuse(connection->guard, over);
    return spool;
}

static struct incoming_header refuse_connection(struct connection *connection,
                                                const char *request_id, const char *own_id,
                                                struct buffer *body, void *context)
{
    struct incoming *incoming = context;
    const struct incoming_handlers *handlers = &incoming->handlers;
    struct incoming_refusal refusal = {
        .reason = connection->guard->reason,
        .status = guard_reason_status(connection->guard->reason),
        .peer_address = view_of(connection->peer_address),
        .method = guard_method(connection->guard),
        .target = guard_target(connection->guard),
        .host = guard_host(connection->guard),
        .started_us = connection->started_us,
        .max_body_bytes = connection->guard->max_body_bytes,
        .request_id = request_id,
        .own_id = own_id,
    };

    if (handlers->refusal_body)
        handlers->refusal_body(&refusal, body, incoming->context);
    if (!handlers->refusal_body || body->error != ERROR_NONE) {
        buffer_clear(body);
        response_write_problem(body, &refusal);
    }
    if (handlers->on_refused)
        handlers->on_refused(&refusal, incoming->context);
    return handlers->refusal_header;
}

static void close_connection(struct connection *connection, void *context)
{
    (void)context;
    evhttp_connection_free(connection->evhttp);
}

/* ---- requests' beginnings ---- */

static size_t count_headers(struct evhttp_request *evhttp)
{
    const struct evkeyval *header = evhttp_request_get_input_headers(evhttp)->tqh_first;
    size_t count = 0;

    for (; header; header = header->next.tqe_next)
        count++;
    return count;
}

/* Two parsers have read the message: they must have come to the same. */
static bool parsers_agree(const struct connection *connection, struct evhttp_request *evhttp)
{
    struct evbuffer *input = bufferevent_get_input(connection->bufferevent);
    const struct guard *guard = connection->guard;
    uint64_t body_bytes = connection->spool ? SPOOL_STAND_IN.length : guard->body_bytes;

    return guard->state == GUARD_STATE_COMPLETE &&
           evbuffer_get_length(input) == gate_unscanned(&connection->gate) &&
           evbuffer_get_length(evhttp_request_get_input_buffer(evhttp)) == body_bytes &&
           count_headers(evhttp) == gate_headers_shown(&connection->gate);
}

static void on_complete(struct evhttp_request *evhttp, void *context)
{
    struct incoming_request *request = context;
    struct connection *connection = request->connection;
    bool closes = request->closes;

    (void)evhttp;
    connection->request = NULL;
    incoming_request_free(request);
    if (closes)
        connection_end(connection);
    else
        connection_next(connection);
}

static struct evbuffer *take_body(struct evhttp_request *evhttp)
{
    struct evbuffer *theirs = evhttp_request_get_input_buffer(evhttp), *body;

    if (evbuffer_get_length(theirs) == 0)
        return NULL;
    body = evbuffer_new();
    REQUIRE(body && evbuffer_add_buffer(body, theirs) == 0);
    return body;
}

static void on_request(struct evhttp_request *evhttp, void *context)
{
    struct incoming *incoming = context;
    struct bufferevent *bufferevent =
        evhttp_connection_get_bufferevent(evhttp_request_get_connection(evhttp));
    struct connection *connection = incoming->by_descriptor[bufferevent_getfd(bufferevent)];
    struct incoming_request *request;

    if (!parsers_agree(connection, evhttp)) {
        incoming->disagreements++;
        connection_refuse(connection, GUARD_DISAGREEMENT);
        return;
    }
    request = incoming_request_new(&incoming->requests, connection,
                                   connection->spool ? NULL : take_body(evhttp));
    request->incoming = incoming;
    request->evhttp = evhttp;
    evhttp_request_set_on_complete_cb(evhttp, on_complete, request);
    incoming->handlers.on_request(request, incoming->context);
    if (connection->request == request && !request->answered && !request->streaming)
        connection_watch(connection);
}

/* ---- the server ---- */

struct incoming *incoming_new(struct event_base *base, const struct incoming_limits *limits,
                              const struct incoming_handlers *handlers, void *context)
{
    static const struct connection_hooks hooks = {adopt_connection, limit_body, refuse_connection,
                                                  spool_body, close_connection};
    struct incoming *incoming = calloc(1, sizeof(*incoming));

    REQUIRE(incoming && handlers->on_request);
    incoming->base = base;
    incoming->limits = *limits;
    incoming->handlers = *handlers;
    incoming->context = context;
    incoming->out = evbuffer_new();
    incoming->http = evhttp_new(base);
    REQUIRE(incoming->out && incoming->http);
    buffer_init(&incoming->strings, SCRATCH_BYTES);
    incoming_request_set_init(&incoming->requests, base, limits->budget);
    connection_set_init(&incoming->connections, base, &incoming->limits, &hooks, incoming);
    evhttp_set_bevcb(incoming->http, make_bufferevent, incoming);
    evhttp_set_gencb(incoming->http, on_request, incoming);
    evhttp_set_default_content_type(incoming->http, NULL);
    evhttp_set_allowed_methods(incoming->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
                                                   EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                                   EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    return incoming;
}

void incoming_use_tls(struct incoming *incoming, struct tls *tls)
{
    REQUIRE(!incoming->listener);
    incoming->tls = tls;
}

struct search {
    struct evconnlistener *evconn;
    struct evhttp_bound_socket *found;
};

static void compare(struct evhttp_bound_socket *bound, void *context)
{
    struct search *search = context;

    if (evhttp_bound_socket_get_listener(bound) == search->evconn)
        search->found = bound;
}

static void close_listener(struct evconnlistener *evconn, void *context)
{
    struct incoming *incoming = context;
    struct search search = {evconn, NULL};

    evhttp_foreach_bound_socket(incoming->http, compare, &search);
    REQUIRE(search.found);
    evhttp_del_accept_socket(incoming->http, search.found);
}

static void listen_on(struct incoming *incoming, struct listener *listener)
{
    for (size_t i = 0; i < listener_count(listener); i++)
        REQUIRE(evhttp_bind_listener(incoming->http, listener_evconn(listener, i)));
    listener_set_close(listener, close_listener, incoming);
    incoming->listener = incoming->connections.listener = listener;
}

enum error incoming_listen(struct incoming *incoming, const char *address, bool reuse_port,
                           struct buffer *problem)
{
    struct listener *listener;

    REQUIRE(!incoming->listener);
    enum error error = listener_new(incoming->base, address, reuse_port, &listener, problem);
    if (error == ERROR_NONE)
        listen_on(incoming, listener);
    return error;
}

void incoming_adopt(struct incoming *incoming, const int *fds, size_t count)
{
    REQUIRE(!incoming->listener);
    listen_on(incoming, listener_adopt(incoming->base, fds, count));
}

const char *incoming_address(const struct incoming *incoming)
{
    return incoming->listener ? listener_address(incoming->listener) : "";
}

static void on_listener_closed(void *context)
{
    struct incoming *incoming = context;

    connection_set_drain(&incoming->connections); /* also what was accepted last */
}

void incoming_drain(struct incoming *incoming)
{
    connection_set_drain(&incoming->connections);
    if (incoming->listener)
        listener_drain(incoming->listener, on_listener_closed, incoming);
}

void incoming_leave(struct incoming *incoming)
{
    connection_set_drain(&incoming->connections);
    if (incoming->listener)
        listener_leave(incoming->listener);
}

unsigned incoming_connections(const struct incoming *incoming)
{
    return incoming->connections.count;
}

unsigned incoming_pending(const struct incoming *incoming)
{
    return incoming->requests.pending;
}

uint64_t incoming_disagreements(const struct incoming *incoming)
{
    return incoming->disagreements;
}

uint64_t incoming_turned_away(const struct incoming *incoming)
{
    return incoming->connections.turned_away;
}

uint64_t incoming_displaced(const struct incoming *incoming)
{
    return incoming->connections.displaced;
}

uint64_t incoming_relieve(struct incoming *incoming)
{
    relief_tend(&incoming->connections);
    return incoming->connections.relieved;
}

void incoming_free(struct incoming *incoming)
{
    struct incoming_request *request;

    if (!incoming)
        return;
    incoming->freeing = true;
    incoming->connections.listener = NULL;
    listener_free(incoming->listener);
    incoming_request_cut_streams(&incoming->requests);
    connection_set_settle(&incoming->connections);
    evhttp_free(incoming->http);
    while ((request = TAILQ_FIRST(&incoming->requests.all)) != NULL)
        incoming_bury(request);
    connection_set_release(&incoming->connections);
    incoming_request_set_release(&incoming->requests);
    evbuffer_free(incoming->out);
    buffer_release(&incoming->strings);
    free(incoming->by_descriptor);
    free(incoming);
}
