/*
 * The figures of one worker, and how all workers' figures read as Prometheus text.
 *
 * A worker adds to its own with relaxed atomics; the admin thread reads them all. The names are one
 * list here; docs/metrics.md shows it. Labels are bounded: status classes, faults, outcomes and
 * reasons are fixed lists; apps are no label.
 */
#ifndef PROXYD_METRICS_H
#define PROXYD_METRICS_H

#include "common/aws/credentials_source.h"
#include "common/contract/jwt.h"
#include "common/base/bytes.h"
#include "common/net/guard.h"
#include "common/net/tls.h"
#include "proxyd/breaker.h"
#include "proxyd/fault.h"

#include <stdatomic.h>

/* X(field, name, type, help): what a worker has one number of. */
#define METRICS_LIST(X)                                                                            \
    X(requests_in_flight, "proxyd_requests_in_flight", "gauge",                                    \
      "Requests taken in and not yet answered.")                                                   \
    X(waiting, "proxyd_requests_waiting", "gauge",                                                 \
      "Requests of these that wait until their app is within its limits.")                         \
    X(queued, "proxyd_requests_queued_total", "counter", "Requests that had to wait.")             \
    X(queue_timeouts, "proxyd_queue_timeouts_total", "counter",                                    \
      "Requests that waited and were refused because no place came free in time.")                 \
    X(connections, "proxyd_client_connections", "gauge", "Connections of clients that are open.")  \
    X(upstream_connections, "proxyd_upstream_connections", "gauge",                                \
      "Connections to Lambda that are open, idle ones included.")                                  \
    X(request_bytes, "proxyd_request_body_bytes_total", "counter", "Bytes of request bodies.")     \
    X(response_bytes, "proxyd_response_body_bytes_total", "counter", "Bytes of response bodies.")  \
    X(clients_gone, "proxyd_clients_gone_total", "counter",                                        \
      "Requests whose client left before the answer.")                                             \
    X(preflights, "proxyd_preflights_total", "counter",                                            \
      "Preflights of browsers that were answered without a function.")                             \
    X(retries, "proxyd_invocation_retries_total", "counter",                                       \
      "Attempts beyond the first of a request, all of them certain not to double it.")             \
    X(stale_connections, "proxyd_stale_upstream_connections_total", "counter",                     \
      "Kept connections to Lambda that turned out closed when a request was written.")             \
    X(async_accepted, "proxyd_async_accepted_total", "counter",                                    \
      "Events that Lambda took in to run later, for clients that prefer it.")                      \
    X(turned_away, "proxyd_client_connections_turned_away_total", "counter",                       \
      "Connections closed at once, because their address had too many.")                           \
    X(displaced, "proxyd_client_connections_displaced_total", "counter",                           \
      "Idle connections closed to make room, because as many were open as may be.")                \
    X(relieved, "proxyd_slow_clients_cut_total", "counter",                                        \
      "Clients cut because they sat on memory while there was hardly any for others.")             \
    X(disagreements, "proxyd_guard_disagreements_total", "counter",                                \
      "Times that the parser and the guard before it disagreed; must stay 0.")

/* How attempts to invoke ended. */
#define METRICS_OUTCOME_LIST(X)                                                                    \
    X(ANSWERED, "answered")                                                                        \
    X(FUNCTION_ERROR, "function-error")                                                            \
    X(THROTTLED, "throttled")                                                                      \
    X(REFUSED, "refused")                                                                          \
    X(NOT_READY, "not-ready")                                                                      \
    X(UNREACHABLE, "unreachable")                                                                  \
    X(DEADLINE, "deadline")                                                                        \
    X(BROKEN, "broken")

enum metrics_outcome {
#define METRICS_OUTCOME(code, name) METRICS_##code,
    METRICS_OUTCOME_LIST(METRICS_OUTCOME)
#undef METRICS_OUTCOME
        METRICS_OUTCOME_COUNT
};

#define METRICS_BOUNDS        14
#define METRICS_GUARD_REASONS (GUARD_DISAGREEMENT + 1)

/* Seconds, rising; counts in METRICS_BOUNDS + 1 buckets. */
struct metrics_histogram {
    _Atomic uint64_t counts[METRICS_BOUNDS + 1];
    _Atomic uint64_t sum_us;
};

struct metrics {
#define METRICS_FIELD(field, name, type, help) _Atomic uint64_t field;
    METRICS_LIST(METRICS_FIELD)
#undef METRICS_FIELD
    _Atomic uint64_t requests[6]; /* by the first digit of the status */
    _Atomic uint64_t faults[FAULT_COUNT];
    _Atomic uint64_t outcomes[METRICS_OUTCOME_COUNT];
    _Atomic uint64_t refusals[METRICS_GUARD_REASONS];
    _Atomic uint64_t tokens[JWT_VERDICT_COUNT];
    struct metrics_histogram duration;          /* whole requests */
    struct metrics_histogram upstream_duration; /* attempts to invoke */
    struct metrics_histogram queue_duration;    /* requests that waited */
};

static inline void metrics_add(_Atomic uint64_t *figure, uint64_t more)
{
    atomic_fetch_add_explicit(figure, more, memory_order_relaxed);
}

static inline void metrics_set(_Atomic uint64_t *figure, uint64_t value)
{
    atomic_store_explicit(figure, value, memory_order_relaxed);
}

void metrics_observe(struct metrics_histogram *histogram, uint64_t duration_us);
/* The outcome that a fault of an attempt counts as. */
enum metrics_outcome metrics_outcome_of(enum fault fault);

/* What belongs to the process, not to a worker. */
struct metrics_process {
    uint64_t log_lines_dropped;
    uint64_t generation; /* of the routes */
    bool ready;
    unsigned workers;
    double started_at_s;
    struct tls *tls; /* NULL without TLS */
    uint64_t held_bytes, max_held_bytes;
    struct breaker_counts breakers;
    struct credentials_status credentials;
};

/* Appends all families; each sample is the sum over the workers. */
void metrics_write(struct buffer *out, const struct metrics *const *workers, size_t count,
                   const struct metrics_process *process);

#endif
