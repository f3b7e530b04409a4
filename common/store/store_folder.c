/* Makes the folder of an environment, sets its modes, and sees to it that a reader can lock. */
#include "common/store/store_folder.h"

#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The lock file is made here, with its mode, before LMDB sees it: between LMDB's own open and a
 * later chmod the readers' user could not open it. */
enum error store_folder_prepare(const struct store_options *options, struct buffer *problem)
{
    mode_t mode = options->folder_mode ? options->folder_mode : 0750;
    char path[STORE_PATH_BYTES];
    enum error error;
    int file;

    if (!file_exists(options->folder)) {
        error = folder_make(options->folder, mode);
        if (error == ERROR_NONE && chmod(options->folder, mode) != 0)
            error = error_from_errno(errno);
        if (error != ERROR_NONE) {
            store_explain(problem, "The folder %s cannot be made: %s.", options->folder,
                          error_text(error));
            return error;
        }
    }
    store_path(path, options->folder, "lock.mdb");
    file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file >= 0) {
        if (fchmod(file, options->lock_mode ? options->lock_mode : 0660) != 0)
            error = error_from_errno(errno);
        else
            error = ERROR_NONE;
        close(file);
    } else {
        error = errno == EEXIST ? ERROR_NONE : error_from_errno(errno);
    }
    if (error != ERROR_NONE)
        store_explain(problem, "%s cannot be made: %s; the folder must be writable by this user.",
                      path, error_text(error));
    return error;
}

/* LMDB opens a read-only environment without any lock when the lock file is on a read-only file
 * system, and makes the lock file itself when it is missing; neither protects what is read. */
enum error store_folder_check(const struct store_options *options, struct buffer *problem)
{
    char path[STORE_PATH_BYTES];
    struct stat status;

    store_path(path, options->folder, "data.mdb");
    if (stat(path, &status) != 0) {
        enum error error = error_from_errno(errno);

        store_explain(problem, "%s cannot be read: %s; its writer makes it at its first start.",
                      path, error_text(error));
        return error;
    }
    if (status.st_size == 0) {
        store_explain(problem, "%s is empty: its writer has not finished its first start.", path);
        return ERROR_NOT_FOUND;
    }
    store_path(path, options->folder, "lock.mdb");
    if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) == 0)
        return ERROR_NONE;
    store_explain(problem,
                  "%s cannot be written (%s), and without it reading is not safe: mount the folder "
                  "read-write, and give this user write permission on lock.mdb through its group.",
                  path, strerror(errno));
    return errno == ENOENT ? ERROR_NOT_FOUND : ERROR_DENIED;
}

enum error store_folder_settle(const struct store_options *options, struct buffer *problem)
{
    const struct {
        const char *file;
        mode_t mode;
    } rows[] = {
        {"data.mdb", options->data_mode ? options->data_mode : 0640},
        {"lock.mdb", options->lock_mode ? options->lock_mode : 0660},
    };
    char path[STORE_PATH_BYTES];
    struct stat status;
    enum error error = ERROR_IO;
    int folder;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        store_path(path, options->folder, rows[i].file);
        if (stat(path, &status) == 0 && (status.st_mode & 07777) == rows[i].mode)
            continue;
        if (chmod(path, rows[i].mode) != 0) {
            store_explain(problem, "The mode of %s cannot be set to %04o: %s.", path,
                          (unsigned)rows[i].mode, strerror(errno));
            return error_from_errno(errno);
        }
    }
    /* LMDB syncs its file, not the name of its file. */
    folder = open(options->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0 && fsync(folder) == 0)
        error = ERROR_NONE;
    else
        store_explain(problem, "The folder %s cannot be synced: %s.", options->folder,
                      strerror(errno));
    if (folder >= 0)
        close(folder);
    return error;
}

bool store_folder_has_head(const char *folder)
{
    const uint32_t wanted[2] = {UINT32_C(0xBEEFC0DE), 1}; /* behind the page's own head */
    char path[STORE_PATH_BYTES];
    uint32_t found[2] = {0};
    int file;

    store_path(path, folder, "data.mdb");
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool good = pread(file, found, sizeof(found), 16) == (ssize_t)sizeof(found) &&
                memcmp(found, wanted, sizeof(wanted)) == 0;
    close(file);
    return good;
}

void store_path(char out[STORE_PATH_BYTES], const char *folder, const char *file)
{
    int length = snprintf(out, STORE_PATH_BYTES, "%s/%s", folder, file);

    REQUIRE(length > 0 && length < STORE_PATH_BYTES);
}

void store_explain(struct buffer *problem, const char *format, ...)
{
    char sentence[STORE_PATH_BYTES + 512];
    va_list arguments;

    if (!problem)
        return;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    buffer_append_string(problem, sentence);
}
