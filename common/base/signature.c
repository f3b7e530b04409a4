/* Reads public keys and checks signatures with OpenSSL. */
#include "common/base/signature.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define POINT_MAX 66 /* bytes of a coordinate on P-521 */

static const struct {
    const char *name;
    const char *digest; /* NULL: the algorithm has its own */
    bool pss;
    unsigned kinds; /* bits of enum signature_kind */
} algorithms[SIGNATURE_ALGORITHMS] = {
    [SIGNATURE_RS256] = {"RS256", "SHA256", false, 1u << SIGNATURE_RSA},
    [SIGNATURE_RS384] = {"RS384", "SHA384", false, 1u << SIGNATURE_RSA},
    [SIGNATURE_RS512] = {"RS512", "SHA512", false, 1u << SIGNATURE_RSA},
    [SIGNATURE_PS256] = {"PS256", "SHA256", true, 1u << SIGNATURE_RSA},
    [SIGNATURE_PS384] = {"PS384", "SHA384", true, 1u << SIGNATURE_RSA},
    [SIGNATURE_PS512] = {"PS512", "SHA512", true, 1u << SIGNATURE_RSA},
    [SIGNATURE_ES256] = {"ES256", "SHA256", false, 1u << SIGNATURE_P256},
    [SIGNATURE_ES384] = {"ES384", "SHA384", false, 1u << SIGNATURE_P384},
    [SIGNATURE_ES512] = {"ES512", "SHA512", false, 1u << SIGNATURE_P521},
    [SIGNATURE_EDDSA] = {"EdDSA", NULL, false, 1u << SIGNATURE_ED25519},
};

static const struct {
    const char *type, *group;
    size_t coordinate; /* bytes */
} kinds[SIGNATURE_KINDS + 1] = {
    [SIGNATURE_RSA] = {"RSA", NULL, 0},          [SIGNATURE_P256] = {"EC", "prime256v1", 32},
    [SIGNATURE_P384] = {"EC", "secp384r1", 48},  [SIGNATURE_P521] = {"EC", "secp521r1", 66},
    [SIGNATURE_ED25519] = {"ED25519", NULL, 32},
};

struct public_key {
    enum signature_kind kind;
    EVP_PKEY *key;
};

bool signature_algorithm_parse(struct view name, enum signature_algorithm *algorithm)
{
    if (view_equal(name, VIEW("Ed25519"))) {
        *algorithm = SIGNATURE_EDDSA;
        return true;
    }
    for (unsigned i = 0; i < SIGNATURE_ALGORITHMS; i++)
        if (view_equal_string(name, algorithms[i].name)) {
            *algorithm = (enum signature_algorithm)i;
            return true;
        }
    return false;
}

const char *signature_algorithm_name(enum signature_algorithm algorithm)
{
    REQUIRE((unsigned)algorithm < SIGNATURE_ALGORITHMS);
    return algorithms[algorithm].name;
}

unsigned signature_algorithms_of(enum signature_kind kind)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < SIGNATURE_ALGORITHMS; i++)
        if (algorithms[i].kinds & 1u << kind)
            bits |= 1u << i;
    return bits;
}

/* What a failure left in OpenSSL's queue is of no interest, and must not be taken for another's. */
static enum error invalid(void)
{
    ERR_clear_error();
    return ERROR_INVALID;
}

static enum error adopt(enum signature_kind kind, EVP_PKEY *pkey, struct public_key **key)
{
    *key = calloc(1, sizeof **key);
    REQUIRE(*key != NULL);
    **key = (struct public_key){.kind = kind, .key = pkey};
    return ERROR_NONE;
}

/* An EVP_PKEY of this type from its parameters; NULL: they are none. Consumes the builder. */
static EVP_PKEY *build(const char *type, OSSL_PARAM_BLD *builder)
{
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    REQUIRE(parameters != NULL && context != NULL && EVP_PKEY_fromdata_init(context) == 1);
    if (EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    return pkey;
}

/* The modulus is of a good size and odd; the exponent is odd, above 1, and of at most 32 bits
 * (larger ones make each check dear). */
static enum error check_rsa(const BIGNUM *n, const BIGNUM *e)
{
    int bits = BN_num_bits(n);

    if (!BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > 32)
        return ERROR_INVALID;
    return bits < SIGNATURE_RSA_MIN_BITS || bits > SIGNATURE_RSA_MAX_BITS ? ERROR_UNSUPPORTED
                                                                          : ERROR_NONE;
}

enum error public_key_from_rsa(struct view n, struct view e, struct public_key **key)
{
    OSSL_PARAM_BLD *builder;
    EVP_PKEY *pkey = NULL;
    BIGNUM *modulus, *exponent;
    enum error error;

    *key = NULL;
    if (n.length > 2 * (SIGNATURE_RSA_MAX_BITS / 8))
        return ERROR_UNSUPPORTED;
    if (n.length == 0 || e.length == 0 || e.length > 16)
        return ERROR_INVALID;
    modulus = BN_bin2bn((const unsigned char *)n.data, (int)n.length, NULL);
    exponent = BN_bin2bn((const unsigned char *)e.data, (int)e.length, NULL);
    REQUIRE(modulus != NULL && exponent != NULL);
    error = check_rsa(modulus, exponent);
    if (error == ERROR_NONE) {
        builder = OSSL_PARAM_BLD_new();
        REQUIRE(builder != NULL &&
                OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
                OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1);
        pkey = build("RSA", builder);
        error = pkey ? adopt(SIGNATURE_RSA, pkey, key) : invalid();
    }
    BN_free(modulus);
    BN_free(exponent);
    return error;
}

/* Whether it is a good key of its kind: on its curve, of a size that is taken. */
static bool well_formed(enum signature_kind kind, EVP_PKEY *pkey)
{
    BIGNUM *n = NULL, *e = NULL;
    char group[64] = "";
    EVP_PKEY_CTX *context;
    bool good;

    if (!EVP_PKEY_is_a(pkey, kinds[kind].type))
        return false;
    if (kind == SIGNATURE_RSA) {
        good = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
               EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
               check_rsa(n, e) == ERROR_NONE;
        BN_free(n);
        BN_free(e);
        return good;
    }
    if (!kinds[kind].group)
        return true;
    context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    REQUIRE(context != NULL);
    good = EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) == 1 &&
           strcmp(group, kinds[kind].group) == 0 && EVP_PKEY_public_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    return good;
}

