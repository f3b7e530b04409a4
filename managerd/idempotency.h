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

#endif
