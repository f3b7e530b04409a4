/* INVOKE: calls Lambda under a deadline, and again only where nothing can have run. */
#include "proxyd/steps.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <event2/event.h>

#define BACKOFF_MS          50  /* most before the second attempt; doubles with each */
#define BACKOFF_THROTTLE_MS 250 /* the same after a throttle */
#define RETRY_AFTER_MOST_S  1   /* Lambda asks for a longer pause: the client may as well wait */
#define RETRY_AFTER_MAX_S   3600
#define SKEW_MS             60000 /* clocks that differ by less agree */

static bool on_bytes(struct view bytes, const struct outgoing_result *so_far, void *context);
static void on_done(const struct outgoing_result *result, void *context);

static bool streams(const struct request *request)
{
    return request->version->response_mode != ROUTE_BUFFERED;
}

static int64_t left_ms(const struct request *request)
{
    return ((int64_t)request->deadline_us - (int64_t)clock_monotonic_us()) / 1000;
}

static void attempt(struct request *request, bool fresh_connection)
{
    int64_t left = left_ms(request);
    struct outgoing_request call = {
        .method = "POST",
        .url = request->url,
        .headers = request->headers,
        .header_count = request->header_count,
        .body = buffer_view(&request->event),
        .has_body = true,
        .deadline_ms = left > 0 ? left : 1,
        .max_answer_bytes = REQUEST_REPLY_MAX,
        .fresh_connection = fresh_connection,
        .on_done = on_done,
        .on_bytes = streams(request) ? on_bytes : NULL,
        .context = request,
    };

    if (streams(request)) {
        stream_release(&request->stream);
        stream_init(&request->stream,
                    request->version->response_mode == ROUTE_AUTO ? PRELUDE_AUTO : PRELUDE_OPTIONAL,
                    &request->arena);
    }
    request->attempts++;
    request->attempted_us = clock_monotonic_us();
    request->call = outgoing_send(request->worker->outgoing, &call);
}

enum progress invoke_request(struct request *request)
{
    uint64_t deadline_ms = request->route.deadline_ms
                               ? request->route.deadline_ms
                               : (uint64_t)request->version->timeout_s * 1000 + 1000;

    if (request->deadline_us == 0) /* it holds for all attempts */
        request->deadline_us = clock_monotonic_us() + deadline_ms * 1000;
    attempt(request, false);
    return PROGRESS_WAIT;
}

static void on_backoff(evutil_socket_t fd, short events, void *context)
{
    struct request *request = context;

    (void)fd;
    (void)events;
    if (request->client_gone || left_ms(request) <= 0)
        request_resume(request, PROGRESS_FAIL);
    else
        attempt(request, false);
}

/* A random part of a doubling pause; -1 when there is no time for it. */
static int64_t backoff_ms(struct request *request)
{
    uint32_t most = request->fault == FAULT_THROTTLED ? BACKOFF_THROTTLE_MS : BACKOFF_MS;
    int64_t pause = worker_random(request->worker, (most << (request->attempts - 1)) + 1);

    if (request->retry_after_s > RETRY_AFTER_MOST_S)
        return -1;
    if (pause < (int64_t)request->retry_after_s * 1000)
        pause = (int64_t)request->retry_after_s * 1000;
    return pause < left_ms(request) ? pause : -1;
}

static bool try_again(struct request *request, const struct outcome *outcome)
{
    struct worker *worker = request->worker;
    int64_t pause;

    if (outcome->stale && !request->stale_seen && left_ms(request) > 0) {
        request->stale_seen = true;
        metrics_add(&worker->metrics.stale_connections, 1);
        attempt(request, true);
        return true;
    }
    if (!fault_row(outcome->fault)->retried || !outcome->may_heal || request->client_gone ||
        request->attempts >= worker->shared->config->attempts + request->stale_seen)
        return false;
    pause = backoff_ms(request);
    if (pause < 0 || !worker_may_retry(worker))
        return false;
    metrics_add(&worker->metrics.retries, 1);
    if (!request->backoff)
        request->backoff = event_new(worker->base, -1, 0, on_backoff, request);
    REQUIRE(request->backoff != NULL);
    struct timeval delay = {pause / 1000, pause % 1000 * 1000};
    event_add(request->backoff, &delay);
    return true;
}

