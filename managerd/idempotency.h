/*
 * Idempotency-Key: the first final answer to a POST is kept for 24 hours and given again.
 *
 * The answer is written by the very commit that does the work, so the work is never done twice,
 * also across a crash. An operation's answer is kept as its id and told as it is now. Failures to
 * start are not kept. Keys belong to their caller; only hashes are stored.
 */
#ifndef MANAGERD_IDEMPOTENCY_H
#define MANAGERD_IDEMPOTENCY_H

#include "managerd/call.h"

/* Looks the key up: goes on, answers again, or refuses. */
enum progress idempotency_begin(struct call *call);
/* Adds the answer to the call's change. */
void idempotency_keep(struct call *call, int status, const struct json *result);

/*
 * For work that is done elsewhere, which no commit of ours does: that it begins is committed first,
 * its answer afterwards. Whoever asks again in between, after a crash, is told that the answer is
 * lost (409), rather than have it done twice. The text is kept sealed, as it may be anybody's
 * secrets; one of more than SECRETS_MAX_ANSWER bytes is not kept, and whoever asks again is told so.
 */
void idempotency_keep_begun(struct call *call);
void idempotency_keep_text(struct call *call, int status, struct view text);
/* It was not begun after all. */
void idempotency_forget(struct call *call);

#endif