static EVP_PKEY *build_point(enum signature_kind kind, struct view x, struct view y)
{
    unsigned char point[1 + 2 * POINT_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();

    memcpy(point + 1, x.data, x.length);
    memcpy(point + 1 + x.length, y.data, y.length);
    REQUIRE(builder != NULL &&
            OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, kinds[kind].group,
                                            0) == 1 &&
            OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point,
                                             1 + x.length + y.length) == 1);
    return build("EC", builder);
}

enum error public_key_from_point(enum signature_kind kind, struct view x, struct view y,
                                 struct public_key **key)
{
    EVP_PKEY *pkey;

    *key = NULL;
    REQUIRE(kind > SIGNATURE_RSA && kind <= SIGNATURE_KINDS);
    if (x.length != kinds[kind].coordinate || y.length != (kinds[kind].group ? x.length : 0))
        return ERROR_INVALID;
    if (kind == SIGNATURE_ED25519)
        pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, (const unsigned char *)x.data,
                                              x.length);
    else
        pkey = build_point(kind, x, y);
    if (!pkey || !well_formed(kind, pkey)) {
        EVP_PKEY_free(pkey);
        return invalid();
    }
    return adopt(kind, pkey, key);
}

enum error public_key_from_der(enum signature_kind kind, struct view der, struct public_key **key)
{
    const unsigned char *at = (const unsigned char *)der.data;
    EVP_PKEY *pkey;

    *key = NULL;
    if ((unsigned)kind < SIGNATURE_RSA || kind > SIGNATURE_KINDS || der.length == 0 ||
        der.length > SIGNATURE_DER_MAX)
        return ERROR_INVALID;
    pkey = d2i_PUBKEY(NULL, &at, (long)der.length);
    if (!pkey || at != (const unsigned char *)der.data + der.length || !well_formed(kind, pkey)) {
        EVP_PKEY_free(pkey);
        return invalid();
    }
    return adopt(kind, pkey, key);
}

void public_key_to_der(const struct public_key *key, struct buffer *out)
{
    unsigned char *der = NULL;
    int length = i2d_PUBKEY(key->key, &der);

    REQUIRE(length > 0);
    buffer_append(out, der, (size_t)length);
    OPENSSL_free(der);
}

void public_key_free(struct public_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->key);
    free(key);
}

/* R || S, each as long as a coordinate (RFC 7518 section 3.4), as the DER that OpenSSL reads. */
static int ecdsa_to_der(enum signature_kind kind, struct view raw, unsigned char **der)
{
    size_t half = kinds[kind].coordinate;
    ECDSA_SIG *pair;
    BIGNUM *r, *s;
    int length;

    if (raw.length != 2 * half)
        return -1;
    pair = ECDSA_SIG_new();
    r = BN_bin2bn((const unsigned char *)raw.data, (int)half, NULL);
    s = BN_bin2bn((const unsigned char *)raw.data + half, (int)half, NULL);
    REQUIRE(pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1);
    length = i2d_ECDSA_SIG(pair, der);
    ECDSA_SIG_free(pair);
    return length;
}

/* PSS with MGF1 of the same hash and a salt as long as its output: RFC 7518 section 3.5. */
static bool prepare_pss(EVP_PKEY_CTX *context)
{
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

bool public_key_verify(const struct public_key *key, enum signature_algorithm algorithm,
                       struct view message, struct view signature)
{
    const unsigned char *bytes = (const unsigned char *)signature.data;
    size_t length = signature.length;
    EVP_PKEY_CTX *parameters = NULL;
    unsigned char *der = NULL;
    EVP_MD_CTX *context;
    bool good = false;
    int der_length;

    if (!(algorithms[algorithm].kinds & 1u << key->kind))
        return false;
    if (kinds[key->kind].group) {
        der_length = ecdsa_to_der(key->kind, signature, &der);
        if (der_length <= 0)
            return false;
        bytes = der;
        length = (size_t)der_length;
    }
    context = EVP_MD_CTX_new();
    REQUIRE(context != NULL);
    if (EVP_DigestVerifyInit_ex(context, &parameters, algorithms[algorithm].digest, NULL, NULL,
                                key->key, NULL) == 1 &&
        (!algorithms[algorithm].pss || prepare_pss(parameters)))
        good = EVP_DigestVerify(context, bytes, length, (const unsigned char *)message.data,
                                message.length) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    ERR_clear_error();
    return good;
}
