/* Copies an environment while it is in use, and has the copy on disk before it says so. */
#include "common/store/store_copy.h"

#include "common/base/file.h"
#include "common/store/store_folder.h"
#include "common/store/store_lmdb.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static enum error sync_folder(const char *folder)
{
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum error error = file >= 0 && fsync(file) == 0 ? ERROR_NONE : error_from_errno(errno);

    if (file >= 0)
        close(file);
    return error;
}

static enum error copy_to(struct store *store, const char *path, struct buffer *problem)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc;

    if (file < 0) {
        store_explain(problem, "%s cannot be made: %s.", path, strerror(errno));
        return error_from_errno(errno);
    }
    rc = mdb_env_copyfd2(store->environment, file, MDB_CP_COMPACT);
    if (rc == 0 && fsync(file) != 0)
        rc = errno;
    if (close(file) != 0 && rc == 0)
        rc = errno;
    if (rc == 0)
        return ERROR_NONE;
    store_explain(problem, "%s cannot be written: %s.", path, mdb_strerror(rc));
    unlink(path);
    return store_error(rc);
}

enum error store_copy(const char *folder, const char *to, struct buffer *problem)
{
    static const char *const none[] = {NULL};
    struct store_options options = {.folder = folder, .read_only = true, .databases = none};
    char path[STORE_PATH_BYTES];
    struct store *store;
    enum error error;

    REQUIRE(strlen(to) < STORE_PATH_BYTES - 16);
    store_path(path, to, "data.mdb");
    error = store_open(&options, &store, problem);
    if (error != ERROR_NONE)
        return error;
    error = folder_make(to, 0700);
    if (error != ERROR_NONE)
        store_explain(problem, "the folder %s cannot be made: it %s.", to, error_text(error));
    else
        error = copy_to(store, path, problem);
    if (error == ERROR_NONE && (error = sync_folder(to)) != ERROR_NONE)
        store_explain(problem, "the folder %s cannot be synced: %s.", to, error_text(error));
    store_close(store);
    return error;
}
