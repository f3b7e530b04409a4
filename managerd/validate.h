/*
 * Validating a call: its query, preconditions that need no state, its body by type and shape, its
 * Idempotency-Key. Everything that is wrong is found at once.
 */
#ifndef MANAGERD_VALIDATE_H
#define MANAGERD_VALIDATE_H

#include "managerd/call.h"

/* The step. Large bodies are read in the pool: then it waits. */
enum progress validate_call(struct call *call);

/* Pure parts. */
bool request_id_valid(struct view id);
/* "wait=N" among preferences (RFC 7240), in seconds; -1: not asked for. */
int64_t prefer_wait_s(struct view prefer);
/* Media type without parameters equals `wanted`. */
bool media_type_is(struct view content_type, const char *wanted);
/* A strong ETag of `list` equals the revision, or it is "*" and there is one. */
bool if_match_holds(struct view list, uint64_t revision);

#endif
