/*
 * One invocation: an event on its way through a sandbox, and what came of it.
 *
 * Made by who wants it, given to pools_submit, ended by invocation_finish, which calls on_done once
 * and frees it. Whoever waits may lose interest before (invocation_forget): the function goes on,
 * its result is dropped.
 *
 * A function may stream its output. Who set on_output gets it piece by piece, and `reply` is empty
 * then, or the error object; for all others it is collected in `reply`.
 */
#ifndef LAMBDA_LOCAL_INVOCATION_H
#define LAMBDA_LOCAL_INVOCATION_H

#include "common/base/id.h"
#include "deploy/lambda-local/function.h"

#include <sys/queue.h>

struct front_exchange;
struct sandbox;

/* Lambda's limit for an answer; the runtime interface emulator allows the same few bytes more. */
#define INVOCATION_MAX_REPLY_BYTES  (6 * 1024 * 1024 + 100)
#define INVOCATION_MAX_STREAM_BYTES (UINT64_C(200) * 1024 * 1024) /* Lambda's, for streams */
#define INVOCATION_TAIL_BYTES       4096
#define INVOCATION_TRACE_SIZE       512

enum invocation_outcome {
    INVOCATION_SUCCEEDED, /* reply: what the function answered */
    INVOCATION_FAILED, /* reply: an error object; the function, its runtime or its sandbox failed */
    INVOCATION_THROTTLED, /* never started: no sandbox became free in time */
};

struct invocation {
    TAILQ_ENTRY(invocation) queue;
    char request_id[ID_SIZE];
    struct version *version;
    char arn[FUNCTION_ARN_SIZE]; /* as it was called, with the qualifier */
    char trace_id[INVOCATION_TRACE_SIZE];
    char *client_context; /* JSON; NULL: none */
    struct buffer payload;
    uint64_t queued_us, started_us; /* monotonic */
    int64_t deadline_ms;            /* wall time */
    struct buffer reply;
    struct buffer tail; /* the last lines logged */
    /* A piece of streamed output; borrowed. May pause and resume. NULL: nobody wants pieces. */
    void (*on_output)(struct invocation *invocation, struct view piece, void *context);
    uint64_t streamed_bytes;
    struct front_exchange *source; /* what brings the stream, while it comes */
    void (*on_done)(struct invocation *invocation, enum invocation_outcome outcome, void *context);
    void *context;
};

TAILQ_HEAD(invocation_queue, invocation);

/* Holds the version. A new request id is made unless one is given. */
struct invocation *invocation_new(struct version *version, const char *request_id);
void invocation_free(struct invocation *invocation);
/* Replaces the reply by an error object; the message names the request. */
void invocation_word_error(struct invocation *invocation, const char *type, const char *format, ...)
    PRINTF_LIKE(3, 4);
void invocation_finish(struct invocation *invocation, enum invocation_outcome outcome);
void invocation_forget(struct invocation *invocation);
/* Holds a streamed output back, or lets it go on; nothing when none is under way. */
void invocation_pause(struct invocation *invocation, bool paused);

#endif
