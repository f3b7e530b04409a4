/* Reads the options and the AWS variables into one config, and says what is wrong with them. */
#include "proxyd/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIELD(name)       offsetof(struct config, name)
#define HOUR_MS           INT64_C(3600000)
#define TAKEOVER_PATH_MAX 96 /* of the 108 bytes that a socket's path may have */
#define MEGABYTE          (INT64_C(1024) * 1024)

/* name, type, field, default, least, most, secret, variable, fallback variable, help */
static const struct option_row rows[] = {
    {"listen", OPTION_ADDRESS, FIELD(listen), "0.0.0.0:8080", 0, 0, false, NULL, NULL,
     "Address and port for clients; port 0 takes a free one."},
    {"admin-listen", OPTION_ADDRESS, FIELD(admin_listen), "127.0.0.1:9080", 0, 0, false, NULL, NULL,
     "Address and port of /healthz, /readyz, /metrics and /stats; keep it private."},
    {"tls-listen", OPTION_ADDRESS, FIELD(tls_listen), NULL, 0, 0, false, NULL, NULL,
     "Address and port for clients that speak TLS. Unset: no TLS."},
    {"tls-certificate-file", OPTION_STRING, FIELD(tls_certificate_file), NULL, 0, 0, false, NULL,
     NULL,
     "PEM file of the certificate, with its chain, for clients that name no host, or an unknown "
     "one; "
     "others are in secrets/tls/*.pem. All of them are watched."},
    {"tls-key-file", OPTION_STRING, FIELD(tls_key_file), NULL, 0, 0, false, NULL, NULL,
     "PEM file of that certificate's key. Unset: it is in the certificate's file."},
    {"https-redirect", OPTION_BOOL, FIELD(https_redirect), "false", 0, 0, false, NULL, NULL,
     "Whether requests without TLS are sent to https:// (308)."},
    {"https-port", OPTION_INTEGER, FIELD(https_port), "443", 1, 65535, false, NULL, NULL,
     "The port that clients are sent to by https-redirect."},
    {"hsts-max-age-s", OPTION_INTEGER, FIELD(hsts_max_age_s), "0", 0, 315360000, false, NULL, NULL,
     "Strict-Transport-Security's max-age in seconds, on answers over TLS whose app sets none; 0: "
     "not sent."},
    {"base-domain", OPTION_STRING, FIELD(base_domain), NULL, 0, 0, false, NULL, NULL,
     "Domains below which {app}.DOMAIN is an app, separated by commas; * takes the first label of "
     "any host. Unset: as published with the routes."},
    {"fallback-base-domain", OPTION_STRING, FIELD(fallback_base_domain), "localhost", 0, 0, false,
     "ORCHESTRATOR_BASE_DOMAIN", NULL,
     "The same, used only while no base domain was published with the routes."},
    {"path-routing", OPTION_STRING, FIELD(path_routing_text), NULL, 0, 0, false, NULL, NULL,
     "true: /{app}/... leads to an app as well; false: it does not. Unset: as published with the "
     "routes."},
    {"trusted-proxies", OPTION_STRING, FIELD(trusted_proxies_text), NULL, 0, 0, false, NULL, NULL,
     "Networks of proxies in front, separated by commas (10.0.0.0/8, fd00::/8): their "
     "X-Forwarded-For, -Proto and -Port say who the client is. Unset: nobody's."},
    {"workers", OPTION_INTEGER, FIELD(workers), "0", 0, 256, false, NULL, NULL,
     "Worker threads; 0: one for each core."},
    {"data-dir", OPTION_STRING, FIELD(data_dir), "/var/lib/app-orchestrator", 0, 0, false,
     "ORCHESTRATOR_DATA_DIR", NULL, "Folder that holds routes/ and secrets/."},
    {"log-level", OPTION_STRING, FIELD(log_level_text), "info", 0, 0, false, NULL, NULL,
     "debug, info, warn or error."},
    {"log-query", OPTION_BOOL, FIELD(log_query), "false", 0, 0, false, NULL, NULL,
     "Whether access lines hold the query of the request."},
    {"max-body", OPTION_BYTES, FIELD(max_body_bytes), "6M", 0, 64 * MEGABYTE, false, NULL, NULL,
     "Largest request body in bytes; beyond: 413."},
    {"max-head", OPTION_BYTES, FIELD(max_head_bytes), "32K", 1024, MEGABYTE, false, NULL, NULL,
     "Largest request line and headers together, in bytes; beyond: 431."},
    {"max-headers", OPTION_INTEGER, FIELD(max_headers), "100", 1, 10000, false, NULL, NULL,
     "Most headers of a request; beyond: 431."},
    {"max-connections", OPTION_INTEGER, FIELD(max_connections), "10000", 1, 1000000, false, NULL,
     NULL,
     "Most connections of clients, shared out evenly to the workers, and as many over TLS; beyond: "
     "the longest idle one is closed, or newcomers wait."},
    {"max-connections-per-address", OPTION_INTEGER, FIELD(max_connections_per_address), "1000", 0,
     1000000, false, NULL, NULL,
     "Most connections of one address, with and without TLS together; beyond: closed at once. 0: "
     "no "
     "limit."},
    {"max-in-flight", OPTION_INTEGER, FIELD(max_in_flight), "4096", 1, 1000000, false, NULL, NULL,
     "Most requests in flight in this process; beyond: 503."},
    {"max-memory", OPTION_BYTES, FIELD(max_memory_bytes), "0", 0, INT64_C(1) << 40, false, NULL,
     NULL,
     "Most bytes of bodies, events, replies and answers that are not taken yet; beyond, no request "
     "is "
     "taken in: 503. 0: half of what the machine or the container has."},
    {"app-max-in-flight", OPTION_INTEGER, FIELD(app_max_in_flight), "1000", 1, 1000000, false, NULL,
     NULL, "Most requests in flight of one app that sets no limit of its own; beyond: they wait."},
    {"queue-length", OPTION_INTEGER, FIELD(queue_length), "100", 0, 100000, false, NULL, NULL,
     "Most requests of one app that wait on one worker while the app is at a limit; beyond: 429. "
     "0: "
     "none wait."},
    {"queue-wait", OPTION_DURATION, FIELD(queue_wait_ms), "500ms", 0, 60000, false, NULL, NULL,
     "Longest time that a request waits for its app to be within its limits; beyond: 429. 0: none "
     "waits."},
    {"attempts", OPTION_INTEGER, FIELD(attempts), "3", 1, 10, false, NULL, NULL,
     "Most attempts to invoke for one request; only what certainly did not start is tried again."},
    {"breaker-failures", OPTION_INTEGER, FIELD(breaker_failures), "10", 0, 1000, false, NULL, NULL,
     "Failures to start a version, in a row, after which it is not called for a moment: 503. 0: "
     "never."},
    {"breaker-pause", OPTION_DURATION, FIELD(breaker_pause_ms), "500ms", 10, HOUR_MS, false, NULL,
     NULL, "Most time before one request is let through to see; doubles each time that it fails."},
    {"breaker-pause-most", OPTION_DURATION, FIELD(breaker_pause_most_ms), "30s", 10, HOUR_MS, false,
     NULL, NULL, "The ceiling of that."},
    {"head-timeout", OPTION_DURATION, FIELD(head_timeout_ms), "10s", 100, HOUR_MS, false, NULL,
     NULL, "Longest time for a request's head to come in whole; beyond: 408."},
    {"idle-timeout", OPTION_DURATION, FIELD(idle_timeout_ms), "75s", 100, HOUR_MS, false, NULL,
     NULL, "Longest silence of a kept-alive connection; beyond: closed."},
    {"body-timeout", OPTION_DURATION, FIELD(body_timeout_ms), "30s", 100, HOUR_MS, false, NULL,
     NULL, "Time for a request's body to come in; longer while it keeps 1000 bytes a second."},
    {"write-timeout", OPTION_DURATION, FIELD(write_timeout_ms), "30s", 100, HOUR_MS, false, NULL,
     NULL, "Longest time in which a client takes no byte of its answer; beyond: cut."},
    {"stream-idle-timeout", OPTION_DURATION, FIELD(stream_idle_timeout_ms), "60s", 100, HOUR_MS,
     false, NULL, NULL,
     "Longest silence of a function in the middle of a streamed response; beyond: cut."},
    {"connect-timeout", OPTION_DURATION, FIELD(connect_timeout_ms), "3s", 10, HOUR_MS, false, NULL,
     NULL, "Longest time to connect to Lambda."},
    {"upstream-idle", OPTION_DURATION, FIELD(upstream_idle_ms), "60s", 1000, HOUR_MS, false, NULL,
     NULL, "A connection to Lambda that was idle for longer is not used again."},
    {"upstream-connections", OPTION_INTEGER, FIELD(upstream_connections), "1024", 1, 100000, false,
     NULL, NULL, "Connections to Lambda that each worker keeps open."},
    {"upstream-http2", OPTION_BOOL, FIELD(upstream_http2), "false", 0, 0, false, NULL, NULL,
     "Speaks HTTP/2 to Lambda where the endpoint offers it over TLS. A pool of HTTP/1.1 "
     "connections "
     "costs less CPU, and only with it a connection that the other side closed is known not to "
     "have "
     "started the function."},
    {"drain-delay", OPTION_DURATION, FIELD(drain_delay_ms), "0", 0, HOUR_MS, false, NULL, NULL,
     "After SIGTERM: how long /readyz fails, and answers close their connections, before no more "
     "connections are taken."},
    {"drain-timeout", OPTION_DURATION, FIELD(drain_timeout_ms), "30s", 0, HOUR_MS, false, NULL,
     NULL,
     "After that: longest time for the requests in flight, streams too, to end; beyond: cut."},
    {"drain-idle", OPTION_DURATION, FIELD(drain_idle_ms), "1s", 0, HOUR_MS, false, NULL, NULL,
     "While draining: how long a kept-alive connection may still bring a request, whose answer "
     "closes it, before it is closed without."},
    {"takeover-socket", OPTION_STRING, FIELD(takeover_socket), NULL, 0, 0, false, NULL, NULL,
     "Path of a Unix socket by which a new process takes the listening sockets over from the one "
     "that runs. Unset: none does."},
    {"takeover-timeout", OPTION_DURATION, FIELD(takeover_timeout_ms), "30s", 100, HOUR_MS, false,
     NULL, NULL, "Longest time for that; beyond: the process that runs serves on."},
};

