/*
 * How a record lies in state's store: its revision (8 bytes, big-endian), its text, a zero byte, and a sum over
 * its key and all of that (the first 8 bytes of their SHA-256). So what is read is what was written under
 * this key, or it is damaged. Text holds no zero byte; a record without one is of a time before the sums.
 */
#ifndef MANAGERD_STATE_RECORD_H
#define MANAGERD_STATE_RECORD_H

#include "common/base/bytes.h"

#define STATE_RECORD_OVERHEAD 17 /* bytes besides the text */

/* Appends the record to `out`. */
void state_record_write(struct buffer *out, struct view key, uint64_t revision, struct view text);
/* `text` points into `bytes`. False: damaged. */
bool state_record_read(struct view key, struct view bytes, uint64_t *revision,
                       struct view *text) MUST_CHECK;
/* The same, and looks into the text of one without a sum, too: it must be JSON. */
bool state_record_whole(struct view key, struct view bytes, uint64_t *revision) MUST_CHECK;

#endif
