/* Checks a certificate, its chain and its key before anybody serves them. */
#include "common/net/tls_pair.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define RSA_MIN_BITS   2048
#define RSA_MAX_BITS   8192
#define NAME_MAX_BYTES 253
#define TEXT_MAX_BYTES 4096

struct check {
    const struct tls_pair_wish *wish;
    struct tls_pair *pair;
    void (*on_fault)(enum tls_pair_part part, const char *sentence, void *context);
    void *context;
    unsigned faults;
    X509 *chain[TLS_PAIR_MAX_CHAIN];
    size_t chain_length;
    EVP_PKEY *key;
};

static void PRINTF_LIKE(3, 4)
    fault(struct check *check, enum tls_pair_part part, const char *format, ...)
{
    char sentence[500];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    check->faults++;
    check->on_fault(part, sentence, check->context);
    ERR_clear_error();
}

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    return reason ? reason : "no more is known";
}

/* ---- reading ---- */

struct block {
    char *name, *header;
    unsigned char *bytes;
    long length;
};

/* The next block of PEM; false: there is none, or it cannot be read (a fault is told). */
static bool next_block(struct check *check, enum tls_pair_part part, BIO *bio, struct block *block)
{
    ERR_clear_error();
    *block = (struct block){0};
    if (PEM_read_bio(bio, &block->name, &block->header, &block->bytes, &block->length) == 1)
        return true;
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        fault(check, part, "is no whole PEM text (%s)", openssl_reason());
    ERR_clear_error();
    return false;
}

static void free_block(struct block *block)
{
    OPENSSL_free(block->name);
    OPENSSL_free(block->header);
    OPENSSL_clear_free(block->bytes, (size_t)block->length);
}

static void take_certificate(struct check *check, const struct block *block)
{
    const unsigned char *at = block->bytes;
    X509 *certificate;

    if (check->chain_length == TLS_PAIR_MAX_CHAIN) {
        fault(check, TLS_PAIR_CERTIFICATE, "holds more than %d certificates", TLS_PAIR_MAX_CHAIN);
        return;
    }
    certificate = d2i_X509(NULL, &at, block->length);
    if (!certificate || at != block->bytes + block->length) {
        X509_free(certificate);
        fault(check, TLS_PAIR_CERTIFICATE, "its certificate %zu cannot be read (%s)",
              check->chain_length + 1, openssl_reason());
        return;
    }
    check->chain[check->chain_length++] = certificate;
}

static void read_chain(struct check *check)
{
    struct view pem = check->wish->certificate_pem;
    BIO *bio = BIO_new_mem_buf(pem.length ? pem.data : "", (int)pem.length);
    struct block block;

    REQUIRE(bio);
    while (check->faults == 0 && next_block(check, TLS_PAIR_CERTIFICATE, bio, &block)) {
        if (view_ends_with(view_of(block.name), VIEW("PRIVATE KEY")))
            fault(check, TLS_PAIR_CERTIFICATE,
                  "holds a private key too, which belongs into privateKeyPem");
        else if (strcmp(block.name, PEM_STRING_X509) != 0 &&
                 strcmp(block.name, PEM_STRING_X509_OLD) != 0)
            fault(check, TLS_PAIR_CERTIFICATE, "holds something else than certificates");
        else
            take_certificate(check, &block);
        free_block(&block);
    }
    BIO_free(bio);
    if (check->faults == 0 && check->chain_length == 0)
        fault(check, TLS_PAIR_CERTIFICATE, "must hold a certificate in PEM form");
}

static void take_key(struct check *check, const struct block *block)
{
    const unsigned char *at = block->bytes;

    if (strcmp(block->name, PEM_STRING_PKCS8) == 0 || strstr(block->header, "ENCRYPTED")) {
        fault(check, TLS_PAIR_KEY,
              "is encrypted: give it without a passphrase (openssl pkey -in KEY writes it so)");
        return;
    }
    if (check->key) {
        fault(check, TLS_PAIR_KEY, "holds more than one private key");
        return;
    }
    check->key = d2i_AutoPrivateKey(NULL, &at, block->length);
    if (!check->key)
        fault(check, TLS_PAIR_KEY, "cannot be read");
}

