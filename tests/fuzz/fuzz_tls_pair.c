/* Fuzzes what is handed in as certificate and key: as text, and as a good pair with bytes changed. */
#include "common/net/tls_pair.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#define NOW_S     1700000000
#define DER_BYTES 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *count, char ***arguments);

static unsigned char certificate[DER_BYTES], key[DER_BYTES];
static size_t certificate_length, key_length;

static void count_fault(enum tls_pair_part part, const char *sentence, void *context)
{
    REQUIRE(part == TLS_PAIR_CERTIFICATE || part == TLS_PAIR_KEY);
    REQUIRE(sentence[0] && strlen(sentence) < 500 && !strstr(sentence, "BEGIN"));
    ++*(unsigned *)context;
}

static void check(struct view certificate_pem, struct view key_pem)
{
    static const char *const hosts[] = {"shop.test", "a.shop.test", "*.shop.test"};
    const char *host = hosts[(certificate_pem.length + key_pem.length) % 3];
    struct tls_pair_wish wish = {certificate_pem, key_pem, view_of(host), NOW_S};
    struct tls_pair pair;
    unsigned faults = 0;
    bool good = tls_pair_check(&wish, &pair, count_fault, &faults);

    REQUIRE(good == (faults == 0) && good == (pair.pem.length > 0));
    if (good) {
        REQUIRE(strlen(pair.fingerprint) == 64 && pair.key_type[0]);
        REQUIRE(pair.not_after_s > NOW_S && pair.names.length > 0);
    }
    tls_pair_release(&pair);
}

/* Position (two bytes) and value, again and again; what is left over cuts the end off. */
static size_t change(unsigned char *bytes, size_t length, const uint8_t *data, size_t size)
{
    for (; size >= 3; data += 3, size -= 3)
        bytes[(size_t)(data[0] << 8 | data[1]) % length] = data[2];
    return size == 2 ? length - data[0] % length : length;
}

static void write_block(BIO *bio, const char *name, const unsigned char *bytes, size_t length)
{
    REQUIRE(PEM_write_bio(bio, name, "", bytes, (long)length) > 0);
}

static void check_changed(const uint8_t *data, size_t size, bool of_key)
{
    unsigned char changed[DER_BYTES];
    size_t length = of_key ? key_length : certificate_length;
    BIO *chain = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
    char *chain_text, *secret_text;

    memcpy(changed, of_key ? key : certificate, length);
    length = change(changed, length, data, size);
    write_block(chain, "CERTIFICATE", of_key ? certificate : changed,
                of_key ? certificate_length : length);
    if (!of_key && size % 2)
        write_block(chain, "CERTIFICATE", certificate, certificate_length);
    write_block(secret, "PRIVATE KEY", of_key ? changed : key, of_key ? length : key_length);
    long chain_length = BIO_get_mem_data(chain, &chain_text);
    long secret_length = BIO_get_mem_data(secret, &secret_text);
    check(view_from(chain_text, (size_t)chain_length),
          view_from(secret_text, (size_t)secret_length));
    BIO_free(chain);
    BIO_free(secret);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    EVP_PKEY *made = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    X509V3_CTX context;
    unsigned char *at = certificate;

    (void)count, (void)arguments;
    REQUIRE(made && x509 && X509_set_version(x509, X509_VERSION_3) && X509_set_pubkey(x509, made));
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 7);
    ASN1_TIME_set(X509_getm_notBefore(x509), (time_t)NOW_S - 1000);
    ASN1_TIME_set(X509_getm_notAfter(x509), (time_t)NOW_S + 1000000);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                               (const unsigned char *)"shop", -1, -1, 0);
    X509_set_issuer_name(x509, X509_get_subject_name(x509));
    X509V3_set_ctx(&context, x509, x509, NULL, NULL, 0);
    X509_EXTENSION *names =
        X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, "DNS:shop.test,DNS:*.shop.test");
    REQUIRE(names && X509_add_ext(x509, names, -1) && X509_sign(x509, made, EVP_sha256()));
    X509_EXTENSION_free(names);
    REQUIRE(i2d_X509(x509, NULL) < DER_BYTES);
    certificate_length = (size_t)i2d_X509(x509, &at);
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(made);
    at = key;
    key_length = (size_t)i2d_PKCS8_PRIV_KEY_INFO(info, &at);
    PKCS8_PRIV_KEY_INFO_free(info);
    X509_free(x509);
    EVP_PKEY_free(made);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t half = size / 2;
    struct view text = view_from(data, size);
    switch (data[0] % 3) {
    case 0:
        check_changed(data + 1, size - 1, false);
        break;
    case 1:
        check_changed(data + 1, size - 1, true);
        break;
    default:
        check(view_slice(text, 1, half), view_slice(text, half, SIZE_MAX));
        break;
    }
    return 0;
}
