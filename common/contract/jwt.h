/*
 * JSON Web Tokens: RFC 7519 in the compact form of RFC 7515, checked as RFC 8725 advises and as API
 * Gateway's JWT authorizers do ("Control access to HTTP APIs with JWT authorizers"). Pure: the
 * signature itself is looked at by a callback.
 *
 * What a token may choose is narrow. Its algorithm must be one that the app allows and that its key
 * is for; its key comes from the app's rules alone, never from the token (jwk, jku, x5u and x5c in a
 * header mean nothing); extensions (crit) are refused, and so are members that come twice.
 */
#ifndef COMMON_CONTRACT_JWT_H
#define COMMON_CONTRACT_JWT_H

#include "common/base/arena.h"
#include "common/base/json.h"
#include "common/base/signature.h"

#define JWT_MAX_TOKEN_BYTES 16384

/* X(code, name for logs, description for the client) */
#define JWT_VERDICTS(X)                                                                            \
    X(GOOD, "good", "")                                                                            \
    X(MALFORMED, "malformed", "the token is not a well-formed JWT")                                \
    X(TOO_LONG, "too-long", "the token is longer than 16384 bytes")                                \
    X(ALGORITHM, "algorithm", "the token's algorithm is not allowed here")                         \
    X(CRITICAL, "critical", "the token asks for an extension that is not supported")               \
    X(UNKNOWN_KEY, "unknown-key", "no key of the issuer fits the token")                           \
    X(BAD_SIGNATURE, "bad-signature", "the token's signature is wrong")                            \
    X(BAD_ISSUER, "bad-issuer", "the token is of another issuer")                                  \
    X(BAD_AUDIENCE, "bad-audience", "the token is for another audience")                           \
    X(NO_EXPIRY, "no-expiry", "the token has no time of expiry")                                   \
    X(EXPIRED, "expired", "the token has expired")                                                 \
    X(NOT_YET, "not-yet", "the token is not valid yet")                                            \
    X(ISSUED_LATER, "issued-later", "the token was issued in the future")                          \
    X(NO_SCOPE, "no-scope", "the token has none of the scopes that are needed")

enum jwt_verdict {
#define JWT_ENUM(code, name, description) JWT_##code,
    JWT_VERDICTS(JWT_ENUM)
#undef JWT_ENUM
        JWT_VERDICT_COUNT
};

const char *jwt_verdict_name(enum jwt_verdict verdict);
/* Plain ASCII without quotes, good inside a quoted string of WWW-Authenticate. */
const char *jwt_verdict_description(enum jwt_verdict verdict);

struct jwt_rules {
    struct view issuer;
    const struct view *audiences; /* one of them must be in the token */
    size_t audience_count;
    const struct view *scopes; /* one of them must be in the token; none: not looked at */
    size_t scope_count;
    unsigned algorithms; /* bits of enum signature_algorithm */
    uint32_t leeway_s;   /* for clocks that differ */
    const struct signature_key *keys;
    size_t key_count;
};

/* Whether `signature` over `message` was made by this key's owner. */
typedef bool (*jwt_signature_check)(const struct signature_key *key,
                                    enum signature_algorithm algorithm, struct view message,
                                    struct view signature, void *context);

struct jwt {
    struct view claims; /* the payload's JSON text, an object; in the arena */
};

/* Looks at form, algorithm, key, signature and claims, in this order; the first thing wrong is the
 * verdict. `jwt` is filled in when the token is good. A token without kid takes the one key that
 * fits its algorithm; when several do it is refused. Not well-formed claims are MALFORMED, also when
 * the arena is full. */
enum jwt_verdict jwt_verify(struct arena *arena, struct view token, const struct jwt_rules *rules,
                            int64_t now_ms, jwt_signature_check check, void *context,
                            struct jwt *jwt);

/* The token in a value of Authorization: "Bearer TOKEN", or the token alone, as API Gateway takes
 * both. False: it is of another scheme, or nothing that could be a token. */
bool jwt_in_authorization(struct view value, struct view *token);

/* Members of an event, as API Gateway writes them: "claims", an object of strings (lists become
 * "[a b]", numbers and booleans their text, objects JSON text, null is left out); and "scopes", the
 * token's, or null unless the app asks for some. */
void jwt_write_claims(struct json_writer *w, struct view claims);
void jwt_write_scopes(struct json_writer *w, struct view claims, bool asked);

#endif
