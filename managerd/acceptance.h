/*
 * Accepting a deployment: the app's record, the new version's, and the operation that will make it, all
 * for one commit. One place for every way to deploy.
 */
#ifndef MANAGERD_ACCEPTANCE_H
#define MANAGERD_ACCEPTANCE_H

#include "managerd/plan.h"
#include "managerd/state.h"

struct acceptance_package {
    struct view sha256; /* hex; it is stored */
    uint64_t bytes;
    struct view source;
};

struct acceptance {
    const struct plan_operation *operation; /* its id, app, who asked for it, and when */
    const struct acceptance_package *package;
    struct view description;
    bool adopt;
    const struct json *traffic; /* as in the request; NULL: all */
    const struct json *canary;  /* complete; NULL: none */
};

/*
 * Adds to the change: the app (its settings are the version's; `revision` 0: its compare is there
 * already) with one version more, and that version. Gives the operation, which is not added.
 * `*canary_ended`: a canary that ran is taken back, so the app is to be published.
 */
struct json *acceptance_make(struct change *change, struct json *app, uint64_t revision,
                             const struct acceptance *acceptance, bool *canary_ended);
/* Adds a queued operation. */
void acceptance_queue(struct change *change, const struct json *operation);

#endif
