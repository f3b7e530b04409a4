/*
 * What of a function acts at once, whichever version serves: tags, and reserved and provisioned concurrency.
 * They are the app's settings `tags` and `concurrency`; an operation (type configure) brings AWS to have
 * them, accepted in the commit that changes them, or that moves the traffic which provisioned concurrency
 * follows. Deployments and syncs take the same steps.
 *
 * Of an app's "internal", for ever: "reserves", "provisions" (something was reserved, provided, by a
 * setting: where the setting is taken back, AWS is too), "tagged" (names of tags that were set once;
 * others are not ours to remove).
 */
#ifndef MANAGERD_CONFIGURE_H
#define MANAGERD_CONFIGURE_H

#include "managerd/operation.h"

/* Notes in an app's record (complete) what its settings make ours; whenever they change. */
void configure_mark(struct json *app);
/* The operation that has to follow a change of the app (its records before and after, marked), to be
 * accepted in the same commit; NULL: none. `before` NULL: the settings did not change, the traffic may have. */
struct json *configure_after(const struct json *before, const struct json *app,
                             struct view created_by);
/* Of an app's settings; -1: null. */
int64_t configure_reserved(const struct json *app);
int64_t configure_provisioned(const struct json *app);

/* For the end of an operation that may have moved traffic: adds one to the commit that ends it. To be
 * called in on_success or on_failure, and the second when that is committed. */
void configure_follow(struct operation *operation);
void configure_accept_follow(struct operation *operation);

/* The steps: tags and what is reserved; concurrency is provided for versions that have traffic (and, in a
 * deployment, for its own); it is taken from those that have more than they shall have, before anything
 * is reserved; and from those that lost their traffic, when their requests are over. */
void step_configure_function(struct operation *operation);
void step_lower_concurrency(struct operation *operation);
void step_provide_concurrency(struct operation *operation);
void step_release_concurrency(struct operation *operation);

#endif
