/* A server under test, what it does with requests, and what it saw. */
#ifndef TESTS_UNIT_COMMON_NET_INCOMING_SCENE_H
#define TESTS_UNIT_COMMON_NET_INCOMING_SCENE_H

#include "common/net/incoming.h"
#include "tests/unit/common/net/wire.h"

#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct test_spool {
    struct incoming_spool spool;
    struct server *server;
    struct buffer bytes;
};

/* What the server under test did and saw. */
struct server {
    struct event_base *base;
    struct incoming *incoming;
    struct incoming_limits limits;
    struct incoming_request *held; /* targets that start with /hold wait here */
    unsigned requests, refusals, gone, freed;
    enum guard_reason reason;
    char method[64], target[256];
    uint64_t body_limit;
    bool wants_token;
    struct test_spool *spool; /* the one under way */
    bool spools, spool_is_narrow;
    enum guard_reason spool_over;
    unsigned dropped;
    struct buffer chunk;
    size_t stream_left, most_unsent;
};

static inline void on_gone(void *context)
{
    struct server *server = context;

    server->gone++;
}

static inline void count_free(const void *data, size_t length, void *context)
{
    struct server *server = context;

    (void)length;
    free((void *)(uintptr_t)data);
    server->freed++;
}

static inline void stream_on(void *context)
{
    struct server *server = context;

    while (server->stream_left && incoming_stream_unsent(server->held) < 64 * 1024) {
        incoming_stream_write(server->held, buffer_view(&server->chunk));
        server->stream_left--;
        if (incoming_stream_unsent(server->held) > server->most_unsent)
            server->most_unsent = incoming_stream_unsent(server->held);
    }
    if (!server->stream_left) {
        incoming_stream_end(server->held);
        server->held = NULL;
    }
}

static inline bool take_piece(struct incoming_spool *base, struct view piece)
{
    struct test_spool *spool = (struct test_spool *)base;

    buffer_append_view(&spool->bytes, piece);
    return !spool->server->spool_is_narrow;
}

static inline void drop_spool(struct incoming_spool *base)
{
    struct test_spool *spool = (struct test_spool *)base;

    spool->server->dropped++;
    spool->server->spool = NULL;
    buffer_release(&spool->bytes);
    free(spool);
}

static inline struct incoming_spool *make_spool(const struct incoming_head *head,
                                                enum guard_reason *over, void *context)
{
    struct server *server = context;
    struct test_spool *spool;

    assert_true(head->content_length > 0);
    *over = server->spool_over;
    if (!server->spools || server->spool_over)
        return NULL;
    spool = calloc(1, sizeof(*spool));
    spool->spool = (struct incoming_spool){.take = take_piece, .drop = drop_spool};
    spool->server = server;
    buffer_init(&spool->bytes, 64 << 20);
    server->spool = spool;
    return &spool->spool;
}

/* Tells what was spooled as if it had been collected. */
static inline void echo_spooled(struct incoming_request *request)
{
    struct incoming_spool *base = incoming_take_spool(request);
    struct test_spool *spool = (struct test_spool *)base;
    struct incoming_header type = {VIEW("Content-Type"), VIEW("application/x-echo")};

    assert_int_equal(incoming_body(request).length, 0);
    assert_null(incoming_take_spool(request));
    incoming_reply(request, 200, &type, 1, buffer_view(&spool->bytes), NULL, NULL);
    base->drop(base);
}

static inline void echo(struct server *server, struct incoming_request *request)
{
    struct view body = incoming_body(request);
    struct incoming_header type = {VIEW("Content-Type"), VIEW("application/x-echo")};
    char *copy = malloc(body.length + 1);

    memcpy(copy, body.data, body.length);
    incoming_reply(request, 200, &type, 1, view_from(copy, body.length), count_free, server);
}

static inline void on_request(struct incoming_request *request, void *context)
{
    struct server *server = context;
    struct view target = incoming_target(request);

    server->requests++;
    snprintf(server->method, sizeof(server->method), "%.*s", VIEW_FORMAT(incoming_method(request)));
    snprintf(server->target, sizeof(server->target), "%.*s", VIEW_FORMAT(target));
    if (view_starts_with(target, VIEW("/hold"))) {
        incoming_watch(request, on_gone, server);
        server->held = request;
    } else if (view_starts_with(target, VIEW("/stream"))) {
        server->held = request;
        incoming_watch(request, on_gone, server);
        incoming_stream_begin(request, 200, NULL, 0, stream_on, server);
        stream_on(server);
    } else if (view_equal(target, VIEW("/empty"))) {
        incoming_reply(request, 204, NULL, 0, VIEW("dropped"), NULL, NULL);
    } else if (view_equal(target, VIEW("/last"))) {
        incoming_close_after(request);
        incoming_reply(request, 200, NULL, 0, VIEW("last"), NULL, NULL);
    } else if (server->spool && !view_equal(target, VIEW("/ignore"))) {
        echo_spooled(request);
    } else {
        echo(server, request);
    }
}

static inline void on_refused(const struct incoming_refusal *refusal, void *context)
{
    struct server *server = context;

    server->refusals++;
    server->reason = refusal->reason;
    assert_int_equal(refusal->status, guard_reason_status(refusal->reason));
    assert_true(view_equal_string(refusal->peer_address, "127.0.0.1"));
    assert_int_equal(strlen(refusal->request_id), 36);
}

static inline uint64_t body_limit(const struct incoming_head *head, enum guard_reason *over,
                                  void *context)
{
    struct server *server = context;

    assert_true(head->method.length > 0 && head->target.length > 0);
    if (server->wants_token && head->authorization.length == 0)
        *over = GUARD_UNAUTHORIZED;
    return server->body_limit;
}

static inline void start(struct server *server)
{
    struct incoming_handlers handlers = {.on_request = on_request,
                                         .on_refused = on_refused,
                                         .body_limit = body_limit,
                                         .spool = make_spool};
    struct buffer problem;

    buffer_init(&problem, 1000);
    server->incoming = incoming_new(server->base, &server->limits, &handlers, server);
    assert_int_equal(incoming_listen(server->incoming, "127.0.0.1:0", false, &problem), ERROR_NONE);
    buffer_release(&problem);
}

static inline int set_up(void **state)
{
    struct server *server = calloc(1, sizeof(*server));

    server->base = event_base_new();
    server->limits = incoming_default_limits;
    server->body_limit = UINT64_MAX;
    buffer_init(&server->chunk, 1024 * 1024);
    for (unsigned i = 0; i < 16 * 1024; i++)
        buffer_append_byte(&server->chunk, (char)('a' + i % 26));
    start(server);
    *state = server;
    return 0;
}

/* With other limits. */
static inline void restart(struct server *server)
{
    incoming_free(server->incoming);
    start(server);
}

static inline int tear_down(void **state)
{
    struct server *server = *state;

    if (server->incoming) {
        assert_int_equal(incoming_disagreements(server->incoming), 0);
        incoming_free(server->incoming);
    }
    event_base_free(server->base);
    buffer_release(&server->chunk);
    free(server);
    return 0;
}

static inline void dial(struct server *server, struct wire *wire)
{
    wire_open(wire, server->base, incoming_address(server->incoming));
}

static uint32_t noise_state;

static inline unsigned noise(unsigned below)
{
    noise_state = noise_state * 1664525 + 1013904223;
    return (noise_state >> 8) % below;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
