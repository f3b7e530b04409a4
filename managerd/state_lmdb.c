/* Keeps state in LMDB: local reads, and commits that gather on the loop and are written together. */
#include "managerd/state_lmdb.h"

#include "common/base/file.h"
#include "common/store/store.h"
#include "common/store/store_check.h"
#include "managerd/chain.h"
#include "managerd/jobs.h"
#include "managerd/records.h"
#include "managerd/state_check.h"
#include "managerd/state_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define RECORDS      STATE_RECORDS
#define META         STATE_META
#define REVISION_KEY STATE_REVISION

struct commit {
    struct change change; /* an own copy */
    state_done on_done;
    void *context;
    enum error refused; /* cannot be written at all */
    enum error error;
    uint64_t revision;
    struct commit *next;
};

struct state_lmdb {
    struct state state;
    struct store *store;
    struct store_reader *reader;
    struct jobs *store_thread;
    int lock;
    struct commit *waiting, **waiting_end; /* gathered for the next transaction */
    struct commit *writing;                /* the store thread's until its job is done, */
    struct store_times taken;              /* and this, too */
};

static const char *const databases[] = {RECORDS, META, NULL};
static const struct state_back_end lmdb_back_end;

static enum error lock_folder(struct state_lmdb *state, const char *folder, struct buffer *problem)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/owner.lock", folder) >= (int)sizeof path)
        return ERROR_TOO_BIG;
    state->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (state->lock < 0) {
        buffer_append_format(problem, "%s cannot be opened: %s.", path, strerror(errno));
        return error_from_errno(errno);
    }
    if (flock(state->lock, LOCK_EX | LOCK_NB) != 0) {
        buffer_append_format(problem,
                             "another managerd is using %s: stop it first, or give this one its "
                             "own ORCHESTRATOR_DATA_DIR.",
                             folder);
        return ERROR_BUSY;
    }
    return ERROR_NONE;
}

enum error state_lmdb_open(const char *folder, size_t map_bytes, struct jobs *store_thread,
                           struct state **out, struct buffer *problem)
{
    struct state_lmdb *state = calloc(1, sizeof *state);
    REQUIRE(state);
    state->state.back_end = &lmdb_back_end;
    state->store_thread = store_thread;
    state->waiting_end = &state->waiting;
    state->lock = -1;
    struct store_options options = {.folder = folder,
                                    .databases = databases,
                                    .map_bytes = map_bytes,
                                    .folder_mode = 0700,
                                    .data_mode = 0600,
                                    .lock_mode = 0600,
                                    .checked = true, /* by state_check, below */
                                    .reserve = true};
    enum error error = folder_make(folder, 0700);
    if (error)
        buffer_append_format(problem, "the folder %s cannot be made: it %s.", folder,
                             error_text(error));
    else
        error = lock_folder(state, folder, problem);
    if (!error)
        error = state_check(folder, NULL, problem);
    if (error == ERROR_NOT_FOUND)
        error = store_check_clear(folder, problem); /* the first start */
    if (!error)
        error = store_open(&options, &state->store, problem);
    if (!error)
        error = store_reader_new(state->store, &state->reader);
    if (error) {
        state_close(&state->state);
        return error;
    }
    *out = &state->state;
    return ERROR_NONE;
}

static void lmdb_close(struct state *base)
{
    struct state_lmdb *state = (struct state_lmdb *)base;
    REQUIRE(!state->waiting && !state->writing);
    if (state->reader)
        store_reader_free(state->reader);
    if (state->store)
        store_close(state->store);
    if (state->lock >= 0)
        close(state->lock);
    free(state);
}

static enum error lmdb_get(struct state *base, struct view key, struct buffer *value,
                           uint64_t *revision)
{
    struct state_lmdb *state = (struct state_lmdb *)base;
    enum error error = store_get(state->reader, RECORDS, key, value);
    if (error)
        return error;
    uint64_t read = 0;
    struct view text;
    if (!state_record_read(key, buffer_view(value), &read, &text))
        return ERROR_DAMAGED;
    if (revision)
        *revision = read;
    size_t length = text.length;
    buffer_consume(value, (size_t)(text.data - value->data));
    value->length = length;
    value->data[length] = 0;
    return ERROR_NONE;
}

struct visit {
    state_visit visit;
    void *context;
    bool damaged;
};

static bool on_visit(struct view key, struct view value, void *context)
{
    struct visit *visit = context;
    struct view text;
    uint64_t revision;
    visit->damaged = !state_record_read(key, value, &revision, &text);
    return !visit->damaged && visit->visit(key, text, revision, visit->context);
}

