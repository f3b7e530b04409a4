/*
 * The member `access.jwt` of an app: which tokens open it. Its shape, and what of it proxyd gets.
 * Pure; the issuer's keys come from issuers.h.
 */
#ifndef MANAGERD_TOKEN_RULE_H
#define MANAGERD_TOKEN_RULE_H

#include "common/store/route_record.h"
#include "managerd/shape.h"

#define TOKEN_RULE_MAX_NAMES 1536 /* bytes of all audiences, and of all scopes */

extern const struct shape token_rule_shape;

/* The rule for its route; `keys` is a list as token_rule_store_keys makes it, or NULL. Views live in
 * the arena. When one of the keys cannot be read there are none, and no token is good. */
enum error token_rule_route(const struct json *rule, const struct json *keys, struct arena *arena,
                            struct route_jwt *jwt) MUST_CHECK;

/* Keys as state holds them: [{"kid", "kind", "algorithms" (bits), "der" (base64)}]. */
struct json *token_rule_store_keys(const struct signature_key *keys, size_t count);
/* As people read them: [{"kid", "algorithms": ["RS256"]}]; NULL gives an empty list. */
struct json *token_rule_show_keys(const struct json *keys);

#endif
