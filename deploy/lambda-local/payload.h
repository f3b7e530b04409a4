/* Whether bytes are one JSON text (RFC 8259), without building anything. Pure. Events are passed on
 * as they came, so numbers of any size, repeated names and "\u0000" are fine. */
#ifndef LAMBDA_LOCAL_PAYLOAD_H
#define LAMBDA_LOCAL_PAYLOAD_H

#include "common/base/bytes.h"

/* Deeper nesting is refused. */
#define PAYLOAD_MAX_DEPTH 1000

/* ERROR_INVALID, with `*offset` at the first byte that does not fit. */
enum error payload_check(struct view text, size_t *offset) MUST_CHECK;

#endif
