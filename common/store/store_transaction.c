/* Reads an environment by short snapshots, and writes it one transaction at a time. */
#include "common/store/store.h"

#include "common/store/store_lmdb.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAX_KEY_BYTES  511
#define SNAPSHOT_TRIES 1000
#define FREE_LIST      ((MDB_dbi)0) /* LMDB's own: a transaction's id, then the count of its pages */
/* More pages than a transaction takes: above, nobody need count further. */
#define FREE_LOOK_PAGES  32768
#define LEAST_PAGE_BYTES 4096
#define TREE_PAGES       6 /* that a put copies on its way down, and splits */
/* With less than this left, a write that was cut short was cut by the disk. */
#define FULL_DISK_BYTES ((uint64_t)1024 * 1024)
/* More than one transaction of ours takes. */
#define LENGTH_AHEAD_BYTES ((off_t)4 * 1024 * 1024)

struct store_reader {
    struct store *store;
    MDB_txn *transaction; /* reset between uses: keeps its slot, pins no page */
    bool active;
};

struct store_write {
    struct store *store;
    MDB_txn *transaction;
    enum error error; /* sticks: a transaction that failed once is never committed */
    bool visiting;
    bool use_reserve;
    uint64_t free_pages; /* at least so many are free, were all puts as costly as they may be */
};

static MDB_dbi handle_of(struct store *store, const char *database);
static enum error get(MDB_txn *transaction, MDB_dbi handle, struct view key, struct buffer *out);
static enum error visit_range(MDB_txn *transaction, MDB_dbi handle, struct view prefix,
                              struct view first,
                              bool (*visit)(struct view key, struct view value, void *context),
                              void *context);
static enum error check_key(struct view key);
static enum error write_failed(struct store_write *write, enum error error);
static void keep_length(struct store *store);
static enum error commit_error(struct store *store, int rc);
static uint64_t count_free_pages(const struct store_write *write);
static uint64_t count_given_back(struct store *store, size_t last);
static enum error keep_reserve(struct store_write *write, size_t bytes);

/* ---- reading ---- */

enum error store_reader_new(struct store *store, struct store_reader **result)
{
    struct store_reader *reader = calloc(1, sizeof(*reader));
    int rc;

    REQUIRE(reader != NULL && store->pid == getpid());
    *result = NULL;
    rc = store_begin_reading(store, &reader->transaction);
    if (rc != 0) {
        free(reader);
        return store_error(rc);
    }
    mdb_txn_reset(reader->transaction);
    reader->store = store;
    atomic_fetch_add(&store->readers, 1);
    *result = reader;
    return ERROR_NONE;
}

void store_reader_free(struct store_reader *reader)
{
    if (!reader)
        return;
    mdb_txn_abort(reader->transaction);
    atomic_fetch_sub(&reader->store->readers, 1);
    free(reader);
}

/* A database that a writer has made since is found before the snapshot is taken; when the snapshot
 * turns out to be a younger one, it is looked for again, so that "not found" is true of it. */
enum error store_begin(struct store_reader *reader)
{
    struct store *store = reader->store;
    size_t snapshot = 0;
    int rc;

    REQUIRE(!reader->active);
    for (int tries = 0; tries < SNAPSHOT_TRIES; tries++) {
        bool all_known = atomic_load_explicit(&store->all_known, memory_order_acquire);

        rc = all_known ? 0 : store_discover(store, &snapshot);
        if (rc == 0)
            rc = mdb_txn_renew(reader->transaction);
        if (rc != 0)
            return store_error(rc);
        if (all_known || mdb_txn_id(reader->transaction) == snapshot) {
            reader->active = true;
            return ERROR_NONE;
        }
        mdb_txn_reset(reader->transaction);
    }
    return ERROR_BUSY;
}

void store_end(struct store_reader *reader)
{
    REQUIRE(reader->active);
    mdb_txn_reset(reader->transaction);
    reader->active = false;
}

enum error store_get(struct store_reader *reader, const char *database, struct view key,
                     struct buffer *out)
{
    bool own = !reader->active;
    enum error error;

    buffer_clear(out);
    if (own) {
        error = store_begin(reader);
        if (error != ERROR_NONE)
            return error;
    }
    error = get(reader->transaction, handle_of(reader->store, database), key, out);
    if (own)
        store_end(reader);
    return error;
}

enum error store_range(struct store_reader *reader, const char *database, struct view prefix,
                       struct view first,
                       bool (*visit)(struct view key, struct view value, void *context),
                       void *context)
{
    bool own = !reader->active;
    enum error error;

    if (own) {
        error = store_begin(reader);
        if (error != ERROR_NONE)
            return error;
    }
    error = visit_range(reader->transaction, handle_of(reader->store, database), prefix, first,
                        visit, context);
    if (own)
        store_end(reader);
    return error;
}

/* 0 when the database is not there yet. */
static MDB_dbi handle_of(struct store *store, const char *database)
{
    for (size_t i = 0; i < store->database_count; i++)
        if (strcmp(store->databases[i].name, database) == 0)
            return atomic_load_explicit(&store->databases[i].handle, memory_order_acquire);
    REQUIRE(!"a database of this store");
    return 0;
}

