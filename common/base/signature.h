/*
 * Public keys and the signatures they check: RSA, ECDSA and Ed25519 behind a narrow door. Only
 * signature.c knows the library (OpenSSL, see docs/decisions/jwt-library.md).
 *
 * The algorithms bear the names of RFC 7518 section 3.1 and RFC 8037 section 3.1. There is no "none"
 * and no HMAC here, so that no token can ask for them. A key is of one kind, and an algorithm fits
 * kinds, never the other way round: what is checked with an RSA key is an RSA signature.
 */
#ifndef COMMON_BASE_SIGNATURE_H
#define COMMON_BASE_SIGNATURE_H

#include "common/base/bytes.h"

/* Numbers are stored in routes: never renumber. */
enum signature_kind {
    SIGNATURE_RSA = 1,
    SIGNATURE_P256 = 2,
    SIGNATURE_P384 = 3,
    SIGNATURE_P521 = 4,
    SIGNATURE_ED25519 = 5,
};
#define SIGNATURE_KINDS 5

/* Bits of masks, stored in routes: never renumber. */
enum signature_algorithm {
    SIGNATURE_RS256,
    SIGNATURE_RS384,
    SIGNATURE_RS512,
    SIGNATURE_PS256,
    SIGNATURE_PS384,
    SIGNATURE_PS512,
    SIGNATURE_ES256,
    SIGNATURE_ES384,
    SIGNATURE_ES512,
    SIGNATURE_EDDSA,
    SIGNATURE_ALGORITHMS
};
#define SIGNATURE_BIT(algorithm) (1u << (algorithm))
#define SIGNATURE_ALL_BITS       ((1u << SIGNATURE_ALGORITHMS) - 1)

/* Smaller keys are refused (NIST SP 800-131A), larger ones cost too much. */
#define SIGNATURE_RSA_MIN_BITS 2048
#define SIGNATURE_RSA_MAX_BITS 8192
/* No key of the above kinds is longer as DER. */
#define SIGNATURE_DER_MAX 1200

/* A key as it is published: its kind, what it may be used for, and its bytes (DER of
 * SubjectPublicKeyInfo, RFC 5280 section 4.1). */
struct signature_key {
    struct view kid; /* empty: it has none */
    enum signature_kind kind;
    unsigned algorithms; /* bits, never 0; all fit the kind */
    struct view der;
};

/* "RS256"; exact case. "Ed25519" (RFC 9864) is EdDSA too. False: of no use here. */
bool signature_algorithm_parse(struct view name, enum signature_algorithm *algorithm);
const char *signature_algorithm_name(enum signature_algorithm algorithm);
/* The bits of all that a key of this kind can check. */
unsigned signature_algorithms_of(enum signature_kind kind);

struct public_key;

/* From the members of a JWK, decoded: RFC 7518 section 6.3.1 (n, e), section 6.2.1 (x, y), RFC 8037
 * section 2 (x). ERROR_INVALID: no such key (length, point not on the curve, exponent);
 * ERROR_UNSUPPORTED: an RSA key of too few or too many bits. */
enum error public_key_from_rsa(struct view n, struct view e, struct public_key **key) MUST_CHECK;
enum error public_key_from_point(enum signature_kind kind, struct view x, struct view y,
                                 struct public_key **key) MUST_CHECK;
/* From the bytes of a struct signature_key, checked again: ERROR_INVALID when they are no key of
 * that kind. */
enum error public_key_from_der(enum signature_kind kind, struct view der,
                               struct public_key **key) MUST_CHECK;
void public_key_to_der(const struct public_key *key, struct buffer *out);
void public_key_free(struct public_key *key);

/* Whether the signature (as RFC 7515 has it: ECDSA as R || S) is good. False as well when algorithm
 * and key do not fit. One key may be used by one thread at a time. */
bool public_key_verify(const struct public_key *key, enum signature_algorithm algorithm,
                       struct view message, struct view signature);

#endif
