/*
 * Issuers of tokens: fetches the keys that they publish, keeps them in state, and has the routes of
 * the apps published again when they change. Apps that name the same place share one source.
 *
 * Each source is looked at when the first app names it, then at an interval, or earlier when the
 * issuer's Cache-Control says so; with ETags. When it cannot be asked, its last keys stay in force
 * for a bounded time; after that, and before the first success, the apps have no keys, and proxyd
 * refuses every token. What is fetched is named by whoever may deploy, so only https is asked, no
 * redirect is followed, answers and time are bounded, and addresses of this machine and its link
 * are refused unless an option allows them. Loop thread only.
 */
#ifndef MANAGERD_ISSUERS_H
#define MANAGERD_ISSUERS_H

#include "managerd/state.h"

struct event_base;
struct issuers;
struct publisher;

struct issuers_options {
    struct event_base *base;
    struct state *state;
    int64_t interval_ms; /* between looks */
    int64_t max_age_ms;  /* of keys whose issuer cannot be asked */
    const char *ca_file; /* NULL: the system's */
    bool allow_loopback; /* and plain HTTP there */
    bool allow_link_local;
};

struct issuers *issuers_new(const struct issuers_options *options);
/* From now on changed keys are published. Forgets the keys of sources that no app has named yet. */
void issuers_start(struct issuers *issuers, struct publisher *publisher);
/* Begins no more fetches, and ends those under way. */
void issuers_stop(struct issuers *issuers);
/* Nothing may be being committed. NULL is fine. */
void issuers_free(struct issuers *issuers);

/* The app's rule (its access.jwt; NULL or null: it has none) as it is now. Gives the keys for its
 * route (see token_rule.h), borrowed until the loop turns; NULL: none are known. */
const struct json *issuers_keys(struct issuers *issuers, struct view app, const struct json *rule);
/* Looks at the app's source now, or once more when that is under way; false: it has none. */
bool issuers_refresh(struct issuers *issuers, struct view app);
/* What is observed of the app's source, for its status; NULL: it has none. */
struct json *issuers_show(const struct issuers *issuers, struct view app);

struct issuers_figures {
    uint64_t succeeded, failed; /* looks at sources */
    unsigned sources, failing, missing;
    int64_t oldest_s; /* age of the oldest keys in force */
};
void issuers_count(const struct issuers *issuers, struct issuers_figures *figures);

#endif
