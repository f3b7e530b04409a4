/*
 * Content-Digest and Repr-Digest (RFC 9530): a dictionary of digests (RFC 8941), of which SHA-256 is
 * looked at; others are ignored, as the RFC allows. Pure.
 */
#ifndef MANAGERD_DIGEST_H
#define MANAGERD_DIGEST_H

#include "common/base/bytes.h"

enum digest_verdict {
    DIGEST_ABSENT, /* it names no SHA-256 */
    DIGEST_SAME,
    DIGEST_OTHER,
    DIGEST_MALFORMED,
};

/* Compares the field's value with the body's SHA-256 in hex. Of members that are there twice the last
 * counts. */
enum digest_verdict digest_compare(struct view field, const char *sha256_hex);

#endif
