/* Invoke: picks the version, hands the event to a sandbox, and turns the result into the answer. */
#include "deploy/lambda-local/server/api.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/contract/event_stream.h"
#include "deploy/lambda-local/async_queue.h"
#include "deploy/lambda-local/payload.h"
#include "deploy/lambda-local/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EVENT_BYTES          (1024 * 1024) /* InvocationType Event */
#define MAX_CLIENT_CONTEXT_BYTES 3583
/* Of a stream, not yet taken by the client: from here on the function waits. */
#define HIGH_MARK_BYTES ((size_t)256 * 1024)
#define FRAME_BYTES     ((size_t)64 * 1024) /* of output in one message */
#define END_BYTES       ((size_t)8 * 1024 * 1024)

enum invocation_type { TYPE_REQUEST_RESPONSE, TYPE_EVENT, TYPE_DRY_RUN };

static bool read_type(struct api_call *call, bool streams, enum invocation_type *type)
{
    struct view text;

    *type = TYPE_REQUEST_RESPONSE;
    if (!front_header(call->exchange, "X-Amz-Invocation-Type", &text) ||
        view_equal_string(text, "RequestResponse"))
        return true;
    *type = view_equal_string(text, "Event") && !streams ? TYPE_EVENT : TYPE_DRY_RUN;
    if (*type == TYPE_EVENT || view_equal_string(text, "DryRun"))
        return true;
    api_refuse(call, REFUSAL_VALIDATION,
               "1 validation error detected: Value '%.*s' at 'invocationType' failed to satisfy "
               "constraint: Member must satisfy enum value set: [%sRequestResponse, DryRun]",
               VIEW_FORMAT(view_slice(text, 0, 64)), streams ? "" : "Event, ");
    return false;
}

/* Which version runs: an alias may send part of the calls to a second one; $LATEST is what is
 * served, which during an update is the former code. */
static struct version *pick(struct function *function, struct version *named,
                            const struct alias *alias)
{
    uint32_t dice;

    if (alias && alias->additional) {
        random_bytes(&dice, sizeof dice);
        if ((double)dice < alias->weight * 4294967296.0) {
            struct version *additional = function_version(function, alias->additional);

            named = additional ? additional : named;
        }
    }
    return named->number == 0 ? function->serving : named;
}

static bool runnable(struct api_call *call, const struct version *version)
{
    if (version_state(version) != VERSION_PENDING)
        return true;
    api_refuse(call, REFUSAL_CONFLICT,
               "The operation cannot be performed at this time. The function is currently in the "
               "following state: Pending");
    return false;
}

static bool payload_good(struct api_call *call, enum invocation_type type)
{
    struct view body = buffer_view(&call->body);
    size_t offset;

    if (type == TYPE_EVENT && body.length > MAX_EVENT_BYTES) {
        api_refuse(call, REFUSAL_TOO_LARGE,
                   "%zu byte payload is too large for the Event invocation type (limit %d bytes)",
                   body.length, MAX_EVENT_BYTES);
        return false;
    }
    if (body.length == 0 || payload_check(body, &offset) == ERROR_NONE)
        return true;
    api_refuse(call, REFUSAL_INVALID_CONTENT,
               "Could not parse request body into json: Could not parse payload into json: not "
               "well-formed near byte %zu",
               offset);
    return false;
}

/* The client context as compact JSON, NULL when there is none; false after a refusal. */
static bool read_client_context(struct api_call *call, char **text)
{
    struct json *value = NULL;
    struct buffer decoded;
    struct view header;
    bool good = false;

    *text = NULL;
    if (!front_header(call->exchange, "X-Amz-Client-Context", &header) || header.length == 0)
        return true;
    buffer_init(&decoded, 2 * MAX_CLIENT_CONTEXT_BYTES);
    if (header.length <= base64_encoded_length(MAX_CLIENT_CONTEXT_BYTES) &&
        base64_decode(&decoded, header) == ERROR_NONE && decoded.error == ERROR_NONE)
        good = json_parse(buffer_view(&decoded), 32, &value, NULL) == ERROR_NONE;
    if (good) {
        buffer_clear(&decoded);
        json_print(&decoded, value);
        *text = buffer_take(&decoded, NULL);
        json_free(value);
    } else {
        api_refuse(call, REFUSAL_INVALID_CONTENT,
                   "Client context must be a valid Base64-encoded JSON object of at most %d bytes.",
                   MAX_CLIENT_CONTEXT_BYTES);
    }
    buffer_release(&decoded);
    return good;
}

