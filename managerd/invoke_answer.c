/* Tells what an invocation gave: the reply, the response it means, how it failed, what it logged. */
#include "managerd/invoke_answer.h"

#include "common/base/escape.h"
#include "common/contract/json_scan.h"
#include "common/contract/reply.h"
#include "managerd/records.h"

#define MAX_LOG_BYTES   ((size_t)64 * 1024)
#define MAX_ESCAPE_GAIN 1024

/* Each control character becomes six, quotes and back-slashes two. */
static bool goes_as_text(struct view bytes)
{
    size_t gain = 0;
    for (size_t i = 0; i < bytes.length; i++)
        gain += (unsigned char)bytes.data[i] < 0x20             ? 5
                : bytes.data[i] == '"' || bytes.data[i] == '\\' ? 1
                                                                : 0;
    return gain <= bytes.length + MAX_ESCAPE_GAIN && utf8_valid(bytes);
}

static void write_body(struct json_writer *w, struct view bytes)
{
    bool text = goes_as_text(bytes);
    if (text)
        json_write_string(w, "body", bytes);
    else
        json_write_base64(w, "body", bytes);
    json_write_bool(w, "isBase64Encoded", !text);
}

/* ---- the response ---- */

static bool came_before(const struct reply *reply, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (view_equal_nocase(reply->headers[i].name, reply->headers[index].name))
            return true;
    return false;
}

/* Each name once, with all its values. */
static void write_headers(struct json_writer *w, const struct reply *reply)
{
    json_open_object(w, "headers");
    for (size_t i = 0; i < reply->header_count; i++) {
        if (came_before(reply, i))
            continue;
        json_member(w, reply->headers[i].name);
        json_open_array(w, NULL);
        for (size_t j = i; j < reply->header_count; j++)
            if (view_equal_nocase(reply->headers[i].name, reply->headers[j].name))
                json_write_string(w, NULL, reply->headers[j].value);
        json_close_array(w);
    }
    json_close_object(w);
}

static void write_response(struct json_writer *w, const struct reply *reply)
{
    json_write_integer(w, "statusCode", reply->status);
    json_open_object(w, "response");
    json_write_integer(w, "status", reply->status);
    write_headers(w, reply);
    write_body(w, reply->body);
    json_close_object(w);
}

/* A streamed output: a prelude and a body, a body alone, or a buffered reply after all. */
static enum error decode_stream(const struct invoke_outcome *outcome, struct prelude *prelude,
                                struct arena *arena, struct reply *reply, struct buffer *problem)
{
    struct view rest = outcome->output;
    enum error error = ERROR_NONE;
    while (prelude->outcome == PRELUDE_PENDING && rest.length && !error)
        error = prelude_feed(prelude, &rest, arena, problem);
    if (prelude->outcome == PRELUDE_PENDING && !error)
        error = prelude_end(prelude, arena, problem);
    if (error)
        return error;
    if (prelude->outcome == PRELUDE_BUFFERED)
        return reply_decode(ask_format(outcome->version), outcome->output, arena, reply, problem);
    *reply = prelude->reply;
    reply->body =
        view_slice(outcome->output,
                   outcome->output.length - rest.length - prelude->reply.body.length, SIZE_MAX);
    return ERROR_NONE;
}

/* True: there was a response. */
static bool write_decoded(struct json_writer *w, const struct invoke_outcome *outcome)
{
    bool streamed = ask_streams(outcome->version);
    struct prelude prelude;
    struct reply reply;
    struct arena arena;
    struct buffer problem;
    buffer_init(&problem, 1024);
    arena_init(&arena, 2 * REPLY_ARENA_BYTES(outcome->output.length));
    prelude_init(&prelude, ask_prelude_mode(outcome->version));
    enum error error = streamed ? decode_stream(outcome, &prelude, &arena, &reply, &problem)
                                : reply_decode(ask_format(outcome->version), outcome->output,
                                               &arena, &reply, &problem);
    if (!error) {
        write_response(w, &reply);
        if (outcome->problem)
            json_write_string(w, "contractProblem", view_of(outcome->problem));
        else
            json_write_null(w, "contractProblem");
    } else {
        json_write_null(w, "statusCode");
        json_write_null(w, "response");
        json_write_string(w, "contractProblem",
                          outcome->problem ? view_of(outcome->problem)
                          : problem.length ? buffer_view(&problem)
                                           : view_of(error_text(error)));
    }
    prelude_release(&prelude);
    arena_release(&arena);
    buffer_release(&problem);
    return !error;
}

static void write_what_it_means(struct json_writer *w, const struct invoke_outcome *outcome,
                                bool *told)
{
    bool streamed = ask_streams(outcome->version);
    /* A stream may fail after it has begun. */
    if (outcome->is_request && (!outcome->failed || (streamed && outcome->output.length))) {
        *told = write_decoded(w, outcome);
        return;
    }
    json_write_null(w, "statusCode");
    json_write_null(w, "response");
    if (outcome->problem)
        json_write_string(w, "contractProblem", view_of(outcome->problem));
    else
        json_write_null(w, "contractProblem");
}

/* ---- what it gave ---- */

static bool is_json(struct view text)
{
    struct json_scan scan;
    struct json_part part;
    if (!utf8_valid(text))
        return false;
    json_scan_begin(&scan, text);
    return json_scan_value(&scan, &part) && json_scan_done(&scan);
}

/* `told`: the response says it all. */
static void write_reply(struct json_writer *w, struct view output, bool told)
{
    bool json = !told && output.length && is_json(output);
    if (json)
        json_write_raw(w, "reply", output);
    else
        json_write_null(w, "reply");
    if (told || json || !output.length) {
        json_write_null(w, "rawReply");
        return;
    }
    json_open_object(w, "rawReply");
    write_body(w, output);
    json_close_object(w);
}

static void write_function_error(struct json_writer *w, const struct invoke_outcome *outcome)
{
    if (!outcome->failed) {
        json_write_null(w, "functionError");
        return;
    }
    json_open_object(w, "functionError");
    json_write_string(w, "type", outcome->type);
    json_write_string(w, "message", outcome->message);
    json_write_bool(w, "timedOut", outcome->timed_out);
    json_close_object(w);
}

static void write_log(struct json_writer *w, struct view base64)
{
    struct buffer log;
    buffer_init(&log, MAX_LOG_BYTES);
    if (base64_decode(&log, base64))
        buffer_clear(&log);
    json_write_string(w, "log", buffer_view(&log));
    buffer_release(&log);
}

static void write_or_null(struct json_writer *w, const char *name, struct view text)
{
    if (text.length)
        json_write_string(w, name, text);
    else
        json_write_null(w, name);
}

void invoke_answer(const struct invoke_outcome *outcome, struct buffer *out)
{
    const struct json *http = json_get(outcome->version, "http");
    struct json_writer w;
    bool told = false;
    json_begin(&w, out);
    json_open_object(&w, NULL);
    json_write_integer(&w, "version", integer_of(outcome->version, "version"));
    json_write_string(&w, "lambdaVersion", text_of(outcome->version, "lambdaVersion"));
    json_write_string(&w, "payloadFormat", text_of(http, "payloadFormat"));
    json_write_string(&w, "responseMode", text_of(http, "responseMode"));
    write_or_null(&w, "requestId", outcome->request_id);
    json_write_integer(&w, "durationMs", outcome->duration_ms);
    write_function_error(&w, outcome);
    write_what_it_means(&w, outcome, &told);
    write_reply(&w, outcome->output, told);
    write_or_null(&w, "cut", view_of(outcome->cut));
    write_log(&w, outcome->log);
    json_close_object(&w);
}
