/*
 * Attempts: wrong tokens, counted by address, so that guessing is slow. Ten at once, then one every two
 * seconds; what is over is refused without saying whether it was right. IPv6 counts by /64. A bounded
 * table: the addresses that were wrong longest ago are forgotten first. Loop thread only.
 *
 * Only a token that can be guessed at all is refused because of others behind its address: tokens made
 * here, and configured ones of ATTEMPTS_SAFE_BYTES or more, are always looked at.
 */
#ifndef MANAGERD_ATTEMPTS_H
#define MANAGERD_ATTEMPTS_H

#include "common/base/bytes.h"

#define ATTEMPTS_BURST      10
#define ATTEMPTS_EACH_MS    2000
#define ATTEMPTS_SAFE_BYTES 20 /* of a configured token */

struct attempts;

struct attempts *attempts_new(void);
void attempts_free(struct attempts *attempts);
/* Times are monotonic, in milliseconds. */
void attempts_failed(struct attempts *attempts, struct view address, uint64_t now_ms);
/* Whether there were too many from there, and there still are. */
bool attempts_over(const struct attempts *attempts, struct view address, uint64_t now_ms);

#endif
