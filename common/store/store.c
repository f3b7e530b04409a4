/* Keeps LMDB behind one door: opens environments with care, reads by short snapshots, writes one
 * transaction at a time. */
#include "common/store/store.h"

#include "common/store/store_folder.h"

#include <lmdb.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_BYTES       ((size_t)16 << 30)
#define MAX_READERS     1024
#define MAX_DATABASES   16
#define MAX_KEY_BYTES   511
#define SNAPSHOT_TRIES  1000
#define NO_SUCH_HANDLE  EINVAL /* LMDB's word for a handle that the transaction does not know */
#define SHORT_FILE_WAIT 10     /* times 1 ms: a commit may be between its pages and its length */

struct database {
    char *name;
    atomic_uint
        handle; /* MDB_dbi; 0 until the database is there: handles of named ones begin at 2 */
};

struct store {
    struct store *next; /* in `registry` */
    pid_t pid;
    MDB_env *environment;
    char *folder;
    dev_t device, lock_device; /* of data.mdb and lock.mdb */
    ino_t inode, lock_inode;
    bool read_only;
    struct database databases[MAX_DATABASES];
    size_t database_count;
    atomic_bool all_known;     /* every database has its handle */
    pthread_mutex_t discovery; /* mdb_dbi_open: one transaction of the process at a time */
    atomic_uint readers;
    atomic_bool writing;
    _Atomic pthread_t writer; /* good while `writing` */
};

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
};

/* LMDB forbids to open an environment twice in one process: closing either copy drops the locks of
 * both. Entries of a parent process do not count after fork(). */
static struct store *registry;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;

static enum error error_of(int rc);
static enum error open_environment(struct store *store, const struct store_options *options,
                                   struct buffer *problem);
static enum error describe_open(const char *folder, int rc, struct buffer *problem);
static enum error check_locks(struct store *store, struct buffer *problem);
static enum error check_length(struct store *store, struct buffer *problem);
static enum error prove_reading(struct store *store, struct buffer *problem);
static enum error make_databases(struct store *store, struct buffer *problem);
static enum error register_store(struct store *store);
static void unregister_store(struct store *store);
static void free_store(struct store *store);
static int begin_reading(struct store *store, MDB_txn **transaction);
static int discover(struct store *store, size_t *snapshot);
static MDB_dbi handle_of(struct store *store, const char *database);
static enum error get(MDB_txn *transaction, MDB_dbi handle, struct view key, struct buffer *out);
static enum error visit_range(MDB_txn *transaction, MDB_dbi handle, struct view prefix,
                              struct view first,
                              bool (*visit)(struct view key, struct view value, void *context),
                              void *context);
static enum error check_key(struct view key);
static enum error write_failed(struct store_write *write, enum error error);
static void keep_length(struct store *store);

/* ---- opening and closing ---- */

enum error store_open(const struct store_options *options, struct store **result,
                      struct buffer *problem)
{
    struct store *store = calloc(1, sizeof(*store));
    enum error error;

    REQUIRE(store != NULL && strlen(options->folder) < STORE_PATH_BYTES - 16);
    *result = NULL;
    store->folder = view_duplicate(view_of(options->folder));
    store->read_only = options->read_only;
    store->pid = getpid();
    pthread_mutex_init(&store->discovery, NULL);
    for (size_t i = 0; options->databases[i]; i++) {
        REQUIRE(i < MAX_DATABASES);
        store->databases[i].name = view_duplicate(view_of(options->databases[i]));
        store->database_count++;
    }
    error = options->read_only ? store_folder_check(options, problem)
                               : store_folder_prepare(options, problem);
    if (error == ERROR_NONE)
        error = open_environment(store, options, problem);
    if (error == ERROR_NONE && !options->read_only)
        error = store_folder_settle(options, problem);
    if (error == ERROR_NONE)
        error = check_locks(store, problem);
    if (error == ERROR_NONE)
        error = check_length(store, problem);
    if (error == ERROR_NONE)
        error = prove_reading(store, problem);
    if (error == ERROR_NONE && !options->read_only)
        error = make_databases(store, problem);
    if (error != ERROR_NONE) {
        unregister_store(store);
        free_store(store);
        return error;
    }
    *result = store;
    return ERROR_NONE;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    REQUIRE(store->pid == getpid());
    REQUIRE(atomic_load(&store->readers) == 0 && !atomic_load(&store->writing));
    unregister_store(store);
    free_store(store);
}

