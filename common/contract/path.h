/*
 * Paths as routes see them: a normalised copy is matched, the raw path is forwarded. Pure.
 * RFC 3986 section 6.2.2.
 */
#ifndef COMMON_CONTRACT_PATH_H
#define COMMON_CONTRACT_PATH_H

#include "common/base/bytes.h"

/* Splits an origin-form target at the first "?"; without one the query is empty. `*` and
 * absolute-form are not for here. */
void target_split(struct view target, struct view *path, struct view *query);
/* The most bytes that path_normalize appends for a path of that length. */
#define PATH_NORMAL_MAX(length) (3 * (length))
/* Appends the normal form: unreserved characters decoded, hex upper case, bytes from 0x80 up
 * escaped. ERROR_INVALID for dot segments (also encoded, and also between "\", %2F or %5C, which
 * some servers take for "/"), bad escapes, control bytes, spaces, "?", "#", %00, no leading slash. */
enum error path_normalize(struct view path, struct buffer *out) MUST_CHECK;
/* Whether `prefix` ("/", "/api", "/api/") covers the normalised path on a segment border. The
 * prefix is in normal form too; a slash at its end makes no difference. */
bool path_covers(struct view prefix, struct view path);
/* How many bytes of a lawful raw path make the first `normal_length` bytes of its normal form
 * (which must end on an escape's border). */
size_t path_raw_length(struct view path, size_t normal_length);
/* First segment of a raw path and what is left ("/hello/a?…" -> "hello", "/a"; "/hello" -> "hello",
 * "/"). False when there is no first segment ("/", "//a", "a"). Both are parts of `path`, or
 * literals. */
bool path_first_segment(struct view path, struct view *segment, struct view *rest);

#endif
