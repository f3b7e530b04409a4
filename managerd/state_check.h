/*
 * Whether all of a folder of state is whole: its pages (store_check.h), and by its sum each record
 * (state_record.h). Done before state is opened, so that what was acknowledged is there, or managerd says
 * what is not and does not start.
 */
#ifndef MANAGERD_STATE_CHECK_H
#define MANAGERD_STATE_CHECK_H

#include "common/base/bytes.h"

/* The databases of state. */
#define STATE_RECORDS  "records"
#define STATE_META     "meta"
#define STATE_REVISION "revision" /* in meta: the last one given; its text is the layout's number */
#define STATE_LAYOUT   "1"

struct state_checked {
    uint64_t records, revision;
    uint64_t lost; /* of a rescue: places where something was lost */
};

/* ERROR_NOT_FOUND: there is no state in the folder, and no sentence. ERROR_FROM_FUTURE; ERROR_DAMAGED. One
 * sentence in `problem`. `checked` may be NULL. */
enum error state_check(const char *folder, struct state_checked *checked,
                       struct buffer *problem) MUST_CHECK;

#endif
