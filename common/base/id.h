/* UUIDv7 (RFC 9562 section 5.7): ids that sort by time, for requests, operations and audit. */
#ifndef COMMON_BASE_ID_H
#define COMMON_BASE_ID_H

#include "common/base/bytes.h"

#define ID_SIZE 37 /* 36 characters and NUL */

/* Unique, and rising within one thread, also within one millisecond and when the wall clock is set
 * back. Thread-safe, takes no lock (the counter is per thread, the rest random). */
void id_make(char out[ID_SIZE]);
/* Any UUID in canonical text form, either case. */
bool id_valid(struct view text);

#endif
