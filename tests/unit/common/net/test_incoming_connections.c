/* Opens more connections to incoming than it takes, and ends them in every way. */
#include "tests/unit/common/net/incoming_scene.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(draining_answers_what_is_pending_and_closes_the_rest),
        TEST(connections_of_one_address_are_capped),
        TEST(at_the_cap_the_longest_idle_connection_makes_room),
        TEST(beyond_the_cap_connections_wait_until_others_end),
        TEST(accepting_pauses_while_descriptors_run_out),
        TEST(freeing_with_everything_in_flight_leaks_nothing),
        TEST(an_address_in_use_is_told_in_a_sentence),
        TEST(a_client_that_resets_cannot_end_the_process),
        TEST(several_servers_may_share_a_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
