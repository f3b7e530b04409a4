/* Adds up the workers' figures and writes them as Prometheus reads them. */
#include "proxyd/metrics.h"

#include "common/base/exposition.h"

#include <math.h>

static const double bounds[METRICS_BOUNDS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                              0.25,  0.5,    1,     2.5,  5,     10,   30};

struct workers {
    const struct metrics *const *all;
    size_t count;
};

void metrics_observe(struct metrics_histogram *histogram, uint64_t duration_us)
{
    double seconds = (double)duration_us / 1e6;
    size_t bucket = 0;

    while (bucket < METRICS_BOUNDS && seconds > bounds[bucket])
        bucket++;
    metrics_add(&histogram->counts[bucket], 1);
    metrics_add(&histogram->sum_us, duration_us);
}

enum metrics_outcome metrics_outcome_of(enum fault fault)
{
    switch (fault) {
    case FAULT_NONE:
        return METRICS_ANSWERED;
    case FAULT_THROTTLED:
        return METRICS_THROTTLED;
    case FAULT_UNREACHABLE:
        return METRICS_UNREACHABLE;
    case FAULT_LAMBDA_NOT_READY:
        return METRICS_NOT_READY;
    case FAULT_DEADLINE:
        return METRICS_DEADLINE;
    case FAULT_LAMBDA_FAILED:
    case FAULT_STOPPED:
    case FAULT_BAD_REPLY:
        return METRICS_BROKEN;
    case FAULT_FUNCTION_ERROR:
    case FAULT_FUNCTION_TIMEOUT:
        return METRICS_FUNCTION_ERROR;
    case FAULT_LAMBDA_REFUSED:
    case FAULT_EVENT_TOO_LARGE:
    case FAULT_REFUSED:
    case FAULT_BAD_TARGET:
    case FAULT_HTTPS_REQUIRED:
    case FAULT_UNKNOWN_APP:
    case FAULT_UNAUTHORIZED:
    case FAULT_FORBIDDEN:
    case FAULT_KEYS_MISSING:
    case FAULT_APP_BUSY:
    case FAULT_APP_RATE:
    case FAULT_CLIENT_LEFT:
    case FAULT_PROXY_BUSY:
    case FAULT_BREAKER_OPEN:
    case FAULT_BODY_TOO_LARGE:
    case FAULT_RECORD_UNREADABLE:
    case FAULT_NO_ROUTES:
    case FAULT_NO_CREDENTIALS:
    case FAULT_NOT_SERVED:
    case FAULT_INTERNAL:
    case FAULT_COUNT:
        break;
    }
    return METRICS_REFUSED;
}

/* The sum over all workers of the figure that lies `offset` bytes into each. */
static uint64_t sum(struct workers workers, size_t offset)
{
    uint64_t total = 0;

    for (size_t i = 0; i < workers.count; i++) {
        const void *figure = (const char *)workers.all[i] + offset;
        total += atomic_load_explicit((const _Atomic uint64_t *)figure, memory_order_relaxed);
    }
    return total;
}

static void write_scalars(struct buffer *out, struct workers workers)
{
    static const struct {
        size_t offset;
        const char *name, *type, *help;
    } scalars[] = {
#define METRICS_ROW(field, name, type, help) {offsetof(struct metrics, field), name, type, help},
        METRICS_LIST(METRICS_ROW)
#undef METRICS_ROW
    };

    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        exposition_family(out, scalars[i].name, scalars[i].type, scalars[i].help);
        exposition_count(out, scalars[i].name, NULL, 0, sum(workers, scalars[i].offset));
    }
}

