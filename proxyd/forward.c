/* FORWARD: passes a streamed reply on to the client as it comes, each at the pace of the slower. */
#include "proxyd/steps.h"

#include "common/base/clock.h"

#include <event2/event.h>

#define HIGH_MARK_BYTES ((size_t)256 * 1024) /* not yet taken by the client: Lambda waits */
#define HOLD_MS         5000 /* a function whose client left runs on: its place is kept so long */

static void on_timer(evutil_socket_t fd, short events, void *context);

static void arm(struct request *request, int64_t delay_ms)
{
    struct timeval delay = {delay_ms / 1000, delay_ms % 1000 * 1000};

    if (!request->timer)
        request->timer = event_new(request->worker->base, -1, 0, on_timer, request);
    REQUIRE(request->timer != NULL);
    event_add(request->timer, &delay);
}

static void arm_idle(struct request *request)
{
    arm(request, request->worker->shared->config->stream_idle_timeout_ms);
}

/* Ends the call before its time. Safe inside its callbacks. */
static void cancel_call(struct request *request)
{
    if (!request->call)
        return;
    outgoing_cancel(request->call);
    request->call = NULL;
    request->upstream_us += clock_monotonic_us() - request->attempted_us;
    metrics_add(&request->worker->metrics.outcomes[metrics_outcome_of(request->fault)], 1);
}

/* The client's answer ends: whole, or cut so that it sees the truncation. */
static void end_answer(struct request *request)
{
    if (request->timer)
        event_del(request->timer);
    if (!request->incoming)
        return;
    if (request->fault == FAULT_NONE && !request->client_gone)
        incoming_stream_end(request->incoming);
    else
        incoming_stream_abort(request->incoming);
    request->incoming = NULL;
}

/* The stream is over, well (FAULT_NONE) or not; before the response that is an ordinary fault. */
static void conclude(struct request *request, enum fault fault, const char *detail)
{
    request->fault = fault;
    request->log_detail = detail;
    cancel_call(request);
    if (request->step == STEP_FORWARD) {
        end_answer(request);
        request_resume(request, PROGRESS_NEXT);
    } else {
        request_resume(request, PROGRESS_FAIL);
    }
}

static void write_piece(struct request *request, struct view piece)
{
    if (!request->incoming || piece.length == 0)
        return;
    request->response_bytes += piece.length;
    incoming_stream_write(request->incoming, piece);
}

/* ---- the client's side ---- */

static void leave_client(struct request *request)
{
    int64_t left_ms = ((int64_t)request->deadline_us - (int64_t)clock_monotonic_us()) / 1000;

    cancel_call(request);
    end_answer(request);
    request->hold_ms = left_ms < HOLD_MS ? left_ms : HOLD_MS;
}

void forward_client_left(struct request *request)
{
    if (!request->incoming)
        return;
    leave_client(request);
    request_resume(request, PROGRESS_NEXT);
}

void forward_client_ready(void *context)
{
    struct request *request = context;

    if (!request->paused || !request->call)
        return;
    request->paused = false;
    arm_idle(request);
    outgoing_resume(request->call); /* may bring bytes at once, or the end of the request */
}

enum progress forward_request(struct request *request)
{
    if (!request->forwards)
        return PROGRESS_NEXT;
    if (request->client_gone && request->incoming) {
        leave_client(request);
        return PROGRESS_NEXT;
    }
    if (reply_has_no_body(request->method, request->status))
        end_answer(request); /* the rest is read, so that the log says how it ended */
    write_piece(request, request->reply.body);
    if (!request->call) { /* all came before the head was known */
        end_answer(request);
        return PROGRESS_NEXT;
    }
    arm_idle(request);
    return PROGRESS_WAIT;
}

/* ---- Lambda's side ---- */

static void begin_response(struct request *request)
{
    invoke_succeeded(request);
    request->forwards = true;
    request_resume(request, PROGRESS_NEXT); /* through decode and respond to forward */
}

bool forward_bytes(struct request *request, struct view bytes)
{
    struct stream *stream = &request->stream;

    for (;;) {
        switch (stream_next(stream, &bytes)) {
        case STREAM_HEAD:
            begin_response(request);
            break;
        case STREAM_OUTPUT:
            write_piece(request, stream->output);
            break;
        case STREAM_FAILED:
            conclude(request, stream->fault, stream->detail);
            break;
        case STREAM_MORE:
        case STREAM_BUFFERED:
        case STREAM_DONE:
            if (request->step != STEP_FORWARD)
                return true;
            request->paused =
                request->incoming && incoming_stream_unsent(request->incoming) >= HIGH_MARK_BYTES;
            if (request->paused) /* how long a client may take is the connection's matter */
                event_del(request->timer);
            else
                arm_idle(request);
            return !request->paused;
        }
        if (!request->call)
            return true;
    }
}

/* How the call's end is judged when it was a good one by HTTP: before the response. */
static void end_before_head(struct request *request)
{
    struct stream *stream = &request->stream;

    switch (stream_finish(stream)) {
    case STREAM_HEAD:
        begin_response(request);
        return;
    case STREAM_BUFFERED:
        invoke_succeeded(request);
        request->payload = buffer_take(&stream->collected, &request->payload_length);
        request_resume(request, PROGRESS_NEXT);
        return;
    case STREAM_FAILED:
        request_resume(request, request_fail(request, stream->fault, stream->detail));
        return;
    case STREAM_MORE:
    case STREAM_OUTPUT:
    case STREAM_DONE:
        REQUIRE(!"a stream without a head is done");
    }
}

void forward_call_ended(struct request *request, enum fault fault, const char *detail)
{
    struct stream *stream = &request->stream;

    if (request->step != STEP_FORWARD) {
        end_before_head(request);
        return;
    }
    if (fault == FAULT_NONE && stream_finish(stream) == STREAM_FAILED) {
        fault = stream->fault;
        detail = stream->detail;
    }
    conclude(request, fault, detail);
}

/* ---- time ---- */

enum progress forward_hold(struct request *request)
{
    if (request->hold_ms <= 0 || !request->admitted ||
        atomic_load_explicit(&request->worker->shared->draining, memory_order_relaxed))
        return PROGRESS_NEXT;
    arm(request, request->hold_ms);
    return PROGRESS_WAIT;
}

static void on_timer(evutil_socket_t fd, short events, void *context)
{
    struct request *request = context;

    (void)fd;
    (void)events;
    if (request->step == STEP_FORWARD)
        conclude(request, FAULT_DEADLINE, "the stream was idle for too long");
    else
        request_resume(request, PROGRESS_NEXT); /* the place was held long enough */
}
