/* The folder of an LMDB environment as a file system sees it: made, with exact modes, and checked
 * before LMDB is let in. For store.c only; knows no LMDB. */
#ifndef COMMON_STORE_STORE_FOLDER_H
#define COMMON_STORE_STORE_FOLDER_H

#include "common/store/store.h"

#define STORE_PATH_BYTES 4096

/* For a writer: makes the folder and the lock file when missing. */
enum error store_folder_prepare(const struct store_options *options,
                                struct buffer *problem) MUST_CHECK;
/* For a reader: an environment is there, and its lock file can be written. ERROR_NOT_FOUND,
 * ERROR_DENIED. */
enum error store_folder_check(const struct store_options *options,
                              struct buffer *problem) MUST_CHECK;
/* For a writer, after LMDB made its files: exact modes, and names that survive a power cut. */
enum error store_folder_settle(const struct store_options *options,
                               struct buffer *problem) MUST_CHECK;
/* Whether data.mdb begins as LMDB's files do: if LMDB still does not take it, the lock file is why. */
bool store_folder_has_head(const char *folder);
/* "folder/file". */
void store_path(char out[STORE_PATH_BYTES], const char *folder, const char *file);
/* One sentence; `problem` may be NULL. */
void store_explain(struct buffer *problem, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
