/* A function's package on disk: the zip as it came, and the folder it was unpacked to, read-only. */
#ifndef LAMBDA_LOCAL_PACKAGE_H
#define LAMBDA_LOCAL_PACKAGE_H

#include "deploy/lambda-local/function.h"

/* Most bytes of a zip that is sent in the request (Lambda quotas: 50 MB). */
#define PACKAGE_MAX_BYTES (50 * 1024 * 1024)

/* Stores the zip and unpacks it below the function's folder (whole or not at all; what lies there
 * already is kept). ERROR_INVALID and ERROR_TOO_BIG come with one sentence in `problem`. The code
 * is not held yet. */
enum error package_store(struct function *function, struct view zip, struct code **code,
                         struct buffer *problem) MUST_CHECK;
/* Checks only. */
enum error package_check(struct view zip, struct buffer *problem) MUST_CHECK;
/* Removes what lies among the function's code and belongs to no version: leftovers of a kill. */
enum error package_sweep(struct function *function) MUST_CHECK;
/* Removes a folder that holds read-only folders. */
enum error package_remove(const char *folder) MUST_CHECK;

#endif
