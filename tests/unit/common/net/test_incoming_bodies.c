/* Sends bodies to incoming: large, spooled, awaited, counted. */
#include "tests/unit/common/net/incoming_scene.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(big_bodies_go_both_ways),
        TEST(a_spooled_body_comes_in_pieces_and_whole),
        TEST(a_client_waits_while_the_spool_is_full),
        TEST(a_spool_is_dropped_with_its_client_and_can_refuse),
        TEST(a_client_that_waits_is_told_to_go_on),
        TEST(a_large_body_without_a_token_is_told_that_one_is_needed),
        TEST(what_is_held_of_a_body_is_counted_until_its_answer_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
