/* The states of a version: Pending -> Active, and InProgress -> Successful, after a delay. */
#ifndef LAMBDA_LOCAL_FUNCTION_STATE_H
#define LAMBDA_LOCAL_FUNCTION_STATE_H

#include "deploy/lambda-local/function.h"

struct event_base;

/* Marks a new version Pending, or Active at once when the delay is 0. */
void function_state_create(struct version *version, bool wait);
/* Marks an updated $LATEST InProgress, or Successful at once. */
void function_state_update(struct version *version, bool wait);
/* Active and Successful, with a new revision. */
void function_state_settle(struct version *version);
/* LastModified is now. */
void function_state_modified(struct json *configuration);
/* Calls `on_ready` once after the delay; the version must live until then. */
void function_state_wait(struct event_base *base, struct version *version, int64_t delay_ms,
                         void (*on_ready)(int, short, void *), void *context);

#endif
