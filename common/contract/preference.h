/*
 * What a client would like (Prefer, RFC 7240): pure. A preference that is not understood, or not
 * granted, is ignored.
 */
#ifndef COMMON_CONTRACT_PREFERENCE_H
#define COMMON_CONTRACT_PREFERENCE_H

#include "common/base/bytes.h"

/* Whether the value of one Prefer header holds the preference `name` (in any case), without a value
 * (`name`, `name=` and `name=""` mean the same, RFC 7240 section 2). What stands in quotes is a
 * value, never a name. */
bool preference_asked(struct view prefer, const char *name);

#endif
