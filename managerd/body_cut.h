/*
 * Cuts the packages out of a large JSON body, so that the rest can be read like any other: their base64
 * text stays where it lies (in a mapped file) and is never copied as a whole. Pure.
 *
 * A package is the string `zip` of an object that is the value of a member `package`, at any depth, and
 * the string `archive` of the outermost object, when it is long. In the rest each has a stand-in, which
 * is no base64.
 */
#ifndef MANAGERD_BODY_CUT_H
#define MANAGERD_BODY_CUT_H

#include "common/base/bytes.h"

#define BODY_CUT_MAX_DEPTH 32

struct body_cuts {
    struct view *texts; /* between their quotes, in order; escapes are not resolved */
    size_t count;
};

/*
 * Appends the text to `rest`, with stand-ins, and fills `cuts` (body_cuts_release). Says nothing about
 * whether the text is JSON: that shows when the rest is parsed. ERROR_TOO_BIG when the rest outgrows
 * its buffer.
 */
enum error body_cut(struct view text, struct buffer *rest, struct body_cuts *cuts) MUST_CHECK;
void body_cuts_release(struct body_cuts *cuts);
/* What the stand-in stands for; false: it is none. */
bool body_cuts_find(const struct body_cuts *cuts, struct view stand_in, struct view *text);
/* Where in the whole text something at this place of the rest lies. */
size_t body_cuts_place(const struct body_cuts *cuts, struct view text, size_t in_rest);

/*
 * Decodes the next piece of a JSON string that holds base64, its escapes resolved: takes about
 * `max_bytes` off `*text`, appends to `out`. The caller goes on until it is empty. ERROR_INVALID: no
 * base64.
 */
enum error body_cut_decode(struct view *text, size_t max_bytes, struct buffer *out) MUST_CHECK;

#endif
