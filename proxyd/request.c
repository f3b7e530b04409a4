/* Moves each request through the steps, in the order of the table, and frees it when it is over. */
#include "proxyd/request.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "proxyd/steps.h"

#include <event2/event.h>
#include <stdlib.h>

static const struct {
    const char *name;
    enum progress (*run)(struct request *request);
} steps[STEP_COUNT] = {
    [STEP_ACCEPT] = {"accept", accept_request},
    [STEP_ROUTE] = {"route", route_request},
    [STEP_AUTHORIZE] = {"authorize", authorize_request},
    [STEP_ADMIT] = {"admit", admit_request},
    [STEP_ENCODE] = {"encode", encode_request},
    [STEP_SIGN] = {"sign", sign_request},
    [STEP_INVOKE] = {"invoke", invoke_request},
    [STEP_DECODE] = {"decode", decode_request},
    [STEP_RESPOND] = {"respond", respond_request},
    [STEP_FORWARD] = {"forward", forward_request},
    [STEP_RECORD] = {"record", record_request},
};

/* The one place where a request goes from one step to another. */
static void move(struct request *request, enum step step)
{
    request->step = step;
    if (log_enabled(LOG_DEBUG))
        log_write(LOG_DEBUG, "step", LOG_STRING("id", request->id),
                  LOG_STRING("step", steps[step].name),
                  LOG_STRING("fault", fault_row(request->fault)->name));
}

static void finish(struct request *request)
{
    struct worker *worker = request->worker;

    TAILQ_REMOVE(&worker->requests, request, link);
    TAILQ_INSERT_TAIL(&worker->finished, request, link);
    event_active(worker->reap_event, EV_TIMEOUT, 0);
}

/* False when the request waits or has ended. */
static bool advance(struct request *request, enum progress progress)
{
    switch (progress) {
    case PROGRESS_WAIT:
        return false;
    case PROGRESS_FAIL:
        REQUIRE(request->step < STEP_RESPOND && request->fault != FAULT_NONE);
        move(request, STEP_RESPOND);
        return true;
    case PROGRESS_ANSWER:
        REQUIRE(request->step < STEP_RESPOND && request->fault == FAULT_NONE);
        move(request, STEP_RESPOND);
        return true;
    case PROGRESS_SIGN_AGAIN:
        REQUIRE(request->step == STEP_INVOKE);
        move(request, STEP_SIGN);
        return true;
    case PROGRESS_NEXT:
        if (request->step == STEP_RECORD) {
            finish(request);
            return false;
        }
        move(request, request->step + 1);
        return true;
    }
    return false;
}

/* What it holds beside the body, which is the connection's. */
static void hold(struct request *request)
{
    budget_hold(request->worker->shared->budget, &request->held,
                request->arena.used + request->event.capacity + request->payload_length +
                    request->stream.collected.capacity);
}

static void run(struct request *request, enum progress progress)
{
    REQUIRE(!request->running);
    request->running = true;
    while (advance(request, progress))
        progress = steps[request->step].run(request);
    hold(request);
    request->running = false;
}

static struct request *request_new(struct worker *worker)
{
    struct request *request = calloc(1, sizeof *request);

    REQUIRE(request != NULL);
    request->worker = worker;
    arena_init(&request->arena, REQUEST_ARENA_BYTES);
    buffer_init(&request->event, REQUEST_EVENT_MAX);
    TAILQ_INSERT_TAIL(&worker->requests, request, link);
    metrics_set(&worker->metrics.requests_in_flight, ++worker->under_way);
    return request;
}

/* The first step has no step before it that could return a verdict. */
static void begin(struct request *request)
{
    move(request, STEP_ACCEPT);
    run(request, accept_request(request));
}

void request_start(struct worker *worker, struct incoming_request *incoming)
{
    struct request *request = request_new(worker);

    request->incoming = incoming;
    begin(request);
}

void request_refused(struct worker *worker, const struct incoming_refusal *refusal)
{
    struct request *request = request_new(worker);

    request->refusal = refusal;
    begin(request);
}

void request_resume(struct request *request, enum progress progress)
{
    run(request, progress);
}

enum progress request_fail(struct request *request, enum fault fault, const char *log_detail)
{
    request->fault = fault;
    request->log_detail = log_detail;
    return PROGRESS_FAIL;
}

struct view request_header_values(struct request *request, const char *wanted)
{
    struct view name, value, joined = {0};

    for (size_t i = 0; incoming_header_at(request->incoming, i, &name, &value); i++) {
        if (!view_equal_nocase(name, view_of(wanted)))
            continue;
        if (!joined.data)
            joined = value;
        else
            joined = view_of(arena_format(&request->arena, "%.*s, %.*s", VIEW_FORMAT(joined),
                                          VIEW_FORMAT(value)));
    }
    return joined;
}

bool request_streams(const struct request *request)
{
    return request->version->response_mode != ROUTE_BUFFERED && !request->asynchronous;
}

static void request_free(struct request *request)
{
    REQUIRE(!request->call && !request->body_lent);
    if (request->backoff)
        event_free(request->backoff);
    if (request->timer)
        event_free(request->timer);
    if (request->wait_timer)
        event_free(request->wait_timer);
    stream_release(&request->stream);
    credentials_release(request->credentials);
    buffer_release(&request->event);
    free(request->payload);
    budget_hold(request->worker->shared->budget, &request->held, 0);
    arena_release(&request->arena);
    free(request);
}

/* Gives back what the request held of its worker and of the process. */
static void leave(struct request *request)
{
    struct worker *worker = request->worker;

    admit_drop(request);
    credentials_forget(worker->credentials, request);
    if (request->share)
        limits_drop(worker->shared->limits, request->route.slot, request->share);
    request->share = 0;
    if (request->admitted)
        queue_leave(worker->shared->queue, worker->number, request->route.slot);
    request->admitted = false;
    metrics_set(&worker->metrics.requests_in_flight, --worker->under_way);
}

void request_reap(struct worker *worker)
{
    struct request *request;

    while ((request = TAILQ_FIRST(&worker->finished)) != NULL) {
        TAILQ_REMOVE(&worker->finished, request, link);
        if (!request->lingering)
            leave(request);
        if (request->body_lent)
            request->lingering = true;
        else
            request_free(request);
    }
    queue_collect(worker->shared->queue, worker->number);
}

void request_body_returned(struct request *request)
{
    REQUIRE(request->body_lent);
    request->body_lent = false;
    if (request->lingering) {
        TAILQ_INSERT_TAIL(&request->worker->finished, request, link);
        event_active(request->worker->reap_event, EV_TIMEOUT, 0);
    }
}

/* There is nobody to respond to any more, but the request is logged and counted as every other. */
static void record_cut(struct request *request)
{
    if (request->fault == FAULT_NONE) {
        request->fault = request->attempts > 0 ? FAULT_STOPPED : FAULT_NOT_SERVED;
        request->log_detail = "the time to drain was over";
    }
    if (request->status == 0)
        request->status = fault_row(request->fault)->status;
    (void)record_request(request);
}

void request_drop_all(struct worker *worker)
{
    struct request *request;

    while ((request = TAILQ_FIRST(&worker->requests)) != NULL) {
        TAILQ_REMOVE(&worker->requests, request, link);
        request->call = NULL;
        leave(request);
        if (request->step < STEP_RECORD) /* one that waits there was recorded when it came */
            record_cut(request);
        request_free(request);
    }
    request_reap(worker); /* collects nothing: nobody waits here any more */
}
