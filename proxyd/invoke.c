/* INVOKE: calls Lambda under a deadline, and again only where nothing can have run. */
#include "proxyd/steps.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <event2/event.h>

#define BACKOFF_MS          50    /* most before the second attempt; doubles with each */
#define BACKOFF_THROTTLE_MS 250   /* the same after a throttle */
#define ASYNC_DEADLINE_MS   10000 /* Lambda is to take in the event within it */

static bool on_bytes(struct view bytes, const struct outgoing_result *so_far, void *context);
static void on_done(const struct outgoing_result *result, void *context);

static int64_t left_ms(const struct request *request)
{
    return ((int64_t)request->deadline_us - (int64_t)clock_monotonic_us()) / 1000;
}

static void attempt(struct request *request, bool fresh_connection)
{
    int64_t left = left_ms(request);
    struct outgoing_request call = {
        .method = "POST",
        .url = request->worker->shared->config->endpoint.url.data,
        .target = request->target,
        .headers = request->headers,
        .header_count = request->header_count,
        .body = buffer_view(&request->event),
        .has_body = true,
        .deadline_ms = left > 0 ? left : 1,
        .max_answer_bytes = REQUEST_REPLY_MAX,
        .fresh_connection = fresh_connection,
        .on_done = on_done,
        .on_bytes = request_streams(request) ? on_bytes : NULL,
        .context = request,
    };

    if (request_streams(request)) {
        stream_release(&request->stream);
        stream_init(&request->stream,
                    request->version->response_mode == ROUTE_AUTO ? PRELUDE_AUTO : PRELUDE_OPTIONAL,
                    &request->arena);
    }
    request->breaker_told = false;
    request->attempts++;
    request->attempted_us = clock_monotonic_us();
    request->call = outgoing_send(request->worker->outgoing, &call);
}

/* ---- the version's breaker ---- */

/* False: not now, and `retry_after_s` says how long that may last. */
static bool breaker_lets_through(struct request *request, const char **why)
{
    struct breaker_answer answer;

    if (request->probe) /* still the same: signed again, or on a fresh connection */
        return true;
    answer = breaker_ask(request->worker->shared->breakers, request->route.slot,
                         request->version->number, clock_monotonic_us());
    request->probe = answer.verdict == BREAKER_PROBE;
    if (answer.verdict != BREAKER_REFUSED)
        return true;
    request->retry_after_s = (unsigned)((answer.wait_ms + 999) / 1000);
    *why = breaker_reason_name(answer.reason);
    return false;
}

static enum breaker_finding finding_of(enum fault fault)
{
    enum fault_class class = fault_row(fault)->class;

    if (fault == FAULT_UNREACHABLE)
        return FINDING_UNREACHABLE;
    if (fault == FAULT_LAMBDA_NOT_READY)
        return FINDING_NOT_READY;
    return fault == FAULT_NONE || class == CLASS_RAN ? FINDING_STARTED : FINDING_UNCLEAR;
}

static void log_change(const struct request *request, enum breaker_change change, const char *why)
{
    if (change == BREAKER_OPENED)
        log_write(LOG_WARN, "breaker-opened", LOG_VIEW("app", request->route.app),
                  LOG_INTEGER("version", request->version->number), LOG_STRING("reason", why));
    else if (change == BREAKER_CLOSED)
        log_write(LOG_INFO, "breaker-closed", LOG_VIEW("app", request->route.app),
                  LOG_INTEGER("version", request->version->number), LOG_STRING("reason", why));
}

/* Once for each attempt: as soon as it is known that the function started, or at the end. */
static void tell_breaker(struct request *request, enum fault fault)
{
    struct breaker_report report = {
        .slot = request->route.slot,
        .version = request->version->number,
        .finding = request->asynchronous && fault == FAULT_NONE
                       ? FINDING_UNCLEAR /* it has not been started yet */
                       : finding_of(fault),
        .probe = request->probe,
        .now_us = clock_monotonic_us(),
    };

    if (request->breaker_told)
        return;
    request->breaker_told = true;
    request->probe = false;
    log_change(request, breaker_tell(request->worker->shared->breakers, &report),
               fault == FAULT_NONE ? "started" : fault_row(fault)->name);
}

/* ---- the attempts ---- */

/* How long the function may run is of no matter to a call that Lambda only takes in. */
static uint64_t whole_deadline_ms(const struct request *request)
{
    uint64_t own_ms = request->route.deadline_ms;

    if (request->asynchronous)
        return own_ms && own_ms < ASYNC_DEADLINE_MS ? own_ms : ASYNC_DEADLINE_MS;
    return own_ms ? own_ms : (uint64_t)request->version->timeout_s * 1000 + 1000;
}

enum progress invoke_request(struct request *request)
{
    uint64_t deadline_ms = whole_deadline_ms(request);
    const char *why;

    if (request->deadline_us == 0) /* it holds for all attempts */
        request->deadline_us = clock_monotonic_us() + deadline_ms * 1000;
    if (!breaker_lets_through(request, &why))
        return request_fail(request, FAULT_BREAKER_OPEN, why);
    attempt(request, false);
    return PROGRESS_WAIT;
}

static void on_backoff(evutil_socket_t fd, short events, void *context)
{
    struct request *request = context;
    const char *why;

    (void)fd;
    (void)events;
    if (request->client_gone || left_ms(request) <= 0 || !breaker_lets_through(request, &why))
        request_resume(request, PROGRESS_FAIL);
    else
        attempt(request, false);
}

