/* Speaks TLS to incoming: certificates by host, tickets, versions, bad files, refusals and ends. */
#include "common/net/tls.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/net/incoming.h"
#include "tests/unit/common/net/messages.h"
#include "tests/unit/common/net/tls_client.h"
#include "tests/unit/common/net/wire.h"

#include <event2/event.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATHS 4

struct server {
    struct event_base *base;
    struct incoming *incoming;
    struct incoming_limits limits;
    struct tls *tls;
    char folder[64];
    char paths[PATHS][128];
    struct tls_source sources[PATHS];
    size_t source_count;
    struct buffer problems;
    unsigned requests, refusals;
    enum guard_reason reason;
    struct buffer line, body; /* of the first request */
    bool tls_seen;
    struct incoming_request *streamed;
    unsigned pieces;
    char version[32], cipher[64];
};

/* ---- the server ---- */

/* Pieces one by one, the end right behind the last: what is told late must not cut it. */
static void on_writable(void *context)
{
    struct server *server = context;

    incoming_stream_write(server->streamed, VIEW("piece"));
    if (++server->pieces % 50 == 0) {
        incoming_stream_write(server->streamed, VIEW("last"));
        incoming_stream_end(server->streamed);
    }
}

static void on_request(struct incoming_request *request, void *context)
{
    struct server *server = context;

    if (server->requests++ == 0) {
        buffer_append_view(&server->line, incoming_method(request));
        buffer_append_byte(&server->line, ' ');
        buffer_append_view(&server->line, incoming_target(request));
        buffer_append_view(&server->body, incoming_body(request));
    }
    server->tls_seen = incoming_is_tls(request);
    snprintf(server->version, sizeof(server->version), "%.*s",
             VIEW_FORMAT(incoming_tls_version(request)));
    snprintf(server->cipher, sizeof(server->cipher), "%.*s",
             VIEW_FORMAT(incoming_tls_cipher(request)));
    if (view_equal(incoming_target(request), VIEW("/stream"))) {
        incoming_stream_begin(request, 200, NULL, 0, on_writable, server);
        server->streamed = request;
        on_writable(server);
        return;
    }
    incoming_reply(request, 200, NULL, 0, incoming_body(request), NULL, NULL);
}

static void on_refused(const struct incoming_refusal *refusal, void *context)
{
    struct server *server = context;

    server->refusals++;
    server->reason = refusal->reason;
}

static void on_problem(const struct tls_source *source, const char *sentence, void *context)
{
    struct server *server = context;

    (void)source;
    buffer_append_string(&server->problems, sentence);
    buffer_append_byte(&server->problems, '\n');
}

static void start(struct server *server)
{
    struct incoming_handlers handlers = {.on_request = on_request, .on_refused = on_refused};
    struct buffer problem;

    buffer_init(&problem, 1000);
    server->incoming = incoming_new(server->base, &server->limits, &handlers, server);
    incoming_use_tls(server->incoming, server->tls);
    assert_int_equal(incoming_listen(server->incoming, "127.0.0.1:0", false, &problem), ERROR_NONE);
    buffer_release(&problem);
    server->requests = server->refusals = 0;
    buffer_clear(&server->line);
    buffer_clear(&server->body);
}

static size_t load(struct server *server)
{
    buffer_clear(&server->problems);
    return tls_load(server->tls, server->sources, server->source_count, on_problem, server);
}

/* A certificate in the next file, with its key. */
static void add(struct server *server, const char *name, const char *alternatives, int days,
                bool is_default)
{
    char *path = server->paths[server->source_count];

    snprintf(path, sizeof(server->paths[0]), "%s/%zu.pem", server->folder, server->source_count);
    write_certificate(path, path, name, alternatives, days, NULL);
    server->sources[server->source_count++] =
        (struct tls_source){.certificate_path = path, .key_path = path, .is_default = is_default};
}

