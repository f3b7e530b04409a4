/* Talks to front over real sockets on one loop: bodies by callback, trailers, early answers, ends. */
#include "common/net/front.h"

#include "tests/unit/common/net/wire.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

struct server {
    struct event_base *base;
    struct front *front;
    struct front_exchange *held;
    unsigned heads, ends, completes, losses;
    struct buffer body, chunk;
    uint64_t body_bytes; /* also when the body is not kept */
    bool keep_body;
    char trailer[64], peer[64];
    size_t stream_left, most_unsent;
};

static void on_head(struct front_exchange *exchange, void *context)
{
    struct server *server = context;
    struct view target = front_target(exchange);

    server->heads++;
    buffer_clear(&server->body);
    server->body_bytes = 0;
    assert_null(front_data(exchange));
    front_set_data(exchange, server);
    if (view_equal(target, VIEW("/early")))
        front_reply(exchange, 403, NULL, 0, VIEW("early"));
    if (view_equal(target, VIEW("/paused"))) {
        front_pause(exchange, true);
        server->held = exchange;
    }
}

static void on_body(struct front_exchange *exchange, struct view piece, void *context)
{
    struct server *server = context;

    assert_ptr_equal(front_data(exchange), server);
    assert_true(piece.length > 0);
    server->body_bytes += piece.length;
    if (server->keep_body)
        buffer_append_view(&server->body, piece);
}

static void stream_on(struct front_exchange *exchange, void *context)
{
    struct server *server = context;

    while (server->stream_left && front_stream_unsent(exchange) < 64 * 1024) {
        front_stream_write(exchange, buffer_view(&server->chunk));
        server->stream_left--;
        if (front_stream_unsent(exchange) > server->most_unsent)
            server->most_unsent = front_stream_unsent(exchange);
    }
    if (!server->stream_left)
        front_stream_end(exchange);
}

static void on_end(struct front_exchange *exchange, void *context)
{
    struct server *server = context;
    struct incoming_header header = {VIEW("X-Method"), front_method(exchange)};
    struct view target = front_target(exchange), value;

    server->ends++;
    if (front_trailer(exchange, "x-check", &value))
        snprintf(server->trailer, sizeof(server->trailer), "%.*s", VIEW_FORMAT(value));
    snprintf(server->peer, sizeof(server->peer), "%.*s", VIEW_FORMAT(front_peer_address(exchange)));
    if (view_starts_with(target, VIEW("/hold"))) {
        server->held = exchange;
    } else if (view_equal(target, VIEW("/stream"))) {
        front_stream_begin(exchange, 200, &header, 1, stream_on);
        stream_on(exchange, server);
    } else if (view_equal(target, VIEW("/abort"))) {
        front_stream_begin(exchange, 200, NULL, 0, NULL);
        front_stream_write(exchange, VIEW("part"));
        server->held = exchange;
    } else {
        front_reply(exchange, 200, &header, 1, buffer_view(&server->body));
    }
}

static void on_close(struct front_exchange *exchange, bool complete, void *context)
{
    struct server *server = context;

    if (server->held == exchange)
        server->held = NULL;
    if (complete)
        server->completes++;
    else
        server->losses++;
}

static int set_up(void **state)
{
    static const struct front_handlers handlers = {on_head, on_body, on_end, on_close};
    struct server *server = calloc(1, sizeof(*server));
    struct guard_limits limits = guard_default_limits;
    struct buffer problem;

    limits.allow_trailers = true;
    limits.max_body_bytes = UINT64_MAX;
    buffer_init(&problem, 1000);
    buffer_init(&server->body, 64 * 1024 * 1024);
    buffer_init(&server->chunk, 1024 * 1024);
    for (unsigned i = 0; i < 16 * 1024; i++)
        buffer_append_byte(&server->chunk, (char)('a' + i % 26));
    server->keep_body = true;
    server->base = event_base_new();
    server->front = front_new(server->base, &limits, &handlers, server);
    assert_int_equal(front_listen(server->front, "127.0.0.1:0", &problem), ERROR_NONE);
    buffer_release(&problem);
    *state = server;
    return 0;
}