static void write_requests(struct buffer *out, struct workers workers)
{
    static const char *const classes[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    const char *name = "proxyd_requests_total";

    exposition_family(out, name, "counter", "Requests that were answered, by class of status.");
    for (size_t i = 1; i < 6; i++) {
        struct exposition_label label = {"status", view_of(classes[i])};
        exposition_count(out, name, &label, 1,
                         sum(workers, offsetof(struct metrics, requests) + i * sizeof(uint64_t)));
    }
}

static void write_faults(struct buffer *out, struct workers workers)
{
    const char *name = "proxyd_faults_total";

    exposition_family(out, name, "counter",
                      "Requests that failed, by fault and by whether the function ran.");
    for (size_t i = FAULT_NONE + 1; i < FAULT_COUNT; i++) {
        const struct fault_row *row = fault_row((enum fault)i);
        struct exposition_label labels[] = {
            {"fault", view_of(row->name)},
            {"invocation",
             view_of(row->class == CLASS_NONE ? "none" : fault_class_name(row->class))}};
        exposition_count(out, name, labels, 2,
                         sum(workers, offsetof(struct metrics, faults) + i * sizeof(uint64_t)));
    }
}

static void write_tokens(struct buffer *out, struct workers workers)
{
    const char *name = "proxyd_tokens_total";

    exposition_family(out, name, "counter",
                      "Bearer tokens of apps that ask for one, by what was found.");
    for (size_t i = 0; i < JWT_VERDICT_COUNT; i++) {
        struct exposition_label label = {"verdict", view_of(jwt_verdict_name((enum jwt_verdict)i))};

        exposition_count(out, name, &label, 1,
                         sum(workers, offsetof(struct metrics, tokens) + i * sizeof(uint64_t)));
    }
}

static void write_outcomes(struct buffer *out, struct workers workers)
{
    static const char *const names[] = {
#define METRICS_NAME(code, name) name,
        METRICS_OUTCOME_LIST(METRICS_NAME)
#undef METRICS_NAME
    };
    const char *name = "proxyd_invocations_total";

    exposition_family(out, name, "counter", "Attempts to invoke a function, by how they ended.");
    for (size_t i = 0; i < METRICS_OUTCOME_COUNT; i++) {
        struct exposition_label label = {"outcome", view_of(names[i])};
        exposition_count(out, name, &label, 1,
                         sum(workers, offsetof(struct metrics, outcomes) + i * sizeof(uint64_t)));
    }
}

static void write_refusals(struct buffer *out, struct workers workers)
{
    const char *name = "proxyd_guard_refusals_total";

    exposition_family(out, name, "counter",
                      "Messages that were refused before they were a request, by reason.");
    for (size_t i = GUARD_NONE + 1; i < METRICS_GUARD_REASONS; i++) {
        struct exposition_label label = {"reason",
                                         view_of(guard_reason_name((enum guard_reason)i))};
        exposition_count(out, name, &label, 1,
                         sum(workers, offsetof(struct metrics, refusals) + i * sizeof(uint64_t)));
    }
}

static void write_histogram(struct buffer *out, struct workers workers, size_t offset,
                            const char *name, const char *help)
{
    uint64_t counts[METRICS_BOUNDS + 1];

    for (size_t i = 0; i <= METRICS_BOUNDS; i++)
        counts[i] = sum(workers,
                        offset + offsetof(struct metrics_histogram, counts) + i * sizeof(uint64_t));
    exposition_family(out, name, "histogram", help);
    exposition_histogram(out, name, NULL, 0, bounds, counts, METRICS_BOUNDS,
                         (double)sum(workers, offset + offsetof(struct metrics_histogram, sum_us)) /
                             1e6);
}

static void write_process(struct buffer *out, const struct metrics_process *process)
{
    struct exposition_label version = {"version", VIEW(RELEASE_VERSION)};

    exposition_family(out, "proxyd_log_lines_dropped_total", "counter",
                      "Log lines that were dropped because their reader was too slow.");
    exposition_count(out, "proxyd_log_lines_dropped_total", NULL, 0, process->log_lines_dropped);
    exposition_family(out, "proxyd_routes_generation", "gauge",
                      "The generation of the routes that are served; 0 without routes.");
    exposition_count(out, "proxyd_routes_generation", NULL, 0, process->generation);
    exposition_family(out, "proxyd_ready", "gauge", "1 while requests can be taken.");
    exposition_count(out, "proxyd_ready", NULL, 0, process->ready);
    exposition_family(out, "proxyd_held_bytes", "gauge",
                      "Bytes of bodies, events, replies and answers that are not taken yet.");
    exposition_count(out, "proxyd_held_bytes", NULL, 0, process->held_bytes);
    exposition_family(out, "proxyd_max_held_bytes", "gauge", "The most that these may be.");
    exposition_count(out, "proxyd_max_held_bytes", NULL, 0, process->max_held_bytes);
    exposition_family(out, "proxyd_workers", "gauge", "Worker threads.");
    exposition_count(out, "proxyd_workers", NULL, 0, process->workers);
    exposition_family(out, "proxyd_start_time_seconds", "gauge",
                      "When the process started, in seconds since 1970.");
    exposition_sample(out, "proxyd_start_time_seconds", NULL, 0, process->started_at_s);
    exposition_family(out, "proxyd_build_info", "gauge", "1, with the release as a label.");
    exposition_count(out, "proxyd_build_info", &version, 1, 1);
}

/* Of asking the provider of AWS credentials. */
static void write_credentials(struct buffer *out, const struct credentials_status *status)
{
    exposition_family(out, "proxyd_credentials_refreshes_total", "counter",
                      "Times that the provider of AWS credentials gave some.");
    exposition_count(out, "proxyd_credentials_refreshes_total", NULL, 0, status->refreshes);
    exposition_family(out, "proxyd_credentials_failures_total", "counter",
                      "Times that it was asked in vain.");
    exposition_count(out, "proxyd_credentials_failures_total", NULL, 0, status->failures);
    exposition_family(out, "proxyd_credentials_expire_time_seconds", "gauge",
                      "When the present ones expire, in seconds since 1970: +Inf for never, 0 "
                      "while there are none.");
    exposition_sample(out, "proxyd_credentials_expire_time_seconds", NULL, 0,
                      status->expires_at_ms == INT64_MAX ? (double)INFINITY
                                                         : (double)status->expires_at_ms / 1e3);
}

static void write_breakers(struct buffer *out, const struct breaker_counts *counts)
{
    const struct {
        const char *state;
        uint64_t now, entered;
    } rows[] = {{"open", counts->open, counts->opened},
                {"half-open", counts->half_open, counts->probes},
                {"closed", 0, counts->closed}};
    const char *name = "proxyd_breakers";

    exposition_family(out, name, "gauge",
                      "Versions whose circuit breaker is not closed, by state.");
    for (size_t i = 0; i < 2; i++) {
        struct exposition_label label = {"state", view_of(rows[i].state)};
        exposition_count(out, name, &label, 1, rows[i].now);
    }
    name = "proxyd_breaker_transitions_total";
    exposition_family(out, name, "counter",
                      "Circuit breakers that opened, let a probe through, or closed again.");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct exposition_label label = {"to", view_of(rows[i].state)};
        exposition_count(out, name, &label, 1, rows[i].entered);
    }
}