/* A random part of a doubling pause, but as long as Lambda asks for; -1 when that would leave the
 * attempt less time than the pause took: what is certain not to have run would end as a call that was
 * cut. */
static int64_t backoff_ms(struct request *request)
{
    uint32_t most = request->fault == FAULT_THROTTLED ? BACKOFF_THROTTLE_MS : BACKOFF_MS;
    int64_t pause = worker_random(request->worker, (most << (request->attempts - 1)) + 1);

    if (pause < (int64_t)request->retry_after_s * 1000)
        pause = (int64_t)request->retry_after_s * 1000;
    return pause * 2 <= left_ms(request) ? pause : -1;
}

/* The attempt never met Lambda, only what was left of a connection to it. */
static bool try_fresh(struct request *request, const struct outcome *outcome)
{
    if (!outcome->stale || request->stale_seen || left_ms(request) <= 0)
        return false;
    request->stale_seen = true;
    metrics_add(&request->worker->metrics.stale_connections, 1);
    attempt(request, true);
    return true;
}

static bool try_again(struct request *request, const struct outcome *outcome)
{
    struct worker *worker = request->worker;
    int64_t pause;

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

/* Whether signing anew will help: by AWS's clock, or with other credentials. */
static bool may_sign_again(struct request *request, const struct outgoing_result *result,
                           struct view code)
{
    struct view date = VIEW("");

    outgoing_header(result->call, "Date", &date);
    return !request->signed_again &&
           credentials_refused(request->worker->credentials, request->credentials, code, date);
}

static struct outcome judge(struct request *request, const struct outgoing_result *result)
{
    struct outcome_input input = {
        .error = result->error,
        .reach = result->reach,
        .status = result->status,
        .asynchronous = request->asynchronous,
        .on_kept_connection = result->connected_us == 0,
        .now_ms = clock_wall_ms() + worker_clock_offset_ms(request->worker),
    };
    struct view value;

    outgoing_header(result->call, "x-amzn-ErrorType", &input.error_type);
    outgoing_header(result->call, "Retry-After", &input.retry_after);
    outgoing_header(result->call, "Date", &input.date);
    struct outcome outcome = outcome_of(&input);
    request->function_error = !request_streams(request) && !request->asynchronous &&
                              outgoing_header(result->call, "X-Amz-Function-Error", &value);
    if (outgoing_header(result->call, "x-amzn-RequestId", &value))
        request->invocation_id = arena_copy(&request->arena, view_slice(value, 0, 128));
    request->retry_after_s = outcome.retry_after_s;
    return outcome;
}

static void count_outcome(struct request *request, enum fault fault)
{
    enum metrics_outcome outcome = metrics_outcome_of(fault);

    if (fault == FAULT_NONE && request->function_error)
        outcome = METRICS_FUNCTION_ERROR;
    metrics_add(&request->worker->metrics.outcomes[outcome], 1);
}

static void count_time(struct request *request, const struct outgoing_result *result)
{
    metrics_observe(&request->worker->metrics.upstream_duration, result->total_us);
    request->upstream_us += result->total_us;
}

static bool on_bytes(struct view bytes, const struct outgoing_result *so_far, void *context)
{
    if (so_far->status == 200)
        tell_breaker(context, FAULT_NONE);
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
    if (request_streams(request)) {
        forward_call_ended(request, FAULT_NONE, NULL);
        return;
    }
    invoke_succeeded(request);
    request->payload = outgoing_take_body(result, &request->payload_length);
    buffer_release(&request->event);
    request_resume(request, PROGRESS_NEXT);
}

/* For the log. */
static const char *why_it_failed(struct request *request, const struct outgoing_result *result,
                                 const struct outcome *outcome)
{
    if (outcome->fault == FAULT_BAD_REPLY)
        return "the reply is larger than 6 MB (6291456 bytes), or its head than 64 KiB";
    if (outcome->code.length == 0 && result->error == ERROR_NONE)
        return arena_format(&request->arena, "an answer with status %d that names no error",
                            result->status);
    struct view why = outcome->code.length ? outcome->code : view_of(result->reason);
    return arena_string(&request->arena, view_slice(why, 0, 200));
}

static void on_done(const struct outgoing_result *result, void *context)
{
    struct request *request = context;
    struct outcome outcome = judge(request, result);

    request->call = NULL;
    count_time(request, result);
    if (outcome.fault == FAULT_NONE) {
        tell_breaker(request, FAULT_NONE);
        take_reply(request, result);
        count_outcome(request, request->stream.fault); /* what a stream's end says is the outcome */
        return;
    }
    count_outcome(request, outcome.fault);
    const char *detail = why_it_failed(request, result, &outcome);
    if (request->step == STEP_FORWARD) {
        forward_call_ended(request, outcome.fault, detail);
        return;
    }
    request_fail(request, outcome.fault, detail);
    if (outcome.signature_doubted && may_sign_again(request, result, outcome.code)) {
        request->signed_again = true;
        request_resume(request, PROGRESS_SIGN_AGAIN);
        return;
    }
    if (try_fresh(request, &outcome))
        return;
    bool probe = request->probe; /* one that fails opens the breaker again */
    tell_breaker(request, outcome.fault);
    if (probe || !try_again(request, &outcome))
        request_resume(request, PROGRESS_FAIL);
}