static void read_key(struct check *check)
{
    struct view pem = check->wish->key_pem;
    BIO *bio = BIO_new_mem_buf(pem.length ? pem.data : "", (int)pem.length);
    unsigned before = check->faults;
    struct block block;

    REQUIRE(bio);
    while (check->faults == before && next_block(check, TLS_PAIR_KEY, bio, &block)) {
        if (view_ends_with(view_of(block.name), VIEW("PRIVATE KEY")))
            take_key(check, &block);
        else if (strcmp(block.name, PEM_STRING_ECPARAMETERS) != 0) /* openssl writes them before */
            fault(check, TLS_PAIR_KEY, "holds something else than a private key");
        free_block(&block);
    }
    BIO_free(bio);
    if (check->faults == before && !check->key)
        fault(check, TLS_PAIR_KEY, "must hold a private key in PEM form");
}

/* ---- the key ---- */

static void check_kind(struct check *check, EVP_PKEY *public_key)
{
    static const char *const curves[][2] = {
        {"prime256v1", "EC P-256"}, {"secp384r1", "EC P-384"}, {"secp521r1", "EC P-521"}};
    char *kind = check->pair->key_type, group[64] = "";
    int bits = EVP_PKEY_get_bits(public_key);

    switch (EVP_PKEY_get_base_id(public_key)) {
    case EVP_PKEY_RSA:
        if (bits >= RSA_MIN_BITS && bits <= RSA_MAX_BITS)
            snprintf(kind, sizeof check->pair->key_type, "RSA %d", bits);
        break;
    case EVP_PKEY_ED25519:
        snprintf(kind, sizeof check->pair->key_type, "Ed25519");
        break;
    case EVP_PKEY_EC:
        EVP_PKEY_get_group_name(public_key, group, sizeof group, NULL);
        for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
            if (strcmp(group, curves[i][0]) == 0)
                snprintf(kind, sizeof check->pair->key_type, "%s", curves[i][1]);
        break;
    default:
        break;
    }
    if (!kind[0])
        fault(check, TLS_PAIR_CERTIFICATE,
              "its key (%s, %d bits) is not served: RSA of %d to %d bits, EC on P-256, P-384 or "
              "P-521, and Ed25519 are",
              OBJ_nid2sn(EVP_PKEY_get_base_id(public_key)), bits, RSA_MIN_BITS, RSA_MAX_BITS);
}

/* Whether what the private key signs is what the public key of the certificate checks: comparing
 * their public halves would say nothing of the private one. */
static bool signs_for(EVP_PKEY *key, EVP_PKEY *public_key)
{
    static const unsigned char text[] = "a certificate and its key";
    const EVP_MD *digest = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    unsigned char signature[RSA_MAX_BITS / 8];
    size_t length = sizeof signature;
    EVP_MD_CTX *signing = EVP_MD_CTX_new(), *verifying = EVP_MD_CTX_new();
    bool good;

    REQUIRE(signing && verifying);
    good = EVP_PKEY_get_base_id(key) == EVP_PKEY_get_base_id(public_key) &&
           EVP_PKEY_get_bits(key) <= RSA_MAX_BITS &&
           EVP_DigestSignInit(signing, NULL, digest, NULL, key) == 1 &&
           EVP_DigestSign(signing, signature, &length, text, sizeof text) == 1 &&
           EVP_DigestVerifyInit(verifying, NULL, digest, NULL, public_key) == 1 &&
           EVP_DigestVerify(verifying, signature, length, text, sizeof text) == 1;
    EVP_MD_CTX_free(signing);
    EVP_MD_CTX_free(verifying);
    ERR_clear_error();
    return good;
}

static void check_key(struct check *check)
{
    EVP_PKEY *public_key = X509_get0_pubkey(check->chain[0]);

    if (!public_key) {
        fault(check, TLS_PAIR_CERTIFICATE, "its public key cannot be read");
        return;
    }
    check_kind(check, public_key);
    if (!check->key)
        return;
    for (size_t i = 1; i < check->chain_length; i++)
        if (X509_check_private_key(check->chain[i], check->key) == 1) {
            fault(check, TLS_PAIR_CERTIFICATE,
                  "its certificate %zu is the one of the key: it must come first, then each one "
                  "that signed the one before",
                  i + 1);
            return;
        }
    ERR_clear_error();
    if (!signs_for(check->key, public_key))
        fault(check, TLS_PAIR_KEY, "does not belong to the certificate");
}

/* ---- the chain ---- */

static void check_links(struct check *check)
{
    for (size_t i = 0; i + 1 < check->chain_length; i++) {
        X509 *one = check->chain[i], *issuer = check->chain[i + 1];

        if (X509_check_issued(issuer, one) != X509_V_OK ||
            X509_verify(one, X509_get0_pubkey(issuer)) != 1)
            fault(check, TLS_PAIR_CERTIFICATE,
                  "its certificate %zu did not sign certificate %zu: the host's own must come "
                  "first, then each one that signed the one before",
                  i + 2, i + 1);
        else if (X509_check_ca(issuer) == 0)
            fault(check, TLS_PAIR_CERTIFICATE,
                  "its certificate %zu may sign nothing: it is no authority's", i + 2);
    }
    ERR_clear_error();
}

