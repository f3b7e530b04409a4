/*
 * A copy of an environment, as it was at one moment, while others read and write it: compact, without its
 * free pages, and on disk when it is told to be done. Whoever copies must be able to write the lock file.
 */
#ifndef COMMON_STORE_STORE_COPY_H
#define COMMON_STORE_STORE_COPY_H

#include "common/base/bytes.h"

/* Makes `to` (0700) when it is missing, and data.mdb (0600) in it; ERROR_EXISTS when there is one. On failure
 * one sentence in `problem`, and nothing is left of the file. */
enum error store_copy(const char *folder, const char *to, struct buffer *problem) MUST_CHECK;

#endif
