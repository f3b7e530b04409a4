/* Talks to incoming over real sockets on one loop: what requests and answers look like. */
#include "tests/unit/common/net/incoming_scene.h"

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
        TEST(a_request_tells_what_it_is),
        TEST(mutated_streams_neither_crash_nor_hang),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
