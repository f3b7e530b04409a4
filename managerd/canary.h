/*
 * Canaries: a deployment that takes traffic step by step, and gives it back by itself when the proxies
 * measure that it does worse than it may.
 *
 * While one runs, the app's record says so: "canary": {"operation", "version", "percent", "before"},
 * `before` being the traffic that was settled. Whoever changes the traffic takes that member away, in the same
 * commit; the operation then ends as cancelled and changes nothing.
 */
#ifndef MANAGERD_CANARY_H
#define MANAGERD_CANARY_H

#include "managerd/operation.h"

/* Of an app's "internal". */
bool canary_runs(const struct json *internal);
/* Whether the running canary needs the version: its own, and those it may go back to. */
bool canary_needs(const struct json *internal, int64_t version);
/* The traffic is settled as it is, or as the caller is about to set it. */
void canary_forget(struct json *internal);
/* Back to the traffic before it; false: none runs, nothing was changed. */
bool canary_undo(struct json *internal, int64_t now_ms);

/* The steps; their members "percent" and "figures" are part of the operation's document. */
void step_shift_canary(struct operation *operation);
void step_watch_canary(struct operation *operation);

/* For the hooks of the deployment. Settle: forgets the operation's own canary; false: it has none. Go
 * back: the same with the traffic before it, added to operation->change. */
bool canary_settle(struct operation *operation, struct json *internal);
void canary_go_back(struct operation *operation);

#endif
