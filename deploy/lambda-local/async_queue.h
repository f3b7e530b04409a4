/*
 * Event invocations: accepted at once, run as sandboxes allow, tried again when the function fails
 * (twice, after the delay and after twice the delay, as AWS does) or is throttled. Bounded; kept in
 * memory only, so what has not run when lambda-local ends is lost.
 */
#ifndef LAMBDA_LOCAL_ASYNC_QUEUE_H
#define LAMBDA_LOCAL_ASYNC_QUEUE_H

#include "deploy/lambda-local/pool.h"

struct async_queue;

struct async_queue *async_queue_new(struct event_base *base, const struct config *config,
                                    struct pools *pools);
/* Takes over a made invocation (its on_done is set here). False when the queue is full: the
 * invocation stays the caller's. */
bool async_queue_add(struct async_queue *queue, struct invocation *invocation);
/* Call after the pools were freed or have nothing in flight. */
void async_queue_free(struct async_queue *queue);

#endif
