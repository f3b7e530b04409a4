/* Speaks TLS to a server that runs on the same loop, and makes certificates. */
#include "tests/unit/common/net/tls_client.h"

#include "common/base/clock.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 10

/* Not by the project's clock, which tests set. */
static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void note(struct tls_client *client, int outcome)
{
    int error = SSL_get_error(client->ssl, outcome);

    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return;
    client->ended = true;
    client->told = error == SSL_ERROR_ZERO_RETURN;
}

static void take(struct tls_client *client)
{
    while (!client->ended) {
        char *room = buffer_reserve(&client->in, 16384);
        int got;

        assert_non_null(room);
        got = SSL_read(client->ssl, room, 16384);
        if (got <= 0) {
            note(client, got);
            return;
        }
        buffer_commit(&client->in, (size_t)got);
    }
}

void tls_client_turn(struct tls_client *client, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        struct pollfd waiting = {client->fd, POLLIN, 0};

        event_base_loop(client->base, EVLOOP_NONBLOCK);
        if (times > 1 || !client->ready)
            poll(&waiting, 1, 1);
        if (client->ready)
            take(client);
    }
}

static void shake(struct tls_client *client)
{
    double start = now_s();

    while (!client->ready && !client->ended) {
        int outcome = SSL_connect(client->ssl);

        client->ready = outcome == 1;
        if (!client->ready)
            note(client, outcome);
        tls_client_turn(client, 1);
        assert_true(now_s() - start < PATIENCE_S);
    }
}

static int keep_ticket(SSL *ssl, SSL_SESSION *ticket)
{
    struct tls_client *client = SSL_get_app_data(ssl);

    SSL_SESSION_free(client->ticket);
    client->ticket = ticket;
    return 1;
}

static void set_up(struct tls_client *client, const struct tls_client_wish *wish)
{
    client->context = SSL_CTX_new(TLS_client_method());
    assert_non_null(client->context);
    SSL_CTX_set_session_cache_mode(client->context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client->context, keep_ticket);
    if (wish->any_security)
        SSL_CTX_set_security_level(client->context, 0);
    if (wish->version) {
        SSL_CTX_set_min_proto_version(client->context, wish->version);
        SSL_CTX_set_max_proto_version(client->context, wish->version);
    }
    client->ssl = SSL_new(client->context);
    assert_non_null(client->ssl);
    SSL_set_app_data(client->ssl, client);
    SSL_set_mode(client->ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (wish->host)
        SSL_set_tlsext_host_name(client->ssl, wish->host);
    if (wish->protocols)
        SSL_set_alpn_protos(client->ssl, (const unsigned char *)wish->protocols,
                            (unsigned)strlen(wish->protocols));
    if (wish->ticket)
        SSL_set_session(client->ssl, wish->ticket);
}

void tls_client_open(struct tls_client *client, struct event_base *base, const char *address,
                     const struct tls_client_wish *wish)
{
    struct sockaddr_in server = {.sin_family = AF_INET};

    *client = (struct tls_client){.base = base};
    buffer_init(&client->in, 64 * 1024 * 1024);
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&server, sizeof(server)), 0);
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
    set_up(client, wish);
    SSL_set_fd(client->ssl, client->fd);
    shake(client);
}

void tls_client_close(struct tls_client *client)
{
    if (client->ready && !client->ended)
        SSL_shutdown(client->ssl);
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    close(client->fd);
    buffer_release(&client->in);
}

void tls_client_send(struct tls_client *client, struct view bytes, size_t piece)
{
    double start = now_s();

    while (bytes.length && !client->ended) {
        size_t want = piece && piece < bytes.length ? piece : bytes.length;
        int sent = SSL_write(client->ssl, bytes.data, (int)want);

        if (sent > 0)
            bytes = view_slice(bytes, (size_t)sent, SIZE_MAX);
        else if (SSL_get_error(client->ssl, sent) != SSL_ERROR_WANT_WRITE)
            return; /* the server has ended it: what it said is still to be read */
        tls_client_turn(client, 1);
        assert_true(now_s() - start < PATIENCE_S);
    }
}

bool tls_client_has(const struct tls_client *client, const char *text)
{
    return client->in.length && memmem(client->in.data, client->in.length, text, strlen(text));
}

void tls_client_until(struct tls_client *client, const char *text)
{
    double start = now_s();

    while (!tls_client_has(client, text)) {
        if (client->ended || now_s() - start > PATIENCE_S)
            fail_msg("\"%s\" did not come, but: %.*s", text, VIEW_FORMAT(buffer_view(&client->in)));
        tls_client_turn(client, 2);
    }
}

void tls_client_until_end(struct tls_client *client)
{
    double start = now_s();

    while (!client->ended) {
        if (now_s() - start > PATIENCE_S)
            fail_msg("the server did not close; it said: %.*s",
                     VIEW_FORMAT(buffer_view(&client->in)));
        tls_client_turn(client, 2);
    }
}

void tls_client_peer(const struct tls_client *client, char name[64])
{
    X509 *x509 = SSL_get1_peer_certificate(client->ssl);

    assert_non_null(x509);
    assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(x509), NID_commonName, name, 64) >
                0);
    X509_free(x509);
}

/* ---- certificates ---- */

static void fill(X509 *x509, EVP_PKEY *key, const char *name, const char *alternatives, int days)
{
    static long serial = 1;
    X509_NAME *subject = X509_get_subject_name(x509);
    X509_EXTENSION *extension;

    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x509), -86400L * 2);
    X509_gmtime_adj(X509_getm_notAfter(x509), 86400L * days);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x509, subject);
    X509_set_pubkey(x509, key);
    if (alternatives) {
        extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternatives);
        assert_non_null(extension);
        X509_add_ext(x509, extension, -1);
        X509_EXTENSION_free(extension);
    }
    assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
}

void write_certificate(const char *certificate_path, const char *key_path, const char *name,
                       const char *alternatives, int days, const char *passphrase)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    FILE *file;

    assert_true(key && x509);
    fill(x509, key, name, alternatives, days);
    file = fopen(certificate_path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, x509), 1);
    fclose(file);
    file = fopen(key_path, strcmp(key_path, certificate_path) == 0 ? "a" : "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL,
                                          (const unsigned char *)passphrase,
                                          passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
                     1);
    fclose(file);
    X509_free(x509);
    EVP_PKEY_free(key);
}
