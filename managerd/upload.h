/*
 * Uploads: large bodies on their way into a file, written and hashed by a thread of their own while
 * they come; the client waits while that is behind. So a package never lies in memory.
 *
 * The files lie in one folder under names that no package has; a crash leaves them behind, and
 * uploads_new removes them. How many come at once, how many bytes they may take together, and what
 * they leave of the disk, is bounded. Loop thread only, but for upload_keep.
 */
#ifndef MANAGERD_UPLOAD_H
#define MANAGERD_UPLOAD_H

#include "common/net/incoming.h"

struct event_base;
struct upload;
struct uploads;

struct uploads_options {
    const char *folder;  /* exists; removed from it: what earlier uploads left */
    unsigned max_count;  /* at once */
    uint64_t max_bytes;  /* of disk, that all of them may take together */
    uint64_t free_bytes; /* of disk, that they leave */
};
struct uploads *uploads_new(struct event_base *base, const struct uploads_options *options);
/* All requests and calls must be gone. NULL is fine. */
void uploads_free(struct uploads *uploads);
/* Waits for the disk, and frees what was dropped. NULL is fine. */
void uploads_drain(struct uploads *uploads);

struct uploads_figures {
    unsigned running;
    uint64_t bytes; /* of disk, that these may take */
    uint64_t begun, refused, failed;
};
void uploads_count(const struct uploads *uploads, struct uploads_figures *figures);

/* What takes a body that may take `bytes` of disk, what is made of it included. NULL: `*over` says why
 * not (BUSY, STORAGE_FULL). */
struct incoming_spool *upload_begin(struct uploads *uploads, uint64_t bytes,
                                    enum guard_reason *over);
/* NULL for NULL. */
struct upload *upload_of(struct incoming_spool *spool);
/* The body is complete and the spool is taken from its request: on_ready is called from the loop when
 * all of it is in the file, or when that failed. */
void upload_finish(struct upload *upload, void (*on_ready)(enum error error, void *context),
                   void *context);
/* Then: the whole file, mapped for reading (its pages are the disk's, not memory of ours). */
struct view upload_bytes(const struct upload *upload);
/* In hex; NUL-terminated. */
const char *upload_sha256(const struct upload *upload);
/* Any thread: makes the file durable under this name in the same folder; the bytes stay good. */
enum error upload_keep(struct upload *upload, const char *path) MUST_CHECK;
/* Also while it is being finished: on_ready is not called then. NULL is fine. */
void upload_free(struct upload *upload);

#endif
