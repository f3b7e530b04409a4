/* The JSON shapes that several operations answer with. Each result belongs to the caller. */
#ifndef LAMBDA_LOCAL_SERVER_ANSWERS_H
#define LAMBDA_LOCAL_SERVER_ANSWERS_H

#include "deploy/lambda-local/server/api.h"

/* FunctionConfiguration; a qualifier ("7", "live", "$LATEST") goes into the ARN, "" does not. */
struct json *answer_configuration(const struct version *version, const char *qualifier);
/* The same for lists, which name no states. */
struct json *answer_list_item(const struct version *version, const char *qualifier);
struct json *answer_alias(const struct function *function, const struct alias *alias);
/* NextMarker for `name`. */
void answer_next_marker(struct json *answer, struct view name);
/* 409 while the function is Pending or InProgress; true when it answered. */
bool answer_busy(struct api_call *call, const struct function *function);
/* Answers what a check of settings found; true when it was not fine. */
bool answer_settings(struct api_call *call, int verdict, const struct buffer *problem);

#endif
