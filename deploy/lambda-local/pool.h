/*
 * Pools: the sandboxes of each version, the invocations that wait for one, and the limits over all.
 *
 * An invocation takes the sandbox that was used last. When all are busy it waits a moment for one
 * of them, then another is started, as long as the limit on processes allows; at the limit an idle
 * sandbox of another version gives way. A sandbox that fails to start costs one waiting invocation,
 * so nothing is tried for ever.
 */
#ifndef LAMBDA_LOCAL_POOL_H
#define LAMBDA_LOCAL_POOL_H

#include "deploy/lambda-local/config.h"
#include "deploy/lambda-local/invocation.h"

#include <sys/types.h>

struct event_base;
struct pools;

enum pool_verdict {
    POOL_ACCEPTED,
    POOL_FUNCTION_LIMIT, /* reserved concurrency is used up */
    POOL_ACCOUNT_LIMIT,
};

/* `folder` is emptied: sandboxes keep temporary files below it. ERROR_* with one sentence in
 * `problem`. */
enum error pools_new(struct event_base *base, const struct config *config, const char *instance,
                     const char *folder, pid_t keeper, struct pools **pools,
                     struct buffer *problem) MUST_CHECK;
/* Takes the invocation over when it is accepted; on_done then comes from the loop. */
enum pool_verdict pools_submit(struct pools *pools, struct invocation *invocation) MUST_CHECK;
/* Nobody will call this version any more. */
void pools_retire(struct pools *pools, struct version *version);
/* Invocations accepted and not yet done. */
unsigned pools_in_flight(const struct pools *pools);
/* Calls `on_idle` from the loop when nothing is in flight (at once when nothing is). */
void pools_on_idle(struct pools *pools, void (*on_idle)(void *context), void *context);
/* Kills and reaps all sandboxes; invocations under way are dropped. */
void pools_free(struct pools *pools);

#endif
