/*
 * Credentials that are made here and shown once: tokens of managerd, API keys of apps. A prefix that
 * tells what it is, 160 random bits in hex, and 32 bits of the SHA-256 of all that in hex, by which
 * scanners for secrets tell credentials from look-alikes. Nobody guesses one.
 */
#ifndef MANAGERD_CREDENTIAL_H
#define MANAGERD_CREDENTIAL_H

#include "common/base/bytes.h"

#define CREDENTIAL_PREFIX_BYTES 4
#define CREDENTIAL_SIZE         (CREDENTIAL_PREFIX_BYTES + 40 + 8 + 1) /* with NUL */
#define CREDENTIAL_HINT         8 /* bytes of it that are shown, to tell credentials apart */

#define API_KEY_PREFIX "aok_"
#define TOKEN_PREFIX   "aot_"

/* `prefix` has CREDENTIAL_PREFIX_BYTES. NUL-terminated. */
void credential_make(const char *prefix, char out[CREDENTIAL_SIZE]);
/* The SHA-256 of any text in hex: what is kept. */
void credential_hash(struct view text, char out[65]);

#endif