static void free_store(struct store *store)
{
    if (store->environment)
        mdb_env_close(store->environment);
    for (size_t i = 0; i < store->database_count; i++)
        free(store->databases[i].name);
    pthread_mutex_destroy(&store->discovery);
    free(store->folder);
    free(store);
}

static enum error open_environment(struct store *store, const struct store_options *options,
                                   struct buffer *problem)
{
    unsigned flags = MDB_NOTLS | (options->read_only ? MDB_RDONLY : 0);
    struct stat status;
    enum error error;
    int file;
    int rc;

    error = register_store(store);
    if (error != ERROR_NONE) {
        store_explain(problem, "%s cannot be read: %s.", options->folder, error_text(error));
        return error;
    }
    rc = mdb_env_create(&store->environment);
    if (rc == 0)
        rc = mdb_env_set_mapsize(store->environment,
                                 options->map_bytes ? options->map_bytes : MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(store->environment, MAX_READERS);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(store->environment, MAX_DATABASES);
    if (rc == 0)
        rc = mdb_env_open(store->environment, options->folder, flags,
                          options->data_mode ? options->data_mode : 0640);
    if (rc != 0)
        return describe_open(options->folder, rc, problem);
    rc = mdb_env_get_fd(store->environment, &file);
    REQUIRE(rc == 0 && fstat(file, &status) == 0);
    store->device = status.st_dev;
    store->inode = status.st_ino;
    return ERROR_NONE;
}

static enum error describe_open(const char *folder, int rc, struct buffer *problem)
{
    enum error error = error_of(rc);

    if (rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH || rc == MDB_CORRUPTED) {
        store_explain(
            problem,
            "%s/data.mdb is damaged or is no LMDB file (%s): move it away and restore it from "
            "a backup.",
            folder, mdb_strerror(rc));
        return ERROR_DAMAGED;
    }
    if (error == ERROR_DENIED)
        store_explain(
            problem,
            "%s may not be opened by this user (%s): check the owner, group and mode of the "
            "folder, data.mdb and lock.mdb.",
            folder, mdb_strerror(rc));
    else
        store_explain(problem, "%s cannot be opened: %s.", folder, mdb_strerror(rc));
    return error;
}

struct reader_list {
    unsigned lines;
    bool no_locks;
};

static int on_reader_line(const char *line, void *context)
{
    struct reader_list *list = context;

    if (strncmp(line, "(no reader locks)", 17) == 0)
        list->no_locks = true;
    else if (line[0] != '(')
        list->lines++; /* a heading first, then one line a reader */
    return 0;
}

static enum error check_locks(struct store *store, struct buffer *problem)
{
    struct reader_list list = {0};

    mdb_reader_list(store->environment, on_reader_line, &list);
    if (!list.no_locks)
        return ERROR_NONE;
    store_explain(problem,
                  "%s is open without reader locks, so reading would not be safe: mount the folder "
                  "read-write.",
                  store->folder);
    return ERROR_DENIED;
}

/* A page beyond the end of the file is a bus error, not an error code. */
static enum error check_length(struct store *store, struct buffer *problem)
{
    unsigned long long needed = 0;
    struct stat status;
    int file;

