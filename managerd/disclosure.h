/*
 * What the audit tells of a change to a record: which members are others now. Secrets, sealed or
 * hashed, appear as fingerprints, and so does what is long. Pure.
 */
#ifndef MANAGERD_DISCLOSURE_H
#define MANAGERD_DISCLOSURE_H

#include "common/base/json.h"

#define DISCLOSURE_MAX_MEMBERS 60
#define DISCLOSURE_MAX_BYTES   256 /* a longer value is told by its fingerprint */

/* [{"pointer", "before", "after"}], absent as null; "updatedAt" is left out. NULL is an object without
 * members. After the last member that fits comes {"pointer": "", "more": N}. */
struct json *disclose(const struct json *before, const struct json *after);
/* The first half of the SHA-256 of the JSON text, in hex; NULL: null. */
struct json *disclosure_fingerprint(const struct json *value);

#endif
