/* Speaks the Lambda Runtime API with the one runtime that a sandbox holds. */
#include "deploy/lambda-local/runtime_api.h"

#include "common/base/escape.h"
#include "common/net/front.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a runtime may send before it is cut off; what is kept of it has its own limit. */
#define MAX_BODY_BYTES (UINT64_C(256) * 1024 * 1024)
#define PREFIX         "/2018-06-01/runtime/"

enum runtime_state {
    RUNTIME_STARTING, /* has not asked yet, or answered and has not asked again */
    RUNTIME_WAITING,  /* `next` is open */
    RUNTIME_INVOKING, /* an event was delivered */
    RUNTIME_FAILED,   /* reported an init error */
};

enum call_kind { CALL_NEXT, CALL_RESPONSE, CALL_ERROR, CALL_INIT_ERROR, CALL_PING, CALL_UNKNOWN };

/* One request of the runtime. */
struct call {
    enum call_kind kind;
    char id[ID_SIZE];
    struct buffer body;
    bool mine;     /* answers the invocation under way */
    bool streamed; /* … with a stream that somebody takes piece by piece */
};

struct runtime_api {
    struct front *front;
    struct runtime_api_handlers handlers;
    void *context;
    enum runtime_state state;
    bool asked_before;
    struct front_exchange *next;      /* open in state WAITING */
    struct front_exchange *answering; /* brings the result of the invocation */
    struct invocation *invocation;
    char last_id[ID_SIZE];
};

/* -- answers -- */

static void answer(struct front_exchange *exchange, int status, struct view body)
{
    struct incoming_header type = {VIEW("Content-Type"), VIEW("application/json")};

    front_reply(exchange, status, &type, 1, body);
}

static void accept_call(struct front_exchange *exchange)
{
    answer(exchange, 202, VIEW("{\"status\":\"OK\"}"));
}

static void refuse(struct front_exchange *exchange, int status, const char *type,
                   const char *message)
{
    struct json_writer w;
    struct buffer body;

    buffer_init(&body, 1024);
    json_begin(&w, &body);
    json_open_object(&w, NULL);
    json_write_string(&w, "errorMessage", view_of(message));
    json_write_string(&w, "errorType", view_of(type));
    json_close_object(&w);
    answer(exchange, status, buffer_view(&body));
    buffer_release(&body);
}

static void refuse_state(struct front_exchange *exchange)
{
    refuse(exchange, 403, "InvalidStateTransition",
           "The call does not fit the state of the runtime: next, then one response or error, "
           "then next");
}

/* -- which call it is -- */

static bool invocation_call(struct view rest, struct call *call)
{
    struct view id, verb;

    if (!view_split(&rest, '/', &id) || !rest.data || id.length >= sizeof call->id)
        return false;
    verb = rest;
    memcpy(call->id, id.data, id.length);
    if (view_equal_string(verb, "response"))
        call->kind = CALL_RESPONSE;
    else if (view_equal_string(verb, "error"))
        call->kind = CALL_ERROR;
    return call->kind != CALL_UNKNOWN;
}

static void classify(const struct front_exchange *exchange, struct call *call)
{
    struct view target = front_target(exchange), rest;
    bool get = view_equal_string(front_method(exchange), "GET");
    bool post = view_equal_string(front_method(exchange), "POST");

    call->kind = CALL_UNKNOWN;
    if (get &&
        (view_equal_string(target, "/ping") || view_equal_string(target, "/2018-06-01/ping")))
        call->kind = CALL_PING;
    if (!view_starts_with(target, VIEW(PREFIX)))
        return;
    rest = view_slice(target, strlen(PREFIX), SIZE_MAX);
    if (get && view_equal_string(rest, "invocation/next"))
        call->kind = CALL_NEXT;
    else if (post && view_equal_string(rest, "init/error"))
        call->kind = CALL_INIT_ERROR;
    else if (post && view_starts_with(rest, VIEW("invocation/")))
        invocation_call(view_slice(rest, strlen("invocation/"), SIZE_MAX), call);
}

static bool streams(const struct front_exchange *exchange, const struct call *call)
{
    struct view mode;

    return call->kind == CALL_RESPONSE &&
           front_header(exchange, "Lambda-Runtime-Function-Response-Mode", &mode) &&
           view_equal_nocase(mode, VIEW("streaming"));
}

static void on_head(struct front_exchange *exchange, void *context)
{
    struct runtime_api *api = context;
    struct call *call = calloc(1, sizeof *call);

    REQUIRE(call);
    classify(exchange, call);
    buffer_init(&call->body, 256 * 1024);
    call->mine = (call->kind == CALL_RESPONSE || call->kind == CALL_ERROR) &&
                 api->state == RUNTIME_INVOKING && !api->answering &&
                 strcmp(call->id, api->invocation->request_id) == 0;
    if (call->mine) {
        api->answering = exchange;
        buffer_clear(&api->invocation->reply);
        call->streamed = streams(exchange, call) && api->invocation->on_output;
        api->invocation->source = call->streamed ? exchange : NULL;
    }
    front_set_data(exchange, call);
}

static void conclude(struct runtime_api *api, enum invocation_outcome outcome,
                     struct view error_type);

