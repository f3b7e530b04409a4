/*
 * Old versions go by themselves: those beyond the newest few of their app that have also reached an age,
 * each by an operation of its own (delete-version), as if somebody had deleted it.
 *
 * Never one with traffic, one of a running canary or that it may go back to, one that a rollback leads
 * to, one that is not finished, or one that shares its Lambda version with such a one. An app is looked
 * at when a deployment of it has ended and the requests from before are over, and all apps each hour.
 * Loop thread only.
 */
#ifndef MANAGERD_PRUNE_H
#define MANAGERD_PRUNE_H

#include "managerd/operation.h"

struct prune;

#define PRUNE_AT_ONCE 10 /* versions of one app */

struct prune_options {
    struct event_base *base;
    struct state *state;
    struct publisher *publisher;
    struct roster *roster;
    int64_t drain_ms; /* as the option says it */
    int64_t keep;     /* newest versions of each app, unless it says otherwise; 0: all */
    int64_t keep_ms;  /* and all that are younger */
};

struct prune *prune_new(const struct prune_options *options);
/* From now on versions go, by these operations. */
void prune_begin(struct prune *prune, struct operations *operations);
/* NULL is fine. */
void prune_free(struct prune *prune);
/* Something of the app has ended. NULL is fine. */
void prune_due(struct prune *prune, struct view app);

/* Whether the version has traffic, or may get it back by itself: by a rollback, or when a canary ends. */
bool prune_needs(const struct json *internal, int64_t number);

/* What is looked at; pure. */
struct prune_version {
    int64_t number, made_ms;
    char lambda_version[32]; /* empty: none */
    bool busy;               /* pending, or being deleted */
};
/* Fills `chosen` with the numbers of the versions that go, the oldest first; gives their count. */
size_t prune_choose(const struct json *internal, const struct prune_version *versions, size_t count,
                    int64_t keep, int64_t made_before_ms, int64_t chosen[PRUNE_AT_ONCE]);

#endif