static int tear_down(void **state)
{
    struct server *server = *state;

    front_free(server->front);
    assert_int_equal(server->heads, server->completes + server->losses);
    event_base_free(server->base);
    buffer_release(&server->body);
    buffer_release(&server->chunk);
    free(server);
    return 0;
}

static void dial(struct server *server, struct wire *wire)
{
    wire_open(wire, server->base, front_address(server->front));
}

static void until_held(struct server *server, struct wire *wire)
{
    while (!server->held)
        wire_turn(wire);
}

static void a_connection_serves_many_exchanges(void **state)
{
    struct server *server = *state;
    struct wire wire;

    dial(server, &wire);
    for (int i = 0; i < 50; i++) {
        wire_clear(&wire);
        wire_send_text(&wire, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        wire_until(&wire, "\r\n\r\nabc");
        assert_true(wire_has(&wire, "HTTP/1.1 200 OK\r\nDate: "));
        assert_true(wire_has(&wire, "X-Method: PUT\r\nContent-Length: 3\r\n\r\n"));
    }
    wire_turn(&wire);
    assert_int_equal(server->completes, 50);
    assert_string_equal(server->peer, "127.0.0.1");
    wire_close(&wire);
}

static void pipelined_messages_are_answered_one_by_one(void **state)
{
    const char *text = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
                       "POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\ntwo\r\n0\r\nX-Check: sum\r\n\r\n"
                       "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    struct server *server = *state;

    for (int bytewise = 0; bytewise < 2; bytewise++) {
        struct wire wire;

        dial(server, &wire);
        server->trailer[0] = '\0';
        for (size_t i = 0; bytewise && text[i]; i++)
            wire_send(&wire, view_from(text + i, 1));
        if (!bytewise)
            wire_send_text(&wire, text);
        until_held(server, &wire);
        wire_wait_ms(server->base, 20);
        assert_string_equal(server->trailer, "sum");
        assert_true(view_equal_string(buffer_view(&server->body), "two"));
        assert_int_equal(server->heads, 2 + bytewise * 3);
        front_reply(server->held, 200, NULL, 0, VIEW("two!"));
        wire_until_end(&wire);
        assert_int_equal(wire_count(&wire, "HTTP/1.1 200 OK"), 3);
        assert_true(strstr(wire.in.data, "one") < strstr(wire.in.data, "two!"));
        assert_int_equal(wire_count(&wire, "Connection: close"), 1);
        wire_close(&wire);
    }
    assert_int_equal(server->completes, 6);
}

static void a_body_of_any_length_passes_through(void **state)
{
    struct server *server = *state;
    size_t chunks = 1000, size = 64 * 1024; /* 62 MiB: ten times what incoming takes */
    struct buffer chunk;
    struct wire wire;

    server->keep_body = false;
    buffer_init(&chunk, 2 * size);
    buffer_append_string(&chunk, "10000\r\n");
    for (size_t i = 0; i < size; i++)
        buffer_append_byte(&chunk, (char)i);
    buffer_append_string(&chunk, "\r\n");
    dial(server, &wire);
    wire_send_text(&wire, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; i < chunks; i++)
        wire_send(&wire, buffer_view(&chunk));
    wire_send_text(&wire, "0\r\n\r\n");
    wire_until(&wire, "200 OK");
    assert_int_equal(server->body_bytes, chunks * size);
    wire_close(&wire);
    buffer_release(&chunk);
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
    wire_send_text(&wire, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                          "Expect: 100-continue\r\n\r\n");
    wire_until_end(&wire);
    assert_true(view_starts_with(buffer_view(&wire.in), VIEW("HTTP/1.1 403 ")));
    assert_false(wire_has(&wire, "100 Continue"));
    wire_close(&wire);
}

static void an_early_answer_is_read_by_a_client_that_still_sends(void **state)
{
    struct server *server = *state;
    size_t length = 4 * 1024 * 1024;
    char *body = calloc(1, length);
    struct wire wire;

    dial(server, &wire);
    wire_send_text(&wire, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n");
    wire_send(&wire, view_from(body, length));
    wire_until_end(&wire);
    assert_true(wire_has(&wire, "HTTP/1.1 403 ") && wire_has(&wire, "Connection: close"));
    assert_false(wire.reset);
    assert_int_equal(server->body_bytes, 0);
    assert_int_equal(server->ends, 0);
    assert_int_equal(server->completes, 1);
    wire_close(&wire);
    free(body);
}

static void refusals_name_their_status_and_close(void **state)
{
    static const struct {
        const char *text, *start;
        bool told;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", false},
        {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ", false},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 ",
         true},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n",
         "HTTP/1.1 400 ", true},
    };
    struct server *server = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wire wire;
        unsigned losses = server->losses;

        dial(server, &wire);
        wire_send_text(&wire, cases[i].text);
        wire_until_end(&wire);
        assert_true(view_starts_with(buffer_view(&wire.in), view_of(cases[i].start)));
        assert_true(wire_has(&wire, "Connection: close"));
        assert_int_equal(server->losses, losses + cases[i].told);
        assert_int_equal(server->ends, 0);
        wire_close(&wire);
    }
}

