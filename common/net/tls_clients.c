/* Reads whose word counts for the certificates of clients, and looks at what clients have shown. */
#include "common/net/tls_clients.h"

#include "common/base/crypto.h"
#include "common/base/file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 8 /* between the client's own and the one that we know */

struct tls_clients {
    X509_STORE *store;
    STACK_OF(X509_NAME) * names; /* what clients with several certificates choose by */
    bool required;
};

/* ---- reading ---- */

static int no_passphrase(char *text, int size, int writing, void *context)
{
    (void)text;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static bool add(struct tls_clients *clients, X509 *authority)
{
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(authority));

    REQUIRE(name && sk_X509_NAME_push(clients->names, name));
    return X509_STORE_add_cert(clients->store, authority) == 1;
}

static enum error read_authorities(struct tls_clients *clients, BIO *bio, const char *path,
                                   struct buffer *problem)
{
    X509 *one;
    int count = 0;

    while ((one = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
        bool added = ++count <= TLS_MAX_AUTHORITIES && add(clients, one);

        X509_free(one);
        if (!added) {
            buffer_append_format(problem,
                                 "%s: holds more than %d certificates, or one that cannot "
                                 "be used",
                                 path, TLS_MAX_AUTHORITIES);
            return ERROR_INVALID;
        }
    }
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (count > 0 && at_end)
        return ERROR_NONE;
    buffer_append_format(problem, "%s: holds %s", path,
                         at_end ? "no certificate in PEM form"
                                : "a certificate that cannot be read");
    return ERROR_INVALID;
}

enum error tls_clients_read(const char *path, bool required, struct tls_clients **result,
                            struct buffer *problem)
{
    struct tls_clients *clients;
    struct buffer bytes;
    enum error error;
    BIO *bio;

    buffer_init(&bytes, TLS_MAX_FILE_BYTES);
    error = file_read(path, &bytes);
    if (error != ERROR_NONE) {
        buffer_append_format(problem, "%s cannot be read: %s", path, error_text(error));
        buffer_release(&bytes);
        return error;
    }
    clients = calloc(1, sizeof(*clients));
    bio = BIO_new_mem_buf(bytes.length ? bytes.data : "", (int)bytes.length);
    REQUIRE(clients && bio);
    clients->required = required;
    clients->store = X509_STORE_new();
    clients->names = sk_X509_NAME_new_null();
    REQUIRE(clients->store && clients->names);
    /* Each certificate in the file counts by itself, as an intermediate without its root. */
    X509_STORE_set_flags(clients->store, X509_V_FLAG_PARTIAL_CHAIN);
    ERR_clear_error();
    error = read_authorities(clients, bio, path, problem);
    ERR_clear_error();
    BIO_free(bio);
    buffer_release(&bytes);
    if (error != ERROR_NONE)
        tls_clients_free(clients);
    else
        *result = clients;
    return error;
}

void tls_clients_free(struct tls_clients *clients)
{
    if (!clients)
        return;
    X509_STORE_free(clients->store);
    sk_X509_NAME_pop_free(clients->names, X509_NAME_free);
    free(clients);
}

void tls_clients_apply(const struct tls_clients *clients, SSL_CTX *context)
{
    STACK_OF(X509_NAME) *names =
        sk_X509_NAME_deep_copy(clients->names, X509_NAME_dup, X509_NAME_free);
    int mode = SSL_VERIFY_PEER | (clients->required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);

    REQUIRE(names);
    SSL_CTX_set1_cert_store(context, clients->store);
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, mode, NULL);
    SSL_CTX_set_verify_depth(context, CHAIN_MAX);
    /* A ticket would let in for hours who would not be let in any more. */
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    REQUIRE(SSL_CTX_set_num_tickets(context, 0) == 1);
}

/* ---- what was shown ---- */

static void write_subject(const X509 *shown, char subject[TLS_SUBJECT_SIZE])
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long length;

    REQUIRE(bio);
    X509_NAME_print_ex(bio, X509_get_subject_name(shown), 0, XN_FLAG_RFC2253);
    length = BIO_get_mem_data(bio, &text);
    snprintf(subject, TLS_SUBJECT_SIZE, "%.*s", (int)(length > 0 ? length : 0), text);
    BIO_free(bio);
    ERR_clear_error();
}

bool tls_session_shown(const struct ssl_st *ssl, struct tls_shown *shown)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK)
        return false;
    write_subject(certificate, shown->subject);
    REQUIRE(X509_digest(certificate, EVP_sha256(), digest, &length) == 1 && length == SHA256_BYTES);
    for (unsigned i = 0; i < length; i++)
        snprintf(shown->fingerprint + (size_t)i * 2, 3, "%02x", digest[i]);
    return true;
}

/* What the handshake did, with the authorities of now. */
static bool verify_again(const SSL *ssl, X509 *certificate, SSL_CTX *present)
{
    X509_STORE_CTX *look = X509_STORE_CTX_new();
    bool good;

    REQUIRE(look);
    good = X509_STORE_CTX_init(look, SSL_CTX_get_cert_store(present), certificate,
                               SSL_get_peer_cert_chain(ssl)) == 1 &&
           X509_STORE_CTX_set_default(look, "ssl_client") == 1;
    X509_STORE_CTX_set_depth(look, CHAIN_MAX);
    good = good && X509_verify_cert(look) == 1;
    X509_STORE_CTX_free(look);
    ERR_clear_error();
    return good;
}

bool tls_clients_welcome(const SSL *ssl, SSL_CTX *present)
{
    int asked = SSL_CTX_get_verify_mode(present);
    X509 *certificate = SSL_get0_peer_certificate(ssl);

    if (!(asked & SSL_VERIFY_PEER))
        return true;
    if (!certificate)
        return !(asked & SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    if (SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl)) == SSL_CTX_get_cert_store(present))
        return X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
    return verify_again(ssl, certificate, present);
}

const char *tls_clients_reason(const SSL *ssl, unsigned long openssl_error)
{
    long verified = SSL_get_verify_result(ssl);
    const char *reason;

    if (verified != X509_V_OK && ERR_GET_REASON(openssl_error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return X509_verify_cert_error_string(verified);
    reason = ERR_reason_error_string(openssl_error);
    return reason ? reason : "unknown";
}
