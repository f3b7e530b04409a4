/* Streams what happens to an operation, as server-sent events. */
#include "managerd/events.h"

#include "common/base/clock.h"
#include "managerd/operation_told.h"

#include <event2/event.h>
#include <stdlib.h>

#define HEARTBEAT_S      15
#define MAX_UNSENT_BYTES (1u << 20)
#define MAX_EVENT_BYTES  (1u << 20)

/* Lives as the call's data. */
struct stream {
    struct call *call;
    unsigned count;    /* events sent */
    uint64_t revision; /* of the operation that was sent last */
    bool gone, ended;
};

static void free_stream(void *data)
{
    free(data);
}

static void send_event(struct stream *stream, const char *name)
{
    struct buffer text;
    struct json *operation =
        operation_told(stream->call->server->state, stream->call->operation, TOLD_STEPS_MAX);
    buffer_init(&text, MAX_EVENT_BYTES);
    buffer_append_format(&text, "id: %u\nevent: %s\ndata: ", ++stream->count, name);
    json_print(&text, operation);
    buffer_append_string(&text, "\n\n");
    json_free(operation);
    /* A client that does not read is cut off rather than kept in memory. */
    if (text.error || incoming_stream_unsent(stream->call->incoming) > MAX_UNSENT_BYTES)
        stream->gone = true;
    else
        incoming_stream_write(stream->call->incoming, buffer_view(&text));
    buffer_release(&text);
}

static void finish(struct stream *stream)
{
    struct call *call = stream->call;
    state_unwatch(call->watch);
    call->watch = NULL;
    evtimer_del(call->timer);
    call->status = 200;
    call->streamed = true;
    if (stream->gone)
        incoming_stream_abort(call->incoming);
    else
        incoming_stream_end(call->incoming);
    call->incoming = NULL;
    call_resume(call, PROGRESS_NEXT);
}

/* From the timer: a heartbeat is due, or the stream is over. */
static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct stream *stream = context;
    struct timeval later = {HEARTBEAT_S, 0};
    (void)fd, (void)what;
    /* Whoever may look no more does not get to see the rest. */
    if (principal_ended(&stream->call->principal, clock_wall_ms()))
        stream->gone = true;
    if (stream->gone || stream->ended || stream->call->server->draining) {
        finish(stream);
        return;
    }
    incoming_stream_write(stream->call->incoming, VIEW(": still there\n\n"));
    evtimer_add(stream->call->timer, &later);
}

/* Sends the operation as it is now, unless just that was sent: a commit can be read before its watch
 * is told. False when it cannot be read. */
static bool send_present(struct stream *stream)
{
    struct call *call = stream->call;
    struct record record;
    struct key key = key_operation(text_of(call->operation, "id"));
    if (record_read(call->server->state, key.text, &record))
        return false;
    if (record.revision == stream->revision) {
        record_release(&record);
        return true;
    }
    json_free(call->operation);
    call->operation = record.json;
    stream->revision = record.revision;
    stream->ended = operation_finished(record.json);
    send_event(stream, stream->ended ? "done" : "step");
    if (stream->ended || stream->gone)
        event_active(call->timer, 0, 0);
    return true;
}

static void on_changed(void *context)
{
    struct stream *stream = context;
    if (principal_ended(&stream->call->principal, clock_wall_ms()))
        event_active(stream->call->timer, 0, 0);
    else if (!stream->ended)
        (void)send_present(stream);
}

static void on_gone(void *context)
{
    struct stream *stream = context;
    stream->gone = true;
    event_active(stream->call->timer, 0, 0);
}

enum progress events_stream(struct call *call)
{
    struct timeval later = {HEARTBEAT_S, 0};
    struct stream *stream = calloc(1, sizeof *stream);
    REQUIRE(stream);
    stream->call = call;
    call->data = stream;
    call->free_data = free_stream;
    struct incoming_header headers[] = {
        {VIEW("Content-Type"), VIEW("text/event-stream; charset=utf-8")},
        {VIEW("Cache-Control"), VIEW("no-store")},
        {VIEW("X-Request-Id"), view_of(call->request_id)},
    };
    struct key key = key_operation(text_of(call->operation, "id"));
    call->timer = evtimer_new(call->server->base, on_timer, stream);
    REQUIRE(call->timer);
    call->watch = state_watch(call->server->state, key.text, on_changed, stream);
    incoming_watch(call->incoming, on_gone, stream);
    incoming_stream_begin(call->incoming, 200, headers, sizeof headers / sizeof headers[0], NULL,
                          NULL);
    evtimer_add(call->timer, &later);
    if (!send_present(stream)) {
        stream->gone = true;
        event_active(call->timer, 0, 0);
    }
    return PROGRESS_WAIT;
}