const struct option_table config_options = {
    .program = "proxyd",
    .prefix = "PROXYD",
    .summary = "Serves the apps: takes HTTP requests, invokes their functions, answers.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

static const char *variable(const char *name)
{
    return getenv(name);
}

/* "a.example, B.example" -> a list in lower case. */
static size_t read_domains(struct config *config, const char *text, struct view **domains)
{
    struct view rest = view_of(text), part;
    size_t count = 0, most = 1;

    for (const char *c = text; *c; c++)
        most += *c == ',';
    *domains = arena_alloc(&config->arena, most * sizeof **domains);
    REQUIRE(*domains != NULL);
    while (view_split(&rest, ',', &part)) {
        part = view_trim(part);
        if (part.length == 0)
            continue;
        char *lower = arena_string(&config->arena, part);
        REQUIRE(lower != NULL);
        for (char *c = lower; *c; c++) {
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c - 'A' + 'a');
        }
        (*domains)[count++] = view_from(lower, part.length);
    }
    return count;
}

static bool read_path_routing(struct config *config, struct buffer *problem)
{
    const char *text = config->path_routing_text;

    config->path_routing = PATH_ROUTING_PUBLISHED;
    if (!text)
        return true;
    if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0) {
        config->path_routing = PATH_ROUTING_ON;
        return true;
    }
    if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0) {
        config->path_routing = PATH_ROUTING_OFF;
        return true;
    }
    buffer_append_string(problem, "path-routing must be true or false");
    return false;
}

