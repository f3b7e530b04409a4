/* Unpacks a package beside its final place, makes it read-only and moves it there in one step. */
#include "deploy/lambda-local/package.h"

#include "common/base/archive.h"
#include "common/base/escape.h"
#include "common/base/file.h"
#include "common/base/id.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum error package_check(struct view zip, struct buffer *problem)
{
    struct archive_summary summary;

    return archive_check(zip, NULL, &summary, problem);
}

/* As on AWS, where /var/task cannot be written: sandboxes of one version share the folder. */
static int on_sealed(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)where;
    if (kind == FTW_SL)
        return 0;
    return chmod(path, S_ISDIR(status->st_mode) || (status->st_mode & 0100) ? 0555 : 0444);
}

static int on_unsealed(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)where;
    if (kind == FTW_D || kind == FTW_DNR)
        chmod(path, 0755);
    return 0;
}

enum error package_remove(const char *folder)
{
    nftw(folder, on_unsealed, 16, FTW_PHYS);
    return folder_remove(folder);
}

struct sweep {
    const struct function *function;
    enum error error;
};

static bool belongs(const struct function *function, const char *name)
{
    struct view stem = view_of(name);

    if (view_ends_with(stem, VIEW(".zip")))
        stem.length -= strlen(".zip");
    for (const struct code *code = function->codes; code; code = code->next) {
        if (view_equal_string(stem, code->sha256_hex))
            return true;
    }
    return false;
}

static bool on_code(const char *name, void *context)
{
    struct sweep *sweep = context;
    struct buffer path;

    if (belongs(sweep->function, name))
        return true;
    buffer_init(&path, 8192);
    buffer_append_format(&path, "%s/code/%s", sweep->function->folder, name);
    sweep->error = path.error;
    if (!sweep->error && unlink(path.data) != 0)
        sweep->error = package_remove(path.data);
    buffer_release(&path);
    return sweep->error == ERROR_NONE;
}

enum error package_sweep(struct function *function)
{
    struct sweep sweep = {.function = function};
    struct buffer path;
    enum error error;

    buffer_init(&path, 8192);
    buffer_append_format(&path, "%s/code", function->folder);
    error = path.error ? path.error : folder_list(path.data, on_code, &sweep);
    buffer_release(&path);
    return error ? error : sweep.error;
}

static enum error unpack(struct view zip, const struct code *code, struct buffer *problem)
{
    char id[ID_SIZE];
    struct buffer temporary;
    enum error error;

    id_make(id);
    buffer_init(&temporary, 8192);
    buffer_append_format(&temporary, "%s.%s", code->folder, id);
    if ((error = temporary.error))
        goto out;
    if ((error = folder_make(temporary.data, 0755)))
        goto out;
    if ((error = archive_unpack(zip, NULL, temporary.data, problem)))
        goto out;
    if ((error = file_write(code->zip, zip, 0644)))
        goto out;
    if (nftw(temporary.data, on_sealed, 16, FTW_PHYS | FTW_DEPTH) != 0 ||
        rename(temporary.data, code->folder) != 0)
        error = error_from_errno(errno);
out:
    if (error && temporary.error == ERROR_NONE && package_remove(temporary.data) != ERROR_NONE)
        buffer_append_string(problem, "; what was unpacked could not be removed");
    buffer_release(&temporary);
    return error;
}

enum error package_store(struct function *function, struct view zip, struct code **code,
                         struct buffer *problem)
{
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];

    sha256(zip, digest);
    hex_write(hex, digest, sizeof digest);
    hex[sizeof hex - 1] = '\0';
    *code = function_code(function, hex);
    if (file_exists((*code)->folder))
        return ERROR_NONE;
    return unpack(zip, *code, problem);
}
