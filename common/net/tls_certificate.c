/* Reads a certificate with its chain and key from PEM files, and checks that they belong together. */
#include "common/net/tls_certificate.h"

#include "common/base/crypto.h"
#include "common/base/file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOST_MAX_BYTES 253
#define CHAIN_MAX      16

struct shared_certificate {
    struct certificate seen; /* first: the users' view of it */
    atomic_uint references;
};

/* ---- files ---- */

static enum error say(struct buffer *problem, const char *path, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    buffer_append_format(problem, "%s: %s%s%s%s", path, what, reason ? " (" : "",
                         reason ? reason : "", reason ? ")" : "");
    ERR_clear_error();
    return ERROR_INVALID;
}

/* The file's bytes for OpenSSL; they may hold a key. */
static enum error open_file(const char *path, struct buffer *bytes, BIO **bio,
                            struct buffer *problem)
{
    enum error error;

    buffer_init(bytes, TLS_MAX_FILE_BYTES);
    error = file_read(path, bytes);
    if (error != ERROR_NONE) {
        buffer_append_format(problem, "%s cannot be read: %s", path, error_text(error));
        return error;
    }
    *bio = BIO_new_mem_buf(bytes->length ? bytes->data : "", (int)bytes->length);
    REQUIRE(*bio);
    ERR_clear_error();
    return ERROR_NONE;
}

static void close_file(struct buffer *bytes, BIO *bio)
{
    BIO_free(bio);
    if (bytes->data)
        wipe(bytes->data, bytes->capacity);
    buffer_release(bytes);
}

/* A key with a passphrase is an error, not a question on the terminal. */
static int no_passphrase(char *text, int size, int writing, void *context)
{
    (void)text;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static enum error read_chain(SSL_CTX *context, BIO *bio, const char *path, struct buffer *problem)
{
    X509 *next = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    bool used;

    if (!next)
        return say(problem, path, "holds no certificate in PEM form");
    used = SSL_CTX_use_certificate(context, next) == 1;
    X509_free(next);
    if (!used)
        return say(problem, path, "the certificate cannot be used");
    for (int i = 0; i < CHAIN_MAX; i++) {
        next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        if (!next && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) {
            ERR_clear_error();
            return ERROR_NONE;
        }
        if (!next || SSL_CTX_add0_chain_cert(context, next) != 1) {
            X509_free(next);
            return say(problem, path, "a certificate of the chain cannot be used");
        }
    }
    return say(problem, path, "holds too long a chain of certificates");
}

static enum error read_key(SSL_CTX *context, BIO *bio, const char *path, struct buffer *problem)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    bool used;

    if (!key)
        return say(problem, path, "holds no private key in PEM form that is free of a passphrase");
    used = SSL_CTX_use_PrivateKey(context, key) == 1 && SSL_CTX_check_private_key(context) == 1;
    EVP_PKEY_free(key);
    return used ? ERROR_NONE : say(problem, path, "the private key does not fit the certificate");
}

static enum error read_files(const struct tls_source *source, SSL_CTX *context,
                             struct buffer *problem)
{
    struct buffer bytes;
    BIO *bio = NULL;
    enum error error = open_file(source->certificate_path, &bytes, &bio, problem);

    if (error == ERROR_NONE)
        error = read_chain(context, bio, source->certificate_path, problem);
    if (error == ERROR_NONE && strcmp(source->key_path, source->certificate_path) != 0) {
        close_file(&bytes, bio);
        bio = NULL;
        error = open_file(source->key_path, &bytes, &bio, problem);
    } else if (error == ERROR_NONE) {
        REQUIRE(BIO_reset(bio) >= 0);
    }
    if (error == ERROR_NONE)
        error = read_key(context, bio, source->key_path, problem);
    close_file(&bytes, bio);
    return error;
}

/* ---- what is in it ---- */

static bool is_host_byte(char c, size_t at)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           (c == '*' && at == 0);
}

/* Names that no client can ask for (spaces, more than a DNS name) are passed over. */
static void add_name(struct certificate *certificate, const ASN1_STRING *text)
{
    size_t length = (size_t)ASN1_STRING_length(text);
    char *name;

    if (length == 0 || length > HOST_MAX_BYTES || certificate->name_count == TLS_MAX_NAMES)
        return;
    name = view_duplicate(view_from(ASN1_STRING_get0_data(text), length));
    for (size_t i = 0; i < length; i++) {
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] - 'A' + 'a');
        if (!is_host_byte(name[i], i) || (name[i] == '*' && name[i + 1] != '.')) {
            free(name);
            return;
        }
    }
    certificate->names[certificate->name_count++] = name;
}

/* RFC 6125 section 6.4.4: the common name counts only where there are no alternative names. */
static void read_names(struct certificate *certificate, X509 *x509)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    int count = names ? sk_GENERAL_NAME_num(names) : 0;
    int at = X509_NAME_get_index_by_NID(X509_get_subject_name(x509), NID_commonName, -1);

    certificate->names = calloc(TLS_MAX_NAMES, sizeof(*certificate->names));
    REQUIRE(certificate->names);
    for (int i = 0; i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS)
            add_name(certificate, name->d.dNSName);
    }
    if (!names && at >= 0)
        add_name(certificate,
                 X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(x509), at)));
    GENERAL_NAMES_free(names);
}

static void read_fingerprint(struct tls_certificate *facts, X509 *x509)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    REQUIRE(X509_digest(x509, EVP_sha256(), digest, &length) == 1 && length == SHA256_BYTES);
    for (unsigned i = 0; i < length; i++)
        snprintf(facts->fingerprint + i * 2, 3, "%02x", digest[i]);
}

static enum error read_facts(struct certificate *certificate, struct buffer *problem)
{
    X509 *x509 = SSL_CTX_get0_certificate(certificate->context);
    struct tls_certificate *facts = &certificate->facts;
    struct tm end;

    if (ASN1_TIME_to_tm(X509_get0_notAfter(x509), &end) != 1)
        return say(problem, certificate->path, "the certificate's end is no time");
    facts->not_after_s = (int64_t)timegm(&end);
    facts->path = certificate->path;
    read_names(certificate, x509);
    facts->name = certificate->name_count ? certificate->names[0] : "";
    read_fingerprint(facts, x509);
    return ERROR_NONE;
}

/* ---- life ---- */

enum error certificate_read(const struct tls_source *source, SSL_CTX *context,
                            struct certificate **result, struct buffer *problem)
{
    struct shared_certificate *made = calloc(1, sizeof(*made));
    enum error error;

    REQUIRE(made);
    atomic_init(&made->references, 1);
    made->seen.context = context;
    made->seen.path = view_duplicate(view_of(source->certificate_path));
    made->seen.stamp = source->stamp;
    made->seen.written_ns = source->written_ns;
    error = read_files(source, context, problem);
    if (error == ERROR_NONE)
        error = read_facts(&made->seen, problem);
    if (error != ERROR_NONE)
        certificate_release(&made->seen);
    else
        *result = &made->seen;
    return error;
}

struct certificate *certificate_keep(struct certificate *certificate)
{
    atomic_fetch_add(&((struct shared_certificate *)certificate)->references, 1);
    return certificate;
}

void certificate_release(struct certificate *certificate)
{
    struct shared_certificate *shared = (struct shared_certificate *)certificate;

    if (atomic_fetch_sub(&shared->references, 1) > 1)
        return;
    for (size_t i = 0; i < certificate->name_count; i++)
        free(certificate->names[i]);
    free(certificate->names);
    free(certificate->path);
    SSL_CTX_free(certificate->context);
    free(shared);
}