static enum error lmdb_range(struct state *base, struct view prefix, struct view first,
                             state_visit visit, void *context)
{
    struct state_lmdb *state = (struct state_lmdb *)base;
    struct visit own = {visit, context, false};
    enum error error = store_range(state->reader, RECORDS, prefix, first, on_visit, &own);
    return error ? error : own.damaged ? ERROR_DAMAGED : ERROR_NONE;
}

static bool on_key(struct view key, struct view value, void *context)
{
    struct visit *visit = context;
    (void)value;
    return visit->visit(key, VIEW(""), 0, visit->context);
}

static enum error lmdb_keys(struct state *base, struct view prefix, struct view first,
                            state_visit visit, void *context)
{
    struct state_lmdb *state = (struct state_lmdb *)base;
    struct visit own = {visit, context, false};
    return store_range(state->reader, RECORDS, prefix, first, on_key, &own);
}

static uint64_t lmdb_used_bytes(struct state *base)
{
    struct store_statistics statistics = {0};
    if (store_statistics(((struct state_lmdb *)base)->store, &statistics))
        return 0;
    return statistics.used_bytes;
}

static uint64_t lmdb_max_bytes(struct state *base)
{
    struct store_statistics statistics = {0};
    if (store_statistics(((struct state_lmdb *)base)->store, &statistics))
        return 0;
    return statistics.map_bytes;
}

/* On the store thread: the compares of one commit, against what the transaction has so far. */
static enum error check_compares(struct store_write *write, const struct change *change,
                                 struct buffer *scratch)
{
    for (size_t i = 0; i < change->compare_count; i++) {
        const struct state_compare *compare = &change->compares[i];
        enum error error = store_write_get(write, RECORDS, compare->key, scratch);
        if (error && error != ERROR_NOT_FOUND)
            return error;
        uint64_t revision = 0;
        struct view text;
        if (!error && !state_record_read(compare->key, buffer_view(scratch), &revision, &text))
            return ERROR_DAMAGED;
        if (revision != compare->revision)
            return ERROR_CONFLICT;
    }
    return ERROR_NONE;
}

static enum error put_record(struct store_write *write, struct view key, struct view value,
                             uint64_t revision, struct buffer *scratch)
{
    buffer_clear(scratch);
    state_record_write(scratch, key, revision, value);
    return scratch->error ? scratch->error : store_put(write, RECORDS, key, buffer_view(scratch));
}

/* Chains the records of the audit to those that the transaction has so far. */
static enum error chain_entries(struct store_write *write, const struct change *change,
                                uint64_t revision, struct buffer *scratch)
{
    struct chain_place place;
    struct buffer record;
    struct view head;
    uint64_t head_revision;
    chain_begin(&place);
    enum error error = store_write_get(write, RECORDS, VIEW(STATE_CHAIN_HEAD), scratch);
    if (error == ERROR_NOT_FOUND)
        error = ERROR_NONE;
    else if (!error && !state_record_read(VIEW(STATE_CHAIN_HEAD), buffer_view(scratch),
                                          &head_revision, &head))
        error = ERROR_DAMAGED;
    else if (!error)
        error = chain_place_read(head, &place);
    buffer_init(&record, STATE_MAX_VALUE + 1024);
    for (size_t i = 0; i < change->entry_count && !error; i++) {
        struct key key = key_audit(place.sequence + 1);
        buffer_clear(&record);
        chain_append(&place, change->entries[i], &record);
        error = record.error
                    ? record.error
                    : put_record(write, view_of(key.text), buffer_view(&record), revision, scratch);
    }
    buffer_clear(&record);
    chain_place_write(&place, &record);
    if (!error)
        error = put_record(write, VIEW(STATE_CHAIN_HEAD), buffer_view(&record), revision, scratch);
    buffer_release(&record);
    return error;
}

static enum error apply_writes(struct store_write *write, const struct change *change,
                               uint64_t revision, struct buffer *scratch)
{
    store_use_reserve(write, change->urgent);
    for (size_t i = 0; i < change->write_count; i++) {
        const struct state_write *one = &change->writes[i];
        enum error error;
        if (!one->value.data) {
            error = store_delete(write, RECORDS, one->key);
            if (error == ERROR_NOT_FOUND)
                error = ERROR_NONE;
        } else {
            error = put_record(write, one->key, one->value, revision, scratch);
        }
        if (error)
            return error;
    }
    enum error error =
        change->entry_count ? chain_entries(write, change, revision, scratch) : ERROR_NONE;
    store_use_reserve(write, true);
    if (error)
        return error;
    buffer_clear(scratch);
    state_record_write(scratch, VIEW(REVISION_KEY), revision, VIEW(STATE_LAYOUT));
    return store_put(write, META, VIEW(REVISION_KEY), buffer_view(scratch));
}