    mdb_env_get_fd(store->environment, &file);
    for (int tries = 0; tries < SHORT_FILE_WAIT; tries++) {
        MDB_envinfo information;
        MDB_stat statistics;

        mdb_env_info(store->environment, &information);
        mdb_env_stat(store->environment, &statistics);
        needed = ((unsigned long long)information.me_last_pgno + 1) * statistics.ms_psize;
        if (fstat(file, &status) != 0)
            return error_from_errno(errno);
        if ((unsigned long long)status.st_size >= needed)
            return ERROR_NONE;
        usleep(1000);
    }
    store_explain(
        problem,
        "%s/data.mdb is damaged: it has %lld bytes, and %llu are in use; restore it from a "
        "backup.",
        store->folder, (long long)status.st_size, needed);
    return ERROR_DAMAGED;
}

/* Reads once, so that a process that cannot read says so at its start and not at its first
 * request; a damaged root page shows here as well. */
static enum error prove_reading(struct store *store, struct buffer *problem)
{
    int dead = 0;
    size_t snapshot;
    int rc;

    mdb_reader_check(store->environment, &dead);
    rc = discover(store, &snapshot);
    if (rc == 0)
        return ERROR_NONE;
    if (rc == EAGAIN) {
        store_explain(
            problem,
            "%s cannot be read because another process uses the same process id in another "
            "PID namespace: let the containers that share this folder share one PID namespace "
            "(compose: `pid: \"service:pause\"`; Kubernetes: `shareProcessNamespace: true`).",
            store->folder);
        return ERROR_BUSY;
    }
    if (rc == MDB_READERS_FULL) {
        store_explain(problem,
                      "%s has no free reader slot (%d are taken): stop some of its readers.",
                      store->folder, MAX_READERS);
        return ERROR_BUSY;
    }
    return describe_open(store->folder, rc, problem);
}

static enum error make_databases(struct store *store, struct buffer *problem)
{
    MDB_dbi handles[MAX_DATABASES] = {0};
    MDB_txn *transaction = NULL;
    int rc;

    if (atomic_load(&store->all_known))
        return ERROR_NONE;
    pthread_mutex_lock(&store->discovery);
    rc = mdb_txn_begin(store->environment, NULL, 0, &transaction);
    for (size_t i = 0; rc == 0 && i < store->database_count; i++)
        rc = mdb_dbi_open(transaction, store->databases[i].name, MDB_CREATE, &handles[i]);
    if (rc == 0)
        rc = mdb_txn_commit(transaction);
    else if (transaction)
        mdb_txn_abort(transaction);
    for (size_t i = 0; rc == 0 && i < store->database_count; i++)
        atomic_store(&store->databases[i].handle, handles[i]);
    if (rc == 0)
        atomic_store(&store->all_known, true);
    pthread_mutex_unlock(&store->discovery);
    return rc == 0 ? ERROR_NONE : describe_open(store->folder, rc, problem);
}

static enum error register_store(struct store *store)
{
    char path[STORE_PATH_BYTES];
    struct stat status;

    store_path(path, store->folder, "lock.mdb");
    if (stat(path, &status) != 0)
        return error_from_errno(errno);
    store->lock_device = status.st_dev;
    store->lock_inode = status.st_ino;
    pthread_mutex_lock(&registry_lock);
    for (struct store *other = registry; other; other = other->next)
        REQUIRE(other->pid != store->pid || other->lock_device != store->lock_device ||
                other->lock_inode != store->lock_inode);
    store->next = registry;
    registry = store;
    pthread_mutex_unlock(&registry_lock);
    return ERROR_NONE;
}

static void unregister_store(struct store *store)
{
    pthread_mutex_lock(&registry_lock);
    for (struct store **link = &registry; *link; link = &(*link)->next)
        if (*link == store) {
            *link = store->next;
            break;
        }
    pthread_mutex_unlock(&registry_lock);
}

bool store_replaced(const struct store *store)
{
    char path[STORE_PATH_BYTES];
    struct stat status;

    store_path(path, store->folder, "data.mdb");
    return stat(path, &status) != 0 || status.st_dev != store->device ||
           status.st_ino != store->inode;
}

int store_check_readers(struct store *store)
{
    int dead = 0;

    return mdb_reader_check(store->environment, &dead) == 0 ? dead : 0;
}

enum error store_statistics(struct store *store, struct store_statistics *out)
{
    struct reader_list list = {0};
    MDB_envinfo information;
    MDB_stat statistics;
    MDB_txn *transaction;
    size_t snapshot;
    int rc;

