/* Counts calls, and writes every figure in Prometheus' text format. */
#include "managerd/metrics.h"

#include "common/aws/credentials_source.h"
#include "common/base/exposition.h"
#include "common/base/log.h"
#include "common/net/incoming.h"
#include "managerd/api_certificate.h"
#include "managerd/audit.h"
#include "managerd/certificates.h"
#include "managerd/cloudwatch.h"
#include "managerd/endpoint.h"
#include "managerd/issuers.h"
#include "managerd/publish.h"
#include "managerd/quota.h"
#include "managerd/server.h"
#include "managerd/upload.h"

#include <math.h>

static const double bounds[METRICS_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                               0.1,   0.25,   0.5,   1,    5,     30};

static const double own_bounds[METRICS_OWN_BUCKETS] = {
    0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1};

static void count_own(uint64_t counts[METRICS_OWN_BUCKETS + 1], double *sum, uint64_t us)
{
    double seconds = (double)us / 1e6;
    unsigned bucket = 0;
    while (bucket < METRICS_OWN_BUCKETS && seconds > own_bounds[bucket])
        bucket++;
    counts[bucket]++;
    *sum += seconds;
}

void metrics_count_call(struct metrics *metrics, size_t endpoint, int status, uint64_t took_us,
                        uint64_t own_us)
{
    unsigned class = status >= 100 && status < 600 ? (unsigned)status / 100 - 1 : 4;
    double seconds = (double)took_us / 1e6;
    unsigned bucket = 0;
    if (endpoint < METRICS_MAX_ENDPOINTS)
        metrics->calls[endpoint][class]++;
    else
        metrics->unmatched[class]++;
    while (bucket < METRICS_BUCKETS && seconds > bounds[bucket])
        bucket++;
    metrics->seconds[bucket]++;
    metrics->seconds_sum += seconds;
    count_own(metrics->own, &metrics->own_sum, own_us);
}

void metrics_count_turn(struct metrics *metrics, uint64_t turn_us)
{
    count_own(metrics->turns, &metrics->turns_sum, turn_us);
}

static void gauge(struct buffer *out, const char *name, const char *type, const char *help,
                  uint64_t value)
{
    exposition_family(out, name, type, help);
    exposition_count(out, name, NULL, 0, value);
}

static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};

static void write_calls(const struct metrics *metrics, struct buffer *out)
{
    exposition_family(out, "managerd_calls_total", "counter", "Calls of the API that ended.");
    for (size_t i = 0; i < endpoint_count && i < METRICS_MAX_ENDPOINTS; i++)
        for (int class = 0; class < 5; class ++) {
            struct exposition_label labels[] = {{"endpoint", view_of(endpoints[i].id)},
                                                {"status", view_of(classes[class])}};
            if (metrics->calls[i][class])
                exposition_count(out, "managerd_calls_total", labels, 2, metrics->calls[i][class]);
        }
    for (int class = 0; class < 5; class ++) {
        struct exposition_label labels[] = {{"endpoint", VIEW("none")},
                                            {"status", view_of(classes[class])}};
        exposition_count(out, "managerd_calls_total", labels, 2, metrics->unmatched[class]);
    }
    exposition_family(out, "managerd_call_duration_seconds", "histogram",
                      "Time from the first byte of a call to its answer.");
    exposition_histogram(out, "managerd_call_duration_seconds", NULL, 0, bounds, metrics->seconds,
                         METRICS_BUCKETS, metrics->seconds_sum);
    exposition_family(out, "managerd_call_own_seconds", "histogram",
                      "What of it managerd itself was busy with: neither AWS nor the disk.");
    exposition_histogram(out, "managerd_call_own_seconds", NULL, 0, own_bounds, metrics->own,
                         METRICS_OWN_BUCKETS, metrics->own_sum);
    exposition_family(out, "managerd_loop_turn_seconds", "histogram",
                      "Processor time between two looks at the sockets: how long others wait.");
    exposition_histogram(out, "managerd_loop_turn_seconds", NULL, 0, own_bounds, metrics->turns,
                         METRICS_OWN_BUCKETS, metrics->turns_sum);
}