static enum error get(MDB_txn *transaction, MDB_dbi handle, struct view key, struct buffer *out)
{
    MDB_val wanted = {key.length, (void *)key.data};
    MDB_val found;
    int rc;

    if (check_key(key) != ERROR_NONE) /* nothing can be stored under it */
        return ERROR_NOT_FOUND;
    if (!handle)
        return ERROR_NOT_FOUND;
    rc = mdb_get(transaction, handle, &wanted, &found);
    if (rc == STORE_NO_SUCH_HANDLE) /* another thread found it in a younger snapshot */
        return ERROR_NOT_FOUND;
    if (rc != 0)
        return store_error(rc);
    buffer_append(out, found.mv_data, found.mv_size);
    return out->error;
}

static enum error visit_range(MDB_txn *transaction, MDB_dbi handle, struct view prefix,
                              struct view first,
                              bool (*visit)(struct view key, struct view value, void *context),
                              void *context)
{
    struct view start = view_compare(first, prefix) > 0 ? first : prefix;
    MDB_val key = {start.length, (void *)start.data};
    MDB_cursor *cursor = NULL;
    MDB_val value;
    int rc;

    if (start.length > MAX_KEY_BYTES)
        return ERROR_NONE;
    rc = handle ? mdb_cursor_open(transaction, handle, &cursor) : STORE_NO_SUCH_HANDLE;
    if (rc == 0)
        rc = mdb_cursor_get(cursor, &key, &value, start.length ? MDB_SET_RANGE : MDB_FIRST);
    while (rc == 0) {
        struct view name = view_from(key.mv_data, key.mv_size);

        if (!view_starts_with(name, prefix) ||
            !visit(name, view_from(value.mv_data, value.mv_size), context))
            break;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (cursor)
        mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND || rc == STORE_NO_SUCH_HANDLE ? ERROR_NONE : store_error(rc);
}

/* ---- writing ---- */

enum error store_write_begin(struct store *store, struct store_write **result)
{
    struct store_write *write;
    MDB_txn *transaction;
    int rc;

    REQUIRE(!store->read_only && store->pid == getpid());
    /* A thread that waits for itself would wait for ever. */
    REQUIRE(!atomic_load(&store->writing) || store->writer != pthread_self());
    *result = NULL;
    rc = mdb_txn_begin(store->environment, NULL, 0, &transaction);
    if (rc != 0)
        return store_error(rc);
    keep_length(store);
    write = calloc(1, sizeof(*write));
    REQUIRE(write != NULL);
    store->writer = pthread_self();
    atomic_store(&store->writing, true);
    write->store = store;
    write->transaction = transaction;
    if (store->reserve_pages)
        write->free_pages = count_free_pages(write);
    *result = write;
    return ERROR_NONE;
}

void store_use_reserve(struct store_write *write, bool use)
{
    write->use_reserve = use;
}

enum error store_write_get(struct store_write *write, const char *database, struct view key,
                           struct buffer *out)
{
    buffer_clear(out);
    if (write->error != ERROR_NONE)
        return write->error;
    return get(write->transaction, handle_of(write->store, database), key, out);
}

enum error store_put(struct store_write *write, const char *database, struct view key,
                     struct view value)
{
    MDB_val name = {key.length, (void *)key.data};
    MDB_val bytes = {value.length, (void *)value.data};

    REQUIRE(!write->visiting);
    if (write->error != ERROR_NONE)
        return write->error;
    if (check_key(key) != ERROR_NONE)
        return write_failed(write, check_key(key));
    if (keep_reserve(write, key.length + value.length) != ERROR_NONE)
        return write_failed(write, ERROR_FULL);
    return write_failed(write,
                        store_error(mdb_put(write->transaction, handle_of(write->store, database),
                                            &name, &bytes, 0)));
}

enum error store_delete(struct store_write *write, const char *database, struct view key)
{
    MDB_val name = {key.length, (void *)key.data};
    enum error error;

    REQUIRE(!write->visiting);
    if (write->error != ERROR_NONE)
        return write->error;
    if (check_key(key) != ERROR_NONE)
        return ERROR_NOT_FOUND;
    error =
        store_error(mdb_del(write->transaction, handle_of(write->store, database), &name, NULL));
    return error == ERROR_NOT_FOUND ? error : write_failed(write, error);
}

enum error store_write_range(struct store_write *write, const char *database, struct view prefix,
                             struct view first,
                             bool (*visit)(struct view key, struct view value, void *context),
                             void *context)
{
    enum error error;

    REQUIRE(!write->visiting);
    if (write->error != ERROR_NONE)
        return write->error;
    write->visiting = true;
    error = visit_range(write->transaction, handle_of(write->store, database), prefix, first, visit,
                        context);
    write->visiting = false;
    return error;
}

enum error store_commit(struct store_write *write)
{
    struct store *store = write->store;
    enum error error = write->error;

    if (error != ERROR_NONE) {
        store_abort(write);
        return error;
    }
    REQUIRE(!write->visiting);
    atomic_store(&store->writing, false);
    error = commit_error(store, mdb_txn_commit(write->transaction));
    if (error == ERROR_NONE)
        keep_length(store);
    free(write);
    return error;
}

/* Whether a write to the file may have been cut short: the disk is full, or the file has reached the
 * size that this process may give it. */
static bool has_no_room(int file)
{
    struct statvfs disk;
    struct rlimit size;
    struct stat status;

    if (fstatvfs(file, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < FULL_DISK_BYTES)
        return true;
    return getrlimit(RLIMIT_FSIZE, &size) == 0 && size.rlim_cur != RLIM_INFINITY &&
           fstat(file, &status) == 0 && (rlim_t)status.st_size >= size.rlim_cur;
}

/* To LMDB a write that is cut short is an error of input and output like others. */
static enum error commit_error(struct store *store, int rc)
{
    int file;

    mdb_env_get_fd(store->environment, &file);
    if (rc == EFBIG || rc == EDQUOT || (rc == EIO && has_no_room(file)))
        return ERROR_FULL;
    return store_error(rc);
}

void store_abort(struct store_write *write)
{
    if (!write)
        return;
    atomic_store(&write->store->writing, false);
    mdb_txn_abort(write->transaction);
    free(write);
}

/* Pages that the transaction can take: those behind the last one ever used and, when these are few,
 * those that earlier transactions gave back. The last one's still serve readers. */
static uint64_t count_free_pages(const struct store_write *write)
{
    MDB_env *environment = write->store->environment;
    MDB_envinfo information;
    MDB_stat statistics;
    uint64_t pages;

    mdb_env_info(environment, &information);
    mdb_env_stat(environment, &statistics);
    pages = information.me_mapsize / statistics.ms_psize;
    pages -= pages > information.me_last_pgno ? information.me_last_pgno + 1 : pages;
    if (pages < write->store->reserve_pages + FREE_LOOK_PAGES)
        pages += count_given_back(write->store, mdb_txn_id(write->transaction) - 1);
    return pages;
}

/* By transactions before `last`. LMDB shows its list to readers only; it is what the writer sees. */
static uint64_t count_given_back(struct store *store, size_t last)
{
    MDB_cursor *cursor = NULL;
    MDB_txn *transaction;
    MDB_val key, value;
    uint64_t pages = 0;

    if (store_begin_reading(store, &transaction) != 0)
        return 0;
    if (mdb_cursor_open(transaction, FREE_LIST, &cursor) == 0) {
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            size_t id, count;

            if (key.mv_size != sizeof(id) || value.mv_size < sizeof(count))
                break; /* damaged: the writing will tell */
            memcpy(&id, key.mv_data, sizeof(id));
            memcpy(&count, value.mv_data, sizeof(count));
            if (id < last)
                pages += count;
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(transaction);
    return pages;
}

/* Counts the most that a put can take: LMDB does not tell what it took before the commit. */
static enum error keep_reserve(struct store_write *write, size_t bytes)
{
    uint64_t pages = bytes / LEAST_PAGE_BYTES + TREE_PAGES;

    if (write->store->reserve_pages == 0)
        return ERROR_NONE;
    if (!write->use_reserve && write->free_pages < write->store->reserve_pages + pages)
        return ERROR_FULL;
    write->free_pages -= pages < write->free_pages ? pages : write->free_pages;
    return ERROR_NONE;
}

static enum error write_failed(struct store_write *write, enum error error)
{
    if (write->error == ERROR_NONE)
        write->error = error;
    return error;
}

/* Pages that were taken and given back within one transaction may be left unwritten at the end of
 * the file. The file is kept longer than its pages say, before a transaction begins and after it
 * commits, so that a shorter one is a damaged one (check_length), also when a writer was killed
 * between its commit and this. The added bytes are a hole, not disk space. Failing to grow the file
 * harms nobody now. */
static void keep_length(struct store *store)
{
    MDB_envinfo information;
    MDB_stat statistics;
    struct stat status;
    off_t used, wanted;
    int file;

    mdb_env_info(store->environment, &information);
    mdb_env_stat(store->environment, &statistics);
    mdb_env_get_fd(store->environment, &file);
    used = (off_t)(information.me_last_pgno + 1) * statistics.ms_psize;
    wanted = used + LENGTH_AHEAD_BYTES;
    if (wanted > (off_t)information.me_mapsize)
        wanted = (off_t)information.me_mapsize;
    if (fstat(file, &status) == 0 && status.st_size < used + LENGTH_AHEAD_BYTES / 2 &&
        status.st_size < wanted && ftruncate(file, wanted) != 0)
        return;
}

static enum error check_key(struct view key)
{
    if (key.length == 0)
        return ERROR_INVALID;
    return key.length > MAX_KEY_BYTES ? ERROR_TOO_BIG : ERROR_NONE;
}
