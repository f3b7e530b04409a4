/*
 * The meaning of a message's head, for the guard alone: it hands over whole lines whose bytes are
 * legal already. Each function says why a message must be refused, or GUARD_NONE. They note in the
 * guard what framing and routing need.
 */
#ifndef COMMON_NET_HEAD_H
#define COMMON_NET_HEAD_H

#include "common/net/guard.h"

#define HEAD_METHOD_MAX_BYTES 32

enum guard_reason head_check_request_line(struct guard *guard, struct view line);
/* Adds the field to guard->head. */
enum guard_reason head_check_field(struct guard *guard, struct view line);
/* Splits a header or trailer line. */
enum guard_reason head_split_field(struct view line, struct view *name, struct view *value);
/* Fields that frame or route a message: they have no business in trailers. */
bool head_is_framing_field(struct view name);
/* At the empty line: what only the whole head shows. */
enum guard_reason head_check_whole(struct guard *guard);

#endif