static void set_trace(struct api_call *call, struct invocation *invocation)
{
    struct view given;
    uint8_t random[20];
    char hex[2 * sizeof random + 1] = "";

    if (front_header(call->exchange, "X-Amzn-Trace-Id", &given) && given.length > 0 &&
        given.length < sizeof invocation->trace_id) {
        memcpy(invocation->trace_id, given.data, given.length);
        return;
    }
    random_bytes(random, sizeof random);
    hex_write(hex, random, sizeof random);
    snprintf(invocation->trace_id, sizeof invocation->trace_id,
             "Root=1-%08llx-%.24s;Parent=%.16s;Sampled=0",
             (unsigned long long)(clock_wall_ms() / 1000), hex, hex + 24);
}

/* -- the answer -- */

static bool wants_tail(struct api_call *call)
{
    struct view text;

    return front_header(call->exchange, "X-Amz-Log-Type", &text) && view_equal_string(text, "Tail");
}

static void answer_result(struct api_call *call, struct invocation *invocation, bool failed)
{
    struct incoming_header headers[4];
    struct buffer tail;
    char version[24];
    size_t count = 0;

    version_label(invocation->version->number, version);
    buffer_init(&tail, 2 * INVOCATION_TAIL_BYTES);
    headers[count++] = (struct incoming_header){VIEW("X-Amz-Executed-Version"), view_of(version)};
    headers[count++] =
        (struct incoming_header){VIEW("X-Amzn-Trace-Id"), view_of(invocation->trace_id)};
    if (failed)
        headers[count++] =
            (struct incoming_header){VIEW("X-Amz-Function-Error"), VIEW("Unhandled")};
    if (wants_tail(call)) {
        base64_encode(&tail, invocation->tail.data, invocation->tail.length);
        headers[count++] = (struct incoming_header){VIEW("X-Amz-Log-Result"), buffer_view(&tail)};
    }
    api_answer_bytes(call, 200, headers, count, buffer_view(&invocation->reply));
    buffer_release(&tail);
}

static void on_done(struct invocation *invocation, enum invocation_outcome outcome, void *context)
{
    struct api_call *call = context;

    call->pending = NULL;
    switch (outcome) {
    case INVOCATION_SUCCEEDED:
    case INVOCATION_FAILED:
        answer_result(call, invocation, outcome == INVOCATION_FAILED);
        return;
    case INVOCATION_THROTTLED:
        api_refuse_throttled(call, "ConcurrentInvocationLimitExceeded");
        return;
    }
}

/* -- the answer in pieces -- */

static void begin_stream(struct api_call *call, const struct invocation *invocation)
{
    char version[24];

    version_label(invocation->version->number, version);
    struct incoming_header headers[] = {
        {VIEW("X-Amz-Executed-Version"), view_of(version)},
        {VIEW("X-Amzn-Trace-Id"), view_of(invocation->trace_id)},
    };
    api_stream_begin(call, headers, 2);
}

static void write_frames(struct api_call *call, struct view output)
{
    struct buffer frame;

    buffer_init(&frame, FRAME_BYTES + 1024);
    while (output.length > 0) {
        buffer_clear(&frame);
        event_stream_append_output(&frame, view_slice(output, 0, FRAME_BYTES));
        REQUIRE(frame.error == ERROR_NONE);
        api_stream_write(call, buffer_view(&frame));
        output = view_slice(output, FRAME_BYTES, SIZE_MAX);
    }
    buffer_release(&frame);
}

static void on_output(struct invocation *invocation, struct view piece, void *context)
{
    struct api_call *call = context;

    if (!call->streaming)
        begin_stream(call, invocation);
    write_frames(call, piece);
    if (api_stream_unsent(call) >= HIGH_MARK_BYTES)
        invocation_pause(invocation, true);
}

static void on_writable(struct api_call *call)
{
    if (call->pending)
        invocation_pause(call->pending, false);
}

