/*
 * Plans: which steps an operation takes, computed purely from the wish and the present state, and
 * the operation's document that holds them.
 */
#ifndef MANAGERD_PLAN_H
#define MANAGERD_PLAN_H

#include "common/base/json.h"

struct plan_operation {
    struct view id, app, created_by;
    int64_t now_ms;
};

/* What a deployment takes steps for. */
enum plan_part {
    PLAN_KNOWN = 1,     /* a function of ours may exist */
    PLAN_PROBE = 2,     /* the version is asked before it gets traffic */
    PLAN_ADOPT = 4,     /* a function that is not ours is taken over */
    PLAN_CONFIGURE = 8, /* tags or reserved concurrency are to be as the app says */
    PLAN_PROVIDE = 16,  /* concurrency is provided before traffic moves */
};
/* A deployment of `version`, whose package is stored already. `parts`: plan_part. `traffic` as in the
 * request (NULL: all). `canary`: complete, as settings.c checks it; NULL: none. */
struct json *plan_deploy(const struct plan_operation *operation, int64_t version, unsigned parts,
                         const struct json *traffic, const struct json *canary);
/* The end of an app. */
struct json *plan_delete(const struct plan_operation *operation, bool delete_function);
struct json *plan_delete_version(const struct plan_operation *operation, int64_t version);
/* What acts at once is brought to AWS (configure.h): changed settings, and concurrency that is provided for
 * the versions that have traffic. */
struct json *plan_configure(const struct plan_operation *operation, bool settings, bool provisions);
/* A comparison with AWS; what follows from it is planned by its first step. `policy` empty: the app's. */
struct json *plan_sync(const struct plan_operation *operation, struct view policy);
/* Puts steps ([{"name", "version"?}]) behind the one that is under way, in place of those there. */
void plan_follow(struct json *operation, const struct json *steps);
/* The application of a document with so many changes (apply.h), which have records of their own. */
struct json *plan_apply(const struct plan_operation *operation, size_t changes);
/* A change as the step that it is. */
struct json *plan_change(const struct json *change);

#endif
