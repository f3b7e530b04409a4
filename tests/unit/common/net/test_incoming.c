/* Talks to incoming over real sockets on one loop: manners, limits, refusals and ends. */
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

static void on_gone(void *context)
{
    struct server *server = context;

    server->gone++;
}

static void count_free(const void *data, size_t length, void *context)
{
    struct server *server = context;

    (void)length;
    free((void *)(uintptr_t)data);
    server->freed++;
}

static void stream_on(void *context)
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

static bool take_piece(struct incoming_spool *base, struct view piece)
{
    struct test_spool *spool = (struct test_spool *)base;

    buffer_append_view(&spool->bytes, piece);
    return !spool->server->spool_is_narrow;
}

static void drop_spool(struct incoming_spool *base)
{
    struct test_spool *spool = (struct test_spool *)base;

    spool->server->dropped++;
    spool->server->spool = NULL;
    buffer_release(&spool->bytes);
    free(spool);
}

static struct incoming_spool *make_spool(const struct incoming_head *head, enum guard_reason *over,
                                         void *context)
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
static void echo_spooled(struct incoming_request *request)
{
    struct incoming_spool *base = incoming_take_spool(request);
    struct test_spool *spool = (struct test_spool *)base;
    struct incoming_header type = {VIEW("Content-Type"), VIEW("application/x-echo")};

    assert_int_equal(incoming_body(request).length, 0);
    assert_null(incoming_take_spool(request));
    incoming_reply(request, 200, &type, 1, buffer_view(&spool->bytes), NULL, NULL);
    base->drop(base);
}

static void echo(struct server *server, struct incoming_request *request)
{
    struct view body = incoming_body(request);
    struct incoming_header type = {VIEW("Content-Type"), VIEW("application/x-echo")};
    char *copy = malloc(body.length + 1);

    memcpy(copy, body.data, body.length);
    incoming_reply(request, 200, &type, 1, view_from(copy, body.length), count_free, server);
}

static void on_request(struct incoming_request *request, void *context)
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

static void on_refused(const struct incoming_refusal *refusal, void *context)
{
    struct server *server = context;

    server->refusals++;
    server->reason = refusal->reason;
    assert_int_equal(refusal->status, guard_reason_status(refusal->reason));
    assert_true(view_equal_string(refusal->peer_address, "127.0.0.1"));
    assert_int_equal(strlen(refusal->request_id), 36);
}

static uint64_t body_limit(const struct incoming_head *head, enum guard_reason *over, void *context)
{
    struct server *server = context;

    assert_true(head->method.length > 0 && head->target.length > 0);
    if (server->wants_token && head->authorization.length == 0)
        *over = GUARD_UNAUTHORIZED;
    return server->body_limit;
}

static void start(struct server *server)
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

static int set_up(void **state)
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
static void restart(struct server *server)
{
    incoming_free(server->incoming);
    start(server);
}

static int tear_down(void **state)
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

static void dial(struct server *server, struct wire *wire)
{
    wire_open(wire, server->base, incoming_address(server->incoming));
}

/* ---- ordinary traffic ---- */

