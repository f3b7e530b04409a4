/*
 * Cuts the event out of a JSON body, so that it is never read into a tree: numbers keep their digits,
 * strings may hold anything, and an event of millions of values takes no more memory than its text.
 * Pure.
 */
#ifndef MANAGERD_EVENT_CUT_H
#define MANAGERD_EVENT_CUT_H

#include "common/base/bytes.h"

#define EVENT_CUT_MAX_VALUES 100000 /* beside the event */

/* Appends the text to `rest` with null in place of the outermost member `event`, which must be well-formed;
 * `event` is that member as it is written, empty when there is none. What is no object is appended as
 * an empty value of its type. ERROR_INVALID: no JSON, near `*offset`; ERROR_TOO_BIG: too many values
 * beside the event, or more than `rest` takes. */
enum error event_cut(struct view text, struct buffer *rest, struct view *event,
                     size_t *offset) MUST_CHECK;

#endif