/* Seconds since 1970; false: it is no time. */
static bool seconds_of(const ASN1_TIME *time, int64_t *seconds)
{
    struct tm parts;

    if (ASN1_TIME_to_tm(time, &parts) != 1)
        return false;
    *seconds = (int64_t)timegm(&parts);
    return true;
}

static void check_times(struct check *check)
{
    for (size_t i = 0; i < check->chain_length; i++) {
        char whose[48] = "", begin[CLOCK_RFC3339_SIZE], end[CLOCK_RFC3339_SIZE];
        int64_t not_before_s, not_after_s;

        if (i > 0)
            snprintf(whose, sizeof whose, "its certificate %zu ", i + 1);
        if (!seconds_of(X509_get0_notBefore(check->chain[i]), &not_before_s) ||
            !seconds_of(X509_get0_notAfter(check->chain[i]), &not_after_s)) {
            fault(check, TLS_PAIR_CERTIFICATE, "%sholds a time that is none", whose);
            continue;
        }
        clock_format_rfc3339(not_before_s * 1000, begin);
        clock_format_rfc3339(not_after_s * 1000, end);
        if (not_after_s <= check->wish->now_s)
            fault(check, TLS_PAIR_CERTIFICATE, "%sexpired: its notAfter is %s", whose, end);
        else if (not_before_s > check->wish->now_s + TLS_PAIR_EARLY_S)
            fault(check, TLS_PAIR_CERTIFICATE, "%sis not valid yet: its notBefore is %s", whose,
                  begin);
        if (i == 0) {
            check->pair->not_before_s = not_before_s;
            check->pair->not_after_s = not_after_s;
        }
    }
}

/* ---- the names ---- */

/* Lower case; what no client can ask for is passed over. */
static void add_name(struct buffer *names, const ASN1_STRING *text)
{
    size_t length = (size_t)ASN1_STRING_length(text);
    const unsigned char *bytes = ASN1_STRING_get0_data(text);
    char name[NAME_MAX_BYTES];

    if (length == 0 || length > sizeof name)
        return;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] <= 0x20 || bytes[i] >= 0x7f)
            return;
        name[i] = (char)(bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] - 'A' + 'a' : bytes[i]);
    }
    buffer_append(names, name, length);
    buffer_append_byte(names, '\n');
}

static void read_names(struct check *check)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(check->chain[0], NID_subject_alt_name, NULL, NULL);
    int count = names ? sk_GENERAL_NAME_num(names) : 0;

    if (count > TLS_MAX_NAMES)
        fault(check, TLS_PAIR_CERTIFICATE, "holds more than %d names", TLS_MAX_NAMES);
    for (int i = 0; i < count && i < TLS_MAX_NAMES; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS)
            add_name(&check->pair->names, name->d.dNSName);
    }
    GENERAL_NAMES_free(names);
}

static bool name_covers(struct view name, struct view host)
{
    size_t dot = view_find(host, '.');

    if (view_equal(name, host))
        return true;
    return view_starts_with(name, VIEW("*.")) && dot != SIZE_MAX && dot > 0 &&
           host.data[0] != '*' &&
           view_equal(view_slice(name, 1, SIZE_MAX), view_slice(host, dot, SIZE_MAX));
}

static void check_names(struct check *check)
{
    struct view rest, name, host = check->wish->host;
    struct buffer shown;

    read_names(check);
    rest = buffer_view(&check->pair->names);
    if (rest.length == 0) {
        fault(check, TLS_PAIR_CERTIFICATE,
              "names no host among its subject alternative names; clients do not look elsewhere");
        return;
    }
    buffer_init(&shown, TEXT_MAX_BYTES * 32);
    while (view_split(&rest, '\n', &name)) {
        if (name_covers(name, host)) {
            buffer_release(&shown);
            return;
        }
        if (name.length)
            buffer_append_format(&shown, "%s%.*s", shown.length ? ", " : "", VIEW_FORMAT(name));
    }
    fault(check, TLS_PAIR_CERTIFICATE, "is not for %.*s%s; it is for %.*s", VIEW_FORMAT(host),
          host.data[0] == '*' ? ", which must be among its names as it is" : "",
          VIEW_FORMAT(view_slice(buffer_view(&shown), 0, 200)));
    buffer_release(&shown);
}

/* ---- the whole ---- */

