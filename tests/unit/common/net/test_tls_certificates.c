/* Gives TLS certificates, good and bad, and looks which one a host is shown. */
#include "tests/unit/common/net/tls_scene.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_host_gets_its_own_certificate),
        TEST(of_two_certificates_for_a_host_the_longer_lived_is_shown),
        TEST(without_a_default_unknown_hosts_are_refused),
        TEST(a_certificate_tells_its_name_and_end),
        TEST(a_bad_file_is_named_and_the_old_certificate_stays),
        TEST(a_bad_file_keeps_no_other_from_use),
        TEST(the_certificate_that_is_meant_comes_before_what_names_say),
        TEST(files_that_are_as_they_were_are_not_read_again),
        TEST(connections_live_through_a_reload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