/* Whether our clock was the reason, and signing anew by AWS's will help. */
static bool clock_was_wrong(struct request *request, const struct outgoing_result *result)
{
    struct worker *worker = request->worker;
    struct view date;
    int64_t theirs_ms;

    if (!outgoing_header(result->call, "Date", &date) ||
        clock_parse_http(date, &theirs_ms) != ERROR_NONE)
        return false;
    int64_t offset_ms = theirs_ms - clock_wall_ms();
    int64_t change_ms = offset_ms - worker->clock_offset_ms;
    if (change_ms > -SKEW_MS && change_ms < SKEW_MS)
        return false;
    worker->clock_offset_ms = offset_ms;
    log_write(LOG_WARN, "clock-skewed", LOG_INTEGER("offset_ms", offset_ms));
    return true;
}

static struct outcome judge(struct request *request, const struct outgoing_result *result)
{
    struct outcome_input input = {
        .error = result->error,
        .reach = result->reach,
        .status = result->status,
        .on_kept_connection = result->connected_us == 0,
    };
    struct view value;
    uint64_t seconds;

    outgoing_header(result->call, "x-amzn-ErrorType", &input.error_type);
    struct outcome outcome = outcome_of(&input);
    request->function_error =
        !streams(request) && outgoing_header(result->call, "X-Amz-Function-Error", &value);
    request->retry_after_s = 0;
    if (outgoing_header(result->call, "Retry-After", &value) &&
        view_to_u64(value, RETRY_AFTER_MAX_S, &seconds) == ERROR_NONE)
        request->retry_after_s = (unsigned)seconds;
    return outcome;
}

static void count(struct request *request, const struct outgoing_result *result, enum fault fault)
{
    struct metrics *metrics = &request->worker->metrics;
    enum metrics_outcome outcome = metrics_outcome_of(fault);

    if (fault == FAULT_NONE && request->function_error)
        outcome = METRICS_FUNCTION_ERROR;
    metrics_add(&metrics->outcomes[outcome], 1);
    metrics_observe(&metrics->upstream_duration, result->total_us);
    request->upstream_us += result->total_us;
}

static bool on_bytes(struct view bytes, const struct outgoing_result *so_far, void *context)
{
    return so_far->status != 200 || forward_bytes(context, bytes);
}

void invoke_succeeded(struct request *request)
{
    request->fault = FAULT_NONE;
    request->log_detail = NULL;
    request->retry_after_s = 0;
}

static void take_reply(struct request *request, const struct outgoing_result *result)
{
    worker_succeeded(request->worker);
    if (streams(request)) {
        forward_call_ended(request, FAULT_NONE, NULL);
        return;
    }
    invoke_succeeded(request);
    request->payload = outgoing_take_body(result, &request->payload_length);
    buffer_release(&request->event);
    request_resume(request, PROGRESS_NEXT);
}

static void on_done(const struct outgoing_result *result, void *context)
{
    struct request *request = context;
    struct outcome outcome = judge(request, result);

    request->call = NULL;
    /* What a stream said at its end counts as the outcome, too. */
    count(request, result, outcome.fault == FAULT_NONE ? request->stream.fault : outcome.fault);
    if (outcome.fault == FAULT_NONE) {
        take_reply(request, result);
        return;
    }
    struct view why = outcome.code.length ? outcome.code : view_of(result->reason);
    if (outcome.fault == FAULT_BAD_REPLY)
        why = VIEW("the reply is larger than 6 MB (6291456 bytes)");
    const char *detail = arena_string(&request->arena, view_slice(why, 0, 200));
    if (request->step == STEP_FORWARD) {
        forward_call_ended(request, outcome.fault, detail);
        return;
    }
    request_fail(request, outcome.fault, detail);
    if (outcome.clock_doubted && !request->signed_again && clock_was_wrong(request, result)) {
        request->signed_again = true;
        request_resume(request, PROGRESS_SIGN_AGAIN);
    } else if (!try_again(request, &outcome)) {
        request_resume(request, PROGRESS_FAIL);
    }
}
