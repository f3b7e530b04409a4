/* The names inside a zip package, inside base only: its central directory read by hand, and which
 * names and link targets are refused. Knows no libzip. */
#ifndef COMMON_BASE_ARCHIVE_NAMES_H
#define COMMON_BASE_ARCHIVE_NAMES_H

#include "common/base/bytes.h"

#define ARCHIVE_NAME_MAX_BYTES 1024

/* The central directory is read before libzip sees the archive: its count bounds what libzip
 * allocates, and libzip gives names as C strings, which would hide a NUL. */
struct archive_directory {
    uint64_t count; /* as stated */
    uint64_t at;    /* where the next record is */
};

bool archive_directory_find(struct view zip, struct archive_directory *directory);
/* The name in the next record; false when there is no whole record. */
bool archive_directory_next(struct view zip, struct archive_directory *directory,
                            struct view *name);
/* What is wrong, to follow "The entry NAME ", or NULL. */
const char *archive_name_wrong(struct view name);
const char *archive_target_wrong(struct view name, struct view target);

#endif