/* `code` is what callers have seen AWS send; the error object says the rest. */
static void write_end(struct api_call *call, const struct invocation *invocation, bool failed)
{
    struct view code = failed ? VIEW("Unhandled") : VIEW("");
    struct view details = failed ? buffer_view(&invocation->reply) : VIEW("");
    struct buffer tail, frame;

    buffer_init(&tail, 2 * INVOCATION_TAIL_BYTES);
    buffer_init(&frame, END_BYTES);
    if (wants_tail(call))
        base64_encode(&tail, invocation->tail.data, invocation->tail.length);
    event_stream_append_complete(&frame, code, details, buffer_view(&tail));
    if (frame.error != ERROR_NONE) { /* an error object that is too large to be passed on */
        buffer_clear(&frame);
        event_stream_append_complete(&frame, code, VIEW(""), buffer_view(&tail));
    }
    api_stream_write(call, buffer_view(&frame));
    buffer_release(&tail);
    buffer_release(&frame);
}

static void on_stream_done(struct invocation *invocation, enum invocation_outcome outcome,
                           void *context)
{
    struct api_call *call = context;
    bool failed = outcome == INVOCATION_FAILED;

    if (outcome == INVOCATION_THROTTLED) {
        on_done(invocation, outcome, context);
        return;
    }
    call->pending = NULL;
    if (!call->streaming)
        begin_stream(call, invocation);
    if (!failed) /* a function that did not stream: its output goes in one go */
        write_frames(call, buffer_view(&invocation->reply));
    write_end(call, invocation, failed);
    api_stream_end(call);
}

/* The function goes on; nobody hears of its result. */
static void on_gone(struct api_call *call)
{
    if (call->pending)
        invocation_forget(call->pending);
}

static void start_now(struct api_call *call, struct invocation *invocation)
{
    invocation->context = call;
    call->pending = invocation;
    call->on_gone = on_gone;
    switch (pools_submit(api_options(call)->pools, invocation)) {
    case POOL_ACCEPTED:
        return;
    case POOL_FUNCTION_LIMIT:
        call->pending = NULL;
        invocation_free(invocation);
        api_refuse_throttled(call, "ReservedFunctionConcurrentInvocationLimitExceeded");
        return;
    case POOL_ACCOUNT_LIMIT:
        call->pending = NULL;
        invocation_free(invocation);
        api_refuse_throttled(call, "ConcurrentInvocationLimitExceeded");
        return;
    }
}

static void start_later(struct api_call *call, struct invocation *invocation)
{
    if (async_queue_add(api_options(call)->async_queue, invocation)) {
        api_answer_bytes(call, 202, NULL, 0, VIEW(""));
        return;
    }
    invocation_free(invocation);
    api_refuse_throttled(call, "FunctionInvocationRateLimitExceeded");
}

static void start(struct api_call *call, bool streams)
{
    struct function *function;
    const struct alias *alias = NULL;
    struct version *version = api_version(call, &function, &alias);
    struct invocation *invocation;
    enum invocation_type type;
    char *client_context;

    if (!version)
        return;
    version = pick(function, version, alias);
    if (!read_type(call, streams, &type) || !runnable(call, version) || !payload_good(call, type))
        return;
    if (type == TYPE_DRY_RUN) {
        api_answer_nothing(call, 204);
        return;
    }
    if (!read_client_context(call, &client_context))
        return;
    invocation = invocation_new(version, call->request_id);
    function_arn(invocation->arn, function->name, call->target.qualifier);
    invocation->client_context = client_context;
    set_trace(call, invocation);
    if (call->body.length > 0) { /* the bytes move, they are not copied */
        buffer_release(&invocation->payload);
        invocation->payload = call->body;
        buffer_init(&call->body, 0);
    } else {
        buffer_append_string(&invocation->payload, "{}");
    }
    invocation->on_done = streams ? on_stream_done : on_done;
    invocation->on_output = streams ? on_output : NULL;
    call->on_writable = streams ? on_writable : NULL;
    if (type == TYPE_EVENT)
        start_later(call, invocation);
    else
        start_now(call, invocation);
}

void invoke(struct api_call *call)
{
    start(call, false);
}

void invoke_with_response_stream(struct api_call *call)
{
    start(call, true);
}
