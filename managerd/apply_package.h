/* Packages in a document: which ones the apps shall run, and whether they do so already. */
#ifndef MANAGERD_APPLY_PACKAGE_H
#define MANAGERD_APPLY_PACKAGE_H

#include "common/base/json.h"
#include "managerd/packages.h"
#include "managerd/records.h"
#include "managerd/shape.h"

/* What an app of the document names, found. */
struct apply_package {
    char sha256[65]; /* hex; empty: it names none, or a fault is told */
    uint64_t bytes;
    char source[32];
    bool held; /* it lies in the store, and is pinned there */
};

extern const struct shape applied_package_shape;

/* The SHA-256 of the package that most of the app's traffic runs, appended; nothing when none serves. */
void apply_live_package(struct state *state, const struct json *app, struct buffer *sha256);
/* Whether a version that has a share of the traffic runs the package. */
bool apply_package_serves(struct state *state, struct view app, const struct json *traffic,
                          const char *sha256);
/* Finds what {"version"} or {"sha256"} names, and pins it when it is in the store. Faults have the
 * pointers of the document's app. */
void apply_find_package(struct state *state, struct packages *packages, struct view app,
                        const struct json *source, struct apply_package *package,
                        struct faults *faults);
/* Whether the app must be deployed: what it shall run serves nothing yet, or the document changes what
 * is frozen into versions (`before` and `after`: images, history.h; `app` NULL: a new one). With
 * traffic of its own the document says which versions serve: the package must be one of theirs. */
bool apply_needs_deployment(struct state *state, const struct json *app, const struct json *wanted,
                            const struct json *before, const struct json *after,
                            const struct apply_package *package, struct faults *faults);

#endif
