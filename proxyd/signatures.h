/*
 * What a worker knows of signatures: keys it has read, and signatures it has found good. Both tables
 * are bounded, a newcomer takes the place of another.
 *
 * Whether a signature is good depends on key, algorithm, message and signature alone, never on time
 * or on the app, so a digest of these four is all that is kept. A callers' token comes many times
 * within its life; only the first time costs the arithmetic.
 */
#ifndef PROXYD_SIGNATURES_H
#define PROXYD_SIGNATURES_H

#include "common/base/signature.h"

#define SIGNATURES_KEYS  256  /* parsed keys, a few KB each */
#define SIGNATURES_KNOWN 2048 /* digests of 32 bytes */

struct signatures;

struct signatures *signatures_new(void);
void signatures_free(struct signatures *signatures);
/* False as well when the key's bytes are no key. */
bool signatures_good(struct signatures *signatures, const struct signature_key *key,
                     enum signature_algorithm algorithm, struct view message,
                     struct view signature);
/* How many were looked at in full, and how many were known; for tests. */
uint64_t signatures_checked(const struct signatures *signatures);
uint64_t signatures_recalled(const struct signatures *signatures);

#endif
