/* Asks a new version for its probe path, before anybody else does. */
#include "managerd/deploy.h"

#include "common/contract/reply.h"
#include "managerd/ask.h"
#include "managerd/records.h"

#define MAX_EVENT_BYTES 65536

static void tell_status(struct operation *operation, int status)
{
    if (status >= 500)
        operation_step_problem(operation, PROBLEM_PROBE_FAILED,
                               "The new version answered the probe with status %d.", status);
    else
        operation_step_done(operation, "Answered with status %d.", status);
}

static void tell_failure(struct operation *operation, struct view type, struct view message)
{
    operation_step_problem(operation, PROBLEM_PROBE_FAILED,
                           "The function failed on the probe: %.*s: %.*s", VIEW_FORMAT(type),
                           VIEW_FORMAT(view_slice(message, 0, 300)));
}

static void tell_malformed(struct operation *operation, struct view why)
{
    operation_step_problem(operation, PROBLEM_PROBE_FAILED,
                           "The answer to the probe is no HTTP response: %.*s", VIEW_FORMAT(why));
}

static void judge_reply(struct operation *operation, const struct json *version,
                        struct view payload)
{
    struct arena arena;
    struct buffer problem;
    struct reply reply;
    arena_init(&arena, 16u << 20);
    buffer_init(&problem, 1024);
    if (reply_decode(ask_format(version), payload, &arena, &reply, &problem))
        tell_malformed(operation, buffer_view(&problem));
    else
        tell_status(operation, reply.status);
    buffer_release(&problem);
    arena_release(&arena);
}

/* The version's record; false: the step has failed. */
static bool read_version(struct operation *operation, struct record *version)
{
    struct key key =
        key_version(view_of(operation->app), integer_of(operation_work(operation), "version"));
    if (record_read(operation->environment->state, key.text, version) == ERROR_NONE)
        return true;
    operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                           "The version's record cannot be read.");
    return false;
}

/* ---- buffered ---- */

static void on_reply(struct operation *operation, const struct lambda_answer *answer)
{
    struct view type = VIEW(""), message = VIEW("");
    struct record version;
    struct arena arena;
    bool timed_out;
    if (answer->outcome != LAMBDA_OK) {
        operation_step_refused(operation, answer, "The new version could not be invoked");
        return;
    }
    if (!read_version(operation, &version))
        return;
    if (answer->function_error) {
        arena_init(&arena, 16u << 20);
        reply_function_error(answer->body, &arena, &type, &message, &timed_out);
        tell_failure(operation, type, message);
        arena_release(&arena);
    } else {
        judge_reply(operation, version.json, answer->body);
    }
    record_release(&version);
}

/* ---- streamed ---- */

/* What the output is, as far as it came. False: more is needed. The arena is the step's. */
static bool read_head(struct operation *operation, const struct json *version, bool ended,
                      struct prelude *prelude, struct buffer *problem)
{
    struct view output = buffer_view(&operation->stream->output);
    enum error error = ERROR_NONE;
    prelude_init(prelude, ask_prelude_mode(version));
    if (output.length)
        error = prelude_feed(prelude, &output, &operation->arena, problem);
    if (!error && ended && prelude->outcome == PRELUDE_PENDING)
        error = prelude_end(prelude, &operation->arena, problem);
    return error || prelude->outcome != PRELUDE_PENDING;
}

static void judge_output(struct operation *operation, const struct json *version)
{
    struct prelude prelude;
    struct buffer problem;
    buffer_init(&problem, 1024);
    read_head(operation, version, true, &prelude, &problem);
    if (prelude.outcome == PRELUDE_BUFFERED)
        judge_reply(operation, version, buffer_view(&operation->stream->output));
    else if (prelude.outcome == PRELUDE_STREAM)
        tell_status(operation, prelude.reply.status);
    else
        tell_malformed(operation, buffer_view(&problem));
    prelude_release(&prelude);
    buffer_release(&problem);
}

/* The head is all that is asked for: a stream may go on for ever. */
static bool on_bytes(struct view bytes, void *context)
{
    struct operation *operation = context;
    struct record version;
    struct prelude prelude;
    struct buffer problem;
    if (!ask_stream_feed(operation->stream, bytes) || operation->stream->ended)
        return !operation->stream->problem && !operation->stream->full;
    struct key key =
        key_version(view_of(operation->app), integer_of(operation_work(operation), "version"));
    if (record_read(operation->environment->state, key.text, &version))
        return false;
    buffer_init(&problem, 1024);
    bool known = read_head(operation, version.json, false, &prelude, &problem);
    bool more = !known || prelude.outcome == PRELUDE_BUFFERED;
    prelude_release(&prelude);
    buffer_release(&problem);
    record_release(&version);
    return more;
}

static void on_stream(struct operation *operation, const struct lambda_answer *answer)
{
    const struct ask_stream *stream = operation->stream;
    struct record version;
    if (answer->outcome != LAMBDA_OK) {
        operation_step_refused(operation, answer, "The new version could not be invoked");
        return;
    }
    if (!read_version(operation, &version))
        return;
    if (stream->problem)
        tell_malformed(operation, view_of(stream->problem));
    else if (stream->failed)
        tell_failure(operation, view_of(stream->code), view_of(stream->details));
    else if (!stream->ended && stream->output.length == 0)
        tell_malformed(operation, VIEW("the stream ended without its last message"));
    else
        judge_output(operation, version.json);
    record_release(&version);
}

/* ---- asking ---- */

static void send_probe(struct operation *operation, const struct json *version,
                       struct buffer *event)
{
    bool streams = ask_streams(version);
    struct lambda_request request = {
        .operation = streams ? LAMBDA_INVOKE_STREAM : LAMBDA_INVOKE,
        .function = text_of(json_get(version, "function"), "name"),
        .qualifier = text_of(operation_work(operation), "lambdaVersion"),
        .body = event,
        .deadline_ms = 1000 * (integer_of(version, "timeoutSeconds") + 5),
        .on_bytes = streams ? on_bytes : NULL};
    if (streams)
        operation_open_stream(operation);
    operation_send(operation, &request, streams ? on_stream : on_reply);
}

void step_probe(struct operation *operation)
{
    struct record version;
    struct buffer event;
    if (!read_version(operation, &version))
        return;
    struct ask_request request = {.method = VIEW("GET"),
                                  .target = text_of(json_get(version.json, "probe"), "path"),
                                  .body = VIEW(""),
                                  .user_agent = VIEW("app-orchestrator-probe"),
                                  .id = view_of(operation->id)};
    buffer_init(&event, MAX_EVENT_BYTES);
    if (ask_encode(version.json, view_of(operation->app), &request, &event) == ERROR_NONE)
        send_probe(operation, version.json, &event);
    else
        operation_step_problem(operation, PROBLEM_PROBE_FAILED,
                               "The probe path is no lawful path.");
    buffer_release(&event);
    record_release(&version);
}
