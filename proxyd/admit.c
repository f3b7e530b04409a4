/* ADMIT: keeps the app and the process within their limits; who comes too early waits a little. */
#include "proxyd/steps.h"

#include "common/base/clock.h"
#include "common/contract/path.h"

#include <event2/event.h>

#define SMALL_BODY_BYTES ((uint64_t)4096) /* comes with the head; looked at when it is there */

/* ---- bodies ---- */

/* No body gets shorter in an event. */
static uint64_t body_limit(const struct config *config, uint64_t of_the_app)
{
    uint64_t most = (uint64_t)config->max_body_bytes;

    if (most > REQUEST_EVENT_MAX)
        most = REQUEST_EVENT_MAX;
    if (most > (uint64_t)config->max_memory_bytes)
        most = (uint64_t)config->max_memory_bytes; /* no later attempt would find room */
    return of_the_app && of_the_app < most ? of_the_app : most;
}

/* By the route as it is now: the request is judged again by that of its own time. */
static uint64_t app_body_limit(struct worker *worker, const struct incoming_head *head)
{
    struct route_query query = {.host = head->host};
    struct route_record record = {0};
    struct route_found found;
    struct view rest;
    struct arena arena;

    target_split(head->target, &query.path, &rest);
    arena_init(&arena, REQUEST_ARENA_BYTES);
    if (routes_find(worker->routes, &query, &arena, &found, &record) != ERROR_NONE)
        record.max_body_bytes = 0;
    arena_release(&arena);
    return record.max_body_bytes;
}

uint64_t admit_body_limit(struct worker *worker, const struct incoming_head *head,
                          enum guard_reason *over)
{
    const struct config *config = worker->shared->config;
    bool chunked = head->content_length == UINT64_MAX;
    uint64_t most = body_limit(config, 0);

    if (chunked || head->expects_continue || head->content_length > SMALL_BODY_BYTES)
        most = body_limit(config, app_body_limit(worker, head));
    if ((chunked || head->content_length <= most) &&
        !budget_has_room(worker->shared->budget, chunked ? 0 : head->content_length)) {
        *over = GUARD_BUSY;
        return 0;
    }
    return most;
}

/* A body and the event that it becomes, in base64: of all memory, one app's may take half, so that no
 * crowd at one app keeps the bodies of all others out. */
static bool take_share(struct request *request)
{
    const struct shared *shared = request->worker->shared;
    uint64_t bytes = (uint64_t)request->body_bytes / 3 * 7;

    if (bytes == 0)
        return true;
    if (!limits_hold(shared->limits, request->route.slot, bytes, shared->budget->most / 2))
        return false;
    request->share = bytes;
    return true;
}

/* ---- waiting ---- */

static void on_timer(evutil_socket_t fd, short events, void *context);

static void arm(struct request *request, uint64_t delay_us)
{
    struct timeval delay = {(time_t)(delay_us / 1000000), (suseconds_t)(delay_us % 1000000)};

    if (!request->wait_timer)
        request->wait_timer = event_new(request->worker->base, -1, 0, on_timer, request);
    REQUIRE(request->wait_timer != NULL);
    event_add(request->wait_timer, &delay);
}

static void begin_wait(struct request *request, enum admit_wait kind)
{
    struct worker *worker = request->worker;

    if (request->wait_since_us == 0) {
        request->wait_since_us = clock_monotonic_us();
        metrics_add(&worker->metrics.queued, 1);
    }
    request->wait = kind;
    metrics_set(&worker->metrics.waiting, ++worker->waiting);
}

static void end_wait(struct request *request)
{
    struct worker *worker = request->worker;

    if (request->wait == WAIT_PLACE && request->waiter.seat)
        queue_give_up(worker->shared->queue, &request->waiter);
    request->wait = WAIT_NONE;
    event_del(request->wait_timer);
    request->queued_us = clock_monotonic_us() - request->wait_since_us;
    metrics_set(&worker->metrics.waiting, --worker->waiting);
}

/* No longer than the app's own deadline leaves, if it has one. */
static uint64_t wait_left_us(const struct request *request, uint64_t now_us)
{
    return request->wait_until_us > now_us ? request->wait_until_us - now_us : 0;
}

static void begin_time(struct request *request, uint64_t now_us)
{
    const struct config *config = request->worker->shared->config;

    request->wait_until_us = now_us + (uint64_t)config->queue_wait_ms * 1000;
    if (request->route.deadline_ms == 0)
        return; /* the version's timeout counts from the invocation on */
    request->deadline_us = now_us + (uint64_t)request->route.deadline_ms * 1000;
    if (request->wait_until_us > request->deadline_us)
        request->wait_until_us = request->deadline_us;
}

/* ---- a place in flight ---- */

static enum progress refuse_place(struct request *request, const char *detail)
{
    bool full = limits_full(request->worker->shared->limits);

    return request_fail(request, full ? FAULT_PROXY_BUSY : FAULT_APP_BUSY, detail);
}