static void write_state(struct state *state, struct buffer *out)
{
    struct store_times sum;
    gauge(out, "managerd_state_commits_total", "counter", "Commits to state.",
          state_commits(state));
    gauge(out, "managerd_state_transactions_total", "counter",
          "Transactions that held them: what comes at once is written together.",
          state_transactions(state, &sum));
    exposition_family(out, "managerd_state_sync_seconds_total", "counter",
                      "For how long these waited for the disk.");
    exposition_sample(out, "managerd_state_sync_seconds_total", NULL, 0, (double)sum.sync_us / 1e6);
    gauge(out, "managerd_state_used_bytes", "gauge", "Bytes of state in use.",
          state_used_bytes(state));
}

static void write_aws(const struct server *server, struct buffer *out)
{
    exposition_family(out, "managerd_aws_attempts_total", "counter", "Attempts to call AWS.");
    for (int i = 0; i < LAMBDA_OPERATION_COUNT; i++) {
        struct exposition_label label = {"operation",
                                         view_of(lambda_operation_name((enum lambda_operation)i))};
        exposition_count(out, "managerd_aws_attempts_total", &label, 1,
                         lambda_control_attempts(server->control, (enum lambda_operation)i));
    }
    exposition_family(out, "managerd_aws_failures_total", "counter",
                      "Attempts that brought no good answer.");
    for (int i = 0; i < LAMBDA_OPERATION_COUNT; i++) {
        struct exposition_label label = {"operation",
                                         view_of(lambda_operation_name((enum lambda_operation)i))};
        exposition_count(out, "managerd_aws_failures_total", &label, 1,
                         lambda_control_failures(server->control, (enum lambda_operation)i));
    }
}

static void write_quotas(const struct server *server, struct buffer *out)
{
    static const struct exposition_label names[] = {
        [LAMBDA_QUOTA_CONTROL] = {"quota", {"control", 7}},
        [LAMBDA_QUOTA_GET] = {"quota", {"get-function", 12}}};
    static const struct {
        const char *name, *type, *help;
    } families[] = {
        {"managerd_aws_turns_total", "counter", "Calls that a quota of AWS let pass."},
        {"managerd_aws_throttles_total", "counter", "Answers of AWS that it was too much."},
        {"managerd_aws_waits_total", "counter", "Calls that waited for their turn."},
        {"managerd_aws_wait_seconds_total", "counter", "For how long these waited, in sum."},
        {"managerd_aws_waiting", "gauge", "Calls that wait for their turn."},
        {"managerd_aws_rate", "gauge", "Calls per second that pass now; less after a throttle."}};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        exposition_family(out, families[i].name, families[i].type, families[i].help);
        for (int quota = 0; quota < LAMBDA_QUOTA_COUNT; quota++) {
            struct quota_figures f;
            lambda_control_quota(server->control, (enum lambda_quota)quota, &f);
            const double values[] = {(double)f.turns,         (double)f.throttles, (double)f.waits,
                                     (double)f.wait_us / 1e6, (double)f.waiting,   f.rate};
            exposition_sample(out, families[i].name, &names[quota], 1, values[i]);
        }
    }
    exposition_family(
        out, "managerd_aws_retry_tokens", "gauge",
        "What is left for retries, of 500; a retry costs 14 or 5, success gives back.");
    exposition_count(out, "managerd_aws_retry_tokens", NULL, 0,
                     (uint64_t)lambda_control_retry_tokens(server->control));
}

/* Of asking the provider of AWS credentials. */
static void write_credentials(struct buffer *out, const struct credentials_status *status)
{
    exposition_family(out, "managerd_credentials_refreshes_total", "counter",
                      "Times that the provider of AWS credentials gave some.");
    exposition_count(out, "managerd_credentials_refreshes_total", NULL, 0, status->refreshes);
    exposition_family(out, "managerd_credentials_failures_total", "counter",
                      "Times that it was asked in vain.");
    exposition_count(out, "managerd_credentials_failures_total", NULL, 0, status->failures);
    exposition_family(out, "managerd_credentials_expire_time_seconds", "gauge",
                      "When the present ones expire, in seconds since 1970: +Inf for never, 0 "
                      "while there are none.");
    exposition_sample(out, "managerd_credentials_expire_time_seconds", NULL, 0,
                      status->expires_at_ms == INT64_MAX ? (double)INFINITY
                                                         : (double)status->expires_at_ms / 1e3);
}