static void take_piece(struct runtime_api *api, struct front_exchange *exchange, struct view piece)
{
    struct invocation *invocation = api->invocation;

    invocation->streamed_bytes += piece.length;
    if (invocation->streamed_bytes > INVOCATION_MAX_STREAM_BYTES) {
        invocation_word_error(invocation, "Function.ResponseSizeTooLarge",
                              "Response payload size exceeded maximum allowed payload size (%llu "
                              "bytes).",
                              (unsigned long long)INVOCATION_MAX_STREAM_BYTES);
        conclude(api, INVOCATION_FAILED, VIEW("Function.ResponseSizeTooLarge"));
        refuse(exchange, 413, "RequestEntityTooLarge", "The stream exceeded its largest size.");
        return;
    }
    if (invocation->on_output)
        invocation->on_output(invocation, piece, invocation->context);
}

/* An error sticks to the buffer, so what comes after it is dropped. */
static void on_body(struct front_exchange *exchange, struct view piece, void *context)
{
    struct runtime_api *api = context;
    struct call *call = front_data(exchange);

    if (!call->mine)
        buffer_append_view(&call->body, piece);
    else if (api->answering != exchange)
        return; /* its invocation is over */
    else if (call->streamed)
        take_piece(api, exchange, piece);
    else
        buffer_append_view(&api->invocation->reply, piece);
}

/* -- next -- */

static void take_next(struct runtime_api *api, struct front_exchange *exchange)
{
    if (api->state != RUNTIME_STARTING) {
        refuse_state(exchange);
        return;
    }
    api->state = RUNTIME_WAITING;
    api->asked_before = true;
    api->next = exchange;
    api->handlers.on_next(api->context);
}

void runtime_api_deliver(struct runtime_api *api, struct invocation *invocation)
{
    struct front_exchange *exchange = api->next;
    char deadline[32];
    int digits = snprintf(deadline, sizeof deadline, "%lld", (long long)invocation->deadline_ms);
    struct incoming_header headers[] = {
        {VIEW("Content-Type"), VIEW("application/json")},
        {VIEW("Lambda-Runtime-Aws-Request-Id"), view_of(invocation->request_id)},
        {VIEW("Lambda-Runtime-Deadline-Ms"), view_from(deadline, (size_t)digits)},
        {VIEW("Lambda-Runtime-Invoked-Function-Arn"), view_of(invocation->arn)},
        {VIEW("Lambda-Runtime-Trace-Id"), view_of(invocation->trace_id)},
        {VIEW("Lambda-Runtime-Client-Context"), view_of(invocation->client_context)},
    };
    size_t count = sizeof headers / sizeof headers[0] - (invocation->client_context ? 0 : 1);

    REQUIRE(api->state == RUNTIME_WAITING && exchange);
    api->state = RUNTIME_INVOKING;
    api->next = NULL;
    api->invocation = invocation;
    memcpy(api->last_id, invocation->request_id, sizeof api->last_id);
    front_reply(exchange, 200, headers, count, buffer_view(&invocation->payload));
}

void runtime_api_abandon(struct runtime_api *api)
{
    if (api->invocation) {
        invocation_pause(api->invocation, false); /* what still comes is dropped */
        api->invocation->source = NULL;
    }
    api->invocation = NULL;
    api->answering = NULL;
    if (api->state == RUNTIME_INVOKING)
        api->state = RUNTIME_STARTING;
}

/* -- results -- */

static void conclude(struct runtime_api *api, enum invocation_outcome outcome,
                     struct view error_type)
{
    runtime_api_abandon(api);
    api->handlers.on_result(outcome, error_type, api->context);
}

/* A streaming answer says by trailers that it failed underway. */
static bool failed_midway(struct front_exchange *exchange, struct invocation *invocation,
                          struct view *error_type)
{
    struct view body = VIEW("");
    struct buffer decoded;

    if (!front_trailer(exchange, "Lambda-Runtime-Function-Error-Type", error_type) ||
        error_type->length == 0)
        return false;
    front_trailer(exchange, "Lambda-Runtime-Function-Error-Body", &body);
    buffer_init(&decoded, 256 * 1024);
    if (base64_decode(&decoded, body) == ERROR_NONE && decoded.error == ERROR_NONE &&
        decoded.length > 0) {
        buffer_clear(&invocation->reply);
        buffer_append_view(&invocation->reply, buffer_view(&decoded));
    } else {
        invocation_word_error(invocation, "Runtime.Unknown", "The response ended with an error");
    }
    buffer_release(&decoded);
    return true;
}