static bool read_trusted(struct config *config, struct buffer *problem)
{
    struct view rest = view_of(config->trusted_proxies_text), part;
    size_t most = 1;

    for (size_t i = 0; i < rest.length; i++)
        most += rest.data[i] == ',';
    config->trusted_proxies = arena_alloc(&config->arena, most * sizeof *config->trusted_proxies);
    REQUIRE(config->trusted_proxies != NULL);
    while (view_split(&rest, ',', &part)) {
        part = view_trim(part);
        if (part.length == 0)
            continue;
        if (forwarded_network_parse(part, &config->trusted_proxies[config->trusted_proxy_count]) !=
            ERROR_NONE) {
            buffer_append_format(problem,
                                 "trusted-proxies: \"%.*s\" is no network such as 10.0.0.0/8 or "
                                 "fd00::/8, nor an address",
                                 VIEW_FORMAT(view_slice(part, 0, 100)));
            return false;
        }
        config->trusted_proxy_count++;
    }
    return true;
}

static bool check_tls(struct config *config, struct buffer *problem)
{
    const char *wrong = NULL;

    if (config->tls_key_file && !config->tls_certificate_file)
        wrong = "tls-key-file needs tls-certificate-file";
    else if (config->tls_certificate_file && !config->tls_listen)
        wrong = "tls-certificate-file needs tls-listen";
    else if (config->https_redirect && !config->tls_listen && !config->trusted_proxy_count)
        wrong = "https-redirect needs tls-listen, or trusted-proxies that speak TLS";
    if (wrong)
        buffer_append_string(problem, wrong);
    if (config->tls_certificate_file && !config->tls_key_file)
        config->tls_key_file = view_duplicate(view_of(config->tls_certificate_file));
    return !wrong;
}

