/*
 * Credentials: immutable, reference-counted snapshots, and the provider by which one loop gets them.
 *
 * Where they come from is the business of credentials_source.h. Snapshots may be shared between
 * threads; providers belong to one loop and give copies of their own, so that loops do not fight for one
 * counter.
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

/* Whether all of it can be sent in header lines. Empty parts are well-formed. */
bool credentials_well_formed(struct view access_key_id, struct view secret_access_key,
                             struct view session_token);

struct credentials_source;
struct credentials_provider;

/* Both in the loop's own thread; the source must live longer. NULL is fine for free, which forgets all
 * that wait. */
struct credentials_provider *credentials_provider_new(struct credentials_source *source,
                                                      struct event_base *base);
void credentials_provider_free(struct credentials_provider *provider);
/* The present snapshot (held for the caller), or NULL: then on_ready is called later from the loop,
 * once, with a held snapshot, or with NULL when the provider has failed. */
struct credentials *credentials_get(struct credentials_provider *provider,
                                    void (*on_ready)(struct credentials *credentials,
                                                     enum error error, void *context),
                                    void *context);
/* Whoever waits with this context is not called any more. */
void credentials_forget(struct credentials_provider *provider, void *context);
/* AWS's time minus ours, as its refusals have told so far, in all loops: what calls are signed at. */
int64_t credentials_clock_offset_ms(const struct credentials_provider *provider);
/* AWS refused what these credentials signed, by this code and with this Date (empty: none). True: signing
 * once more is worth while, as our clock was wrong and is corrected, or as there are other credentials
 * than those which AWS does not take any more. If there are none yet, the source looks for them at once,
 * unless it has just done so. */
bool credentials_refused(struct credentials_provider *provider,
                         const struct credentials *credentials, struct view code, struct view date);

#endif