static void silence_in_a_head_or_body_gets_408_but_waiting_for_the_answer_does_not(void **state)
{
    static const char *const halves[] = {
        "GET / HTT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"};
    struct server *server = *state;
    struct wire wire;

    front_set_timeout(server->front, 50);
    for (int i = 0; i < 2; i++) {
        dial(server, &wire);
        wire_send_text(&wire, halves[i]);
        wire_until_end(&wire);
        assert_true(wire_has(&wire, "HTTP/1.1 408 Request Timeout"));
        wire_close(&wire);
    }
    dial(server, &wire);
    wire_wait_ms(server->base, 120); /* idle is not silence */
    wire_send_text(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    until_held(server, &wire);
    wire_wait_ms(server->base, 120);
    front_reply(server->held, 200, NULL, 0, VIEW("late"));
    wire_until(&wire, "late");
    wire_close(&wire);
}

static void a_client_that_takes_nothing_is_cut(void **state)
{
    struct server *server = *state;
    struct wire wire;

    front_set_timeout(server->front, 50);
    server->stream_left = 10000;
    dial(server, &wire);
    wire_push(&wire, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_wait_ms(server->base, 300);
    assert_int_equal(server->losses, 1);
    wire_close(&wire);
}

static void a_client_that_leaves_ends_the_exchange(void **state)
{
    struct server *server = *state;
    struct wire wire;

    for (int reset = 0; reset < 2; reset++) {
        dial(server, &wire);
        wire_send_text(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
        until_held(server, &wire);
        if (reset)
            wire_reset(&wire);
        else
            wire_close(&wire);
        wire_wait_ms(server->base, 20);
        assert_null(server->held);
        assert_int_equal(server->losses, reset + 1);
    }
}

static void a_stream_waits_for_a_slow_reader(void **state)
{
    struct server *server = *state;
    size_t chunks = 2000;
    struct wire wire;

    server->stream_left = chunks;
    dial(server, &wire);
    wire_push(&wire, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_wait_ms(server->base, 50);
    assert_true(server->stream_left > 0);
    wire_until(&wire, "\r\n0\r\n\r\n");
    assert_int_equal(wire_count(&wire, "\r\n4000\r\n"), chunks);
    assert_true(server->most_unsent < 256 * 1024);
    wire_clear(&wire);
    wire_send_text(&wire, "GET /after HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&wire, "200 OK");
    wire_close(&wire);
}

static void an_aborted_stream_is_seen_as_cut(void **state)
{
    struct server *server = *state;
    struct wire wire;

    dial(server, &wire);
    wire_send_text(&wire, "GET /abort HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&wire, "part");
    front_stream_abort(server->held);
    wire_until_end(&wire);
    assert_true(wire.reset);
    assert_int_equal(server->losses, 1);
    wire_close(&wire);
}

static void a_paused_body_waits_and_goes_on(void **state)
{
    struct server *server = *state;
    struct wire wire;

    dial(server, &wire);
    wire_send_text(&wire, "POST /paused HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    until_held(server, &wire);
    wire_send_text(&wire, "def");
    wire_wait_ms(server->base, 30);
    assert_int_equal(server->body_bytes, 0);
    front_pause(server->held, false);
    wire_until(&wire, "\r\n\r\nabcdef");
    wire_clear(&wire);
    /* Without a body, too. */
    server->held = NULL;
    wire_send_text(&wire, "GET /paused HTTP/1.1\r\nHost: a\r\n\r\n");
    until_held(server, &wire);
    wire_wait_ms(server->base, 30);
    assert_int_equal(server->ends, 1);
    front_pause(server->held, false);
    wire_until(&wire, "200 OK");
    wire_close(&wire);
}

static void no_body_goes_out_for_head_and_http_1_0_is_closed(void **state)
{
    struct server *server = *state;
    struct wire wire;

    server->stream_left = 2;
    dial(server, &wire);
    wire_send_text(&wire, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    wire_until(&wire, "X-Method: HEAD");
    wire_wait_ms(server->base, 20);
    wire_turn(&wire);
    assert_false(wire_has(&wire, "abc"));
    wire_close(&wire);
    server->stream_left = 2;
    dial(server, &wire);
    wire_send_text(&wire, "GET /stream HTTP/1.0\r\n\r\n");
    wire_until_end(&wire);
    assert_false(wire_has(&wire, "chunked"));
    assert_int_equal(wire_count(&wire, "xyzabc") >= 1200, 1);
    wire_close(&wire);
}

static void freeing_with_everything_in_flight_leaks_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        "GET /",
        "GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /more",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
        "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"};
    struct server *server = *state;
    struct wire wires[7];

    server->stream_left = 100000;
    for (size_t i = 0; i < 7; i++) {
        dial(server, &wires[i]);
        wire_push(&wires[i], i ? texts[i] : "\r\n");
        wire_wait_ms(server->base, 5);
    }
    front_free(server->front);
    server->front = NULL;
    for (size_t i = 0; i < 7; i++)
        wire_close(&wires[i]);
}

static uint32_t noise_state;

static unsigned noise(unsigned below)
{
    noise_state = noise_state * 1664525 + 1013904223;
    return (noise_state >> 8) % below;
}

static void mutated_streams_neither_crash_nor_hang(void **state)
{
    static const char *const parts[] = {
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "3\r\nabc\r\n0\r\nX: y\r\n\r\n"),
        "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    static const char spice[] = "\r\n\t :;,/?#%\0\x7f\xff"
                                "0123456789abcdefGETHOST";
    struct server *server = *state;

    noise_state = 20261124;
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
        if (noise(2))
            wire_reset(&wire);
        else
            wire_close(&wire);
    }
    wire_wait_ms(server->base, 50);
    assert_int_equal(server->heads, server->completes + server->losses);
    assert_true(server->completes > 500 && server->losses > 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_connection_serves_many_exchanges),
        TEST(pipelined_messages_are_answered_one_by_one),
        TEST(a_body_of_any_length_passes_through),
        TEST(a_client_that_waits_is_told_to_go_on),
        TEST(an_early_answer_is_read_by_a_client_that_still_sends),
        TEST(refusals_name_their_status_and_close),
        TEST(silence_in_a_head_or_body_gets_408_but_waiting_for_the_answer_does_not),
        TEST(a_client_that_takes_nothing_is_cut),
        TEST(a_client_that_leaves_ends_the_exchange),
        TEST(a_stream_waits_for_a_slow_reader),
        TEST(an_aborted_stream_is_seen_as_cut),
        TEST(a_paused_body_waits_and_goes_on),
        TEST(no_body_goes_out_for_head_and_http_1_0_is_closed),
        TEST(freeing_with_everything_in_flight_leaks_nothing),
        TEST(mutated_streams_neither_crash_nor_hang),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
