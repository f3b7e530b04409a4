/* Makes the events that managerd asks versions with, and reads their streamed answers. */
#include "managerd/ask.h"

#include "common/base/clock.h"
#include "common/contract/path.h"
#include "common/contract/reply.h"
#include "common/net/syntax.h"
#include "managerd/records.h"

#include <stdio.h>
#include <string.h>

#define ADDED_HEADERS 8
#define MAX_LOG_BYTES ((size_t)64 * 1024) /* Lambda gives 4 KB */

bool ask_method_valid(struct view text)
{
    return syntax_is(text, SYNTAX_METHOD);
}

bool ask_target_valid(struct view text)
{
    struct view path, query;
    struct buffer normal;
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] <= 0x20 || text.data[i] == 0x7f || text.data[i] == '#')
            return false;
    target_split(text, &path, &query);
    buffer_init(&normal, PATH_NORMAL_MAX(ASK_MAX_TARGET_BYTES));
    bool lawful = path_normalize(path, &normal) == ERROR_NONE;
    buffer_release(&normal);
    return lawful;
}

enum event_format ask_format(const struct json *version)
{
    struct view format = text_of(json_get(version, "http"), "payloadFormat");
    return view_equal_string(format, "1.0")   ? EVENT_1_0
           : view_equal_string(format, "alb") ? EVENT_ALB
                                              : EVENT_2_0;
}

static struct view mode_of(const struct json *version)
{
    return text_of(json_get(version, "http"), "responseMode");
}

bool ask_streams(const struct json *version)
{
    return view_equal_string(mode_of(version), "stream") ||
           view_equal_string(mode_of(version), "auto");
}

enum prelude_mode ask_prelude_mode(const struct json *version)
{
    return view_equal_string(mode_of(version), "auto") ? PRELUDE_AUTO : PRELUDE_OPTIONAL;
}

static bool has_header(const struct ask_request *request, struct view name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (view_equal_nocase(request->headers[i].name, name))
            return true;
    return false;
}

static void add(struct event_header *headers, size_t *count, const struct ask_request *request,
                struct view name, struct view value)
{
    if (!has_header(request, name))
        headers[(*count)++] = (struct event_header){name, value};
}

static struct view host_of(const struct ask_request *request)
{
    return request->host.length ? request->host : VIEW("probe.invalid");
}

static struct view peer_of(const struct ask_request *request)
{
    return request->peer.length ? request->peer : VIEW("127.0.0.1");
}

static size_t collect(const struct ask_request *request, struct event_header *headers,
                      char length[24])
{
    size_t count = 0;

    add(headers, &count, request, VIEW("Host"), host_of(request));
    add(headers, &count, request, VIEW("User-Agent"), request->user_agent);
    add(headers, &count, request, VIEW("Accept"), VIEW("*/*"));
    add(headers, &count, request, VIEW("X-Forwarded-For"), peer_of(request));
    add(headers, &count, request, VIEW("X-Forwarded-Proto"), VIEW("http"));
    add(headers, &count, request, VIEW("X-Forwarded-Port"), VIEW("80"));
    add(headers, &count, request, VIEW("X-Request-Id"), request->id);
    snprintf(length, 24, "%zu", request->body.length);
    if (request->body.length)
        add(headers, &count, request, VIEW("Content-Length"), view_of(length));
    for (size_t i = 0; i < request->header_count; i++)
        if (event_header_passes(request->headers[i].name, VIEW("")))
            headers[count++] = request->headers[i];
    return count;
}

enum error ask_encode(const struct json *version, struct view app,
                      const struct ask_request *request, struct buffer *event)
{
    struct event_header headers[ASK_MAX_HEADERS + ADDED_HEADERS];
    char length[24];
    size_t count = collect(request, headers, length);
    struct event_request asked = {
        .method = request->method,
        .protocol = VIEW("HTTP/1.1"),
        .headers = headers,
        .header_count = count,
        .body = request->body,
        .source_ip = peer_of(request),
        .domain_name = host_of(request),
        .request_id = request->id,
        .time_ms = clock_wall_ms(),
        .app = app,
        .account_id = VIEW("anonymous"),
        .multi_value = truth_of(json_get(version, "http"), "multiValueHeaders"),
        .target_group_arn = VIEW("arn:aws:elasticloadbalancing:us-east-1:000000000000:"
                                 "targetgroup/probe/0000000000000000"),
    };
    target_split(request->target, &asked.raw_path, &asked.raw_query);
    return event_encode(ask_format(version), &asked, event);
}

void ask_stream_init(struct ask_stream *stream)
{
    memset(stream, 0, sizeof *stream);
    event_stream_init(&stream->decoder);
    buffer_init(&stream->output, ASK_MAX_OUTPUT_BYTES);
    buffer_init(&stream->log, MAX_LOG_BYTES);
}

void ask_stream_release(struct ask_stream *stream)
{
    event_stream_release(&stream->decoder);
    buffer_release(&stream->output);
    buffer_release(&stream->log);
}

static void copy_text(char *to, size_t size, struct view text)
{
    snprintf(to, size, "%.*s", VIEW_FORMAT(view_slice(text, 0, size - 1)));
}

static void note_end(struct ask_stream *stream, const struct event_stream_item *item)
{
    struct view type = VIEW(""), message = VIEW("");
    struct arena arena;

    stream->ended = true;
    buffer_append_view(&stream->log, item->log);
    stream->failed = item->kind != EVENT_STREAM_COMPLETE || item->code.length > 0;
    if (!stream->failed)
        return;
    arena_init(&arena, 2 * EVENT_STREAM_MAX_END_BYTES);
    if (!reply_function_error(item->details, &arena, &type, &message, &stream->timed_out)) {
        type = item->code;
        message = item->details;
    }
    copy_text(stream->code, sizeof stream->code, type.length ? type : item->code);
    copy_text(stream->details, sizeof stream->details, message);
    arena_release(&arena);
}

bool ask_stream_feed(struct ask_stream *stream, struct view bytes)
{
    struct event_stream_item item;

    for (;;) {
        if (event_stream_next(&stream->decoder, &bytes, &item) != ERROR_NONE) {
            stream->problem = stream->decoder.problem;
            return false;
        }
        if (item.kind == EVENT_STREAM_NONE)
            return true;
        if (item.kind != EVENT_STREAM_OUTPUT) {
            note_end(stream, &item);
            continue;
        }
        buffer_append_view(&stream->output, item.output);
        if (stream->output.error != ERROR_NONE) {
            stream->full = true;
            return false;
        }
    }
}