static int set_up(void **state)
{
    struct server *server = calloc(1, sizeof(*server));

    snprintf(server->folder, sizeof(server->folder), "/tmp/test_tls.XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    buffer_init(&server->problems, 64 * 1024);
    buffer_init(&server->line, MESSAGE_MAX);
    buffer_init(&server->body, 16 * 1024 * 1024);
    server->base = event_base_new();
    server->limits = incoming_default_limits;
    server->limits.guard.max_body_bytes = 8 * 1024 * 1024;
    server->tls = tls_new();
    add(server, "default", "DNS:default.test", 30, true);
    assert_int_equal(load(server), 0);
    start(server);
    *state = server;
    return 0;
}

static int tear_down(void **state)
{
    struct server *server = *state;

    clock_thaw();
    assert_int_equal(incoming_disagreements(server->incoming), 0);
    incoming_free(server->incoming);
    event_base_free(server->base);
    tls_free(server->tls);
    assert_int_equal(folder_remove(server->folder), ERROR_NONE);
    buffer_release(&server->problems);
    buffer_release(&server->line);
    buffer_release(&server->body);
    free(server);
    return 0;
}

static void dial(struct server *server, struct tls_client *client, struct tls_client_wish wish)
{
    tls_client_open(client, server->base, incoming_address(server->incoming), &wish);
}

static void get(struct tls_client *client)
{
    buffer_clear(&client->in);
    tls_client_send(client, VIEW("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    tls_client_until(client, "\r\n\r\n");
    assert_true(tls_client_has(client, "HTTP/1.1 200 OK\r\n"));
}

/* ---- certificates by host ---- */

static void assert_shown(struct server *server, const char *host, const char *name)
{
    struct tls_client client;
    char shown[64];

    dial(server, &client, (struct tls_client_wish){.host = host});
    assert_true(client.ready);
    tls_client_peer(&client, shown);
    assert_string_equal(shown, name);
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
}

static void a_host_gets_its_own_certificate(void **state)
{
    struct server *server = *state;

    add(server, "exact", "DNS:www.example.test,DNS:Shop.Example.Test", 30, false);
    add(server, "wildcard", "DNS:*.example.test", 30, false);
    add(server, "only-a-common-name.test", NULL, 30, false);
    assert_int_equal(load(server), 0);
    assert_shown(server, "www.example.test", "exact");
    assert_shown(server, "WWW.example.TEST", "exact");
    assert_shown(server, "shop.example.test", "exact");
    assert_shown(server, "other.example.test", "wildcard");
    assert_shown(server, "a.b.example.test", "default");
    assert_shown(server, "example.test", "default");
    assert_shown(server, "only-a-common-name.test", "only-a-common-name.test");
    assert_shown(server, "unknown.test", "default");
    assert_shown(server, NULL, "default");
}

static void of_two_certificates_for_a_host_the_longer_lived_is_shown(void **state)
{
    struct server *server = *state;

    add(server, "short", "DNS:a.test", 5, false);
    add(server, "long", "DNS:a.test", 50, false);
    add(server, "ended", "DNS:a.test", -1, false);
    assert_int_equal(load(server), 0);
    assert_shown(server, "a.test", "long");
}

static void without_a_default_unknown_hosts_are_refused(void **state)
{
    struct server *server = *state;
    struct tls_client client;

    add(server, "known", "DNS:known.test", 30, false);
    server->sources[0].is_default = false;
    assert_int_equal(load(server), 0);
    assert_shown(server, "known.test", "known");
    dial(server, &client, (struct tls_client_wish){.host = "unknown.test"});
    assert_true(client.ended && !client.ready);
    tls_client_close(&client);
    dial(server, &client, (struct tls_client_wish){0});
    assert_true(client.ended && !client.ready);
    tls_client_turn(&client, 5);
    tls_client_close(&client);
    assert_int_equal(tls_count(server->tls, TLS_REFUSED), 2);
}

static void count_certificate(const struct tls_certificate *certificate, void *context)
{
    unsigned *count = context;
    int64_t left_s = certificate->not_after_s - clock_wall_ms() / 1000;

    assert_string_equal(certificate->name, "default.test");
    assert_int_equal(strlen(certificate->fingerprint), 64);
    assert_in_range(left_s, 30 * 86400 - 60, 30 * 86400 + 60);
    (*count)++;
}

static void a_certificate_tells_its_name_and_end(void **state)
{
    struct server *server = *state;
    unsigned count = 0;

    tls_each_certificate(server->tls, count_certificate, &count);
    assert_int_equal(count, 1);
}

/* ---- handshakes ---- */

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

/* ---- files ---- */

static void assert_problem(struct server *server, const char *path, const char *words)
{
    assert_int_equal(load(server), 1);
    if (!strstr(server->problems.data, path) || !strstr(server->problems.data, words))
        fail_msg("no \"%s\" of %s in: %s", words, path, server->problems.data);
    assert_shown(server, "default.test", "default");
}

static void write_text(const char *path, const char *text)
{
    assert_int_equal(file_write(path, view_of(text), 0600), ERROR_NONE);
}

static void a_bad_file_is_named_and_the_old_certificate_stays(void **state)
{
    struct server *server = *state;
    const char *path = server->paths[0];
    char other[128], both[128];
    struct buffer whole;

    snprintf(other, sizeof(other), "%s/other.key", server->folder);
    snprintf(both, sizeof(both), "%s/both.pem", server->folder);
    unlink(path);
    assert_problem(server, path, "cannot be read: does not exist");
    write_text(path, "");
    assert_problem(server, path, "holds no certificate");
    write_text(path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_problem(server, path, "holds no certificate");
    write_certificate(path, other, "new", "DNS:default.test", 30, NULL);
    assert_problem(server, path, "holds no private key");
    write_certificate(both, other, "new", "DNS:default.test", 30, NULL);
    server->sources[0].key_path = other;
    assert_problem(server, other, "does not fit");
    write_certificate(path, other, "new", "DNS:default.test", 30, "secret");
    assert_problem(server, other, "passphrase");
    buffer_init(&whole, TLS_MAX_FILE_BYTES * 2);
    for (int i = 0; i < TLS_MAX_FILE_BYTES / 16 + 16; i++)
        buffer_append_string(&whole, "# 34567890123456\n");
    write_text(path, whole.data);
    buffer_release(&whole);
    assert_problem(server, path, "larger than its ceiling");
    write_certificate(path, other, "new", "DNS:default.test", 30, NULL);
    assert_int_equal(load(server), 0);
    assert_shown(server, "default.test", "new");
}

static void a_bad_file_keeps_no_other_from_use(void **state)
{
    struct server *server = *state;

    add(server, "good", "DNS:good.test", 30, false);
    add(server, "bad", "DNS:bad.test", 30, false);
    write_text(server->paths[2], "no PEM at all");
    assert_int_equal(load(server), 1);
    assert_shown(server, "good.test", "good");
    assert_shown(server, "bad.test", "default");
}

struct meant {
    char fingerprint[TLS_FINGERPRINT_HEX_SIZE];
    struct buffer asked;
    bool none;
};

static bool choose_meant(struct view host, char fingerprint[TLS_FINGERPRINT_HEX_SIZE],
                         void *context)
{
    struct meant *meant = context;

    buffer_append_view(&meant->asked, host);
    buffer_append_byte(&meant->asked, ' ');
    memcpy(fingerprint, meant->fingerprint, sizeof(meant->fingerprint));
    return !meant->none;
}

/* The fingerprint of the one that was listed first. */
static void note_first(const struct tls_certificate *certificate, void *context)
{
    struct meant *meant = context;

    if (!meant->fingerprint[0])
        memcpy(meant->fingerprint, certificate->fingerprint, sizeof(meant->fingerprint));
}

static void the_certificate_that_is_meant_comes_before_what_names_say(void **state)
{
    struct server *server = *state;
    struct meant meant = {0};

    server->source_count = 0;
    add(server, "meant", "DNS:*.shop.test", 5, false);
    add(server, "longer", "DNS:a.shop.test,DNS:*.shop.test,DNS:else.test", 50, false);
    assert_int_equal(load(server), 0);
    tls_each_certificate(server->tls, note_first, &meant);
    buffer_init(&meant.asked, 1000);
    assert_shown(server, "a.shop.test", "longer");
    tls_thread_begin(server->tls, choose_meant, &meant);
    assert_shown(server, "A.Shop.Test.", "meant");
    assert_shown(server, "b.shop.test", "meant");
    assert_true(view_equal(buffer_view(&meant.asked), VIEW("a.shop.test b.shop.test ")));
    assert_shown(server, "else.test", "longer"); /* the one that is meant does not cover it */
    meant.fingerprint[0] ^= 1;
    assert_shown(server, "a.shop.test", "longer"); /* not loaded */
    meant.fingerprint[0] ^= 1;
    meant.none = true;
    assert_shown(server, "a.shop.test", "longer");
    meant.none = false;
    server->source_count = 1; /* a thread that keeps the set at hand gets the next one */
    assert_int_equal(load(server), 0);
    assert_shown(server, "a.shop.test", "meant");
    tls_thread_end();
    buffer_release(&meant.asked);
}

static void count_new(const struct tls_certificate *certificate, void *context)
{
    *(unsigned *)context += certificate->is_new;
}

static void files_that_are_as_they_were_are_not_read_again(void **state)
{
    struct server *server = *state;
    unsigned new = 0;

    server->sources[0].stamp = 7;
    assert_int_equal(load(server), 0);
    unlink(server->paths[0]);
    assert_int_equal(load(server), 0);
    tls_each_certificate(server->tls, count_new, &new);
    assert_int_equal(new, 0);
    assert_shown(server, "default.test", "default");
    server->sources[0].stamp = 8;
    assert_int_equal(load(server), 1);
    assert_shown(server, "default.test", "default");
    write_certificate(server->paths[0], server->paths[0], "next", "DNS:default.test", 30, NULL);
    assert_int_equal(load(server), 0);
    tls_each_certificate(server->tls, count_new, &new);
    assert_int_equal(new, 1);
    assert_shown(server, "default.test", "next");
}

static void connections_live_through_a_reload(void **state)
{
    struct server *server = *state;
    struct tls_client client;

    dial(server, &client, (struct tls_client_wish){.host = "default.test"});
    get(&client);
    for (int i = 0; i < 3; i++) {
        write_certificate(server->paths[0], server->paths[0], "next", "DNS:default.test", 30, NULL);
        assert_int_equal(load(server), 0);
        get(&client);
    }
    assert_shown(server, "default.test", "next");
    tls_client_turn(&client, 20);
    assert_int_equal(incoming_connections(server->incoming), 1);
    SSL_SESSION_free(client.ticket);
    tls_client_close(&client);
}

/* ---- manners ---- */

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

/* ---- the guard's messages ---- */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_host_gets_its_own_certificate),
        TEST(of_two_certificates_for_a_host_the_longer_lived_is_shown),
        TEST(without_a_default_unknown_hosts_are_refused),
        TEST(a_certificate_tells_its_name_and_end),
        TEST(a_request_says_how_it_was_protected),
        TEST(old_versions_and_other_protocols_are_refused),
        TEST(sessions_are_resumed_also_behind_a_reload),
        TEST(tickets_outlive_a_replaced_key_but_not_three),
        TEST(a_slow_handshake_is_cut_and_one_in_time_is_not),
        TEST(a_bad_file_is_named_and_the_old_certificate_stays),
        TEST(a_bad_file_keeps_no_other_from_use),
        TEST(the_certificate_that_is_meant_comes_before_what_names_say),
        TEST(files_that_are_as_they_were_are_not_read_again),
        TEST(connections_live_through_a_reload),
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