static void write_logs(const struct server *server, struct buffer *out)
{
    uint64_t attempts, failures;
    cloudwatch_count(server->cloudwatch, &attempts, &failures);
    exposition_family(out, "managerd_log_readers", "gauge", "Calls that read logs now.");
    exposition_count(out, "managerd_log_readers", NULL, 0, server->log_readers);
    exposition_family(out, "managerd_log_pages_total", "counter",
                      "Attempts to read a page of CloudWatch Logs.");
    exposition_count(out, "managerd_log_pages_total", NULL, 0, attempts);
    exposition_family(out, "managerd_log_page_failures_total", "counter",
                      "Those that brought no good answer.");
    exposition_count(out, "managerd_log_page_failures_total", NULL, 0, failures);
}

static void write_operations(const struct server *server, struct buffer *out)
{
    static const struct exposition_label results[] = {{"result", {"succeeded", 9}},
                                                      {"result", {"failed", 6}}};
    exposition_family(out, "managerd_operations_ended_total", "counter", "Operations that ended.");
    exposition_count(out, "managerd_operations_ended_total", &results[0], 1,
                     operations_ended(server->operations, true));
    exposition_count(out, "managerd_operations_ended_total", &results[1], 1,
                     operations_ended(server->operations, false));
}

static void write_certificate(struct view host, struct view fingerprint, int64_t not_after_s,
                              void *context)
{
    struct exposition_label labels[] = {{"host", host}, {"fingerprint", fingerprint}};
    exposition_sample(context, "managerd_certificate_not_after_seconds", labels, 2,
                      (double)not_after_s);
}

static void write_certificates(const struct server *server, struct buffer *out)
{
    struct buffer hosts;
    buffer_init(&hosts, 2048);
    exposition_family(out, "managerd_certificate_not_after_seconds", "gauge",
                      "When the certificate of each domain ends, in seconds since 1970.");
    certificates_each(server->certificates, write_certificate, out);
    exposition_family(out, "managerd_certificates_lost", "gauge",
                      "Domains whose certificate must be given again.");
    exposition_count(out, "managerd_certificates_lost", NULL, 0,
                     certificates_lost(server->certificates, &hosts));
    buffer_release(&hosts);
}

static void write_issuers(const struct server *server, struct buffer *out)
{
    static const struct exposition_label results[] = {{"result", {"succeeded", 9}},
                                                      {"result", {"failed", 6}}};
    struct issuers_figures figures;
    issuers_count(server->issuers, &figures);
    exposition_family(out, "managerd_issuer_looks_total", "counter",
                      "Looks at the keys of token issuers.");
    exposition_count(out, "managerd_issuer_looks_total", &results[0], 1, figures.succeeded);
    exposition_count(out, "managerd_issuer_looks_total", &results[1], 1, figures.failed);
    gauge(out, "managerd_issuers", "gauge", "Sources of keys that apps name.", figures.sources);
    gauge(out, "managerd_issuers_failing", "gauge", "Those whose last look failed.",
          figures.failing);
    gauge(out, "managerd_issuers_without_keys", "gauge",
          "Those of whom no keys are in force: no token is taken.", figures.missing);
    gauge(out, "managerd_issuer_keys_age_seconds", "gauge",
          "How long ago the oldest keys in force were confirmed.", (uint64_t)figures.oldest_s);
}

