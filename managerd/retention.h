/* What is kept for a set time only: answers by Idempotency-Key (until they expire), operations that ended
 * (30 days), and changes of apps and domains (90 days). */
#ifndef MANAGERD_RETENTION_H
#define MANAGERD_RETENTION_H

#include "managerd/state.h"

/* Removes what is due, a bounded number at once; whether there is more to look at. While state is full the records of removals are due
 * after seconds: else they would fill what they have freed. */
bool retention_sweep(struct state *state, int64_t now_ms);
/* Call it each few seconds: sweeps each hour (last at *swept_ms) until all is looked at, and while state is
 * full, and tries a small write while state cannot be written, so that readiness comes back by itself. */
void retention_look(struct state *state, int64_t now_ms, int64_t *swept_ms);
/* When the id (UUIDv7) was made, in ms; -1 when it tells no time. */
int64_t retention_id_ms(struct view id);

#endif
