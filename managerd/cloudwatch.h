/*
 * FilterLogEvents of CloudWatch Logs: signed (service "logs"), JSON 1.1, paced and retried as the
 * SDKs do (retry.h). Its quota is 5 calls per second for account and region in the smallest regions:
 * all readers share one line. Endpoint: AWS_ENDPOINT_URL_CLOUDWATCH_LOGS, AWS_ENDPOINT_URL, AWS's
 * own. Loop thread only.
 */
#ifndef MANAGERD_CLOUDWATCH_H
#define MANAGERD_CLOUDWATCH_H

#include "managerd/lambda_control.h"

struct cloudwatch;
struct cloudwatch_call;
struct credentials_provider;

/* `provider` gives the provider of the moment, also after a reload. One sentence in `problem`. */
enum error cloudwatch_new(struct event_base *base, const char *(*variable)(const char *name),
                          struct credentials_provider *(*provider)(const void *context),
                          const void *context, struct cloudwatch **cloudwatch,
                          struct buffer *problem) MUST_CHECK;
/* All calls must be over or cancelled. NULL is fine. */
void cloudwatch_free(struct cloudwatch *cloudwatch);

struct cloudwatch_request {
    struct view group; /* "/aws/lambda/NAME" */
    struct view token; /* of the page before; empty: from the start */
    int64_t start_ms;
    int64_t end_ms; /* 0: none */
    int64_t limit;  /* events of the page, up to 10,000 */
};
/* on_done comes from the loop, once, unless the call was cancelled. `answer->json` is AWS's document;
 * LAMBDA_NOT_FOUND: there is no such group. */
struct cloudwatch_call *cloudwatch_filter(
    struct cloudwatch *cloudwatch, const struct cloudwatch_request *request,
    void (*on_done)(const struct lambda_answer *answer, void *context), void *context);
/* NULL is fine. */
void cloudwatch_cancel(struct cloudwatch_call *call);
/* Attempts so far, and those that brought no good answer. */
void cloudwatch_count(const struct cloudwatch *cloudwatch, uint64_t *attempts, uint64_t *failures);

#endif
