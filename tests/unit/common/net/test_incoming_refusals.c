/* Gives incoming what it must refuse, and less than it waits for. */
#include "tests/unit/common/net/incoming_scene.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
