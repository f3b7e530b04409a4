/*
 * A look at AWS: what an app's function, and the Lambda versions of its versions, are now (drift.h).
 * GetFunction alone is called, one call at a time, through the quota that it has. on_done comes from the
 * loop, once, unless the look was freed before.
 */
#ifndef MANAGERD_OBSERVE_H
#define MANAGERD_OBSERVE_H

#include "managerd/lambda_control.h"
#include "managerd/secrets.h"

struct observe;

struct observe_source {
    struct lambda_control *control;
    const struct secrets *secrets;
    const char *installation;
};

/* `expected`: drift.h (copied); of its versions those that are needed are looked at, or all that are
 * usable. */
struct observe *observe_start(const struct observe_source *source, struct view app,
                              struct view function, const struct json *expected, bool all,
                              void (*on_done)(struct observe *observe, void *context),
                              void *context);
/* What was observed: {"function": {"exists", "ours", "state", "stateReason", "stateReasonCode",
 * "lastUpdateStatus", "lastUpdateStatusReason", "lastUpdateStatusReasonCode", "lastModified", "description",
 * "picture"}, "versions": [{"version", "lambdaVersion", "exists", "state", "stateReason",
 * "stateReasonCode", "picture"}]}; the caller's from now on. In on_done, when it succeeded. */
struct json *observe_take(struct observe *observe);

/* Why it did not succeed; NULL: it did. Texts live as long as the look. */
struct observe_failure {
    enum lambda_outcome outcome;
    struct view code, message, request_id;
};
const struct observe_failure *observe_failure_of(const struct observe *observe);
/* Also in the middle. NULL is fine. */
void observe_free(struct observe *observe);

#endif
