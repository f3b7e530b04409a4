/* Speaks TLS to incoming: handshakes, versions, tickets, answers and ends. */
#include "tests/unit/common/net/tls_scene.h"

static void a_request_says_how_it_was_protected(void **state)
{
    struct server *server = *state;
    struct tls_client client;

    dial(server, &client, (struct tls_client_wish){.version = TLS1_2_VERSION});
    get(&client);
    assert_true(server->tls_seen);
    assert_string_equal(server->version, "TLSv1.2");
    assert_non_null(strstr(server->cipher, "ECDHE-ECDSA-"));
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
}

static void old_versions_and_other_protocols_are_refused(void **state)
{
    const struct tls_client_wish bad[] = {
        {.version = TLS1_1_VERSION, .any_security = true},
        {.version = TLS1_VERSION, .any_security = true},
        {.protocols = "\x02h2"},
    };
    struct server *server = *state;
    struct tls_client client;
    const unsigned char *chosen;
    unsigned length;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        dial(server, &client, bad[i]);
        assert_true(client.ended && !client.ready);
        tls_client_turn(&client, 5);
        tls_client_close(&client);
    }
    assert_int_equal(tls_count(server->tls, TLS_REFUSED), 3);
    dial(server, &client, (struct tls_client_wish){.protocols = "\x02h2\x08http/1.1"});
    assert_true(client.ready);
    SSL_get0_alpn_selected(client.ssl, &chosen, &length);
    assert_true(view_equal_string(view_from(chosen, length), "http/1.1"));
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
    assert_int_equal(tls_count(server->tls, TLS_DONE), 1);
}

/* Shakes hands with the ticket, and gives the next one; frees the ticket. */
static bool resumes(struct server *server, int version, SSL_SESSION **ticket)
{
    struct tls_client client;
    bool resumed;

    dial(server, &client,
         (struct tls_client_wish){.host = "default.test", .version = version, .ticket = *ticket});
    assert_true(client.ready);
    get(&client); /* in 1.3 tickets come behind the handshake */
    resumed = SSL_session_reused(client.ssl);
    SSL_SESSION_free(*ticket);
    *ticket = client.ticket ? client.ticket : SSL_get1_session(client.ssl);
    tls_client_close(&client);
    return resumed;
}

static void sessions_are_resumed_also_behind_a_reload(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct server *server = *state;

    for (size_t i = 0; i < 2; i++) {
        SSL_SESSION *ticket = NULL;

        assert_false(resumes(server, versions[i], &ticket));
        assert_non_null(ticket);
        assert_true(resumes(server, versions[i], &ticket));
        assert_int_equal(load(server), 0);
        assert_true(resumes(server, versions[i], &ticket));
        SSL_SESSION_free(ticket);
    }
    assert_int_equal(tls_count(server->tls, TLS_DONE), 6);
    assert_int_equal(tls_count(server->tls, TLS_RESUMED), 4);
}

static void tickets_outlive_a_replaced_key_but_not_three(void **state)
{
    struct server *server = *state;
    SSL_SESSION *ticket = NULL;

    clock_freeze(clock_wall_ms(), clock_monotonic_us());
    assert_false(resumes(server, TLS1_2_VERSION, &ticket));
    clock_advance_ms(9 * 3600 * 1000);
    assert_true(
        resumes(server, TLS1_2_VERSION, &ticket)); /* by the key before; gets a new ticket */
    clock_advance_ms(9 * 3600 * 1000);
    assert_true(resumes(server, TLS1_2_VERSION, &ticket));
    clock_advance_ms(25 * 3600 * 1000);
    assert_false(resumes(server, TLS1_2_VERSION, &ticket));
    SSL_SESSION_free(ticket);
}

static void a_slow_handshake_is_cut_and_one_in_time_is_not(void **state)
{
    struct server *server = *state;
    struct tls_client client;
    struct wire wire;

    incoming_free(server->incoming);
    server->limits.head_timeout_ms = 100;
    start(server);
    dial(server, &client, (struct tls_client_wish){0});
    wire_open(&wire, server->base, incoming_address(server->incoming));
    wire_send_text(&wire, "\x16\x03\x01\x02"); /* the beginning of a record */
    wire_until_end(&wire);
    assert_true(wire.reset);
    assert_int_equal(tls_count(server->tls, TLS_TIMED_OUT), 1);
    wire_wait_ms(server->base, 150);
    get(&client);
    assert_int_equal(tls_count(server->tls, TLS_DONE), 1);
    wire_close(&wire);
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
}

