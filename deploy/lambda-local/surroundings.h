/*
 * What a function has around it: layers, a network, logs, traces, where its failed events go, and whether
 * it starts from a snapshot. Checked as AWS checks it and kept as AWS shows it; of all of it only
 * AWS_LAMBDA_LOG_FORMAT and AWS_LAMBDA_LOG_LEVEL reach the function here. Pure. Sources: aws-contract 4.1,
 * 4.2, and the service model's patterns.
 */
#ifndef LAMBDA_LOCAL_SURROUNDINGS_H
#define LAMBDA_LOCAL_SURROUNDINGS_H

#include "deploy/lambda-local/settings.h"

/* Whether `member` ("Layers" …, of the right JSON type) may be as `value` says; else one sentence. */
enum settings_verdict surroundings_check(const char *member, const struct json *value,
                                         struct buffer *problem);
/* Puts the member into the configuration, as its answers show it. `value` was found fine. */
void surroundings_set(struct json *configuration, const char *member, const struct json *value);
/* Whether everything together can be: a snapshot wants a runtime that can, and no more than 512 MB of
 * storage. */
enum settings_verdict surroundings_agree(const struct json *configuration, struct buffer *problem);
/* SnapStart of a published version: its snapshot is there. */
void surroundings_published(struct json *configuration);

#endif
