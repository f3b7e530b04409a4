/* Whole files: read under a ceiling, written so that a crash leaves the old or the new one, never a
 * part. */
#ifndef COMMON_BASE_FILE_H
#define COMMON_BASE_FILE_H

#include "common/base/bytes.h"

#include <sys/types.h>

/* Appends the file's bytes; ERROR_TOO_BIG beyond the buffer's ceiling, ERROR_NOT_FOUND,
 * ERROR_DENIED, ERROR_IO. */
enum error file_read(const char *path, struct buffer *out) MUST_CHECK;
/* Temporary file in the same folder (".NAME.XXXXXX"; a crash may leave one), write, fsync, rename,
 * fsync of the folder. The mode is set whatever the umask; a symbolic link is replaced. */
enum error file_write(const char *path, struct view bytes, mode_t mode) MUST_CHECK;
bool file_exists(const char *path);
/* Makes the folder and its parents; an existing folder is fine (its mode stays). */
enum error folder_make(const char *path, mode_t mode) MUST_CHECK;
/* What was renamed or made in it is on the disk. */
enum error folder_sync(const char *path) MUST_CHECK;
/* Removes the folder and all below it; never follows a symbolic link; absent is fine. */
enum error folder_remove(const char *path) MUST_CHECK;
/* Calls visit for each name in the folder, in byte order, without "." and ".."; stops early on
 * false. */
enum error folder_list(const char *path, bool (*visit)(const char *name, void *context),
                       void *context) MUST_CHECK;
/* Removes what file_write left in the folder when its process was killed; nobody may be writing there. */
enum error folder_sweep(const char *path) MUST_CHECK;

/*
 * What tells a file from what it was before: replaced, renewed behind a link, written or touched. Mixed
 * into `before` (FILE_STAMP_START, or the stamp of other files); never 0. An absent file has one, too.
 * `written_ns` (may be NULL): raised to when it was written.
 */
#define FILE_STAMP_START UINT64_C(14695981039346656037)
uint64_t file_stamp(uint64_t before, const char *path, int64_t *written_ns);
/* Mixes in what the caller knows besides. */
uint64_t file_stamp_bytes(uint64_t before, const void *data, size_t length);

#endif
