/*
 * The settings of a function as CreateFunction and UpdateFunctionConfiguration bring them: checked
 * one by one as AWS checks them, and copied into a configuration. Pure; one table of settings.
 */
#ifndef LAMBDA_LOCAL_SETTINGS_H
#define LAMBDA_LOCAL_SETTINGS_H

#include "common/base/json.h"

enum settings_verdict {
    SETTINGS_FINE,
    SETTINGS_INVALID,     /* a constraint of the API is violated: ValidationException */
    SETTINGS_CONTENT,     /* a member has the wrong JSON type */
    SETTINGS_UNSUPPORTED, /* lawful, but not here (or a runtime nobody knows):
                             InvalidParameterValueException */
};

/* Copies every setting that `document` has into `configuration`; the first one that is not good is
 * told in `problem`. */
enum settings_verdict settings_apply(const struct json *document, struct json *configuration,
                                     struct buffer *problem);
/* What a new function has when nothing was said. */
void settings_defaults(struct json *configuration);
/* One architecture out of x86_64 and arm64, in an array; NULL is fine. */
enum settings_verdict settings_architectures(const struct json *value, struct buffer *problem);
/* Tags: an object of strings, at most 50 in all once merged into `tags`. */
enum settings_verdict settings_tags(const struct json *value, struct json *tags,
                                    struct buffer *problem);

#endif
