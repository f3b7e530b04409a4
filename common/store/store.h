/*
 * An LMDB environment: short reads, one writer at a time, every limit set. lmdb.h comes in by
 * store_lmdb.h, for the files of this folder only.
 *
 * One `struct store` per environment and process (LMDB's rule); reader handles per thread. The map
 * is constant (16 GiB, sparse) and never grown; full is ERROR_FULL. max_readers 1024. Values are
 * copied out: no transaction outlives a call of this module. Containers that share an environment
 * must share a PID namespace (LMDB tells readers apart by PID); store_open proves that it can read
 * and says what is wrong if it cannot.
 */
#ifndef COMMON_STORE_STORE_H
#define COMMON_STORE_STORE_H

#include "common/base/arena.h"
#include "common/base/bytes.h"

#include <sys/types.h>

struct store;
struct store_reader; /* one thread's reset read transaction */
struct store_write;  /* an open write transaction */

struct store_options {
    const char *folder; /* holds data.mdb and lock.mdb */
    bool read_only;
    const char *const
        *databases;     /* NULL-terminated names (layout.h); made when missing unless read_only */
    size_t map_bytes;   /* 0: 16 GiB */
    mode_t folder_mode; /* 0: 0750; made when missing unless read_only */
    mode_t data_mode;   /* 0: 0640 */
    mode_t lock_mode;   /* 0: 0660 */
    bool
        checked; /* for writers: store_check found it whole, so that an end that the file lacks holds
                     nothing, and is put back */
    bool reserve; /* puts leave the last eighth of the map free (a quarter of a small one, 64 MiB at
                     most), unless they may use it (store_use_reserve) */
};

/* On failure one sentence (what, where, what to do) goes to `problem` (may be NULL). read_only of a
 * folder without an environment: ERROR_NOT_FOUND; try again later. ERROR_DENIED: no lock can be
 * taken. ERROR_BUSY: another process of the same id in another PID namespace, or with another LMDB, no
 * free reader slot, or this process has an environment open whose data.mdb was replaced, and its
 * lock.mdb was not. ERROR_DAMAGED: foreign, cut or damaged file. A reader may know databases that its writer
 * has not made yet: they are empty until they appear. Opening an environment that this process has
 * open already is our bug (REQUIRE). */
enum error store_open(const struct store_options *options, struct store **store,
                      struct buffer *problem) MUST_CHECK;
void store_close(struct store *store);
/* Whether the environment on disk is another one than the one open (replaced or removed): the
 * reader should close it and open again, in that order. */
bool store_replaced(const struct store *store);
/* Frees reader slots of processes that died; how many. Any thread. */
int store_check_readers(struct store *store);

/* Entries of all databases; bytes in use up to the last page ever used; readers of all processes. */
struct store_statistics {
    uint64_t entries, map_bytes, used_bytes, readers, last_transaction;
};
enum error store_statistics(struct store *store, struct store_statistics *out) MUST_CHECK;

enum error store_reader_new(struct store *store, struct store_reader **reader) MUST_CHECK;
void store_reader_free(struct store_reader *reader);
/* Copies one value into `out` (cleared first). ERROR_NOT_FOUND, ERROR_TOO_BIG (the buffer's
 * ceiling), ERROR_DAMAGED. */
enum error store_get(struct store_reader *reader, const char *database, struct view key,
                     struct buffer *out) MUST_CHECK;
/* Several reads on one snapshot: between begin and end all gets see the same state. Never across a
 * turn of the loop. */
enum error store_begin(struct store_reader *reader) MUST_CHECK;
void store_end(struct store_reader *reader);
/* Visits keys >= first in byte order while they start with `prefix`; stop by returning false. The
 * views die with the visit. The visit may read with the same reader, on the same snapshot. */
enum error store_range(struct store_reader *reader, const char *database, struct view prefix,
                       struct view first,
                       bool (*visit)(struct view key, struct view value, void *context),
                       void *context) MUST_CHECK;

/* Writing: begin, puts and deletes and gets, commit (fsync) or abort. Blocks while another writer
 * is in. Begin and commit happen on one thread. A put that failed (ERROR_FULL, ERROR_TOO_BIG,
 * ERROR_INVALID for an empty key) sticks: commit then writes nothing and gives the same error. A
 * visit of store_write_range must not write. Keys have 1 to 511 bytes. */
enum error store_write_begin(struct store *store, struct store_write **write) MUST_CHECK;
/* Whether the puts that follow may use the reserve; at first they may not. Deletions always may:
 * also they need pages before they give any back. */
void store_use_reserve(struct store_write *write, bool use);
enum error store_write_get(struct store_write *write, const char *database, struct view key,
                           struct buffer *out) MUST_CHECK;
enum error store_put(struct store_write *write, const char *database, struct view key,
                     struct view value) MUST_CHECK;
/* ERROR_NOT_FOUND when absent. */
enum error store_delete(struct store_write *write, const char *database,
                        struct view key) MUST_CHECK;
enum error store_write_range(struct store_write *write, const char *database, struct view prefix,
                             struct view first,
                             bool (*visit)(struct view key, struct view value, void *context),
                             void *context) MUST_CHECK;
/* Durable when it returns ERROR_NONE. The handle is gone either way. */
enum error store_commit(struct store_write *write) MUST_CHECK;
void store_abort(struct store_write *write);

#endif