static void take_response(struct runtime_api *api, struct front_exchange *exchange)
{
    struct invocation *invocation = api->invocation;
    struct view error_type = VIEW(""), mode;

    if (front_header(exchange, "Lambda-Runtime-Function-Response-Mode", &mode) &&
        !view_equal_nocase(mode, VIEW("streaming")) && !view_equal_nocase(mode, VIEW("buffered"))) {
        api->answering = NULL;
        refuse(exchange, 400, "InvalidFunctionResponseMode",
               "Lambda-Runtime-Function-Response-Mode must be streaming or absent");
        return;
    }
    if (invocation->reply.error != ERROR_NONE) {
        invocation_word_error(invocation, "Function.ResponseSizeTooLarge",
                              "Response payload size exceeded maximum allowed payload size (%d "
                              "bytes).",
                              INVOCATION_MAX_REPLY_BYTES);
        conclude(api, INVOCATION_FAILED, VIEW("Function.ResponseSizeTooLarge"));
        refuse(exchange, 413, "RequestEntityTooLarge",
               "Exceeded maximum allowed payload size (6291556 bytes).");
        return;
    }
    if (failed_midway(exchange, invocation, &error_type))
        conclude(api, INVOCATION_FAILED, error_type);
    else
        conclude(api, INVOCATION_SUCCEEDED, VIEW(""));
    accept_call(exchange);
}

static void take_error(struct runtime_api *api, struct front_exchange *exchange)
{
    struct view error_type = VIEW("Function.Unknown");

    front_header(exchange, "Lambda-Runtime-Function-Error-Type", &error_type);
    if (api->invocation->reply.error != ERROR_NONE)
        invocation_word_error(api->invocation, "Function.ResponseSizeTooLarge",
                              "The error object is too large");
    else if (api->invocation->reply.length == 0)
        invocation_word_error(api->invocation, "Runtime.Unknown", "Unknown application error");
    conclude(api, INVOCATION_FAILED, error_type);
    accept_call(exchange);
}

/* An answer that does not belong to the invocation under way. */
static void refuse_answer(struct runtime_api *api, struct front_exchange *exchange,
                          const struct call *call)
{
    if (strcmp(call->id, api->last_id) == 0 && call->id[0])
        refuse_state(exchange);
    else
        refuse(exchange, 400, "InvalidRequestID", "Invalid request ID");
}

static void take_init_error(struct runtime_api *api, struct front_exchange *exchange,
                            struct call *call)
{
    struct view body = buffer_view(&call->body);

    if (api->state != RUNTIME_STARTING || api->asked_before) {
        refuse_state(exchange);
        return;
    }
    api->state = RUNTIME_FAILED;
    if (call->body.error != ERROR_NONE || body.length == 0)
        body = VIEW("{\"errorType\":\"Runtime.Unknown\",\"errorMessage\":\"Unknown init error\"}");
    accept_call(exchange);
    api->handlers.on_init_error(body, api->context);
}

static void on_end(struct front_exchange *exchange, void *context)
{
    struct runtime_api *api = context;
    struct call *call = front_data(exchange);

    switch (call->kind) {
    case CALL_NEXT:
        take_next(api, exchange);
        return;
    case CALL_RESPONSE:
    case CALL_ERROR:
        if (!call->mine || api->answering != exchange)
            refuse_answer(api, exchange, call);
        else if (call->kind == CALL_RESPONSE)
            take_response(api, exchange);
        else
            take_error(api, exchange);
        return;
    case CALL_INIT_ERROR:
        take_init_error(api, exchange, call);
        return;
    case CALL_PING:
        front_reply(exchange, 200, NULL, 0, VIEW("pong"));
        return;
    case CALL_UNKNOWN:
        refuse(exchange, 404, "NotFound", "The Runtime API has no such call");
        return;
    }
}

static void on_close(struct front_exchange *exchange, bool complete, void *context)
{
    struct runtime_api *api = context;
    struct call *call = front_data(exchange);

    (void)complete;
    if (api->next == exchange) {
        api->next = NULL;
        api->state = RUNTIME_STARTING;
        api->handlers.on_lost(api->context);
    } else if (api->answering == exchange) {
        api->invocation->source = NULL;
        invocation_word_error(api->invocation, "Runtime.TruncatedResponse",
                              "The response ended before it was whole");
        conclude(api, INVOCATION_FAILED, VIEW("Runtime.TruncatedResponse"));
    }
    buffer_release(&call->body);
    free(call);
}

/* -- life -- */

struct runtime_api *runtime_api_new(struct event_base *base,
                                    const struct runtime_api_handlers *handlers, void *context,
                                    struct buffer *problem)
{
    static const struct front_handlers front_handlers = {on_head, on_body, on_end, on_close};
    struct guard_limits limits = guard_default_limits;
    struct runtime_api *api = calloc(1, sizeof *api);

    REQUIRE(api);
    api->handlers = *handlers;
    api->context = context;
    limits.allow_trailers = true;
    limits.max_body_bytes = MAX_BODY_BYTES;
    limits.max_head_bytes = 256 * 1024; /* X-Ray causes come in a header */
    limits.max_line_bytes = 128 * 1024;
    api->front = front_new(base, &limits, &front_handlers, api);
    if (front_listen(api->front, "127.0.0.1:0", problem) != ERROR_NONE) {
        runtime_api_free(api);
        return NULL;
    }
    return api;
}

const char *runtime_api_address(const struct runtime_api *api)
{
    return front_address(api->front);
}

void runtime_api_free(struct runtime_api *api)
{
    /* What closes now concerns nobody. */
    runtime_api_abandon(api);
    api->next = NULL;
    front_free(api->front);
    free(api);
}