    *out = (struct store_statistics){0};
    rc = discover(store, &snapshot);
    if (rc == 0)
        rc = begin_reading(store, &transaction);
    if (rc != 0)
        return error_of(rc);
    for (size_t i = 0; rc == 0 && i < store->database_count; i++) {
        MDB_dbi handle = atomic_load(&store->databases[i].handle);

        if (!handle)
            continue;
        rc = mdb_stat(transaction, handle, &statistics);
        if (rc == 0)
            out->entries += statistics.ms_entries;
        else if (rc == MDB_NOTFOUND || rc == NO_SUCH_HANDLE)
            rc = 0;
    }
    mdb_txn_abort(transaction);
    mdb_env_info(store->environment, &information);
    mdb_env_stat(store->environment, &statistics);
    mdb_reader_list(store->environment, on_reader_line, &list);
    out->map_bytes = information.me_mapsize;
    out->used_bytes = ((uint64_t)information.me_last_pgno + 1) * statistics.ms_psize;
    out->readers = list.lines ? list.lines - 1 : 0;
    out->last_transaction = information.me_last_txnid;
    return error_of(rc);
}

/* ---- reading ---- */

enum error store_reader_new(struct store *store, struct store_reader **result)
{
    struct store_reader *reader = calloc(1, sizeof(*reader));
    int rc;