static void write_audit(const struct server *server, struct buffer *out)
{
    struct audit_figures figures;
    audit_count(server->audit, &figures);
    gauge(out, "managerd_authentication_failures_total", "counter",
          "Calls with no token, or one that nobody knows.", figures.strangers);
    gauge(out, "managerd_authentication_limited_total", "counter",
          "Those of them that were refused because too many came from their address.",
          server->metrics.attempts_limited);
    gauge(out, "managerd_audit_lost_total", "counter",
          "Records of refused calls that were too many to be kept.", figures.lost);
}

static void write_end(const struct tls_certificate *certificate, void *context)
{
    struct exposition_label label = {"fingerprint", view_of(certificate->fingerprint)};
    exposition_sample(context, "managerd_api_certificate_not_after_seconds", &label, 1,
                      (double)certificate->not_after_s);
}

static void write_tls(const struct server *server, struct buffer *out)
{
    static const struct {
        enum tls_result result;
        struct exposition_label label;
    } results[] = {{TLS_DONE, {"result", {"done", 4}}},
                   {TLS_REFUSED, {"result", {"refused", 7}}},
                   {TLS_LEFT, {"result", {"left", 4}}},
                   {TLS_TIMED_OUT, {"result", {"timed-out", 9}}}};
    struct tls *tls = api_certificate_tls(server->api_certificate);
    exposition_family(out, "managerd_tls_handshakes_total", "counter",
                      "TLS handshakes of the API's clients that ended.");
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        exposition_count(out, "managerd_tls_handshakes_total", &results[i].label, 1,
                         tls ? tls_count(tls, results[i].result) : 0);
    exposition_family(out, "managerd_api_certificate_not_after_seconds", "gauge",
                      "When the API's own certificate ends, in seconds since 1970.");
    if (tls)
        tls_each_certificate(tls, write_end, out);
}

static void write_uploads(const struct server *server, struct buffer *out)
{
    struct uploads_figures figures;
    uploads_count(server->uploads, &figures);
    gauge(out, "managerd_uploads_running", "gauge", "Packages on their way, or being checked.",
          figures.running);
    gauge(out, "managerd_upload_bytes", "gauge", "Bytes of disk that these may take.",
          figures.bytes);
    gauge(out, "managerd_uploads_total", "counter", "Large bodies that were let in.",
          figures.begun);
    gauge(out, "managerd_uploads_refused_total", "counter",
          "Those that were not, for too many others or too little disk.", figures.refused);
    gauge(out, "managerd_uploads_failed_total", "counter", "Those that could not be written.",
          figures.failed);
}

void metrics_write(const struct server *server, struct buffer *out)
{
    struct exposition_label release = {"release", view_of(RELEASE_VERSION)};
    struct credentials_status credentials;
    exposition_family(out, "managerd_info", "gauge", "What runs.");
    exposition_count(out, "managerd_info", &release, 1, 1);
    write_calls(&server->metrics, out);
    write_operations(server, out);
    write_aws(server, out);
    write_quotas(server, out);
    write_logs(server, out);
    gauge(out, "managerd_invocations_running", "gauge", "Invocations by /invoke that run.",
          server->invocations);
    lambda_control_credentials_status(server->control, &credentials);
    write_credentials(out, &credentials);
    gauge(out, "managerd_operations_running", "gauge", "Operations that run.",
          operations_running(server->operations));
    gauge(out, "managerd_operations_queued", "gauge", "Operations that wait for their turn.",
          operations_queued(server->operations));
    write_issuers(server, out);
    gauge(out, "managerd_refused_total", "counter", "Messages that were no lawful HTTP.",
          server->metrics.refused);
    gauge(out, "managerd_connections", "gauge", "Connections open.",
          incoming_connections(server->incoming));
    write_audit(server, out);
    write_uploads(server, out);
    write_state(server->state, out);
    gauge(out, "managerd_publish_transactions_total", "counter", "Transactions of the route store.",
          publish_transactions(server->publisher));
    gauge(out, "managerd_routes_published", "gauge", "1 while routes agree with state.",
          publish_healthy(server->publisher));
    write_certificates(server, out);
    write_tls(server, out);
    gauge(out, "managerd_log_lines_dropped_total", "counter", "Log lines lost to a slow reader.",
          log_dropped());
}