static void an_ended_answer_is_told_from_a_cut_one(void **state)
{
    struct server *server = *state;
    struct tls_client client;

    dial(server, &client, (struct tls_client_wish){0});
    tls_client_send(&client, VIEW("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 0);
    tls_client_until_end(&client);
    assert_true(tls_client_has(&client, "HTTP/1.1 200 OK\r\n"));
    assert_true(client.told);
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
}

static void a_client_in_the_middle_of_an_upload_reads_the_refusal(void **state)
{
    struct server *server = *state;
    struct tls_client client;
    struct buffer upload;

    buffer_init(&upload, 8 * 1024 * 1024);
    buffer_append_string(&upload,
                         "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 90000000\r\n\r\n");
    for (int i = 0; i < 256 * 1024; i++)
        buffer_append_string(&upload, "0123456789abcdef");
    dial(server, &client, (struct tls_client_wish){0});
    tls_client_send(&client, buffer_view(&upload), 16384);
    tls_client_until_end(&client);
    assert_true(tls_client_has(&client, "HTTP/1.1 413 "));
    assert_true(client.told);
    assert_int_equal(server->reason, GUARD_BODY_TOO_LARGE);
    buffer_release(&upload);
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
}

static void pipelined_requests_beyond_the_read_ahead_are_all_answered(void **state)
{
    struct server *server = *state;
    struct tls_client client;
    struct buffer many;

    buffer_init(&many, 1024 * 1024);
    for (int i = 0; i < 4000; i++)
        buffer_append_format(
            &many, "GET /%04d HTTP/1.1\r\nHost: some.host.test\r\nX-Fill: %040d\r\n\r\n", i, i);
    dial(server, &client, (struct tls_client_wish){0});
    tls_client_send(&client, buffer_view(&many), 0);
    for (int i = 0; i < 20000 && server->requests < 4000; i++)
        tls_client_turn(&client, 1);
    assert_int_equal(server->requests, 4000);
    buffer_release(&many);
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
}

static void large_bodies_pass_both_ways(void **state)
{
    struct server *server = *state;
    struct tls_client client;
    struct buffer upload;
    struct view body;

    buffer_init(&upload, 8 * 1024 * 1024);
    buffer_append_string(&upload, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n");
    for (int i = 0; i < 5000000; i++)
        buffer_append_byte(&upload, (char)('a' + i % 25));
    dial(server, &client, (struct tls_client_wish){0});
    tls_client_send(&client, buffer_view(&upload), 0);
    for (int i = 0; i < 20000 && client.in.length < 5000000; i++)
        tls_client_turn(&client, 2);
    tls_client_until(&client, "\r\n\r\n");
    body = buffer_view(&client.in);
    body = view_slice(body, body.length - 5000000, SIZE_MAX);
    assert_true(
        view_equal(body, view_slice(buffer_view(&upload), upload.length - 5000000, SIZE_MAX)));
    buffer_release(&upload);
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
}

static void streams_end_whole(void **state)
{
    struct server *server = *state;
    struct tls_client client;

    dial(server, &client, (struct tls_client_wish){0});
    for (int i = 0; i < 20; i++) {
        bool last = i == 19;

        buffer_clear(&client.in);
        tls_client_send(&client, VIEW("GET /stream HTTP/1.1\r\nHost: a\r\n"), 0);
        tls_client_send(&client, last ? VIEW("Connection: close\r\n\r\n") : VIEW("\r\n"), 0);
        tls_client_until(&client, "last\r\n0\r\n\r\n");
    }
    tls_client_until_end(&client);
    assert_true(client.told);
    assert_int_equal(server->pieces, 20 * 50);
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
}

static void a_drain_closes_idle_clients_in_order(void **state)
{
    struct server *server = *state;
    struct tls_client client;

    dial(server, &client, (struct tls_client_wish){0});
    get(&client);
    incoming_drain(server->incoming);
    tls_client_until_end(&client);
    assert_true(client.told);
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
}

static void judge(struct server *server, const struct message *message, size_t piece)
{
    struct tls_client client;
    char refused[64], status[32];

    if (message->limits.allow_trailers)
        return; /* not behind evhttp */
    incoming_free(server->incoming);
    server->limits.guard = message->limits;
    start(server);
    dial(server, &client, (struct tls_client_wish){0});
    assert_true(client.ready);
    tls_client_send(&client, buffer_view(&message->raw), piece);
    if (message->refused[0]) {
        snprintf(status, sizeof(status), "HTTP/1.1 %s ", strrchr(message->refused, ' ') + 1);
        tls_client_until(&client, status);
        tls_client_until_end(&client);
        snprintf(refused, sizeof(refused), "%s %d", guard_reason_name(server->reason),
                 guard_reason_status(server->reason));
        assert_string_equal(refused, message->refused);
        assert_int_equal(server->requests, 0);
        assert_true(client.told);
    } else if (message->incomplete) {
        tls_client_turn(&client, 5);
        assert_int_equal(server->requests + server->refusals, 0);
    } else {
        tls_client_until(&client, " 200 OK\r\n");
        assert_true(view_equal(buffer_view(&server->line), buffer_view(&message->accepted)));
        assert_true(view_equal(buffer_view(&server->body), buffer_view(&message->body)));
    }
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
    assert_int_equal(incoming_disagreements(server->incoming), 0);
}

static void judge_both_ways(const struct message *message, void *context)
{
    print_message("  %.*s\n", VIEW_FORMAT(buffer_view(&message->name)));
    judge(context, message, 0);
    judge(context, message, message->raw.length > 1000 ? 97 : 1);
}

static void the_guards_messages_are_judged_the_same_over_tls(void **state)
{
    assert_true(messages_visit("request_line.txt", judge_both_ways, *state) >= 40);
    assert_true(messages_visit("headers.txt", judge_both_ways, *state) >= 35);
    assert_true(messages_visit("bodies.txt", judge_both_ways, *state) >= 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_says_how_it_was_protected),
        TEST(old_versions_and_other_protocols_are_refused),
        TEST(sessions_are_resumed_also_behind_a_reload),
        TEST(tickets_outlive_a_replaced_key_but_not_three),
        TEST(a_slow_handshake_is_cut_and_one_in_time_is_not),
        TEST(an_ended_answer_is_told_from_a_cut_one),
        TEST(a_client_in_the_middle_of_an_upload_reads_the_refusal),
        TEST(pipelined_requests_beyond_the_read_ahead_are_all_answered),
        TEST(large_bodies_pass_both_ways),
        TEST(streams_end_whole),
        TEST(a_drain_closes_idle_clients_in_order),
        TEST(the_guards_messages_are_judged_the_same_over_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
