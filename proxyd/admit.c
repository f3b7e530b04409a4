/* ADMIT: keeps the app and the process within their limits. */
#include "proxyd/steps.h"

#include "common/base/clock.h"

static uint64_t body_limit(const struct request *request)
{
    uint64_t most = (uint64_t)request->worker->shared->config->max_body_bytes;
    uint64_t own = request->route.max_body_bytes;

    return own && own < most ? own : most;
}

enum progress admit_request(struct request *request)
{
    const struct route_record *route = &request->route;
    const struct config *config = request->worker->shared->config;
    uint64_t wait_us;
    struct limits_ask ask = {
        .slot = route->slot,
        .max_in_flight =
            route->max_in_flight ? route->max_in_flight : (uint32_t)config->app_max_in_flight,
        .rate_milli = route->rate_milli,
        .burst = route->burst,
        .now_us = clock_monotonic_us(),
    };

    if (request->body_bytes > body_limit(request)) {
        request->detail =
            arena_format(&request->arena, "The app takes bodies of at most %llu bytes.",
                         (unsigned long long)body_limit(request));
        return request_fail(request, FAULT_BODY_TOO_LARGE, NULL);
    }
    switch (limits_enter(request->worker->shared->limits, &ask, &wait_us)) {
    case LIMITS_ENTERED:
        request->admitted = true;
        return PROGRESS_NEXT;
    case LIMITS_PROCESS_FULL:
        return request_fail(request, FAULT_PROXY_BUSY, NULL);
    case LIMITS_APP_FULL:
        return request_fail(request, FAULT_APP_BUSY, NULL);
    case LIMITS_APP_RATE:
        request->retry_after_s = (unsigned)((wait_us + 999999) / 1000000);
        return request_fail(request, FAULT_APP_RATE, NULL);
    }
    return request_fail(request, FAULT_INTERNAL, NULL);
}