/* What our own OpenSSL would refuse for reasons of its own: weak digests, for one. */
static void try_to_serve(struct check *check)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    bool good;

    REQUIRE(context);
    if (X509_check_purpose(check->chain[0], X509_PURPOSE_SSL_SERVER, 0) != 1)
        fault(check, TLS_PAIR_CERTIFICATE,
              "is not meant for servers (its key usage or extended key usage says so)");
    ERR_clear_error();
    good = SSL_CTX_use_certificate(context, check->chain[0]) == 1;
    for (size_t i = 1; i < check->chain_length && good; i++)
        good = SSL_CTX_add1_chain_cert(context, check->chain[i]) == 1;
    if (!good)
        fault(check, TLS_PAIR_CERTIFICATE, "cannot be served (%s)", openssl_reason());
    else if (SSL_CTX_use_PrivateKey(context, check->key) != 1)
        fault(check, TLS_PAIR_KEY, "cannot be served (%s)", openssl_reason());
    SSL_CTX_free(context);
}

static void write_name(struct buffer *out, const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long length;

    REQUIRE(bio);
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
    length = BIO_get_mem_data(bio, &text);
    buffer_append(out, text, length > 0 && length < TEXT_MAX_BYTES ? (size_t)length : 0);
    BIO_free(bio);
}

static void write_pem(struct check *check)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;

    REQUIRE(bio);
    for (size_t i = 0; i < check->chain_length; i++)
        REQUIRE(PEM_write_bio_X509(bio, check->chain[i]) == 1);
    if (PEM_write_bio_PKCS8PrivateKey(bio, check->key, NULL, NULL, 0, NULL, NULL) != 1)
        fault(check, TLS_PAIR_KEY, "cannot be written (%s)", openssl_reason());
    long length = BIO_get_mem_data(bio, &text);
    buffer_append(&check->pair->pem, text, (size_t)length);
    REQUIRE(check->pair->pem.error == ERROR_NONE);
    BIO_free(bio); /* clears what it held */
}

static void tell_facts(struct check *check)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    write_name(&check->pair->subject, X509_get_subject_name(check->chain[0]));
    write_name(&check->pair->issuer, X509_get_issuer_name(check->chain[0]));
    REQUIRE(X509_digest(check->chain[0], EVP_sha256(), digest, &length) == 1);
    for (unsigned i = 0; i < length; i++)
        snprintf(check->pair->fingerprint + i * 2, 3, "%02x", digest[i]);
    write_pem(check);
}

bool tls_pair_check(const struct tls_pair_wish *wish, struct tls_pair *pair,
                    void (*on_fault)(enum tls_pair_part part, const char *sentence, void *context),
                    void *context)
{
    struct check check = {.wish = wish, .pair = pair, .on_fault = on_fault, .context = context};

    *pair = (struct tls_pair){0};
    /* Written anew, lines are never longer than twice what came. */
    buffer_init(&pair->pem, 4 * (TLS_PAIR_MAX_CERTIFICATE + TLS_PAIR_MAX_KEY));
    buffer_init(&pair->subject, TEXT_MAX_BYTES);
    buffer_init(&pair->issuer, TEXT_MAX_BYTES);
    buffer_init(&pair->names, (size_t)TLS_MAX_NAMES * (NAME_MAX_BYTES + 1));
    if (wish->certificate_pem.length > TLS_PAIR_MAX_CERTIFICATE)
        fault(&check, TLS_PAIR_CERTIFICATE, "is longer than %d bytes", TLS_PAIR_MAX_CERTIFICATE);
    else
        read_chain(&check);
    bool whole = check.faults == 0;
    if (wish->key_pem.length > TLS_PAIR_MAX_KEY)
        fault(&check, TLS_PAIR_KEY, "is longer than %d bytes", TLS_PAIR_MAX_KEY);
    else
        read_key(&check);
    if (whole) {
        check_key(&check);
        check_links(&check);
        check_times(&check);
        check_names(&check);
    }
    if (check.faults == 0)
        try_to_serve(&check);
    if (check.faults == 0)
        tell_facts(&check);
    for (size_t i = 0; i < check.chain_length; i++)
        X509_free(check.chain[i]);
    EVP_PKEY_free(check.key);
    ERR_clear_error();
    return check.faults == 0;
}

void tls_pair_release(struct tls_pair *pair)
{
    if (pair->pem.data)
        wipe(pair->pem.data, pair->pem.capacity);
    buffer_release(&pair->pem);
    buffer_release(&pair->subject);
    buffer_release(&pair->issuer);
    buffer_release(&pair->names);
}
