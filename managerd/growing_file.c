/* Writes a file from front to back, and keeps it under its name only when it is whole. */
#include "managerd/growing_file.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void growing_file_init(struct growing_file *file, const char *folder)
{
    memset(file, 0, sizeof *file);
    REQUIRE(snprintf(file->folder, sizeof file->folder, "%s", folder) < (int)sizeof file->folder);
    file->descriptor = -1;
    file->hash = sha256_new();
}

static void open_file(struct growing_file *file)
{
    snprintf(file->path, sizeof file->path, "%s/" GROWING_FILE_START "XXXXXX", file->folder);
    file->descriptor = mkostemp(file->path, O_CLOEXEC); /* 0600 */
    if (file->descriptor < 0) {
        file->error = error_from_errno(errno);
        file->path[0] = 0;
    }
}

void growing_file_add(struct growing_file *file, struct view bytes)
{
    if (file->descriptor < 0 && !file->error)
        open_file(file);
    if (file->error)
        return;
    sha256_update(file->hash, bytes.data, bytes.length);
    file->length += bytes.length;
    while (bytes.length && !file->error) {
        ssize_t wrote = write(file->descriptor, bytes.data, bytes.length);
        if (wrote < 0 && errno != EINTR)
            file->error = error_from_errno(errno);
        else if (wrote > 0)
            bytes = view_slice(bytes, (size_t)wrote, SIZE_MAX);
    }
}

enum error growing_file_end(struct growing_file *file)
{
    uint8_t digest[SHA256_BYTES];
    if (file->error)
        return file->error;
    sha256_finish(file->hash, digest);
    file->hash = NULL;
    hex_write(file->sha256, digest, sizeof digest);
    if (file->length == 0)
        return ERROR_NONE;
    char *map = mmap(NULL, file->length, PROT_READ, MAP_SHARED, file->descriptor, 0);
    if (map == MAP_FAILED)
        return file->error = error_from_errno(errno);
    file->map = map;
    return ERROR_NONE;
}

struct view growing_file_bytes(const struct growing_file *file)
{
    return file->map ? view_from(file->map, file->length) : VIEW("");
}

enum error growing_file_keep(struct growing_file *file, const char *path)
{
    if (fdatasync(file->descriptor) != 0 || rename(file->path, path) != 0)
        return error_from_errno(errno);
    file->path[0] = 0;
    return folder_sync(file->folder);
}

void growing_file_release(struct growing_file *file)
{
    uint8_t digest[SHA256_BYTES];
    if (file->map)
        munmap(file->map, file->length);
    if (file->descriptor >= 0)
        close(file->descriptor);
    if (file->path[0])
        unlink(file->path);
    if (file->hash)
        sha256_finish(file->hash, digest);
    file->map = NULL;
    file->descriptor = -1;
    file->path[0] = 0;
    file->hash = NULL;
}
