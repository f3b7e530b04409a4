/* What is kept for a set time only: answers by Idempotency-Key (until they expire), and operations that
 * ended (30 days). */
#ifndef MANAGERD_RETENTION_H
#define MANAGERD_RETENTION_H

#include "managerd/state.h"

/* Removes what is due, a bounded number at once. Call it each hour. */
void retention_sweep(struct state *state, int64_t now_ms);
/* When the id (UUIDv7) was made, in ms; -1 when it tells no time. */
int64_t retention_id_ms(struct view id);

#endif