/* Writes `count` commits in one transaction. A commit whose compares fail is left out; any other
 * error aborts all. */
static enum error write_commits(struct state_lmdb *state, struct commit *first, size_t count)
{
    struct store_watch watch;
    store_watch_begin(&watch);
    struct buffer scratch;
    buffer_init(&scratch, STATE_MAX_VALUE + STATE_RECORD_OVERHEAD);
    struct store_write *write = NULL;
    enum error error = store_write_begin(state->store, &write);
    if (error)
        goto out;
    uint64_t revision = 0;
    error = store_write_get(write, META, VIEW(REVISION_KEY), &scratch);
    struct view layout;
    if (!error && !state_record_read(VIEW(REVISION_KEY), buffer_view(&scratch), &revision, &layout))
        error = ERROR_DAMAGED;
    if (error == ERROR_NOT_FOUND)
        error = ERROR_NONE;
    struct commit *commit = first;
    for (size_t i = 0; i < count && !error; i++, commit = commit->next) {
        commit->error = commit->refused;
        if (commit->refused)
            continue;
        commit->error = check_compares(write, &commit->change, &scratch);
        if (commit->error) {
            error = commit->error == ERROR_CONFLICT ? ERROR_NONE : commit->error;
            continue;
        }
        commit->revision = ++revision;
        error = apply_writes(write, &commit->change, revision, &scratch);
    }
    if (error) {
        store_abort(write);
    } else {
        error = store_commit(write);
    }
out:
    buffer_release(&scratch);
    store_watch_end(&watch, &state->taken);
    return error;
}

/* The store thread's job: all together, and one by one when together failed, so that one commit
 * that cannot be written does not fail its neighbours. */
static void write_batch(void *context)
{
    struct state_lmdb *state = context;
    size_t count = 0;
    for (struct commit *commit = state->writing; commit; commit = commit->next)
        count++;
    state->taken = (struct store_times){0};
    enum error error = write_commits(state, state->writing, count);
    if (!error)
        return;
    for (struct commit *commit = state->writing; commit; commit = commit->next) {
        if (count > 1)
            error = write_commits(state, commit, 1);
        if (error)
            commit->error = error;
    }
}

static void start_batch(struct state_lmdb *state);

static void note_times(struct state_lmdb *state)
{
    state->state.times = state->taken;
    state->state.all_times.store_us += state->taken.store_us;
    state->state.all_times.sync_us += state->taken.sync_us;
    state->state.transactions++;
}

static void note_outcome(struct state *state, const struct commit *commit)
{
    bool written = !commit->error || commit->error == ERROR_CONFLICT;
    state->failing = !written;
    if (commit->error == ERROR_FULL)
        state->full = true;
    else if (!commit->error && !commit->change.urgent)
        state->full = false;
}

static void on_batch_written(void *context)
{
    struct state_lmdb *state = context;
    struct commit *commit = state->writing;
    state->writing = NULL;
    note_times(state);
    /* The next transaction is on its way while the results of this one are handed out. */
    start_batch(state);
    while (commit) {
        struct commit *next = commit->next;
        note_outcome(&state->state, commit);
        state->state.commits++;
        for (size_t i = 0; i < commit->change.write_count && !commit->error; i++)
            state_written(&state->state, commit->change.writes[i].key);
        commit->on_done(commit->error, commit->revision, commit->context);
        for (size_t i = 0; i < commit->change.write_count && !commit->error; i++)
            state_changed(&state->state, commit->change.writes[i].key);
        change_release(&commit->change);
        free(commit);
        commit = next;
    }
}

static void start_batch(struct state_lmdb *state)
{
    if (state->writing || !state->waiting)
        return;
    state->writing = state->waiting;
    state->waiting = NULL;
    state->waiting_end = &state->waiting;
    jobs_submit(state->store_thread, write_batch, on_batch_written, state);
}

static void lmdb_commit(struct state *base, const struct change *change, state_done on_done,
                        void *context)
{
    struct state_lmdb *state = (struct state_lmdb *)base;
    struct commit *commit = calloc(1, sizeof *commit);
    REQUIRE(commit);
    change_init(&commit->change);
    change_append(&commit->change, change);
    if (commit->change.arena.error)
        commit->refused = ERROR_TOO_BIG;
    commit->on_done = on_done;
    commit->context = context;
    *state->waiting_end = commit;
    state->waiting_end = &commit->next;
    start_batch(state);
}

static const struct state_back_end lmdb_back_end = {
    lmdb_get, lmdb_range, lmdb_keys, lmdb_commit, lmdb_used_bytes, lmdb_max_bytes, lmdb_close};
