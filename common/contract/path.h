/* Paths as routes see them: a normalised copy is matched, the raw path is forwarded. RFC 3986
 * section 6.2.2. */
#ifndef COMMON_CONTRACT_PATH_H
#define COMMON_CONTRACT_PATH_H

#include "common/base/bytes.h"

/* Splits an origin-form target at the first "?". `*` and absolute-form are not for here. */
void target_split(struct view target, struct view *path, struct view *query);
/* Unreserved characters decoded, hex upper case; ERROR_INVALID for dot segments (also encoded), bad
 * escapes, NUL, no leading slash. */
enum error path_normalize(struct view path, struct buffer *out) MUST_CHECK;
/* Whether `prefix` ("/", "/api", "/api/") covers the normalised path on a segment border. */
bool path_covers(struct view prefix, struct view path);
/* First segment of a raw path and what is left ("/hello/a?…" -> "hello", "/a"; "/hello" -> "hello",
 * "/"). */
bool path_first_segment(struct view path, struct view *segment, struct view *rest);

#endif
