/* Invokes a version once, and keeps what came of it. */
#include "managerd/invoke.h"

#include "common/base/arena.h"
#include "common/contract/reply.h"
#include "managerd/ask.h"
#include "managerd/invoke_answer.h"
#include "managerd/records.h"

#include <stdlib.h>

#define MAX_TEXT ((size_t)64 * 1024)

struct invocation {
    struct json *version;
    bool is_request, streams;
    int64_t deadline_ms;
    void (*on_done)(void *context);
    void *context;
    struct lambda_call *call;
    struct ask_stream stream;
    struct arena arena; /* of the problem */
    struct buffer answer;
    struct problem problem;
    bool may_have_run;
};

void invocation_free(struct invocation *invocation)
{
    if (!invocation)
        return;
    lambda_cancel(invocation->call);
    ask_stream_release(&invocation->stream);
    arena_release(&invocation->arena);
    buffer_release(&invocation->answer);
    json_free(invocation->version);
    free(invocation);
}

struct buffer invocation_answer(struct invocation *invocation)
{
    struct buffer answer = invocation->answer;
    buffer_init(&invocation->answer, 0);
    return answer;
}

const struct problem *invocation_problem(const struct invocation *invocation)
{
    return &invocation->problem;
}

bool invocation_may_have_run(const struct invocation *invocation)
{
    return invocation->may_have_run;
}

/* ---- no reply ---- */

static enum problem_type problem_of(const struct lambda_answer *answer)
{
    if (answer->error == ERROR_TIMEOUT && answer->sent)
        return PROBLEM_INVOCATION_DEADLINE;
    if (answer->error == ERROR_TOO_BIG)
        return PROBLEM_AWS_FAILED;
    if (answer->outcome == LAMBDA_DENIED)
        return PROBLEM_AWS_DENIED;
    return answer->outcome == LAMBDA_UNAVAILABLE ? PROBLEM_AWS_UNAVAILABLE : PROBLEM_AWS_REFUSED;
}

/* What Lambda refuses (4xx, throttling too) did not run. */
static void keep_problem(struct invocation *invocation, const struct lambda_answer *answer)
{
    struct arena *arena = &invocation->arena;
    struct problem *problem = &invocation->problem;
    problem->type = problem_of(answer);
    if (problem->type == PROBLEM_INVOCATION_DEADLINE)
        problem->detail =
            arena_format(arena, "There was no whole reply within %lld ms; it may have run.",
                         (long long)invocation->deadline_ms);
    else
        problem->detail = arena_format(arena, "The version could not be invoked: %.*s",
                                       VIEW_FORMAT(view_slice(answer->message, 0, 400)));
    if (answer->status == 429)
        problem->status = 503;
    problem->aws_code = arena_copy(arena, answer->code);
    problem->aws_message = arena_copy(arena, view_slice(answer->message, 0, MAX_TEXT / 4));
    problem->aws_request_id = arena_copy(arena, answer->request_id);
    invocation->may_have_run = answer->status >= 500 || (answer->error && answer->sent);
}

/* ---- a reply ---- */

static void describe_buffered(struct invoke_outcome *outcome, const struct lambda_answer *answer,
                              struct arena *arena)
{
    outcome->output = answer->body;
    outcome->log = answer->log;
    outcome->failed = answer->function_error;
    if (outcome->failed)
        reply_function_error(answer->body, arena, &outcome->type, &outcome->message,
                             &outcome->timed_out);
}

static void describe_stream(struct invoke_outcome *outcome, const struct ask_stream *stream,
                            const struct lambda_answer *answer)
{
    outcome->output = buffer_view(&stream->output);
    outcome->log = buffer_view(&stream->log);
    outcome->failed = stream->failed;
    outcome->type = view_of(stream->code);
    outcome->message = view_of(stream->details);
    outcome->timed_out = stream->timed_out;
    outcome->problem = stream->problem;
    if (stream->full)
        outcome->cut = "size";
    else if (answer->error == ERROR_TIMEOUT)
        outcome->cut = "deadline";
    else if (!stream->problem && !event_stream_ended(&stream->decoder))
        outcome->problem = "the stream ended without its last message";
}

static void keep_answer(struct invocation *invocation, const struct lambda_answer *answer)
{
    struct arena arena;
    struct invoke_outcome outcome = {.version = invocation->version,
                                     .is_request = invocation->is_request,
                                     .output = VIEW(""),
                                     .type = VIEW(""),
                                     .message = VIEW(""),
                                     .log = VIEW(""),
                                     .request_id = answer->request_id,
                                     .duration_ms = (int64_t)(answer->took_us / 1000)};
    arena_init(&arena, answer->body.length + MAX_TEXT);
    if (invocation->streams)
        describe_stream(&outcome, &invocation->stream, answer);
    else
        describe_buffered(&outcome, answer, &arena);
    invoke_answer(&outcome, &invocation->answer);
    REQUIRE(!invocation->answer.error);
    invocation->may_have_run = true;
    arena_release(&arena);
}

static void on_answer(const struct lambda_answer *answer, void *context)
{
    struct invocation *invocation = context;
    invocation->call = NULL;
    /* A stream may go on for longer than anybody waits: what came of it is told. */
    bool began = answer->error && invocation->stream.output.length;
    if (answer->outcome == LAMBDA_OK || began)
        keep_answer(invocation, answer);
    else
        keep_problem(invocation, answer);
    invocation->on_done(invocation->context);
}

static bool on_bytes(struct view bytes, void *context)
{
    struct invocation *invocation = context;
    return ask_stream_feed(&invocation->stream, bytes);
}

struct invocation *invocation_start(struct lambda_control *control, const struct json *version,
                                    bool is_request, struct buffer *event, int64_t deadline_ms,
                                    void (*on_done)(void *context), void *context)
{
    struct invocation *invocation = calloc(1, sizeof *invocation);
    REQUIRE(invocation);
    invocation->version = json_copy(version);
    invocation->is_request = is_request;
    invocation->streams = ask_streams(version);
    invocation->deadline_ms = deadline_ms;
    invocation->on_done = on_done;
    invocation->context = context;
    ask_stream_init(&invocation->stream);
    arena_init(&invocation->arena, 2 * MAX_TEXT);
    buffer_init(&invocation->answer, INVOKE_ANSWER_BYTES);
    struct lambda_request request = {.operation =
                                         invocation->streams ? LAMBDA_INVOKE_STREAM : LAMBDA_INVOKE,
                                     .function = text_of(json_get(version, "function"), "name"),
                                     .qualifier = text_of(version, "lambdaVersion"),
                                     .body = event,
                                     .deadline_ms = deadline_ms,
                                     .once = true,
                                     .tail = true,
                                     .on_bytes = invocation->streams ? on_bytes : NULL};
    invocation->call = lambda_send(control, &request, on_answer, invocation);
    return invocation;
}