static void a_connection_serves_many_requests(void **state)
{
    struct server *server = *state;
    struct wire wire;

    dial(server, &wire);
    for (int i = 0; i < 50; i++) {
        wire_clear(&wire);
        wire_send_text(&wire, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        wire_until(&wire, "\r\n\r\nabc");
        assert_true(wire_has(&wire, "HTTP/1.1 200 OK\r\n"));
        assert_true(wire_has(&wire, "Content-Type: application/x-echo\r\n"));
        assert_true(wire_has(&wire, "Content-Length: 3\r\n"));
        assert_true(wire_has(&wire, "Date: "));
        assert_false(wire_has(&wire, "Connection:"));
    }
    assert_int_equal(server->requests, 50);
    assert_int_equal(server->freed, 50);
    assert_int_equal(incoming_connections(server->incoming), 1);
    assert_int_equal(incoming_pending(server->incoming), 0);
    wire_close(&wire);
    wire_wait_ms(server->base, 20);
    assert_int_equal(incoming_connections(server->incoming), 0);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct server *server = *state;
    struct wire wire;

    dial(server, &wire);
    wire_send_text(&wire, "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
                          "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n\r\n"
                          "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "5\r\nthree\r\n0\r\n\r\n"
                          "GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    wire_until_end(&wire);
    assert_int_equal(server->requests, 4);
    assert_int_equal(wire_count(&wire, "HTTP/1.1 200 OK"), 4);
    assert_true(strstr(wire.in.data, "one") < strstr(wire.in.data, "three"));
    assert_int_equal(wire_count(&wire, "Connection: close"), 1);
    wire_close(&wire);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    const char *text = "POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
                       "PURGE //x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    struct server *server = *state;
    struct wire wire;

    dial(server, &wire);
    for (size_t i = 0; text[i]; i++) {
        wire_send(&wire, view_from(text + i, 1));
        wire_turn(&wire);
    }
    wire_until(&wire, "\r\n\r\nhi");
    assert_true(wire_has(&wire, "\r\n\r\nabc0123456789abcdef"));
    assert_int_equal(server->requests, 2);
    assert_string_equal(server->method, "PURGE");
    assert_string_equal(server->target, "//x");
    wire_close(&wire);
}

static void methods_and_targets_arrive_as_they_were_sent(void **state)
{
    static const struct {
        const char *line, *method, *target;
    } cases[] = {
        {"GET /a%20b?x=1", "GET", "/a%20b?x=1"},
        {"DELETE /x", "DELETE", "/x"},
        {"PATCH /x", "PATCH", "/x"},
        {"OPTIONS *", "OPTIONS", "*"},
        {"PROPFIND /x", "PROPFIND", "/x"},
        {"M-SEARCH /x", "M-SEARCH", "/x"},
        {"GET //evil:99999/x", "GET", "//evil:99999/x"},
        {"GET http://a/x", "GET", "/x"},
        {"GET http://a?x", "GET", "/?x"},
        {"GET /a:b/[c]", "GET", "/a:b/[c]"},
    };
    struct server *server = *state;
    char text[256];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wire wire;

        dial(server, &wire);
        snprintf(text, sizeof(text),
                 "%s HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
                 cases[i].line);
        wire_send_text(&wire, text);
        wire_until_end(&wire);
        assert_true(wire_has(&wire, "200 OK"));
        assert_true(wire_has(&wire, "\r\n\r\nbody"));
        assert_string_equal(server->method, cases[i].method);
        assert_string_equal(server->target, cases[i].target);
        wire_close(&wire);
    }
}

static void http_1_0_is_answered_and_closed(void **state)
{
    struct server *server = *state;
    struct wire wire;

    dial(server, &wire);
    wire_send_text(&wire, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.0 200 OK"));
    assert_true(wire_has(&wire, "Connection: close"));
    assert_false(wire_has(&wire, "keep-alive"));
    wire_close(&wire);

    server->stream_left = 3;
    dial(server, &wire);
    wire_send_text(&wire, "GET /stream HTTP/1.0\r\n\r\n");
    wire_until_end(&wire);
    assert_false(wire_has(&wire, "chunked"));
    assert_int_equal(wire.in.length - (size_t)(strstr(wire.in.data, "\r\n\r\n") + 4 - wire.in.data),
                     3 * server->chunk.length);
    wire_close(&wire);
}

static void no_body_goes_out_for_head_and_204(void **state)
{
    struct server *server = *state;
    struct wire wire;

    dial(server, &wire);
    wire_send_text(&wire, "HEAD /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!server->held)
        wire_turn(&wire);
    incoming_reply(server->held, 200, NULL, 0, VIEW("hello"), NULL, NULL);
    wire_until(&wire, "\r\n\r\n");
    assert_true(wire_has(&wire, "Content-Length: 5\r\n"));
    wire_send_text(&wire, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&wire, "204 No Content");
    wire_send_text(&wire, "GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until_end(&wire);
    assert_false(wire_has(&wire, "hello"));
    assert_false(wire_has(&wire, "dropped"));
    assert_int_equal(wire_count(&wire, "Content-Length"), 2);
    assert_true(wire_has(&wire, "\r\n\r\nlast"));
    wire_close(&wire);
}

static void a_head_request_may_be_answered_by_a_stream(void **state)
{
    struct server *server = *state;
    struct wire wire;

    server->stream_left = 10;
    dial(server, &wire);
    wire_send_text(&wire, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&wire, "\r\n\r\n");
    wire_send_text(&wire, "GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until_end(&wire);
    assert_false(wire_has(&wire, "abcdef"));
    wire_close(&wire);
}

static void big_bodies_go_both_ways(void **state)
{
    struct server *server = *state;
    size_t length = 6 * 1024 * 1024;
    char *body = malloc(length);
    char head[128];
    struct wire wire;

    for (size_t i = 0; i < length; i++)
        body[i] = (char)(i * 7 + i / 251);
    dial(server, &wire);
    for (int chunked = 0; chunked < 2; chunked++) {
        snprintf(head, sizeof(head), "POST /big HTTP/1.1\r\nHost: a\r\n%s%zu\r\n\r\n",
                 "Content-Length: ", length);
        if (chunked)
            snprintf(head, sizeof(head),
                     "POST /big HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
                     length);
        wire_send_text(&wire, head);
        wire_send(&wire, view_from(body, length));
        if (chunked)
            wire_send_text(&wire, "\r\n0\r\n\r\n");
        wire_until(&wire, "\r\n\r\n");
        wire_until_bytes(&wire,
                         (size_t)(strstr(wire.in.data, "\r\n\r\n") + 4 - wire.in.data) + length);
        assert_memory_equal(wire.in.data + wire.in.length - length, body, length);
        wire_clear(&wire);
    }
    wire_close(&wire);
    free(body);
}

static void a_spooled_body_comes_in_pieces_and_whole(void **state)
{
    struct server *server = *state;
    struct wire wire;
    static const char two[] = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
                              "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                              "GET /c HTTP/1.1\r\nHost: a\r\n\r\n";

    server->spools = true;
    for (size_t step = 1; step <= sizeof(two); step = step < 7 ? step + 1 : step * 5) {
        unsigned before = server->requests;

        dial(server, &wire);
        for (size_t at = 0; at < sizeof(two) - 1; at += step) {
            size_t left = sizeof(two) - 1 - at;

            wire_send(&wire, view_from(two + at, left < step ? left : step));
            wire_turn(&wire);
        }
        wire_until(&wire, "abc0123456789abcdef");
        wire_until(&wire, "\r\n\r\nhello");
        while (server->requests < before + 3)
            wire_turn(&wire);
        assert_string_equal(server->target, "/c");
        wire_close(&wire);
    }
    assert_int_equal(server->refusals, 0);
    assert_int_equal(incoming_disagreements(server->incoming), 0);
    dial(server, &wire); /* nobody asks for it: it goes with its request */
    server->dropped = 0;
    wire_send_text(&wire, "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                          "Expect: 100-continue\r\n\r\n");
    wire_until(&wire, "HTTP/1.1 100 Continue\r\n\r\n");
    wire_send_text(&wire, "abc");
    wire_until(&wire, "HTTP/1.1 200 ");
    while (server->dropped != 1)
        wire_turn(&wire);
    wire_close(&wire);
}

static void a_client_waits_while_the_spool_is_full(void **state)
{
    struct server *server = *state;
    size_t length = 8 << 20, sent = 0;
    char *body = malloc(length);
    struct wire wire;

    memset(body, 'x', length);
    server->limits.guard.max_body_bytes = length;
    server->spools = server->spool_is_narrow = true;
    restart(server);
    dial(server, &wire);
    wire_send_text(&wire, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n");
    for (int i = 0; i < 200; i++) {
        ssize_t wrote = send(wire.fd, body, length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += wrote > 0 ? (size_t)wrote : 0;
        wire_turn(&wire);
    }
    assert_non_null(server->spool);
    assert_true(server->spool->bytes.length > 0 && server->spool->bytes.length <= 600 * 1024);
    assert_true(sent < length);
    server->spool_is_narrow = false;
    incoming_spool_resume(&server->spool->spool);
    while (sent < length) {
        ssize_t wrote = send(wire.fd, body, length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += wrote > 0 ? (size_t)wrote : 0;
        wire_turn(&wire);
    }
    wire_until(&wire, "Content-Length: 8388608\r\n");
    wire_close(&wire);
    free(body);
}

static void a_spool_is_dropped_with_its_client_and_can_refuse(void **state)
{
    struct server *server = *state;
    struct wire wire;

    server->spools = true;
    dial(server, &wire);
    wire_send_text(&wire, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    while (!server->spool)
        wire_turn(&wire);
    wire_close(&wire);
    while (server->dropped != 1)
        event_base_loop(server->base, EVLOOP_ONCE);
    wire_clear(&wire);
    dial(server, &wire);
    wire_send_text(&wire, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    while (!server->spool)
        wire_turn(&wire);
    incoming_spool_refuse(&server->spool->spool, GUARD_STORAGE_FULL);
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 507 "));
    wire_close(&wire);
    while (server->dropped != 2)
        event_base_loop(server->base, EVLOOP_ONCE);
    wire_clear(&wire);
    server->spool_over = GUARD_BUSY;
    dial(server, &wire);
    wire_send_text(&wire, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n"
                          "Expect: 100-continue\r\n\r\n");
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 503 ") && wire_has(&wire, "Retry-After: "));
    assert_false(wire_has(&wire, "100 Continue"));
    wire_close(&wire);
}

static void a_client_that_waits_is_told_to_go_on(void **state)
{
    struct server *server = *state;
    struct wire wire;

    dial(server, &wire);
    wire_send_text(&wire, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                          "Expect: 100-continue\r\n\r\n");
    wire_until(&wire, "HTTP/1.1 100 Continue\r\n\r\n");
    wire_send_text(&wire, "abc");
    wire_until(&wire, "\r\n\r\nabc");
    wire_clear(&wire);
    server->body_limit = 2;
    wire_send_text(&wire, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                          "Expect: 100-continue\r\n\r\n");
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 413 "));
    assert_false(wire_has(&wire, "100 Continue"));
    wire_close(&wire);
}

static void a_large_body_without_a_token_is_told_that_one_is_needed(void **state)
{
    struct server *server = *state;
    struct wire wire;

    server->body_limit = 2;
    server->wants_token = true;
    dial(server, &wire);
    wire_send_text(&wire, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 401 "));
    assert_true(wire_has(&wire, "WWW-Authenticate: Bearer\r\n"));
    assert_int_equal(server->reason, GUARD_UNAUTHORIZED);
    wire_close(&wire);
    wire_clear(&wire);
    dial(server, &wire); /* in chunks it is known later */
    wire_send_text(&wire, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "3\r\nabc\r\n0\r\n\r\n");
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 401 "));
    wire_close(&wire);
    wire_clear(&wire);
    dial(server, &wire); /* with one, it is just too large */
    wire_send_text(&wire, "POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\n"
                          "Content-Length: 3\r\n\r\nabc");
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 413 "));
    wire_close(&wire);
}

static void what_is_held_of_a_body_is_counted_until_its_answer_is_written(void **state)
{
    struct server *server = *state;
    struct budget budget = {.most = 10};
    struct wire wire;

    server->limits.budget = &budget;
    restart(server);
    dial(server, &wire);
    wire_send_text(&wire, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nabcd");
    while (budget_used(&budget) != 4)
        wire_turn(&wire);
    wire_send_text(&wire, "efgh");
    while (!server->held)
        wire_turn(&wire);
    assert_int_equal(budget_used(&budget), 8);
    incoming_reply(server->held, 200, NULL, 0, VIEW("done"), NULL, NULL);
    server->held = NULL;
    wire_until(&wire, "\r\n\r\ndone");
    while (budget_used(&budget) != 0)
        wire_turn(&wire);
    wire_clear(&wire); /* in chunks: told when more has come than there is room for */
    wire_send_text(&wire, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "8\r\nabcdefgh\r\n8\r\nabcd");
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 503 ") && wire_has(&wire, "\r\nRetry-After: 1\r\n"));
    assert_int_equal(server->reason, GUARD_BUSY);
    wire_close(&wire);
    while (incoming_connections(server->incoming) > 0)
        wire_turn(&wire);
    assert_int_equal(budget_used(&budget), 0);
    incoming_free(server->incoming);
    server->incoming = NULL;
}

static void a_request_tells_what_it_is(void **state)
{
    struct server *server = *state;
    struct view name, value;
    struct wire wire;

    dial(server, &wire);
    wire_send_text(&wire,
                   "GET /hold HTTP/1.1\r\nHost: Example.com:8080\r\nX-A: 1\r\nx-a: 2\r\n\r\n");
    while (!server->held)
        wire_turn(&wire);
    assert_true(view_equal_string(incoming_host(server->held), "Example.com:8080"));
    assert_true(incoming_header(server->held, "X-a", &value) && view_equal_string(value, "1"));
    assert_true(incoming_header_at(server->held, 2, &name, &value));
    assert_true(view_equal_string(name, "x-a") && view_equal_string(value, "2"));
    assert_false(incoming_header_at(server->held, 3, &name, &value));
    assert_true(view_equal_string(incoming_peer_address(server->held), "127.0.0.1"));
    assert_true(incoming_peer_port(server->held) > 0);
    assert_int_equal(incoming_local_port(server->held),
                     atoi(strrchr(incoming_address(server->incoming), ':') + 1));
    assert_false(incoming_is_http_1_0(server->held));
    assert_int_equal(incoming_body(server->held).length, 0);
    assert_true(incoming_started_us(server->held) > 0);
    assert_true(incoming_received_us(server->held) >= incoming_started_us(server->held));
    incoming_reply(server->held, 200, NULL, 0, VIEW("ok"), NULL, NULL);
    wire_until(&wire, "ok");
    wire_close(&wire);
}

/* ---- refusals ---- */

static void refusals_name_their_status_and_close(void **state)
{
    static const struct {
        const char *text;
        enum guard_reason reason;
        const char *status;
    } cases[] = {
        {"GET / HTTP/1.1\nHost: a\r\n\r\n", GUARD_LINE_END, "400 Bad Request"},
        {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", GUARD_METHOD, "400 "},
        {"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", GUARD_METHOD_UNKNOWN, "501 "},
        {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", GUARD_TARGET, "400 "},
        {"GET / HTTP/1.9\r\nHost: a\r\n\r\n", GUARD_VERSION, "505 "},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", GUARD_HEADER_NAME, "400 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", GUARD_HEADER_VALUE, "400 "},
        {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", GUARD_HEADER_FOLDED, "400 "},
        {"GET / HTTP/1.1\r\n\r\n", GUARD_HOST_MISSING, "400 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", GUARD_HOST_REPEATED, "400 "},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", GUARD_HOST_INVALID, "400 "},
        {"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", GUARD_HOST_MISMATCH, "400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n1", GUARD_CONTENT_LENGTH, "400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         GUARD_LENGTH_AND_CODING, "400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", GUARD_TRANSFER_ENCODING,
         "501 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n", GUARD_CHUNK,
         "400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
         GUARD_CHUNK, "400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
         GUARD_TRAILER, "400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", GUARD_BODY_TOO_LARGE,
         "413 Content Too Large"},
        {"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1", GUARD_BODY_UNEXPECTED, "400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 1\r\n\r\n", GUARD_EXPECTATION,
         "417 "},
    };
    struct server *server = *state;
    char wanted[64];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            struct wire wire;
            unsigned before = server->refusals;

            dial(server, &wire);
            for (size_t k = 0; bytewise && cases[i].text[k]; k++)
                wire_send(&wire, view_from(cases[i].text + k, 1));
            if (!bytewise)
                wire_send_text(&wire, cases[i].text);
            wire_until_end(&wire);
            snprintf(wanted, sizeof(wanted), "HTTP/1.1 %s", cases[i].status);
            assert_true(view_starts_with(buffer_view(&wire.in), view_of(wanted)));
            assert_true(wire_has(&wire, "Connection: close\r\n"));
            assert_true(wire_has(&wire, "application/problem+json"));
            assert_true(wire_has(&wire, guard_reason_name(cases[i].reason)));
            assert_false(wire.reset);
            assert_int_equal(server->refusals, before + 1);
            assert_int_equal(server->reason, cases[i].reason);
            wire_close(&wire);
        }
    }
    assert_int_equal(server->requests, 0);
}

static void a_refusal_waits_for_the_answers_before_it(void **state)
{
    struct server *server = *state;
    struct wire wire;

    dial(server, &wire);
    wire_send_text(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\r\n\r\n");
    while (!server->held)
        wire_turn(&wire);
    wire_wait_ms(server->base, 20);
    assert_int_equal(server->refusals, 0);
    incoming_reply(server->held, 200, NULL, 0, VIEW("first"), NULL, NULL);
    wire_until_end(&wire);
    assert_true(strstr(wire.in.data, "first") < strstr(wire.in.data, "HTTP/1.1 400"));
    assert_int_equal(server->refusals, 1);
    assert_int_equal(server->requests, 1);
    wire_close(&wire);
}

static void a_client_that_still_sends_reads_the_refusal(void **state)
{
    struct server *server = *state;
    struct wire wire;
    size_t length = 4 * 1024 * 1024;
    char *body = calloc(1, length);

    dial(server, &wire);
    wire_send_text(&wire, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
    wire_send(&wire, view_from(body, length));
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 413 "));
    assert_false(wire.reset);
    wire_close(&wire);
    free(body);
}

static void a_client_that_sends_for_ever_is_cut(void **state)
{
    struct server *server = *state;
    struct wire wire;
    size_t length = 32 * 1024 * 1024;
    char *body = calloc(1, length);

    dial(server, &wire);
    wire_send_text(&wire, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
    wire_send(&wire, view_from(body, length));
    wire_until_end(&wire);
    wire_close(&wire);
    free(body);
    wire_wait_ms(server->base, 20);
    assert_int_equal(incoming_connections(server->incoming), 0);
}

/* ---- time ---- */

static void a_slow_head_gets_408(void **state)
{
    struct server *server = *state;
    struct wire wire;

    server->limits.head_timeout_ms = 60;
    restart(server);
    dial(server, &wire);
    for (int i = 0; i < 40 && !wire.ended && server->refusals == 0; i++) {
        wire_send_text(&wire, i == 0 ? "GET / HTTP/1.1\r\n" : "X: y\r\n");
        wire_wait_ms(server->base, 10);
    }
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 408 Request Timeout"));
    assert_int_equal(server->reason, GUARD_SLOW);
    wire_close(&wire);
}

static void a_slow_body_gets_408(void **state)
{
    struct server *server = *state;
    struct wire wire;

    server->limits.body_timeout_ms = 60;
    server->limits.body_min_bytes_per_s = 0;
    restart(server);
    dial(server, &wire);
    wire_send_text(&wire, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    for (int i = 0; i < 40 && !wire.ended && server->refusals == 0; i++) {
        wire_send_text(&wire, "x");
        wire_wait_ms(server->base, 10);
    }
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 408 "));
    assert_int_equal(server->requests, 0);
    wire_close(&wire);
}

static void a_body_that_keeps_its_rate_may_take_longer(void **state)
{
    struct server *server = *state;
    struct wire wire;

    server->limits.body_timeout_ms = 30;
    server->limits.body_min_bytes_per_s = 100;
    restart(server);
    dial(server, &wire);
    wire_send_text(&wire, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        char piece[100];

        memset(piece, 'x', sizeof(piece));
        wire_send(&wire, view_from(piece, sizeof(piece)));
        wire_wait_ms(server->base, 10);
    }
    wire_until(&wire, "200 OK");
    assert_int_equal(server->refusals, 0);
    wire_close(&wire);
}

static void a_body_that_came_fast_and_then_stands_still_gets_408(void **state)
{
    struct server *server = *state;
    char piece[20000];
    struct wire wire;

    memset(piece, 'x', sizeof(piece));
    server->limits.body_timeout_ms = 1000;
    server->limits.body_min_bytes_per_s = 100; /* all of it would pay for 200 s */
    restart(server);
    dial(server, &wire);
    wire_send_text(&wire, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n");
    wire_send(&wire, view_from(piece, sizeof(piece)));
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 408 "));
    assert_int_equal(server->requests, 0);
    wire_close(&wire);
}

static void idle_connections_are_closed(void **state)
{
    struct server *server = *state;
    struct wire fresh, used;

    server->limits.idle_timeout_ms = 60;
    restart(server);
    dial(server, &fresh);
    dial(server, &used);
    wire_send_text(&used, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&used, "200 OK");
    wire_until_end(&used);
    wire_until_end(&fresh);
    assert_int_equal(fresh.in.length, 0);
    assert_int_equal(wire_count(&used, "HTTP/1.1"), 1);
    wire_close(&fresh);
    wire_close(&used);
}

static void a_pending_answer_never_times_out(void **state)
{
    struct server *server = *state;
    struct wire wire;

    server->limits.idle_timeout_ms = 30;
    server->limits.head_timeout_ms = 30;
    server->limits.body_timeout_ms = 30;
    server->limits.write_timeout_ms = 30;
    restart(server);
    dial(server, &wire);
    wire_send_text(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!server->held)
        wire_turn(&wire);
    wire_wait_ms(server->base, 150);
    assert_int_equal(server->gone, 0);
    incoming_reply(server->held, 200, NULL, 0, VIEW("late"), NULL, NULL);
    wire_until(&wire, "late");
    wire_close(&wire);
}

static void a_client_that_takes_nothing_is_cut(void **state)
{
    struct server *server = *state;
    struct wire wire;

    server->limits.write_timeout_ms = 60;
    restart(server);
    server->stream_left = 10000;
    dial(server, &wire);
    wire_push(&wire, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_wait_ms(server->base, 400);
    assert_int_equal(server->gone, 1);
    assert_int_equal(incoming_connections(server->incoming), 0);
    incoming_stream_end(server->held);
    wire_close(&wire);
}

/* ---- ends ---- */

static void a_client_that_leaves_is_noticed_while_the_answer_is_pending(void **state)
{
    struct server *server = *state;
    struct wire wire;
    struct view value;

    for (int reset = 0; reset < 2; reset++) {
        dial(server, &wire);
        server->held = NULL;
        wire_send_text(&wire,
                       "POST /hold HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 3\r\n\r\nabc");
        while (!server->held)
            wire_turn(&wire);
        if (reset)
            wire_reset(&wire);
        else
            wire_close(&wire);
        wire_wait_ms(server->base, 20);
        assert_int_equal(server->gone, reset + 1);
        assert_int_equal(incoming_pending(server->incoming), 1);
        assert_int_equal(incoming_connections(server->incoming), 0);
        /* What the user may read lives until it answers. */
        assert_true(view_equal_string(incoming_target(server->held), "/hold"));
        assert_true(incoming_header(server->held, "x", &value) && view_equal_string(value, "y"));
        assert_true(view_equal_string(incoming_body(server->held), "abc"));
        incoming_reply(server->held, 200, NULL, 0, view_from(malloc(8), 8), count_free, server);
        assert_int_equal(server->freed, reset + 1);
        assert_int_equal(incoming_pending(server->incoming), 0);
    }
}

static void a_stream_whose_client_leaves_can_be_ended_or_aborted(void **state)
{
    struct server *server = *state;
    struct wire wire;

    for (int abort_it = 0; abort_it < 2; abort_it++) {
        dial(server, &wire);
        server->stream_left = 1000000;
        wire_send_text(&wire, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
        wire_until(&wire, "abcdef");
        wire_reset(&wire);
        wire_wait_ms(server->base, 20);
        assert_int_equal(server->gone, abort_it + 1);
        incoming_stream_write(server->held, VIEW("dropped"));
        assert_int_equal(incoming_stream_unsent(server->held), 0);
        if (abort_it)
            incoming_stream_abort(server->held);
        else
            incoming_stream_end(server->held);
        assert_int_equal(incoming_pending(server->incoming), 0);
    }
}

static void a_stream_waits_for_a_slow_reader(void **state)
{
    struct server *server = *state;
    size_t chunks = 2000; /* 32 MiB */
    struct wire wire;

    server->stream_left = chunks;
    dial(server, &wire);
    wire_push(&wire, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_wait_ms(server->base, 50);
    assert_true(server->stream_left > 0);
    assert_true(server->most_unsent < 256 * 1024);
    wire_until(&wire, "\r\n0\r\n\r\n");
    assert_true(wire_has(&wire, "Transfer-Encoding: chunked"));
    assert_int_equal(wire_count(&wire, "\r\n4000\r\n"), chunks);
    assert_true(server->most_unsent < 256 * 1024);
    /* The connection lives on. */
    wire_clear(&wire);
    wire_send_text(&wire, "GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&wire, "last");
    wire_until_end(&wire);
    wire_close(&wire);
}

static void abort_held(evutil_socket_t fd, short events, void *context)
{
    struct server *server = context;

    (void)fd;
    (void)events;
    incoming_stream_abort(server->held);
    server->held = NULL;
}

/* In one turn of the loop, the cut first: nobody else would free what evhttp lets go of. */
static void a_stream_that_is_cut_as_its_client_leaves_is_freed(void **state)
{
    struct server *server = *state;
    struct event *cut;
    struct wire wire;
    int pair[2];

    assert_int_equal(pipe(pair), 0);
    cut = event_new(server->base, pair[0], EV_READ, abort_held, server);
    event_add(cut, NULL);
    dial(server, &wire);
    wire_send_text(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!server->held)
        wire_turn(&wire);
    incoming_stream_begin(server->held, 200, NULL, 0, NULL, NULL);
    incoming_stream_write(server->held, VIEW("part"));
    wire_until(&wire, "part");
    assert_int_equal(write(pair[1], "x", 1), 1);
    wire_close(&wire);
    wire_wait_ms(server->base, 20);
    assert_null(server->held);
    assert_int_equal(incoming_connections(server->incoming), 0);
    event_free(cut);
    close(pair[0]);
    close(pair[1]);
}

static void an_aborted_stream_is_seen_as_cut(void **state)
{
    struct server *server = *state;
    struct wire wire;

    dial(server, &wire);
    wire_send_text(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!server->held)
        wire_turn(&wire);
    incoming_stream_begin(server->held, 200, NULL, 0, NULL, NULL);
    incoming_stream_write(server->held, VIEW("part"));
    wire_until(&wire, "part");
    incoming_stream_abort(server->held);
    wire_until_end(&wire);
    assert_true(wire.reset);
    assert_false(wire_has(&wire, "0\r\n\r\n"));
    wire_close(&wire);
}

static void what_is_sent_ahead_is_bounded(void **state)
{
    struct server *server = *state;
    struct wire wire;
    size_t sent = 0;
    char noise[65536];
    int small = 65536;

    memset(noise, 'x', sizeof(noise));
    dial(server, &wire);
    setsockopt(wire.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    wire_send_text(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!server->held)
        wire_turn(&wire);
    for (int i = 0; i < 2000; i++) {
        ssize_t got = send(wire.fd, noise, sizeof(noise), MSG_NOSIGNAL);

        sent += got > 0 ? (size_t)got : 0;
        event_base_loop(server->base, EVLOOP_NONBLOCK);
    }
    assert_true(sent < 16 * 1024 * 1024); /* kernel buffers and ours; not the 125 MiB offered */
    incoming_reply(server->held, 200, NULL, 0, VIEW("first"), NULL, NULL);
    wire_until(&wire, "first");
    wire_until(&wire, "HTTP/1.1 501");
    wire_close(&wire);
}

static void draining_answers_what_is_pending_and_closes_the_rest(void **state)
{
    struct server *server = *state;
    struct wire idle, pending, queued;
    char address[64];

    snprintf(address, sizeof(address), "%s", incoming_address(server->incoming));
    dial(server, &idle);
    wire_send_text(&idle, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&idle, "200 OK");
    dial(server, &pending);
    wire_send_text(&pending, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!server->held)
        wire_turn(&pending);
    /* In the kernel's queue only: the loop has not turned since. */
    wire_open(&queued, server->base, address);
    wire_push(&queued, "GET /q HTTP/1.1\r\nHost: a\r\n\r\n");
    incoming_drain(server->incoming);
    wire_until_end(&queued);
    assert_true(wire_has(&queued, "200 OK") && wire_has(&queued, "Connection: close"));
    wire_until_end(&idle);
    assert_int_equal(wire_count(&idle, "HTTP/1.1"), 1);
    assert_int_equal(incoming_connections(server->incoming), 1);
    incoming_reply(server->held, 200, NULL, 0, VIEW("done"), NULL, NULL);
    wire_until_end(&pending);
    assert_true(wire_has(&pending, "done") && wire_has(&pending, "Connection: close"));
    assert_int_equal(incoming_connections(server->incoming), 0);
    wire_close(&idle);
    wire_close(&pending);
    wire_close(&queued);
}

static void connections_of_one_address_are_capped(void **state)
{
    struct server *server = *state;
    struct wire first, second, third;

    server->limits.max_connections_per_address = 2;
    restart(server);
    dial(server, &first);
    dial(server, &second);
    dial(server, &third);
    wire_until_end(&third);
    wire_send_text(&first, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&first, "200 OK");
    wire_close(&first);
    wire_close(&third);
    wire_wait_ms(server->base, 10);
    dial(server, &third);
    wire_send_text(&third, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&third, "200 OK");
    wire_close(&second);
    wire_close(&third);
}

static void at_the_cap_the_longest_idle_connection_makes_room(void **state)
{
    struct server *server = *state;
    struct wire busy, idle, third;

    server->limits.max_connections = 2;
    restart(server);
    dial(server, &busy);
    wire_send_text(&busy, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!server->held)
        wire_turn(&busy);
    dial(server, &idle);
    wire_send_text(&idle, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&idle, "200 OK");
    wire_wait_ms(server->base, 1100);
    dial(server, &third);
    wire_send_text(&third, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&third, "200 OK");
    wire_until_end(&idle);
    assert_int_equal(incoming_displaced(server->incoming), 1);
    incoming_reply(server->held, 200, NULL, 0, VIEW("done"), NULL, NULL);
    wire_until(&busy, "done");
    wire_close(&busy);
    wire_close(&idle);
    wire_close(&third);
}

static void beyond_the_cap_connections_wait_until_others_end(void **state)
{
    struct server *server = *state;
    struct wire first, second, third;

    server->limits.max_connections = 2;
    restart(server);
    dial(server, &first);
    dial(server, &second);
    dial(server, &third);
    wire_send_text(&third, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_wait_ms(server->base, 30);
    assert_int_equal(incoming_connections(server->incoming), 2);
    assert_int_equal(server->requests, 0);
    wire_close(&first);
    wire_until(&third, "200 OK");
    wire_close(&second);
    wire_close(&third);
}

static void accepting_pauses_while_descriptors_run_out(void **state)
{
    struct server *server = *state;
    struct rlimit before, less;
    struct wire wire;
    const char *preload = getenv("LD_PRELOAD");
    int probe;

    /* valgrind plays the limit itself: it takes the connection from the kernel and drops it. */
    if (preload && strstr(preload, "vgpreload"))
        skip();
    /* The client's socket is the last descriptor that fits. */
    probe = socket(AF_INET, SOCK_STREAM, 0);
    close(probe);
    getrlimit(RLIMIT_NOFILE, &before);
    less = (struct rlimit){(rlim_t)probe + 1, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
    dial(server, &wire);
    wire_push(&wire, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_wait_ms(server->base, 30);
    assert_int_equal(incoming_connections(server->incoming), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    wire_until(&wire, "200 OK");
    wire_close(&wire);
}

static void freeing_with_everything_in_flight_leaks_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        "GET /",
        "GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /more",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /hold HTTP/1.1\r\nHost: a\r\n\r\nbad",
        "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    struct server *server = *state;
    struct wire wires[9], fresh;

    server->stream_left = 100000;
    for (size_t i = 0; i < 9; i++) {
        dial(server, &wires[i]);
        wire_send_text(&wires[i], texts[i]);
        wire_turn(&wires[i]);
    }
    wire_reset(&wires[2]); /* an orphan that is never answered */
    wire_wait_ms(server->base, 10);
    dial(server, &fresh); /* accepted perhaps, never adopted */
    incoming_free(server->incoming);
    server->incoming = NULL;
    for (size_t i = 0; i < 9; i++) {
        if (i != 2)
            wire_close(&wires[i]);
    }
    wire_close(&fresh);
}

static void an_address_in_use_is_told_in_a_sentence(void **state)
{
    struct server *server = *state;
    struct incoming_handlers handlers = {.on_request = on_request};
    struct incoming *other =
        incoming_new(server->base, &incoming_default_limits, &handlers, server);
    struct buffer problem;

    buffer_init(&problem, 1000);
    assert_int_not_equal(
        incoming_listen(other, incoming_address(server->incoming), false, &problem), ERROR_NONE);
    assert_non_null(strstr(problem.data, "cannot listen on 127.0.0.1:"));
    buffer_clear(&problem);
    assert_int_equal(incoming_listen(other, "127.0.0.1", false, &problem), ERROR_INVALID);
    assert_non_null(strstr(problem.data, "is not HOST:PORT"));
    buffer_release(&problem);
    incoming_free(other);
}

static void a_client_that_resets_cannot_end_the_process(void **state)
{
    struct sigaction now;

    (void)state;
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_IGN);
}

static void several_servers_may_share_a_port(void **state)
{
    struct server *server = *state;
    struct incoming_handlers handlers = {.on_request = on_request};
    struct incoming *first, *second;
    struct buffer problem;

    buffer_init(&problem, 1000);
    first = incoming_new(server->base, &incoming_default_limits, &handlers, server);
    second = incoming_new(server->base, &incoming_default_limits, &handlers, server);
    assert_int_equal(incoming_listen(first, "[::1]:0", true, &problem), ERROR_NONE);
    assert_true(view_starts_with(view_of(incoming_address(first)), VIEW("[::1]:")));
    assert_int_equal(incoming_listen(second, incoming_address(first), true, &problem), ERROR_NONE);
    assert_string_equal(incoming_address(first), incoming_address(second));
    incoming_free(first);
    incoming_free(second);
    buffer_release(&problem);
}

/* ---- noise ---- */

static uint32_t noise_state;

static unsigned noise(unsigned below)
{
    noise_state = noise_state * 1664525 + 1013904223;
    return (noise_state >> 8) % below;
}

/* A valid pipeline with a few bytes changed, cut at random. */
static void mutated_streams_neither_crash_nor_hang(void **state)
{
    static const char *const parts[] = {
        "GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "PURGE http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    };
    static const char spice[] = "\r\n\t :;,/?#%\0\x7f\xff"
                                "0123456789abcdefGETHOST";
    struct server *server = *state;

    server->limits.idle_timeout_ms = 200;
    server->limits.head_timeout_ms = 200;
    server->limits.body_timeout_ms = 200;
    server->limits.body_min_bytes_per_s = 0;
    restart(server);
    noise_state = 20261123;
    for (int stream = 0; stream < 1000; stream++) {
        char text[1024];
        size_t length = 0, at = 0;
        struct wire wire;

        for (unsigned n = 1 + noise(4); n > 0; n--) {
            const char *part = parts[noise(sizeof(parts) / sizeof(parts[0]))];

            memcpy(text + length, part, strlen(part));
            length += strlen(part);
        }
        for (unsigned n = noise(5); n > 0; n--)
            text[noise((unsigned)length)] = spice[noise(sizeof(spice) - 1)];
        dial(server, &wire);
        while (at < length && !wire.ended) {
            size_t piece = 1 + noise((unsigned)(length - at));

            wire_send(&wire, view_from(text + at, piece));
            at += piece;
        }
        for (int i = 0; i < 3 && !wire.ended; i++)
            wire_turn(&wire);
        assert_false(wire_has(&wire, "<HTML>")); /* evhttp's own error pages */
        if (noise(2))
            wire_reset(&wire);
        else
            wire_close(&wire);
    }
    wire_wait_ms(server->base, 300);
    assert_int_equal(incoming_connections(server->incoming), 0);
    assert_int_equal(incoming_pending(server->incoming), 0);
    assert_true(server->requests > 500 && server->refusals > 200);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_connection_serves_many_requests),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(a_request_may_come_byte_by_byte),
        TEST(methods_and_targets_arrive_as_they_were_sent),
        TEST(http_1_0_is_answered_and_closed),
        TEST(no_body_goes_out_for_head_and_204),
        TEST(a_head_request_may_be_answered_by_a_stream),
        TEST(big_bodies_go_both_ways),
        TEST(a_spooled_body_comes_in_pieces_and_whole),
        TEST(a_client_waits_while_the_spool_is_full),
        TEST(a_spool_is_dropped_with_its_client_and_can_refuse),
        TEST(a_client_that_waits_is_told_to_go_on),
        TEST(a_large_body_without_a_token_is_told_that_one_is_needed),
        TEST(what_is_held_of_a_body_is_counted_until_its_answer_is_written),
        TEST(a_request_tells_what_it_is),
        TEST(refusals_name_their_status_and_close),
        TEST(a_refusal_waits_for_the_answers_before_it),
        TEST(a_client_that_still_sends_reads_the_refusal),
        TEST(a_client_that_sends_for_ever_is_cut),
        TEST(a_slow_head_gets_408),
        TEST(a_slow_body_gets_408),
        TEST(a_body_that_keeps_its_rate_may_take_longer),
        TEST(a_body_that_came_fast_and_then_stands_still_gets_408),
        TEST(idle_connections_are_closed),
        TEST(a_pending_answer_never_times_out),
        TEST(a_client_that_takes_nothing_is_cut),
        TEST(a_client_that_leaves_is_noticed_while_the_answer_is_pending),
        TEST(a_stream_whose_client_leaves_can_be_ended_or_aborted),
        TEST(a_stream_waits_for_a_slow_reader),
        TEST(a_stream_that_is_cut_as_its_client_leaves_is_freed),
        TEST(an_aborted_stream_is_seen_as_cut),
        TEST(what_is_sent_ahead_is_bounded),
        TEST(draining_answers_what_is_pending_and_closes_the_rest),
        TEST(connections_of_one_address_are_capped),
        TEST(at_the_cap_the_longest_idle_connection_makes_room),
        TEST(beyond_the_cap_connections_wait_until_others_end),
        TEST(accepting_pauses_while_descriptors_run_out),
        TEST(freeing_with_everything_in_flight_leaks_nothing),
        TEST(an_address_in_use_is_told_in_a_sentence),
        TEST(a_client_that_resets_cannot_end_the_process),
        TEST(several_servers_may_share_a_port),
        TEST(mutated_streams_neither_crash_nor_hang),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
