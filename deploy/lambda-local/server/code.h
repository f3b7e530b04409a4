/* The code that CreateFunction and UpdateFunctionCode bring: a zip in the request. */
#ifndef LAMBDA_LOCAL_SERVER_CODE_H
#define LAMBDA_LOCAL_SERVER_CODE_H

#include "deploy/lambda-local/server/api.h"

/* Decodes member ZipFile of `object` into `zip` (to be released by the caller, in any case); false
 * after a refusal. */
bool code_read(struct api_call *call, const struct json *object, struct buffer *zip);
/* Stores it below the function; false after a refusal. */
bool code_store(struct api_call *call, struct function *function, struct view zip,
                struct code **code);
/* Checks it only; false after a refusal. */
bool code_check(struct api_call *call, struct view zip);
/* CodeSize and CodeSha256. */
void code_describe(struct json *configuration, struct view zip);

#endif
