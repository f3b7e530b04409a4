/* Reads whole files, replaces them so that a crash leaves no part, and makes and removes folders.
 */
#include "common/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_CHUNK_BYTES ((size_t)64 * 1024)

/* Reads until the end; at the buffer's ceiling it asks for one byte more, to know whether there is
 * more. */
static enum error read_all(int descriptor, struct buffer *out)
{
    for (;;) {
        size_t room = out->ceiling - out->length;
        size_t want = room < READ_CHUNK_BYTES ? room : READ_CHUNK_BYTES;
        char *to = buffer_reserve(out, want);
        char beyond;
        ssize_t got;

        if (!to)
            return out->error;
        got = read(descriptor, want ? to : &beyond, want ? want : 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_from_errno(errno);
        if (got == 0)
            return ERROR_NONE;
        if (want == 0)
            return ERROR_TOO_BIG;
        buffer_commit(out, (size_t)got);
    }
}

enum error file_read(const char *path, struct buffer *out)
{
    size_t before = out->length;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    enum error error;

    if (descriptor < 0)
        return error_from_errno(errno);
    error = read_all(descriptor, out);
    if (error != ERROR_NONE && out->data) {
        out->length = before;
        out->data[before] = '\0';
    }
    close(descriptor);
    return error;
}

static enum error write_all(int descriptor, struct view bytes)
{
    while (bytes.length) {
        ssize_t wrote = write(descriptor, bytes.data, bytes.length);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return error_from_errno(errno);
        bytes = view_slice(bytes, (size_t)wrote, SIZE_MAX);
    }
    return ERROR_NONE;
}

/* The folder part of a path, malloc'ed: "a/b" gives "a", "b" gives ".", "/b" gives "/". */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return view_duplicate(VIEW("."));
    if (slash == path)
        return view_duplicate(VIEW("/"));
    return view_duplicate((struct view){path, (size_t)(slash - path)});
}

/* A rename is on the disk only when its folder is. */
enum error folder_sync(const char *folder)
{
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum error error;

    if (descriptor < 0)
        return error_from_errno(errno);
    error = fsync(descriptor) == 0 ? ERROR_NONE : error_from_errno(errno);
    close(descriptor);
    return error;
}

enum error file_write(const char *path, struct view bytes, mode_t mode)
{
    const char *slash = strrchr(path, '/');
    char *folder = folder_of(path);
    struct buffer temporary;
    enum error error;
    int descriptor = -1;

    buffer_init(&temporary, 8192);
    buffer_append_format(&temporary, "%s/.%s.XXXXXX", folder, slash ? slash + 1 : path);
    error = temporary.error;
    if (error != ERROR_NONE)
        goto out;
    descriptor = mkostemp(temporary.data, O_CLOEXEC);
    if (descriptor < 0) {
        error = error_from_errno(errno);
        goto out;
    }
    error = fchmod(descriptor, mode) == 0 ? write_all(descriptor, bytes) : error_from_errno(errno);
    if (error == ERROR_NONE && fsync(descriptor) != 0)
        error = error_from_errno(errno);
    if (error == ERROR_NONE && rename(temporary.data, path) != 0)
        error = error_from_errno(errno);
    if (error == ERROR_NONE)
        error = folder_sync(folder);
    else
        unlink(temporary.data);
out:
    if (descriptor >= 0)
        close(descriptor);
    buffer_release(&temporary);
    free(folder);
    return error;
}

bool file_exists(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0;
}

/* Makes one folder; one that is there already is fine, anything else of that name is not. */
static enum error make_one(const char *path, mode_t mode)
{
    struct stat status;

    if (mkdir(path, mode) == 0)
        return ERROR_NONE;
    if (errno != EEXIST)
        return error_from_errno(errno);
    if (stat(path, &status) != 0)
        return error_from_errno(errno);
    return S_ISDIR(status.st_mode) ? ERROR_NONE : ERROR_EXISTS;
}

enum error folder_make(const char *path, mode_t mode)
{
    char *partial = view_duplicate(view_of(path));
    enum error error = ERROR_NONE;

    for (char *at = partial; *at && error == ERROR_NONE; at++) {
        if (*at != '/' || at == partial)
            continue;
        *at = '\0';
        error = make_one(partial, mode);
        *at = '/';
    }
    if (error == ERROR_NONE)
        error = make_one(partial, mode);
    free(partial);
    return error;
}

static enum error remove_content(int folder);

/* Removes one name below an open folder, whatever it is. */
static enum error remove_name(int folder, const char *name)
{
    enum error error;
    int child;

    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return ERROR_NONE;
    if (errno != EISDIR && errno != EPERM)
        return error_from_errno(errno);
    child = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0)
        return errno == ENOENT ? ERROR_NONE : error_from_errno(errno);
    error = remove_content(child);
    if (error == ERROR_NONE && unlinkat(folder, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        error = error_from_errno(errno);
    return error;
}

/* Empties an open folder and closes it. */
static enum error remove_content(int folder)
{
    DIR *stream = fdopendir(folder);
    enum error error = ERROR_NONE;
    struct dirent *entry;

    if (!stream) {
        error = error_from_errno(errno);
        close(folder);
        return error;
    }
    while (error == ERROR_NONE && (entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            error = remove_name(folder, entry->d_name);
    }
    closedir(stream);
    return error;
}

enum error folder_remove(const char *path)
{
    return remove_name(AT_FDCWD, path);
}

static int is_listed(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

enum error folder_list(const char *path, bool (*visit)(const char *name, void *context),
                       void *context)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_listed, by_bytes);
    bool more = true;

    if (count < 0)
        return error_from_errno(errno);
    for (int i = 0; i < count; i++) {
        if (more)
            more = visit(entries[i]->d_name, context);
        free(entries[i]);
    }
    free(entries);
    return ERROR_NONE;
}

/* ".NAME.XXXXXX", as file_write makes them. */
static bool is_unfinished(const char *name)
{
    size_t length = strlen(name);

    return name[0] == '.' && length > sizeof ".x.XXXXXX" - 2 && name[length - 7] == '.';
}

static bool sweep_name(const char *name, void *context)
{
    char path[8192];

    if (is_unfinished(name) &&
        snprintf(path, sizeof path, "%s/%s", (const char *)context, name) < (int)sizeof path)
        unlink(path);
    return true;
}

enum error folder_sweep(const char *path)
{
    return folder_list(path, sweep_name, (void *)(uintptr_t)path);
}

/* FNV-1a */
uint64_t file_stamp_bytes(uint64_t before, const void *data, size_t length)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < length; i++)
        before = (before ^ bytes[i]) * UINT64_C(1099511628211);
    return before;
}

uint64_t file_stamp(uint64_t before, const char *path, int64_t *written_ns)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return file_stamp_bytes(before, "absent", 6) | 1;
    int64_t ns = status.st_mtim.tv_sec * INT64_C(1000000000) + status.st_mtim.tv_nsec;
    if (written_ns && ns > *written_ns)
        *written_ns = ns;
    uint64_t facts[] = {(uint64_t)status.st_dev,          (uint64_t)status.st_ino,
                        (uint64_t)status.st_size,         (uint64_t)status.st_mtim.tv_sec,
                        (uint64_t)status.st_mtim.tv_nsec, (uint64_t)status.st_ctim.tv_sec,
                        (uint64_t)status.st_ctim.tv_nsec};
    return file_stamp_bytes(before, facts, sizeof facts) | 1;
}
