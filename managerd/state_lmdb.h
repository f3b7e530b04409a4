/*
 * State in an LMDB environment of its own: one node, group commit on the store thread.
 *
 * What is committed while a transaction is being written goes into the next one, together. The
 * folder is locked (flock) for one process: ERROR_BUSY.
 */
#ifndef MANAGERD_STATE_LMDB_H
#define MANAGERD_STATE_LMDB_H

#include "managerd/state.h"

struct jobs;

/* `store_thread` is a pool of one thread and outlives the state. map_bytes 0: the store's default.
 * One sentence in `problem`. */
enum error state_lmdb_open(const char *folder, size_t map_bytes, struct jobs *store_thread,
                           struct state **state, struct buffer *problem) MUST_CHECK;

#endif
