/*
 * Zip packages, checked before they are believed. Only archive.c includes libzip.
 *
 * Refused, each with its own sentence: no archive at all, no entries, encrypted entries, absolute
 * paths, "..", back- slashes, NUL or control bytes in names, duplicate names, a file that is also a
 * folder, devices and symbolic links that leave the package, more entries or bytes than the limits,
 * an entry whose stated size or CRC is not what comes out, a ratio of a zip bomb. Sources: AWS
 * Lambda quotas (250 MB unzipped), aws-contract.md 4.6.
 */
#ifndef COMMON_BASE_ARCHIVE_H
#define COMMON_BASE_ARCHIVE_H

#include "common/base/bytes.h"

struct archive_limits {
    uint64_t max_entries;        /* 0: 50,000 */
    uint64_t max_unpacked_bytes; /* 0: 262,144,000 (250 MB as AWS counts) */
};

struct archive_summary {
    uint64_t entries;
    uint64_t unpacked_bytes;
};

/* Reads the whole archive (decompresses every entry, so sizes and CRCs are true). On ERROR_INVALID
 * or ERROR_TOO_BIG one sentence for the user is appended to `problem`. */
enum error archive_check(struct view zip, const struct archive_limits *limits,
                         struct archive_summary *summary, struct buffer *problem) MUST_CHECK;
/* A symbolic link may begin with ".." as far as the package reaches, and has none later.
 * Checks as above, then unpacks below `folder` (which must exist and be empty); the executable bits
 * of the entries are kept, other mode bits are not. Nothing is written when the check refuses; a
 * failure while writing may leave files behind. */
enum error archive_unpack(struct view zip, const struct archive_limits *limits, const char *folder,
                          struct buffer *problem) MUST_CHECK;
/* Whether a file of this name is in the archive. */
bool archive_has(struct view zip, const char *name);

#endif
