/* Reads a streamed reply: what of it is head, body, and end. */
#include "proxyd/stream.h"

#include "common/base/error.h"

void stream_init(struct stream *stream, enum prelude_mode mode, struct arena *arena)
{
    *stream = (struct stream){.arena = arena, .fault = FAULT_NONE};
    event_stream_init(&stream->decoder);
    prelude_init(&stream->prelude, mode);
    buffer_init(&stream->collected, STREAM_COLLECTED_MAX);
}

void stream_release(struct stream *stream)
{
    event_stream_release(&stream->decoder);
    prelude_release(&stream->prelude);
    buffer_release(&stream->collected);
}

static enum stream_event fail(struct stream *stream, enum fault fault, struct view detail)
{
    stream->fault = fault;
    stream->detail = arena_string(stream->arena, view_slice(detail, 0, 200));
    return STREAM_FAILED;
}

/* The function said that it failed; what it said is for the log alone. */
static void note_failure(struct stream *stream, const struct event_stream_item *item)
{
    struct view type = {0}, message = {0};
    bool timed_out = false;

    if (!reply_function_error(item->details, stream->arena, &type, &message, &timed_out) ||
        type.length == 0)
        type = item->code;
    fail(stream, timed_out ? FAULT_FUNCTION_TIMEOUT : FAULT_FUNCTION_ERROR, type);
}

static enum stream_event after_prelude(struct stream *stream, enum error error,
                                       const struct buffer *problem)
{
    if (error != ERROR_NONE)
        return fail(stream, FAULT_BAD_REPLY,
                    problem->length ? buffer_view(problem) : view_of(error_text(error)));
    if (stream->prelude.outcome == PRELUDE_STREAM)
        return STREAM_HEAD;
    if (stream->prelude.outcome == PRELUDE_BUFFERED)
        buffer_append_view(&stream->collected, stream->prelude.reply.body);
    return STREAM_MORE;
}

static enum stream_event take_output(struct stream *stream)
{
    struct buffer problem;
    enum stream_event event = STREAM_MORE;
    enum error error;

    switch (stream->prelude.outcome) {
    case PRELUDE_PENDING:
        buffer_init(&problem, 512);
        error = prelude_feed(&stream->prelude, &stream->rest, stream->arena, &problem);
        event = after_prelude(stream, error, &problem);
        buffer_release(&problem);
        return event;
    case PRELUDE_STREAM:
        stream->output = stream->rest;
        stream->rest = (struct view){0};
        return STREAM_OUTPUT;
    case PRELUDE_BUFFERED:
        buffer_append_view(&stream->collected, stream->rest);
        stream->rest = (struct view){0};
        if (stream->collected.error != ERROR_NONE)
            event = fail(stream, FAULT_BAD_REPLY,
                         VIEW("the buffered reply is larger than 6 MB (6291456 bytes)"));
        return event;
    case PRELUDE_REFUSED:
        break;
    }
    return STREAM_FAILED;
}

enum stream_event stream_next(struct stream *stream, struct view *bytes)
{
    for (;;) {
        struct event_stream_item item;

        while (stream->rest.length > 0) {
            enum stream_event event = take_output(stream);
            if (event != STREAM_MORE)
                return event;
        }
        if (event_stream_next(&stream->decoder, bytes, &item) != ERROR_NONE)
            return fail(stream, FAULT_LAMBDA_FAILED, view_of(stream->decoder.problem));
        switch (item.kind) {
        case EVENT_STREAM_NONE:
            return STREAM_MORE;
        case EVENT_STREAM_OUTPUT:
            stream->rest = item.output;
            break;
        case EVENT_STREAM_COMPLETE:
            if (item.code.length)
                note_failure(stream, &item);
            break;
        case EVENT_STREAM_EXCEPTION:
        case EVENT_STREAM_ERROR:
            fail(stream, FAULT_LAMBDA_FAILED,
                 item.code.length ? item.code : VIEW("Lambda ended the stream with an error"));
            break;
        }
    }
}

enum stream_event stream_finish(struct stream *stream)
{
    struct buffer problem;
    enum stream_event event = STREAM_DONE;

    if (!event_stream_ended(&stream->decoder))
        return fail(stream, FAULT_LAMBDA_FAILED, VIEW("the stream ended without its last message"));
    if (stream->fault != FAULT_NONE)
        return STREAM_FAILED;
    if (stream->prelude.outcome == PRELUDE_PENDING) {
        buffer_init(&problem, 512);
        enum error error = prelude_end(&stream->prelude, stream->arena, &problem);
        event = after_prelude(stream, error, &problem);
        buffer_release(&problem);
    }
    return stream->prelude.outcome == PRELUDE_BUFFERED ? STREAM_BUFFERED : event;
}
