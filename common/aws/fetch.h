/*
 * One asking of a provider for credentials, without blocking the loop. Belongs to one loop.
 *
 * Container and instance are asked over HTTP, roles are assumed of STS (a role that another identity
 * assumes is fetched after it), a process is run without a shell, its messages going where ours go. Each
 * has its own patience, and tries what may pass again. Keys that stand in the configuration come at
 * once, though through the loop, too.
 */
#ifndef COMMON_AWS_FETCH_H
#define COMMON_AWS_FETCH_H

#include "common/aws/credentials.h"
#include "common/aws/identity.h"

struct event_base;
struct fetcher;
struct fetch;

/* What askings on a loop share: connections, the instance's session. `variable` (getenv) gives STS's
 * endpoint, region and AWS_CA_BUNDLE when a role is assumed. */
struct fetcher *fetcher_new(struct event_base *base, const char *(*variable)(const char *name));
/* No asking may be under way. NULL is fine. */
void fetcher_free(struct fetcher *fetcher);

/* on_done comes once, from the loop: credentials (held for the caller) or NULL, then with one sentence
 * that names the provider and shows no secret. `identity` must live until then. */
struct fetch *fetch_start(struct fetcher *fetcher, const struct identity *identity,
                          void (*on_done)(struct credentials *credentials, struct view problem,
                                          void *context),
                          void *context);
/* Ends it without on_done. NULL is fine. */
void fetch_cancel(struct fetch *fetch);

#endif