static bool check_takeover(const struct config *config, struct buffer *problem)
{
    const char *path = config->takeover_socket;

    if (!path || (path[0] == '/' && strlen(path) <= TAKEOVER_PATH_MAX))
        return true;
    buffer_append_format(problem, "takeover-socket must be an absolute path of at most %d bytes",
                         TAKEOVER_PATH_MAX);
    return false;
}

static bool work_out(struct config *config, struct buffer *problem)
{
    if (!log_level_parse(view_of(config->log_level_text), &config->log_level)) {
        buffer_append_string(problem, "log-level must be debug, info, warn or error");
        return false;
    }
    if (!read_path_routing(config, problem) || !read_trusted(config, problem) ||
        !check_tls(config, problem) || !check_takeover(config, problem))
        return false;
    if (config->base_domain)
        config->base_domain_count =
            read_domains(config, config->base_domain, &config->base_domains);
    config->fallback_base_domain_count =
        read_domains(config, config->fallback_base_domain, &config->fallback_base_domains);
    if (config->workers == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        config->workers = cores < 1 ? 1 : cores > 256 ? 256 : cores;
    }
    if (config->max_memory_bytes == 0)
        config->max_memory_bytes = (int64_t)(budget_machine_bytes() / 2);
    config->routes_dir = arena_format(&config->arena, "%s/routes", config->data_dir);
    config->certificates_dir = arena_format(&config->arena, "%s/secrets/tls", config->data_dir);
    return endpoint_resolve("lambda", variable, &config->arena, &config->endpoint, problem) ==
           ERROR_NONE;
}

enum option_action config_read(struct config *config, int argc, char **argv, struct buffer *problem)
{
    enum option_action action;

    memset(config, 0, sizeof *config);
    arena_init(&config->arena, MEGABYTE);
    action = option_read(&config_options, argc, argv, config, problem);
    if ((action == OPTION_RUN || action == OPTION_CHECK) && !work_out(config, problem))
        action = OPTION_WRONG;
    return action;
}

void config_release(struct config *config)
{
    option_release(&config_options, config);
    arena_release(&config->arena);
}
