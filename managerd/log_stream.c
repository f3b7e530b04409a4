/* Tells logged lines to a client, as lines of JSON or as server-sent events. */
#include "managerd/log_stream.h"

#include "common/base/clock.h"
#include "managerd/resources.h"

#include <stdio.h>

#define SILENCE_US     15000000
#define MAX_LINE_BYTES (4u << 20) /* 256 KiB of a message, each byte escaped, and the rest */
#define RETRY_MS       3000

static const struct {
    const char *name, *detail;
} ends[] = {
    [LOG_END_NONE] = {"", ""},
    [LOG_END_COMPLETE] = {"complete", "These are all lines."},
    [LOG_END_LIMIT] = {"limit", "There are more lines than the limit. Ask again with after."},
    [LOG_END_TIME] = {"time", "A call may not last longer. Ask again with after."},
    [LOG_END_DRAINING] = {"draining", "managerd stops. Ask again with after."},
    [LOG_END_PROBLEM] = {"problem", "The logs could not be read on. Ask again with after."},
};

void log_stream_begin(struct log_stream *stream)
{
    struct call *call = stream->call;
    struct incoming_header headers[] = {
        {VIEW("Content-Type"),
         stream->events ? VIEW("text/event-stream; charset=utf-8") : VIEW("application/x-ndjson")},
        {VIEW("Cache-Control"), VIEW("no-store")},
        {VIEW("X-Request-Id"), view_of(call->request_id)},
    };
    if (stream->begun)
        return;
    stream->begun = true;
    stream->wrote_us = clock_monotonic_us();
    incoming_stream_begin(call->incoming, 200, headers, sizeof headers / sizeof headers[0],
                          stream->on_writable, stream->context);
    if (stream->events) {
        char retry[32];
        snprintf(retry, sizeof retry, "retry: %d\n\n", RETRY_MS);
        incoming_stream_write(call->incoming, view_of(retry));
    }
}

static void write_all(struct log_stream *stream, struct buffer *text)
{
    buffer_append_string(text, stream->events ? "\n\n" : "\n");
    log_stream_begin(stream);
    if (!text->error)
        incoming_stream_write(stream->call->incoming, buffer_view(text));
    stream->wrote_us = clock_monotonic_us();
    buffer_release(text);
}

static void write_or_null(struct json_writer *w, const char *name, struct view text)
{
    if (text.length)
        json_write_string(w, name, text);
    else
        json_write_null(w, name);
}

/* A client that comes back goes on behind the latest line; one that CloudWatch showed late must not
 * lead it back, so that one leaves the client's last id as it is. */
static void write_cursor(struct log_stream *stream, const struct log_line *line,
                         struct buffer *text)
{
    char cursor[LOG_CURSOR_SIZE];
    if (line->time_ms < stream->cursor_ms || !log_cursor_write(cursor, line->time_ms, line->id))
        return;
    stream->cursor_ms = line->time_ms;
    buffer_append_format(text, "id: %s\n", cursor);
}

