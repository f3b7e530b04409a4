/* Streams answers through incoming: to slow readers, to clients that leave, cut and bounded. */
#include "tests/unit/common/net/incoming_scene.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_client_that_leaves_is_noticed_while_the_answer_is_pending),
        TEST(a_stream_whose_client_leaves_can_be_ended_or_aborted),
        TEST(a_stream_waits_for_a_slow_reader),
        TEST(a_stream_that_is_cut_as_its_client_leaves_is_freed),
        TEST(an_aborted_stream_is_seen_as_cut),
        TEST(what_is_sent_ahead_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
