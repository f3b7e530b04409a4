/*
 * Packages: zip archives on disk, named by their SHA-256, checked before they are believed.
 *
 * Checking, hashing, decoding and writing run in the pool; on_done comes from the loop. What is
 * handed over (views) must live until then.
 */
#ifndef MANAGERD_PACKAGES_H
#define MANAGERD_PACKAGES_H

#include "common/base/bytes.h"

struct jobs;
struct lambda_stream;
struct packages;
struct state;
struct upload;

struct packages *packages_new(const char *folder, struct jobs *pool, uint64_t max_bytes);
void packages_free(struct packages *packages);

struct package_stored {
    enum error error;   /* INVALID: no good archive; TOO_BIG; FULL, IO …: not stored */
    struct view detail; /* one sentence for the user */
    char sha256[65];    /* hex */
    uint64_t bytes;
};
/* Where an archive lies; all of it until on_done. */
struct package_source {
    struct view bytes; /* the archive, or with `base64` the inside of a JSON string that holds it */
    bool base64;
    struct upload *upload; /* without base64: the whole of this is the archive; else NULL */
};
/* Checks, stores and pins an archive. It is never copied in memory as a whole. */
void packages_store(struct packages *packages, const struct package_source *source,
                    void (*on_done)(const struct package_stored *stored, void *context),
                    void *context);

/* The body of an AWS call: before + base64(package) + after. Without an error it is the callee's to
 * send or to free. ERROR_DAMAGED: the file is not what its name says. */
void packages_body(struct packages *packages, struct view sha256, struct view before,
                   struct view after,
                   void (*on_done)(enum error error, struct lambda_stream *body, void *context),
                   void *context);

/* Removes the packages that no version in state, nor a document that is being applied, names and that
 * are not pinned; how many. Blocks: it reads all versions. */
unsigned packages_sweep_unused(struct packages *packages, struct state *state);
/* Adds the hashes of all packages that are there; on any thread. */
struct names;
enum error packages_list(const struct packages *packages, struct names *hashes) MUST_CHECK;
/* Whether one is being stored: it may be one that is there already, and is neither pinned nor named yet. */
bool packages_storing(const struct packages *packages);
/* Removes a package that no version names, unless it is pinned; whether it did. */
bool packages_remove(struct packages *packages, struct view sha256);
/* Pins a package that is there already, until packages_unpin. False: it is not there. */
bool packages_hold(struct packages *packages, struct view sha256, uint64_t *bytes);
/* A package that was just stored is pinned until its version is committed (or given up). */
void packages_unpin(struct packages *packages, struct view sha256);

#endif