    REQUIRE(reader != NULL && store->pid == getpid());
    *result = NULL;
    rc = begin_reading(store, &reader->transaction);
    if (rc != 0) {
        free(reader);
        return error_of(rc);
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

    REQUIRE(!reader->active && store->pid == getpid());
    for (int tries = 0; tries < SNAPSHOT_TRIES; tries++) {
        bool all_known = atomic_load_explicit(&store->all_known, memory_order_acquire);

        rc = all_known ? 0 : discover(store, &snapshot);
        if (rc == 0)
            rc = mdb_txn_renew(reader->transaction);
        if (rc != 0)
            return error_of(rc);
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

/* When all slots are taken, those of dead processes are freed and it is tried once more: LMDB does
 * not do that by itself. */
static int begin_reading(struct store *store, MDB_txn **transaction)
{
    int dead;
    int rc = mdb_txn_begin(store->environment, NULL, MDB_RDONLY, transaction);

    if (rc == MDB_READERS_FULL && mdb_reader_check(store->environment, &dead) == 0 && dead > 0)
        rc = mdb_txn_begin(store->environment, NULL, MDB_RDONLY, transaction);
    return rc;
}

/* Opens the handles of databases that have appeared, in a transaction of its own: handles opened in
 * a transaction that is reset or aborted are closed again. `snapshot` is what it saw. */
static int discover(struct store *store, size_t *snapshot)
{
    MDB_dbi handles[MAX_DATABASES] = {0};
    bool all_known = true;
    MDB_txn *transaction;
    int rc;

    pthread_mutex_lock(&store->discovery);
    rc = begin_reading(store, &transaction);
    if (rc != 0) {
        pthread_mutex_unlock(&store->discovery);
        return rc;
    }
    *snapshot = mdb_txn_id(transaction);
    for (size_t i = 0; rc == 0 && i < store->database_count; i++) {
        if (atomic_load(&store->databases[i].handle))
            continue;
        rc = mdb_dbi_open(transaction, store->databases[i].name, 0, &handles[i]);
        if (rc == MDB_NOTFOUND) {
            all_known = false;
            rc = 0;
        }
    }
    if (rc == 0)
        rc = mdb_txn_commit(transaction);
    else
        mdb_txn_abort(transaction);
    for (size_t i = 0; rc == 0 && i < store->database_count; i++)
        if (handles[i])
            atomic_store(&store->databases[i].handle, handles[i]);
    if (rc == 0 && all_known)
        atomic_store_explicit(&store->all_known, true, memory_order_release);
    pthread_mutex_unlock(&store->discovery);
    return rc;
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
    if (rc == NO_SUCH_HANDLE) /* another thread found it in a younger snapshot */
        return ERROR_NOT_FOUND;
    if (rc != 0)
        return error_of(rc);
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
    rc = handle ? mdb_cursor_open(transaction, handle, &cursor) : NO_SUCH_HANDLE;
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
    return rc == MDB_NOTFOUND || rc == NO_SUCH_HANDLE ? ERROR_NONE : error_of(rc);
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
        return error_of(rc);
    write = calloc(1, sizeof(*write));
    REQUIRE(write != NULL);
    store->writer = pthread_self();
    atomic_store(&store->writing, true);
    write->store = store;
    write->transaction = transaction;
    *result = write;
    return ERROR_NONE;
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
    return write_failed(
        write,
        error_of(mdb_put(write->transaction, handle_of(write->store, database), &name, &bytes, 0)));
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
    error = error_of(mdb_del(write->transaction, handle_of(write->store, database), &name, NULL));
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
    error = error_of(mdb_txn_commit(write->transaction));
    if (error == ERROR_NONE)
        keep_length(store);
    free(write);
    return error;
}

void store_abort(struct store_write *write)
{
    if (!write)
        return;
    atomic_store(&write->store->writing, false);
    mdb_txn_abort(write->transaction);
    free(write);
}

static enum error write_failed(struct store_write *write, enum error error)
{
    if (write->error == ERROR_NONE)
        write->error = error;
    return error;
}

/* Pages that were taken and given back within one transaction may be left unwritten at the end of
 * the file. The file is kept as long as its pages say, so that a shorter one is a damaged one
 * (check_length). Failing to grow it harms nobody now. */
static void keep_length(struct store *store)
{
    MDB_envinfo information;
    MDB_stat statistics;
    struct stat status;
    off_t needed;
    int file;

    mdb_env_info(store->environment, &information);
    mdb_env_stat(store->environment, &statistics);
    mdb_env_get_fd(store->environment, &file);
    needed = (off_t)(information.me_last_pgno + 1) * statistics.ms_psize;
    if (fstat(file, &status) == 0 && status.st_size < needed && ftruncate(file, needed) != 0)
        return;
}

/* ---- small things ---- */

static enum error check_key(struct view key)
{
    if (key.length == 0)
        return ERROR_INVALID;
    return key.length > MAX_KEY_BYTES ? ERROR_TOO_BIG : ERROR_NONE;
}

static enum error error_of(int rc)
{
    switch (rc) {
    case MDB_NOTFOUND:
        return ERROR_NOT_FOUND;
    case MDB_KEYEXIST:
        return ERROR_EXISTS;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return ERROR_FULL;
    case MDB_READERS_FULL:
        return ERROR_BUSY;
    case MDB_BAD_VALSIZE:
        return ERROR_TOO_BIG;
    case MDB_PAGE_NOTFOUND:
    case MDB_CORRUPTED:
    case MDB_PAGE_FULL:
    case MDB_CURSOR_FULL:
    case MDB_BAD_TXN: /* an earlier read of this snapshot met damage */
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_PANIC:
        return ERROR_DAMAGED;
    case MDB_MAP_RESIZED:
        return ERROR_UNSUPPORTED; /* someone wrote with a larger map: ours is constant */
    default:
        /* What is left of LMDB's own codes is our misuse. */
        REQUIRE(rc >= 0);
        return error_from_errno(rc);
    }
}
