/*
 * Credentials that stay fresh: one source per process asks the provider that is configured
 * (identity.h), ahead of expiry, and hands snapshots to the loops of other threads.
 *
 * The source belongs to one loop. Everybody else has a credentials_provider (credentials.h) made from
 * it, in a loop of its own, and never waits while there is a snapshot. When the provider fails, the last
 * snapshot serves until it expires (an instance's even longer: AWS asks for that), while the provider is
 * asked again and again; what it gives as current is served even when this machine's clock says that it
 * has expired.
 */
#ifndef COMMON_AWS_CREDENTIALS_SOURCE_H
#define COMMON_AWS_CREDENTIALS_SOURCE_H

#include "common/aws/credentials.h"

struct event_base;

/* Chooses the identity and begins to ask. `variable` is getenv, or stands for it in tests. Besides the
 * SDKs' own variables, files that AWS_ACCESS_KEY_ID_FILE and so on name are read. ERROR_*: what is
 * configured cannot be used, or nothing is; one sentence in `problem`. */
enum error credentials_source_new(struct event_base *base,
                                  const char *(*variable)(const char *name),
                                  struct credentials_source **source,
                                  struct buffer *problem) MUST_CHECK;
/* All providers made from it must be gone. NULL is fine. */
void credentials_source_free(struct credentials_source *source);
/* Chooses anew and asks at once, in its own loop's thread; on failure what was chosen before goes on. */
enum error credentials_source_reload(struct credentials_source *source,
                                     struct buffer *problem) MUST_CHECK;

/* Waits, in a loop of its own, until the identity that would be chosen has given keys once; at most
 * `timeout_ms`. For the start: ERROR_* with a sentence when nothing is configured (the instance that is
 * asked when nothing else is configured must answer, too), or what is configured is wrong. A provider
 * that was configured and does not answer is ERROR_NONE: it may answer later. */
enum error credentials_check(const char *(*variable)(const char *name), int64_t timeout_ms,
                             struct buffer *problem) MUST_CHECK;

struct credentials_status {
    const char *provider; /* "instance", see identity.h */
    bool present;
    int64_t expires_at_ms;        /* INT64_MAX: never; 0: there are none */
    uint64_t refreshes, failures; /* of asking */
    char problem[512];            /* of the last asking; empty: it went well */
};
/* From any thread. */
void credentials_source_status(struct credentials_source *source,
                               struct credentials_status *status);

#endif