void log_stream_tell(struct log_stream *stream, const struct log_line *line)
{
    struct buffer text;
    struct json_writer w;
    char time[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(line->time_ms, time);
    buffer_init(&text, MAX_LINE_BYTES);
    if (stream->events) {
        write_cursor(stream, line, &text);
        buffer_append_string(&text, "event: log\ndata: ");
    }
    json_begin(&w, &text);
    json_open_object(&w, NULL);
    json_write_string(&w, "time", view_of(time));
    json_write_string(&w, "message", line->message);
    write_or_null(&w, "requestId", line->request_id);
    if (line->version)
        json_write_integer(&w, "version", line->version);
    else
        json_write_null(&w, "version");
    write_or_null(&w, "lambdaVersion", line->lambda_version);
    json_write_string(&w, "stream", line->stream);
    json_write_string(&w, "id", line->id);
    json_close_object(&w);
    write_all(stream, &text);
}

void log_stream_comment(struct log_stream *stream, const char *comment)
{
    struct buffer text;
    if (!stream->events || !stream->begun ||
        (!comment && clock_monotonic_us() - stream->wrote_us < SILENCE_US))
        return;
    buffer_init(&text, 4096);
    buffer_append_format(&text, ": %s", comment ? comment : "still there");
    write_all(stream, &text);
}

static void write_end(struct log_stream *stream, enum log_end end, int64_t since_ms,
                      const char *after)
{
    struct call *call = stream->call;
    struct buffer text;
    struct json_writer w;
    char time[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(since_ms, time);
    buffer_init(&text, 65536);
    json_begin(&w, &text);
    if (stream->events) {
        buffer_append_string(&text, "event: end\ndata: ");
    } else {
        json_open_object(&w, NULL);
        json_member(&w, VIEW("end"));
    }
    json_open_object(&w, NULL);
    json_write_string(&w, "reason", view_of(ends[end].name));
    json_write_string(&w, "detail", view_of(ends[end].detail));
    json_write_string(&w, "since", view_of(time));
    write_or_null(&w, "after", view_of(after));
    if (end == LOG_END_PROBLEM) {
        struct json *problem = problem_document(&call->problem, NULL, call->request_id);
        json_write_tree(&w, "problem", problem);
        json_free(problem);
    }
    json_close_object(&w);
    if (!stream->events)
        json_close_object(&w);
    write_all(stream, &text);
}

static void leave(struct log_stream *stream, bool whole)
{
    struct call *call = stream->call;
    call->status = 200;
    call->streamed = true;
    if (whole)
        incoming_stream_end(call->incoming);
    else
        incoming_stream_abort(call->incoming);
    call->incoming = NULL;
}

void log_stream_end(struct log_stream *stream, enum log_end end, int64_t since_ms,
                    const char *after)
{
    log_stream_begin(stream);
    if (stream->events || end != LOG_END_COMPLETE)
        write_end(stream, end, since_ms, after);
    leave(stream, true);
}

void log_stream_abort(struct log_stream *stream)
{
    log_stream_begin(stream);
    leave(stream, false);
}

size_t log_stream_unsent(const struct log_stream *stream)
{
    return stream->begun ? incoming_stream_unsent(stream->call->incoming) : 0;
}

/* ---- as the API describes it ---- */

static const struct shape_field line_fields[] = {
    {.name = "time", .kind = SHAPE_STRING, .description = "When it was printed (RFC 3339)."},
    {.name = "message", .kind = SHAPE_STRING, .description = "What was printed."},
    {.name = "requestId",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .description = "Lambda's id of the invocation; null: of none, or not known."},
    {.name = "version",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_NULLABLE,
     .description = "The app's version; null: none of those that are there."},
    {.name = "lambdaVersion",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .description = "The function's version on Lambda."},
    {.name = "stream", .kind = SHAPE_STRING, .description = "The log stream: one sandbox's."},
    {.name = "id", .kind = SHAPE_STRING, .description = "Tells lines apart."},
};
const struct shape log_line_shape = {
    .name = "LogLine",
    .description = "A line that an app's function printed.",
    .fields = line_fields,
    .count = sizeof line_fields / sizeof line_fields[0],
    .example =
        "{\"time\":\"2026-01-02T03:04:05.678Z\",\"message\":\"hello\",\"requestId\":null,"
        "\"version\":3,\"lambdaVersion\":\"3\",\"stream\":\"2026/01/02/[3]0123\",\"id\":\"38\"}"};

static const struct shape_field end_fields[] = {
    {.name = "reason",
     .kind = SHAPE_STRING,
     .choices = "complete|limit|time|draining|problem",
     .description = "Why there is nothing more."},
    {.name = "detail", .kind = SHAPE_STRING, .description = "The same for people."},
    {.name = "since",
     .kind = SHAPE_STRING,
     .flags = SHAPE_SOMETIMES,
     .description = "From when to ask again (RFC 3339); lines of just then may come once more."},
    {.name = "after",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .description = "What to ask again with instead, to go on behind the last line; null: none."},
    {.name = "problem",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_SOMETIMES,
     .of = &problem_shape,
     .description = "Only then."},
};
const struct shape log_end_shape = {.name = "LogEnd",
                                    .description = "Why an answer with log lines ended.",
                                    .fields = end_fields,
                                    .count = sizeof end_fields / sizeof end_fields[0]};
