/*
 * Pictures of functions: what we set of a Lambda function or version, as it was deployed and as AWS has it,
 * in one form that can be compared (drift.h). Values of environment variables are in none of them.
 */
#ifndef MANAGERD_PICTURE_H
#define MANAGERD_PICTURE_H

#include "managerd/secrets.h"

/* Of a version's record, or of any object with its members. "role" is absent when it names none;
 * "environment" when no key opens its values. */
struct json *picture_of_version(const struct secrets *secrets, struct view app,
                                const struct json *version);
/* Of a FunctionConfiguration of AWS's. "environment" is absent when AWS cannot read it. */
struct json *picture_of_configuration(const struct secrets *secrets, struct view app,
                                      const struct json *configuration);

#endif
