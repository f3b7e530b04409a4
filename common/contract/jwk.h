/*
 * The keys that an issuer publishes: a JWK set (RFC 7517) read into what routes carry, and the
 * document that says where it lies (OpenID Connect Discovery 1.0 section 4, RFC 8414). Pure.
 *
 * A key is passed over when it is of no use for us (another kind, for encryption, a secret), too
 * weak, or wrong in itself; a set without one usable key is an error that says why.
 */
#ifndef COMMON_CONTRACT_JWK_H
#define COMMON_CONTRACT_JWK_H

#include "common/base/arena.h"
#include "common/base/signature.h"

#define JWK_SET_MAX_BYTES  262144 /* of the document */
#define JWK_SET_MAX_LISTED 100    /* keys of any kind in it: each costs some arithmetic */
#define JWK_SET_MAX_KEYS   32     /* usable ones */
#define JWK_SET_MAX_STORED 10240  /* bytes of these keys and their kids: they must fit a route */
#define JWK_MAX_KID        256

struct jwk_set {
    struct signature_key keys[JWK_SET_MAX_KEYS];
    size_t count;
    size_t passed_over;
    char why[128]; /* why the last one was passed over */
};

/* Views live in the arena. ERROR_INVALID, ERROR_TOO_BIG: one sentence in `problem`. */
enum error jwk_set_read(struct arena *arena, struct view text, struct jwk_set *set,
                        struct buffer *problem) MUST_CHECK;

/* jwks_uri of a discovery document, which must be this issuer's own. ERROR_INVALID: one sentence in
 * `problem`. */
enum error jwk_discovery_read(struct arena *arena, struct view text, struct view issuer,
                              struct view *jwks_url, struct buffer *problem) MUST_CHECK;

#endif
