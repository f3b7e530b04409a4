/*
 * Credentials: immutable, reference-counted snapshots behind an asynchronous provider.
 *
 * Today's provider reads the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
 * AWS_SESSION_TOKEN; an empty variable counts as unset; a key without its secret is an error), or the
 * files that AWS_ACCESS_KEY_ID_FILE and so on name, which a new provider reads anew. The
 * interface is the one that the full chain (web identity, files, container, instance) needs: a
 * request asks, and gets a snapshot at once or later from its loop. Snapshots may be shared between
 * threads; providers belong to one loop.
 */
#ifndef COMMON_AWS_CREDENTIALS_H
#define COMMON_AWS_CREDENTIALS_H

#include "common/base/bytes.h"

struct event_base;

struct credentials {
    struct view access_key_id;
    struct view secret_access_key; /* wiped when the last reference goes */
    struct view session_token;     /* empty: none */
    int64_t expires_at_ms;         /* wall time; INT64_MAX: never */
    uint64_t serial; /* differs between snapshots of a process: keys caches of signing keys */
};

struct credentials *credentials_new(struct view access_key_id, struct view secret_access_key,
                                    struct view session_token, int64_t expires_at_ms);
struct credentials *credentials_hold(struct credentials *credentials);
void credentials_release(struct credentials *credentials); /* NULL is fine */

struct credentials_provider;

/* The provider that the environment configures. ERROR_NOT_FOUND: nothing configured; ERROR_INVALID:
 * half configured; or a file's own error. One sentence in `problem`. */
enum error credentials_provider_new(struct event_base *base, struct credentials_provider **provider,
                                    struct buffer *problem) MUST_CHECK;
void credentials_provider_free(struct credentials_provider *provider);
/* "environment"; for logs and /v1/system. */
const char *credentials_provider_name(const struct credentials_provider *provider);
/* The present snapshot (held for the caller), or NULL: then on_ready is called later from the loop,
 * once, with a held snapshot or NULL and the error. */
struct credentials *credentials_get(struct credentials_provider *provider,
                                    void (*on_ready)(struct credentials *credentials,
                                                     enum error error, void *context),
                                    void *context);

#endif
