/*
 * The Lambda Runtime API of one sandbox, on a loopback port of its own: that is how lambda-local
 * knows which sandbox speaks. Source: aws-contract.md section 7.
 *
 * The state machine: next -> exactly one of response or error -> next. What is out of order gets
 * 403 InvalidStateTransition, a wrong request id 400 InvalidRequestID; neither changes anything.
 */
#ifndef LAMBDA_LOCAL_RUNTIME_API_H
#define LAMBDA_LOCAL_RUNTIME_API_H

#include "deploy/lambda-local/invocation.h"

struct event_base;
struct runtime_api;

struct runtime_api_handlers {
    /* The runtime asks for an event: give it by runtime_api_deliver, now or later. */
    void (*on_next)(void *context);
    /* The result of what was delivered is in the invocation's reply. `error_type` is empty unless
     * it failed. */
    void (*on_result)(enum invocation_outcome outcome, struct view error_type, void *context);
    /* The runtime could not start; the text is its error object. */
    void (*on_init_error)(struct view body, void *context);
    /* The runtime stopped waiting for an event. */
    void (*on_lost)(void *context);
};

/* NULL and one sentence in `problem` when no port can be had. */
struct runtime_api *runtime_api_new(struct event_base *base,
                                    const struct runtime_api_handlers *handlers, void *context,
                                    struct buffer *problem);
/* "127.0.0.1:43211" */
const char *runtime_api_address(const struct runtime_api *api);
/* Answers the waiting `next`. The invocation stays the caller's, and must live until on_result or
 * runtime_api_abandon. */
void runtime_api_deliver(struct runtime_api *api, struct invocation *invocation);
/* Nobody waits for the result any more. */
void runtime_api_abandon(struct runtime_api *api);
/* Not from inside a handler. */
void runtime_api_free(struct runtime_api *api);

#endif
