/*
 * Packages: zip archives on disk, named by their SHA-256, checked before they are believed.
 *
 * Checking, hashing, encoding and writing run in the pool; on_done comes from the loop. What is
 * handed over (views) must live until then.
 */
#ifndef MANAGERD_PACKAGES_H
#define MANAGERD_PACKAGES_H

#include "common/base/bytes.h"

struct jobs;
struct packages;
struct state;

struct packages *packages_new(const char *folder, struct jobs *pool, uint64_t max_bytes);
void packages_free(struct packages *packages);

struct package_stored {
    enum error error;   /* INVALID: no good archive; TOO_BIG; FULL, IO …: not stored */
    struct view detail; /* one sentence for the user */
    char sha256[65];    /* hex */
    uint64_t bytes;
};
/* Checks, stores and pins an archive; with `base64` the text is decoded first. */
void packages_store(struct packages *packages, struct view archive, bool base64,
                    void (*on_done)(const struct package_stored *stored, void *context),
                    void *context);

/* Builds before + base64(package) + after, the body of an AWS call. The buffer is the callee's to
 * take; on an error it is empty. */
void packages_encode(struct packages *packages, struct view sha256, struct view before,
                     struct view after,
                     void (*on_done)(enum error error, struct buffer *body, void *context),
                     void *context);

/* Removes the packages that no version in state names and that are not pinned; how many. Blocks: it
 * reads all versions. */
unsigned packages_sweep_unused(struct packages *packages, struct state *state);
/* A package that was just stored is pinned until its version is committed (or given up). */
void packages_unpin(struct packages *packages, struct view sha256);

#endif
