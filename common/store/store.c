/* Opens LMDB environments with care, proves that they can be read, and says why when they cannot. */
#include "common/store/store.h"

#include "common/store/store_folder.h"
#include "common/store/store_lmdb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_BYTES         ((size_t)16 << 30)
#define MAX_READERS       1024
#define RESERVE_MIN_PAGES 64
#define RESERVE_MAX_BYTES ((uint64_t)64 << 20)
#define SHORT_FILE_WAIT   10 /* times 1 ms: a commit may be between its pages and its length */

/* LMDB forbids to open an environment twice in one process: closing either copy drops the locks of
 * both. Entries of a parent process do not count after fork(). */
static struct store *registry;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;

static enum error open_environment(struct store *store, const struct store_options *options,
                                   struct buffer *problem);
static uint64_t reserve_of(const struct store *store);
static enum error describe_open(const char *folder, int rc, struct buffer *problem);
static enum error check_locks(struct store *store, struct buffer *problem);
static enum error check_length(struct store *store, bool checked, struct buffer *problem);
static enum error prove_reading(struct store *store, struct buffer *problem);
static enum error make_databases(struct store *store, struct buffer *problem);
static enum error register_store(struct store *store);
static void unregister_store(struct store *store);
static void free_store(struct store *store);

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
        REQUIRE(i < STORE_MAX_DATABASES);
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
        error = check_length(store, options->checked && !options->read_only, problem);
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
    if (error == ERROR_BUSY) {
        store_explain(problem,
                      "%s/data.mdb was replaced while this process has the one before open, and "
                      "lock.mdb was not: remove both and restart their writer.",
                      options->folder);
        return error;
    }
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
        rc = mdb_env_set_maxdbs(store->environment, STORE_MAX_DATABASES);
    if (rc == 0)
        rc = mdb_env_open(store->environment, options->folder, flags,
                          options->data_mode ? options->data_mode : 0640);
    if (rc != 0)
        return describe_open(options->folder, rc, problem);
    rc = mdb_env_get_fd(store->environment, &file);
    REQUIRE(rc == 0 && fstat(file, &status) == 0);
    store->device = status.st_dev;
    store->inode = status.st_ino;
    if (options->reserve)
        store->reserve_pages = reserve_of(store);
    return ERROR_NONE;
}

static uint64_t reserve_of(const struct store *store)
{
    MDB_envinfo information;
    MDB_stat statistics;
    uint64_t map_pages, pages;

    mdb_env_info(store->environment, &information);
    mdb_env_stat(store->environment, &statistics);
    map_pages = information.me_mapsize / statistics.ms_psize;
    pages = map_pages / 8;
    if (pages > RESERVE_MAX_BYTES / statistics.ms_psize)
        pages = RESERVE_MAX_BYTES / statistics.ms_psize;
    if (pages < RESERVE_MIN_PAGES)
        pages = RESERVE_MIN_PAGES;
    return pages < map_pages / 4 ? pages : map_pages / 4;
}

static enum error describe_open(const char *folder, int rc, struct buffer *problem)
{
    enum error error = store_error(rc);

    if ((rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH) && store_folder_has_head(folder)) {
        store_explain(problem,
                      "%s/lock.mdb is in use by another process with another version of LMDB: end "
                      "that process first.",
                      folder);
        return ERROR_BUSY;
    }
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
static enum error check_length(struct store *store, bool checked, struct buffer *problem)
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
        if (checked && ftruncate(file, (off_t)needed) == 0)
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
    rc = store_discover(store, &snapshot);
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
    MDB_dbi handles[STORE_MAX_DATABASES] = {0};
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
    bool shared = false;

    store_path(path, store->folder, "lock.mdb");
    if (stat(path, &status) != 0)
        return error_from_errno(errno);
    store->lock_device = status.st_dev;
    store->lock_inode = status.st_ino;
    pthread_mutex_lock(&registry_lock);
    for (struct store *other = registry; other && !shared; other = other->next) {
        shared = other->pid == store->pid && other->lock_device == store->lock_device &&
                 other->lock_inode == store->lock_inode;
        REQUIRE(!shared || store_replaced(other)); /* the same one twice */
    }
    if (!shared) {
        store->next = registry;
        registry = store;
    }
    pthread_mutex_unlock(&registry_lock);
    return shared ? ERROR_BUSY : ERROR_NONE;
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
    rc = store_discover(store, &snapshot);
    if (rc == 0)
        rc = store_begin_reading(store, &transaction);
    if (rc != 0)
        return store_error(rc);
    for (size_t i = 0; rc == 0 && i < store->database_count; i++) {
        MDB_dbi handle = atomic_load(&store->databases[i].handle);

        if (!handle)
            continue;
        rc = mdb_stat(transaction, handle, &statistics);
        if (rc == 0)
            out->entries += statistics.ms_entries;
        else if (rc == MDB_NOTFOUND || rc == STORE_NO_SUCH_HANDLE)
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
    return store_error(rc);
}

/* When all slots are taken, those of dead processes are freed and it is tried once more: LMDB does
 * not do that by itself. */
int store_begin_reading(struct store *store, MDB_txn **transaction)
{
    int dead;
    int rc = mdb_txn_begin(store->environment, NULL, MDB_RDONLY, transaction);

    if (rc == MDB_READERS_FULL && mdb_reader_check(store->environment, &dead) == 0 && dead > 0)
        rc = mdb_txn_begin(store->environment, NULL, MDB_RDONLY, transaction);
    return rc;
}

/* Opens the handles of databases that have appeared, in a transaction of its own: handles opened in
 * a transaction that is reset or aborted are closed again. `snapshot` is what it saw. */
int store_discover(struct store *store, size_t *snapshot)
{
    MDB_dbi handles[STORE_MAX_DATABASES] = {0};
    bool all_known = true;
    MDB_txn *transaction;
    int rc;

    pthread_mutex_lock(&store->discovery);
    rc = store_begin_reading(store, &transaction);
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

enum error store_error(int rc)
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
