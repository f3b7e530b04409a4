/*
 * The Lambda API on the wire: reads a request whole, checks its signature, finds its operation in
 * one table, and answers as AWS does.
 *
 * An operation's handler answers by exactly one of api_answer… and api_refuse, at once or from a
 * later turn of the loop (Invoke); `call` is good until then. A client that leaves early is the
 * business of on_gone: the call dies right after it.
 */
#ifndef LAMBDA_LOCAL_SERVER_API_H
#define LAMBDA_LOCAL_SERVER_API_H

#include "common/base/arena.h"
#include "common/base/id.h"
#include "common/base/json.h"
#include "common/net/front.h"
#include "deploy/lambda-local/config.h"
#include "deploy/lambda-local/function_store.h"
#include "deploy/lambda-local/server/refusal.h"

struct api;
struct api_call;
struct pools;
struct async_queue;

struct api_operation {
    const char *name; /* AWS's name of it */
    const char *method;
    const char *pattern; /* "{}" stands for one label; a trailing slash is let pass */
    void (*handle)(struct api_call *call);
    uint64_t max_body_bytes;
    bool open; /* needs no signature: the query carries its own */
};

#define API_MAX_LABELS 2

struct api_call {
    struct api *api;
    const struct api_operation *operation;
    struct front_exchange *exchange;
    struct arena arena;
    struct view labels[API_MAX_LABELS]; /* decoded */
    struct view path, query;            /* as on the wire */
    struct buffer body;
    uint64_t received_bytes;     /* also counts what was dropped because it was too much */
    size_t held_bytes;           /* counted among those of all calls */
    bool crowded;                /* its body did not fit beside those of other calls */
    struct json *document;       /* the body, once api_document read it */
    struct function_name target; /* filled in by api_target */
    char request_id[ID_SIZE];
    /* Set by a handler that answers later: what to tell when the client leaves before. */
    void (*on_gone)(struct api_call *call);
    void (*on_writable)(struct api_call *call); /* of a stream: what was written has mostly gone */
    void *pending;
    bool answered;  /* or begun to be */
    bool streaming; /* begun, not ended */
};

struct api_options {
    const struct config *config;
    struct function_store *store;
    struct pools *pools;
    struct async_queue *async_queue;
};

enum error api_start(struct event_base *base, const struct api_options *options, struct api **api,
                     struct buffer *problem) MUST_CHECK;
/* "127.0.0.1:9001": what was really bound. */
const char *api_address(const struct api *api);
/* From now on new calls are refused with 503. */
void api_drain(struct api *api);
void api_stop(struct api *api);
const struct api_options *api_options(const struct api_call *call);
/* Makes secrets of this process: what api_sign gives can be checked by api_sign alone. */
void api_sign(const struct api_call *call, struct view text, char out[2 * SHA256_BYTES + 1]);

/* -- what handlers read -- */

/* A query parameter, decoded; false when absent. */
bool api_query(struct api_call *call, const char *name, struct view *value);
/* The n-th of that name (from 0). */
bool api_query_at(struct api_call *call, const char *name, size_t index, struct view *value);
/* The body as a JSON object in call->document; NULL after a refusal. An empty body is {}. */
const struct json *api_document(struct api_call *call);
/* The first label as function and qualifier, joined with the Qualifier parameter; false after a
 * refusal. */
bool api_target(struct api_call *call);
/* The function of call->target; NULL after a refusal. */
struct function *api_function(struct api_call *call);
/* Function and version that call->target names, through an alias if need be (`alias` may be NULL);
 * NULL after a refusal. */
struct version *api_version(struct api_call *call, struct function **function,
                            const struct alias **alias);
/* Marker and MaxItems: where to go on, and how many at most. False after a refusal. */
bool api_page(struct api_call *call, int64_t ceiling, struct view *marker, int64_t *items);
/* RevisionId, when given (in the body, or as a parameter), must be this one; false after a refusal.
 */
bool api_revision(struct api_call *call, struct view current);

/* -- how handlers answer -- */

/* Takes the tree. */
void api_answer(struct api_call *call, int status, struct json *document);
void api_answer_nothing(struct api_call *call, int status);
void api_answer_bytes(struct api_call *call, int status, const struct incoming_header *headers,
                      size_t header_count, struct view body);
/* CloudWatch Logs speaks JSON 1.1: errors are 400 {"__type", "message"}. api_refuse does the same in
 * its calls. */
bool api_is_logs(const struct api_call *call);
void api_refuse_logs(struct api_call *call, const char *type, struct view message);
/* STS speaks XML. */
bool api_is_sts(const struct api_call *call);
void api_refuse_sts(struct api_call *call, int status, const char *code, struct view message);
void api_refuse(struct api_call *call, enum refusal refusal, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* In pieces, as an event stream: begin, write, end. After the end the call is over. */
void api_stream_begin(struct api_call *call, const struct incoming_header *headers,
                      size_t header_count);
void api_stream_write(struct api_call *call, struct view bytes);
size_t api_stream_unsent(const struct api_call *call);
void api_stream_end(struct api_call *call);
/* 429 with a Reason and Retry-After. */
void api_refuse_throttled(struct api_call *call, const char *reason);
/* 500 and a line in the log when the error is one; true when it was. */
bool api_failed(struct api_call *call, enum error error, const char *what);

/* -- operations, one family a file -- */

void functions_create(struct api_call *call);
void functions_get(struct api_call *call);
void functions_get_configuration(struct api_call *call);
void functions_update_code(struct api_call *call);
void functions_update_configuration(struct api_call *call);
void functions_list(struct api_call *call);
void functions_delete(struct api_call *call);
void functions_code_location(struct api_call *call);
void functions_account_settings(struct api_call *call);
void versions_publish(struct api_call *call);
void versions_list(struct api_call *call);
void aliases_create(struct api_call *call);
void aliases_get(struct api_call *call);
void aliases_update(struct api_call *call);
void aliases_delete(struct api_call *call);
void aliases_list(struct api_call *call);
void tags_add(struct api_call *call);
void tags_remove(struct api_call *call);
void tags_list(struct api_call *call);
void concurrency_put(struct api_call *call);
void concurrency_get(struct api_call *call);
void concurrency_delete(struct api_call *call);
void provisioned_put(struct api_call *call);
void provisioned_get(struct api_call *call); /* and lists */
void provisioned_delete(struct api_call *call);
void logs_filter_events(struct api_call *call);
void caller_identity(struct api_call *call);
void invoke(struct api_call *call);
void invoke_with_response_stream(struct api_call *call);

#endif
