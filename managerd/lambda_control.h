/*
 * The AWS Lambda API as managerd uses it: signed calls, paced, retried where that may help, AWS's
 * errors named. Sources: aws-contract 4 (rest-json, paths and quotas of the Lambda API).
 *
 * One quota for the 15 requests/s that control calls share, another for GetFunction (100/s);
 * invocations have none. Connection failures, throttling and 5xx are tried again as the SDKs do
 * (retry.h), but for a change that may have been made although nobody heard of it: that one ends
 * with LAMBDA_UNAVAILABLE at once, and its owner looks before it asks again. on_done comes from the
 * loop, once, unless the call was cancelled.
 */
#ifndef MANAGERD_LAMBDA_CONTROL_H
#define MANAGERD_LAMBDA_CONTROL_H

#include "common/base/bytes.h"
#include "common/base/json.h"
#include "managerd/lambda_operation.h"

struct event_base;
struct lambda_control;
struct lambda_call;
struct credentials_provider;
struct credentials_status;
struct quota_figures;

enum lambda_outcome {
    LAMBDA_OK,
    LAMBDA_NOT_FOUND,   /* 404 ResourceNotFoundException */
    LAMBDA_CONFLICT,    /* 409: exists already, or an operation is in progress; 412 */
    LAMBDA_REFUSED,     /* another 4xx */
    LAMBDA_DENIED,      /* 401, 403, or no credentials */
    LAMBDA_UNAVAILABLE, /* no answer, throttled or 5xx after every retry; a change may be made */
};

struct lambda_answer {
    enum lambda_outcome outcome;
    int status; /* 0: none */
    struct view body;
    const struct json *json; /* the body, parsed; NULL when it is none (and for LAMBDA_INVOKE) */
    bool function_error;     /* LAMBDA_INVOKE: X-Amz-Function-Error is there */
    bool sent;               /* without a whole answer: perhaps AWS has read the call */
    struct view log;         /* LAMBDA_INVOKE with `tail`: X-Amz-Log-Result, base64; else empty */
    enum error error;        /* without a whole answer: TIMEOUT, TOO_BIG (over 8 MB), … */
    uint64_t took_us;        /* of the last attempt */
    struct view request_id;  /* of the last attempt; empty: unknown */
    /* When the outcome is not OK; empty or filled, never NULL data. */
    struct view code, message;
};

/* A body that is made while it goes out, since it is too large to lie in memory. Embedded by who makes
 * it. */
struct lambda_stream {
    uint64_t length;
    char sha256[65]; /* of all of it; hex */
    /* Up to `room` bytes from `offset`, which is below the length; 0: it cannot be read. */
    size_t (*read)(struct lambda_stream *stream, uint64_t offset, char *out, size_t room);
    void (*free)(struct lambda_stream *stream);
};

struct lambda_request {
    enum lambda_operation operation;
    struct view function;        /* the ARN for tags; not looked at where the path holds none */
    struct view qualifier;       /* empty: none */
    struct view marker;          /* where a list goes on; empty: at its beginning */
    const struct view *tag_keys; /* LAMBDA_UNTAG_RESOURCE: those that go; 1 to 50, none empty */
    size_t tag_key_count;
    struct buffer *body;          /* its bytes are taken; NULL: none */
    struct lambda_stream *stream; /* instead of a body; taken; NULL: none */
    int64_t deadline_ms;          /* of one attempt; 0: 60 s */
    bool once;                    /* no further attempts */
    bool tail;                    /* invocations: the end of the log is wanted */
    /* LAMBDA_INVOKE_STREAM: gets the answer's bytes as they come; `answer.body` is empty. False: it
     * has enough, the call ends well. No further attempt is made once bytes came. */
    bool (*on_bytes)(struct view bytes, void *context);
};

/* Region, endpoint and credentials from the SDKs' variables (`variable`: getenv); calls per second
 * of each quota. One sentence in `problem`. */
enum error lambda_control_new(struct event_base *base, const char *(*variable)(const char *name),
                              const int64_t per_second[LAMBDA_QUOTA_COUNT],
                              struct lambda_control **control, struct buffer *problem) MUST_CHECK;
void lambda_control_free(struct lambda_control *control);
/* Takes the credentials that are configured now; what is under way ends with the old ones. On failure
 * the old ones stay; one sentence in `problem`. */
enum error lambda_control_reload(struct lambda_control *control, struct buffer *problem) MUST_CHECK;

struct lambda_call *lambda_send(struct lambda_control *control,
                                const struct lambda_request *request,
                                void (*on_done)(const struct lambda_answer *answer, void *context),
                                void *context);
/* Ends the call without on_done. NULL is fine. */
void lambda_cancel(struct lambda_call *call);

/* The provider of credentials, borrowed. */
void lambda_control_credentials_status(const struct lambda_control *control,
                                       struct credentials_status *status);
struct credentials_provider *lambda_control_credentials(const struct lambda_control *control);
const char *lambda_control_region(const struct lambda_control *control);
const char *lambda_control_endpoint(const struct lambda_control *control);
void lambda_control_quota(const struct lambda_control *control, enum lambda_quota quota,
                          struct quota_figures *figures);
/* What is left for retries, of RETRY_TOKENS. */
int lambda_control_retry_tokens(const struct lambda_control *control);
/* Attempts so far, and those that brought no good answer; for metrics. */
uint64_t lambda_control_attempts(const struct lambda_control *control,
                                 enum lambda_operation operation);
uint64_t lambda_control_failures(const struct lambda_control *control,
                                 enum lambda_operation operation);

#endif
