/*
 * State: what managerd knows, behind one small interface: get, range, commit, watch.
 *
 * A flat, ordered space of keys ("apps/hello") and values (JSON text). Each record carries the
 * revision of the commit that last wrote it; revisions rise and are never used twice. Reads are
 * local and see everything whose on_done was called. A commit is all or nothing: every compare must
 * hold, then every write is made, durably. on_done comes from the loop, never from inside
 * state_commit. Back ends: state_lmdb.h. Loop thread only.
 */
#ifndef MANAGERD_STATE_H
#define MANAGERD_STATE_H

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/json.h"
#include "managerd/meter.h"

#define STATE_MAX_KEY    480
#define STATE_MAX_VALUE  (4u << 20)
#define CHANGE_MAX_BYTES (4 * STATE_MAX_VALUE)

struct state;

typedef bool (*state_visit)(struct view key, struct view value, uint64_t revision, void *context);
typedef void (*state_done)(enum error error, uint64_t revision, void *context);

/* Copies the value (cleared first). ERROR_NOT_FOUND; `revision` may be NULL. */
enum error state_get(struct state *state, struct view key, struct buffer *value,
                     uint64_t *revision) MUST_CHECK;
/* Visits keys >= first that start with prefix, in byte order, until visit returns false. The views
 * die with the visit; visit must not read state. */
enum error state_range(struct state *state, struct view prefix, struct view first,
                       state_visit visit, void *context) MUST_CHECK;
/* The same of the keys alone: values are not looked at, the visit gets them empty, and revision 0. */
enum error state_keys(struct state *state, struct view prefix, struct view first, state_visit visit,
                      void *context) MUST_CHECK;

/* What a commit compares and writes; built up in an arena, whose ceiling is its own. */
struct state_compare {
    struct view key;
    uint64_t revision; /* 0: must not exist */
};
struct state_write {
    struct view key;
    struct view value; /* data NULL: remove (absent is fine) */
};
struct change {
    struct arena arena;
    struct view *entries; /* of the audit (audit.h) */
    size_t entry_count, entry_capacity;
    struct state_compare *compares;
    size_t compare_count, compare_capacity;
    struct state_write *writes;
    size_t write_count, write_capacity;
    bool urgent; /* may use the store's reserve: it removes, or ends what has begun */
};
void change_init(struct change *change);
void change_release(struct change *change);
/* Empties it, for building another. */
void change_clear(struct change *change);
void change_compare(struct change *change, const char *key, uint64_t revision);
void change_put(struct change *change, const char *key, const struct json *value);
void change_remove(struct change *change, const char *key);
/* One more record of the audit, by its content: chained (chain.h) as "audit/NUMBER" when it is written,
 * in the order of the commits, and with it STATE_CHAIN_HEAD, the chain's end. */
#define STATE_CHAIN_HEAD "audithead"
void change_audit(struct change *change, const struct json *content);
/* Appends what `from` holds, copied; urgent if that is. */
void change_append(struct change *change, const struct change *from);
bool change_writes(const struct change *change, const char *key);

/* Takes a copy of the change. ERROR_CONFLICT: a compare did not hold; ERROR_FULL; ERROR_IO;
 * ERROR_TOO_BIG (the change outgrew its arena). */
void state_commit(struct state *state, const struct change *change, state_done on_done,
                  void *context);

/* Calls on_change from the loop, after the on_done of each commit that wrote the key. The watch may
 * be dropped from inside on_change. */
struct state_watch;
struct state_watch *state_watch(struct state *state, const char *key, void (*on_change)(void *),
                                void *context);
void state_unwatch(struct state_watch *watch);

/* Calls on_written from the loop for each key below `folder` that a commit wrote, before its on_done:
 * who is called by on_done finds what follows state in step with it. */
struct state_follower;
struct state_follower *state_follow(struct state *state, const char *folder,
                                    void (*on_written)(struct view key, void *context),
                                    void *context);
void state_unfollow(struct state_follower *follower);

/* Whether the last commit succeeded (true before the first), and state is not full; for readiness. */
bool state_writable(const struct state *state);
/* Whether something was refused for want of space, and nothing but urgent changes was taken since. */
bool state_full(const struct state *state);
uint64_t state_commits(const struct state *state);
/* Within on_done: what the transaction took that the commit was part of. */
struct store_times state_times(const struct state *state);
/* Transactions so far, and what all of them took. */
uint64_t state_transactions(const struct state *state, struct store_times *sum);
/* Bytes in use of the store, for metrics. */
uint64_t state_used_bytes(struct state *state);
/* Bytes that the store may grow to. */
uint64_t state_max_bytes(struct state *state);
void state_close(struct state *state);

/* For back ends. */
struct state_back_end {
    enum error (*get)(struct state *state, struct view key, struct buffer *value,
                      uint64_t *revision);
    enum error (*range)(struct state *state, struct view prefix, struct view first,
                        state_visit visit, void *context);
    enum error (*keys)(struct state *state, struct view prefix, struct view first,
                       state_visit visit, void *context);
    void (*commit)(struct state *state, const struct change *change, state_done on_done,
                   void *context);
    uint64_t (*used_bytes)(struct state *state);
    uint64_t (*max_bytes)(struct state *state);
    void (*close)(struct state *state);
};
struct state {
    const struct state_back_end *back_end;
    struct state_follower *followers;
    struct state_watch *watches;
    struct state_watch *next_watch; /* where a walk over the watches goes on */
    bool failing, full;
    uint64_t commits, transactions;
    struct store_times times, all_times;
};
/* A back end tells of each written key, before and after on_done. */
void state_written(struct state *state, struct view key);
void state_changed(struct state *state, struct view key);

#endif
