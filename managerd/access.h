/*
 * Access: who may call an app. The shape of the app's member `access`, and what of it proxyd gets.
 * Acts at once; it is not a version's. The keys themselves are in the app's record, internal.apiKeys:
 * [{"id", "name", "sha256" (hex), "createdAt", "createdBy", "expiresAt" | null}].
 */
#ifndef MANAGERD_ACCESS_H
#define MANAGERD_ACCESS_H

#include "common/store/route_record.h"
#include "managerd/shape.h"

#define ACCESS_MAX_API_KEYS 50 /* per app; a route must hold them beside its versions */

extern const struct shape access_shape;
extern const struct shape api_key_shape;

/* What the shape cannot tell of an app's `access` (of the right shape): members that contradict each
 * other. */
void access_check(const struct json *access, struct faults *faults);
/* The rules of an app (its record) for its route; views live in the arena. `issuer_keys` are those of
 * issuers_keys. An API key that cannot be read is left out: it opens nothing, and the rule stays.
 * ERROR_NO_MEMORY, ERROR_TOO_BIG: the arena is full. */
enum error access_route(const struct json *app, const struct json *issuer_keys, struct arena *arena,
                        struct route_access *access) MUST_CHECK;

#endif