static void write_certificate(const struct tls_certificate *certificate, void *context)
{
    struct exposition_label labels[] = {{"name", view_of(certificate->name)},
                                        {"fingerprint", view_of(certificate->fingerprint)},
                                        {"file", view_of(certificate->path)}};

    exposition_sample(context, "proxyd_tls_certificate_not_after_seconds", labels, 3,
                      (double)certificate->not_after_s);
}

static void write_tls(struct buffer *out, struct tls *tls)
{
    static const struct {
        enum tls_result result;
        const char *name;
    } results[] = {{TLS_DONE, "done"},
                   {TLS_REFUSED, "refused"},
                   {TLS_LEFT, "left"},
                   {TLS_TIMED_OUT, "timed-out"}};
    const char *name = "proxyd_tls_handshakes_total";

    exposition_family(out, name, "counter", "TLS handshakes with clients, by how they ended.");
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        struct exposition_label label = {"result", view_of(results[i].name)};
        exposition_count(out, name, &label, 1, tls ? tls_count(tls, results[i].result) : 0);
    }
    name = "proxyd_tls_resumptions_total";
    exposition_family(out, name, "counter", "Those that were done and took up an earlier session.");
    exposition_count(out, name, NULL, 0, tls ? tls_count(tls, TLS_RESUMED) : 0);
    exposition_family(out, "proxyd_tls_certificate_not_after_seconds", "gauge",
                      "When each certificate in force ends, in seconds since 1970.");
    if (tls)
        tls_each_certificate(tls, write_certificate, out);
}

void metrics_write(struct buffer *out, const struct metrics *const *workers, size_t count,
                   const struct metrics_process *process)
{
    struct workers all = {workers, count};

    write_requests(out, all);
    write_faults(out, all);
    write_tokens(out, all);
    write_outcomes(out, all);
    write_refusals(out, all);
    write_histogram(out, all, offsetof(struct metrics, duration), "proxyd_request_duration_seconds",
                    "From the first byte of a request to its answer.");
    write_histogram(out, all, offsetof(struct metrics, upstream_duration),
                    "proxyd_invocation_duration_seconds",
                    "From sending an invocation to its whole answer.");
    write_histogram(out, all, offsetof(struct metrics, queue_duration),
                    "proxyd_queue_duration_seconds",
                    "For how long requests waited, of those that had to.");
    write_scalars(out, all);
    write_process(out, process);
    write_credentials(out, &process->credentials);
    write_breakers(out, &process->breakers);
    write_tls(out, process->tls);
}
