/* A function as JSON text: what function.json holds, written and read back. Pure. */
#ifndef LAMBDA_LOCAL_FUNCTION_RECORD_H
#define LAMBDA_LOCAL_FUNCTION_RECORD_H

#include "deploy/lambda-local/function.h"

/* Most bytes of function.json and of a version's file. */
#define FUNCTION_RECORD_MAX (4 * 1024 * 1024)

void function_record_write(const struct function *function, struct buffer *out);
/* Fills in a new function; its folder is set. ERROR_INVALID when a member is missing or wrong. */
enum error function_record_read(struct function *function, struct view text) MUST_CHECK;
/* A version from its configuration (taken over, also on an error). */
enum error function_record_version(struct function *function, struct json *configuration,
                                   int64_t number, struct version **version) MUST_CHECK;

#endif