static void on_place(struct queue_waiter *waiter)
{
    struct request *request =
        (struct request *)(void *)((char *)waiter - offsetof(struct request, waiter));

    request->admitted = true;
    end_wait(request);
    request_resume(request, PROGRESS_NEXT);
}

static enum progress take_place(struct request *request)
{
    const struct config *config = request->worker->shared->config;
    const struct route_record *route = &request->route;
    uint64_t left_us = wait_left_us(request, clock_monotonic_us());
    struct queue_ask ask = {
        .worker = request->worker->number,
        .slot = route->slot,
        .max_in_flight =
            route->max_in_flight ? route->max_in_flight : (uint32_t)config->app_max_in_flight,
        .max_waiting = left_us > 0 ? (unsigned)config->queue_length : 0,
    };

    request->waiter.on_place = on_place;
    switch (queue_enter(request->worker->shared->queue, &ask, &request->waiter)) {
    case QUEUE_ENTERED:
        request->admitted = true;
        return PROGRESS_NEXT;
    case QUEUE_WAITS:
        begin_wait(request, WAIT_PLACE);
        arm(request, left_us);
        return PROGRESS_WAIT;
    case QUEUE_PROCESS_FULL:
        return request_fail(request, FAULT_PROXY_BUSY, NULL);
    case QUEUE_APP_FULL:
        break;
    }
    return request_fail(request, FAULT_APP_BUSY, NULL);
}

static void on_timer(evutil_socket_t fd, short events, void *context)
{
    struct request *request = context;
    bool its_turn = request->wait == WAIT_TURN;
    uint64_t now_us = clock_monotonic_us();

    (void)fd;
    (void)events;
    /* Timers count from the beginning of the loop's turn that set them: this one may be early. */
    if (its_turn && now_us < request->turn_at_us) {
        arm(request, request->turn_at_us - now_us);
        return;
    }
    end_wait(request);
    if (its_turn) {
        request_resume(request, take_place(request));
        return;
    }
    metrics_add(&request->worker->metrics.queue_timeouts, 1);
    request_resume(request, refuse_place(request, "no place came free in time"));
}

/* ---- the app's rate ---- */

/* A turn that is near is waited for: as many as may stand in line, and as long. */
static enum progress take_turn(struct request *request, uint64_t now_us)
{
    const struct config *config = request->worker->shared->config;
    struct limits *limits = request->worker->shared->limits;
    const struct route_record *route = &request->route;
    uint64_t line_us = UINT64_C(1000000000) / route->rate_milli * (uint64_t)config->queue_length;
    uint64_t left_us = wait_left_us(request, now_us), wait_us;
    uint64_t longest_us = (uint64_t)config->queue_wait_ms * 1000;
    struct limits_pace pace = {.slot = route->slot,
                               .rate_milli = route->rate_milli,
                               .burst = route->burst,
                               .now_us = now_us,
                               .most_wait_us = line_us < left_us ? line_us : left_us,
                               .longest_wait_us = line_us < longest_us ? line_us : longest_us};
    enum progress progress;

    if (!limits_take_turn(limits, &pace, &wait_us)) {
        request->retry_after_s = (unsigned)((wait_us + 999999) / 1000000);
        return request_fail(request, FAULT_APP_RATE, NULL);
    }
    if (wait_us > 0) {
        request->turn_at_us = now_us + wait_us;
        begin_wait(request, WAIT_TURN);
        arm(request, wait_us);
        return PROGRESS_WAIT;
    }
    progress = take_place(request);
    if (progress == PROGRESS_FAIL)
        limits_return_turn(limits, &pace);
    return progress;
}

enum progress admit_request(struct request *request)
{
    const struct shared *shared = request->worker->shared;
    uint64_t most = body_limit(shared->config, request->route.max_body_bytes);
    uint64_t now_us = clock_monotonic_us();

    if (request->body_bytes > most) {
        request->detail =
            arena_format(&request->arena, "The app takes bodies of at most %llu bytes.",
                         (unsigned long long)most);
        return request_fail(request, FAULT_BODY_TOO_LARGE, NULL);
    }
    begin_time(request, now_us);
    if (!budget_has_room(shared->budget, 0))
        return request_fail(request, FAULT_PROXY_BUSY, "memory");
    if (!take_share(request)) {
        request->detail = "The app's requests hold as much memory as those of one app may.";
        return request_fail(request, FAULT_APP_BUSY, "the app's share of memory");
    }
    if (limits_full(shared->limits)) /* before it costs the app a turn */
        return request_fail(request, FAULT_PROXY_BUSY, NULL);
    return request->route.rate_milli ? take_turn(request, now_us) : take_place(request);
}

void admit_client_left(struct request *request)
{
    if (request->wait == WAIT_NONE)
        return;
    end_wait(request);
    request_resume(request, request_fail(request, FAULT_CLIENT_LEFT, NULL));
}

void admit_drop(struct request *request)
{
    if (request->wait != WAIT_NONE)
        end_wait(request);
}
