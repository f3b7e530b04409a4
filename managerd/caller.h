/*
 * Who managerd is for AWS: GetCallerIdentity of STS, signed (service "sts"). One attempt a call: who asks
 * asks again later. Endpoint: AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, AWS's own; the last only when Lambda
 * is AWS's own, too: keys of a stand-in are nothing for AWS. Loop thread only.
 */
#ifndef MANAGERD_CALLER_H
#define MANAGERD_CALLER_H

#include "managerd/lambda_control.h"

struct caller;
struct caller_call;
struct credentials_provider;

/* `provider` gives the provider of the moment. One sentence in `problem`. */
enum error caller_new(struct event_base *base, const char *(*variable)(const char *name),
                      const char *lambda_endpoint,
                      struct credentials_provider *(*provider)(const void *context),
                      const void *context, struct caller **caller,
                      struct buffer *problem) MUST_CHECK;
/* All calls must be over or cancelled. NULL is fine. */
void caller_free(struct caller *caller);
/* Whether there is anybody to ask. */
bool caller_known(const struct caller *caller);

struct caller_identity {
    struct view account, arn, user;
};
/* Reads STS's answer (XML); false: it is none. Views into `body`. Pure. */
bool caller_read(struct view body, struct caller_identity *identity);
/* on_done comes from the loop, once, unless cancelled; the identity is NULL when the outcome is not OK.
 * The views live for the call. */
struct caller_call *caller_ask(struct caller *caller,
                               void (*on_done)(const struct lambda_answer *answer,
                                               const struct caller_identity *identity,
                                               void *context),
                               void *context);
/* NULL is fine. */
void caller_cancel(struct caller_call *call);

/* Whether the URL is an endpoint of AWS's own, not of a stand-in. */
bool endpoint_is_aws(const char *url);

#endif
