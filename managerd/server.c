/* Starts and stops everything that managerd consists of, in order. */
#include "managerd/server.h"

#include "common/aws/credentials_source.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/net/incoming.h"
#include "managerd/account.h"
#include "managerd/api_certificate.h"
#include "managerd/attempts.h"
#include "managerd/audit.h"
#include "managerd/call.h"
#include "managerd/certificates.h"
#include "managerd/cloudwatch.h"
#include "managerd/intake.h"
#include "managerd/issuers.h"
#include "managerd/jobs.h"
#include "managerd/logbook.h"
#include "managerd/observer.h"
#include "managerd/openapi.h"
#include "managerd/package_sweep.h"
#include "managerd/packages.h"
#include "managerd/proxies.h"
#include "managerd/prune.h"
#include "managerd/publish.h"
#include "managerd/reseal.h"
#include "managerd/retention.h"
#include "managerd/roster.h"
#include "managerd/routes_folder.h"
#include "managerd/secrets.h"
#include "managerd/state_lmdb.h"
#include "managerd/tokens.h"
#include "managerd/upload.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DRAIN_LOOK_MS       20
#define DRAIN_LIMIT_LOOKS   (10000 / DRAIN_LOOK_MS)
#define LOOK_S              2
#define CREDENTIALS_WAIT_MS 5000
#define MAX_PROBES          100
#define LOCAL_ROLE          "arn:aws:iam::000000000000:role/apps"

/* The folders below the data folder. */

static char *path_below(const struct server *server, const char *name)
{
    struct buffer path;
    buffer_init(&path, 4096);
    buffer_append_string(&path, server->config->data_dir);
    buffer_append_byte(&path, '/');
    buffer_append_string(&path, name);
    return buffer_take(&path, NULL);
}

static enum error make_folder(const char *path, mode_t mode, struct buffer *problem)
{
    /* The set-group-ID bit is one that service managers may forbid to give; below others it is inherited. */
    enum error error = folder_make(path, mode & 0777);
    /* The umask does not decide who may read secrets. */
    if (!error && chmod(path, mode) != 0 && errno != EPERM)
        error = error_from_errno(errno);
    if (error)
        buffer_append_format(problem,
                             "the folder %s cannot be made (%s): create it, owned by this user, or "
                             "set ORCHESTRATOR_DATA_DIR.",
                             path, error_text(error));
    return error;
}

static enum error make_folders(const struct server *server, struct buffer *problem)
{
    static const struct {
        const char *name;
        mode_t mode;
    } folders[] = {{"packages", 0700},           {"keys", 0700},  {"secrets", 02750},
                   {CERTIFICATES_FOLDER, 02750}, {"state", 0700}, {"routes", 02750}};
    enum error error = folder_make(server->config->data_dir, 0755);
    if (error) {
        buffer_append_format(problem,
                             "the data folder %s cannot be made (%s): create it, owned by this "
                             "user, or set ORCHESTRATOR_DATA_DIR.",
                             server->config->data_dir, error_text(error));
        return error;
    }
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && !error; i++) {
        char *path = path_below(server, folders[i].name);
        error = make_folder(path, folders[i].mode, problem);
        free(path);
    }
    return error;
}

/* Records that are made at the first start. */

static void on_first_commit(enum error error, uint64_t revision, void *context)
{
    (void)revision;
    *(enum error *)context = error;
}

/* Puts one record and waits for it: there is no loop yet. */
static enum error put_now(struct server *server, const char *key, const struct json *value)
{
    struct change change;
    enum error error = ERROR_IO;
    change_init(&change);
    change_put(&change, key, value);
    state_commit(server->state, &change, on_first_commit, &error);
    change_release(&change);
    jobs_drain(server->store_thread);
    return error;
}

static enum error read_installation(struct server *server, struct buffer *problem)
{
    struct record record;
    enum error error = record_read(server->state, "system", &record);
    if (error == ERROR_NOT_FOUND) {
        struct json *system = json_new_object();
        id_make(server->installation);
        json_set_string(system, "installation", view_of(server->installation));
        set_time(system, "createdAt", clock_wall_ms());
        error = put_now(server, "system", system);
        json_free(system);
    } else if (!error) {
        snprintf(server->installation, sizeof server->installation, "%.*s",
                 VIEW_FORMAT(text_of(record.json, "installation")));
        record_release(&record);
    }
    if (error)
        buffer_append_format(problem, "the installation's record cannot be read or written: %s.",
                             error_text(error));
    return error;
}

/* The API's socket. */

static void on_request(struct incoming_request *request, void *context)
{
    call_begin(context, request);
}

/* A large body from somebody whom nobody knows. */
static void note_stranger(struct server *server, struct view address)
{
    audit_stranger(server->audit, address);
    attempts_failed(server->attempts, address, clock_monotonic_us() / 1000);
}

static void on_refused(const struct incoming_refusal *refusal, void *context)
{
    struct server *server = context;
    static struct log_limit limit;
    unsigned held = 0;
    server->metrics.refused++;
    if (refusal->reason == GUARD_UNAUTHORIZED)
        note_stranger(server, refusal->peer_address);
    if (log_allow(&limit, 10, &held))
        log_write(LOG_INFO, "refused", LOG_STRING("reason", guard_reason_name(refusal->reason)),
                  LOG_INTEGER("status", refusal->status), LOG_VIEW("peer", refusal->peer_address),
                  LOG_STRING("requestId", refusal->request_id), LOG_INTEGER("held", held));
}

/* Whoever probes shows no certificate and speaks no TLS: he learns how we are, and nothing else. */
static void on_probe(struct incoming_request *request, void *context)
{
    static const struct incoming_header plain[] = {
        {{"Content-Type", 12}, {"text/plain; charset=utf-8", 25}}};
    struct view path = incoming_target(request);
    if (view_equal(path, VIEW("/healthz")) || view_equal(path, VIEW("/readyz")))
        call_begin(context, request);
    else
        incoming_reply(request, 404, plain, 1, VIEW("Only /healthz and /readyz are here.\n"), NULL,
                       NULL);
}

static enum error listen_for_probes(struct server *server, const struct incoming_limits *limits,
                                    struct buffer *problem)
{
    struct incoming_handlers handlers = {.on_request = on_probe, .on_refused = on_refused};
    struct incoming_limits small = *limits;
    if (!server->config->health_listen)
        return ERROR_NONE;
    small.guard.max_body_bytes = 0;
    small.max_connections = MAX_PROBES;
    server->health = incoming_new(server->base, &small, &handlers, server);
    return incoming_listen(server->health, server->config->health_listen, false, problem);
}

static enum error listen_for_calls(struct server *server, struct buffer *problem)
{
    struct incoming_limits limits = incoming_default_limits;
    struct incoming_handlers handlers = {.on_request = on_request,
                                         .on_refused = on_refused,
                                         .body_limit = intake_limit,
                                         .spool = intake_spool,
                                         .refusal_body = intake_refusal};
    limits.guard.max_body_bytes = intake_max_bytes(server);
    limits.max_connections = 2000;
    server->incoming = incoming_new(server->base, &limits, &handlers, server);
    if (server->api_certificate)
        incoming_use_tls(server->incoming, api_certificate_tls(server->api_certificate));
    enum error error = incoming_listen(server->incoming, server->config->listen, false, problem);
    return error ? error : listen_for_probes(server, &limits, problem);
}

/* Signals and what comes back regularly. */

static void on_drain_look(evutil_socket_t fd, short what, void *context)
{
    struct server *server = context;
    static unsigned looks;
    struct timeval soon = {0, DRAIN_LOOK_MS * 1000};
    (void)fd, (void)what;
    if ((!server->calls && incoming_connections(server->incoming) == 0) ||
        ++looks > DRAIN_LIMIT_LOOKS)
        event_base_loopbreak(server->base);
    else
        evtimer_add(server->drain, &soon);
}

static void on_stop_signal(evutil_socket_t signal_number, short what, void *context)
{
    struct server *server = context;
    (void)what;
    if (server->draining)
        _Exit(1); /* asked twice */
    log_write(LOG_INFO, "draining", LOG_INTEGER("signal", signal_number));
    server->draining = true;
    tokens_save_uses(server);
    operations_stop(server->operations);
    incoming_drain(server->incoming);
    if (server->health)
        incoming_drain(server->health);
    for (struct call *call = server->calls; call; call = call->next)
        if (call->watch && call->timer)
            event_active(call->timer, 0, 0);
    event_active(server->drain, 0, 0);
}

static void on_hangup(evutil_socket_t signal_number, short what, void *context)
{
    struct server *server = context;
    struct buffer problem;
    (void)signal_number, (void)what;
    buffer_init(&problem, 4096);
    if (config_reread_secrets(server->config, &problem))
        log_write(LOG_ERROR, "secrets-not-read", LOG_VIEW("problem", buffer_view(&problem)));
    else
        tokens_use_configured(server);
    buffer_clear(&problem);
    api_certificate_reload(server->api_certificate);
    if (lambda_control_reload(server->control, &problem))
        log_write(LOG_ERROR, "credentials-not-read", LOG_VIEW("problem", buffer_view(&problem)));
    buffer_release(&problem);
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
    struct server *server = context;
    struct timeval later = {LOOK_S, 0};
    (void)fd, (void)what;
    retention_look(server->state, clock_wall_ms(), &server->swept_ms);
    audit_make_room(server->audit);
    evtimer_add(server->sweep, &later);
}

static void on_uses(evutil_socket_t fd, short what, void *context)
{
    struct server *server = context;
    (void)fd, (void)what;
    tokens_save_uses(server);
}

static void watch_signals(struct server *server)
{
    struct timeval later = {LOOK_S, 0}, minute = {TOKENS_SAVE_S, 0};
    server->swept_ms = clock_wall_ms();
    server->signals[0] = evsignal_new(server->base, SIGTERM, on_stop_signal, server);
    server->signals[1] = evsignal_new(server->base, SIGINT, on_stop_signal, server);
    server->signals[2] = evsignal_new(server->base, SIGHUP, on_hangup, server);
    for (size_t i = 0; i < 3; i++)
        REQUIRE(server->signals[i] && event_add(server->signals[i], NULL) == 0);
    server->drain = evtimer_new(server->base, on_drain_look, server);
    server->sweep = evtimer_new(server->base, on_sweep, server);
    server->uses = event_new(server->base, -1, EV_PERSIST, on_uses, server);
    REQUIRE(server->uses && event_add(server->uses, &minute) == 0);
    REQUIRE(server->drain && server->sweep && evtimer_add(server->sweep, &later) == 0);
}

/* Starting. */

static const char *variable(const char *name)
{
    return getenv(name);
}

static struct issuers *start_issuers(struct server *server)
{
    const struct config *config = server->config;
    struct issuers_options options = {.base = server->base,
                                      .state = server->state,
                                      .interval_ms = config->jwks_interval_ms,
                                      .max_age_ms = config->jwks_max_age_ms,
                                      .ca_file = config->jwks_ca_file,
                                      .allow_loopback = config->jwks_allow_loopback,
                                      .allow_link_local = config->jwks_allow_link_local};
    server->issuers = issuers_new(&options);
    return server->issuers;
}

static void start_uploads(struct server *server, const char *folder)
{
    const struct config *config = server->config;
    struct uploads_options options = {.folder = folder,
                                      .max_count = (unsigned)config->max_uploads,
                                      .max_bytes = (uint64_t)config->max_upload_bytes,
                                      .free_bytes = (uint64_t)config->upload_free_bytes};
    server->uploads = uploads_new(server->base, &options);
}

static enum error open_stores(struct server *server, struct buffer *problem)
{
    const struct config *config = server->config;
    char *state = path_below(server, "state"), *routes = path_below(server, "routes");
    char *packages = path_below(server, "packages");
    char *certificates = path_below(server, CERTIFICATES_FOLDER);
    char *key = path_below(server, "keys/environment.key");
    enum error error = state_lmdb_open(state, (size_t)config->map_bytes, server->store_thread,
                                       &server->state, problem);
    if (!error)
        error = secrets_open(config->secret_key_file, key, &server->secrets, problem);
    if (!error && (error = reseal_all(server->state, server->secrets, server->store_thread)))
        buffer_append_format(problem, "what is sealed in state cannot be sealed anew: %s.",
                             error_text(error));
    if (!error)
        error = read_installation(server, problem);
    if (!error) {
        struct publish_options options = {.base = server->base,
                                          .state = server->state,
                                          .store_thread = server->store_thread,
                                          .issuers = start_issuers(server),
                                          .folder = routes,
                                          .map_bytes = (size_t)config->map_bytes,
                                          .base_domains = config->base_domains,
                                          .base_domain_count = config->base_domain_count,
                                          .public_url = config->public_url,
                                          .path_routing = config->path_routing,
                                          .installation = server->installation};
        server->packages =
            packages_new(packages, server->pool, (uint64_t)config->max_package_bytes);
        packages_sweep_unused(server->packages, server->state);
        start_uploads(server, packages);
        server->package_sweep =
            package_sweep_new(server->base, server->state, server->packages, server->pool);
        /* Before any route names them. */
        server->certificates = certificates_new(server->base, server->state, server->secrets,
                                                server->store_thread, certificates);
        error = routes_folder_heal(routes, problem);
        if (!error)
            error = publish_open(&options, &server->publisher, problem);
        if (!error)
            issuers_start(server->issuers, server->publisher);
    }
    free(state);
    free(routes);
    free(packages);
    free(certificates);
    free(key);
    return error;
}

static enum error read_lists(struct server *server, struct buffer *problem)
{
    enum error error = roster_new(server->state, &server->roster);
    if (!error)
        error = logbook_new(server->state, &server->logbook);
    if (error)
        buffer_append_format(problem, "apps and operations cannot be read: %s.", error_text(error));
    return error;
}

static void start_audit(struct server *server)
{
    struct audit_options options = {.base = server->base,
                                    .state = server->state,
                                    .max_age_ms = server->config->audit_max_age_ms,
                                    .max_records = server->config->audit_max_records};
    server->audit = audit_new(&options);
    audit_sweep(server->audit);
}

static void choose_role(struct server *server)
{
    const char *role = server->config->role;
    /* A stand-in for AWS takes any role; AWS itself wants a real one. */
    if (!role && !endpoint_is_aws(lambda_control_endpoint(server->control)))
        role = LOCAL_ROLE;
    server->default_role = role ? view_duplicate(view_of(role)) : NULL;
}

static enum error start_operations(struct server *server, struct buffer *problem)
{
    server->proxies = proxies_new(server->base, view_of(server->config->proxies));
    struct prune_options prune = {.base = server->base,
                                  .state = server->state,
                                  .publisher = server->publisher,
                                  .roster = server->roster,
                                  .drain_ms = server->config->drain_ms,
                                  .keep = server->config->keep_versions,
                                  .keep_ms = server->config->keep_versions_ms};
    server->prune = prune_new(&prune);
    struct observer_options observer = {.base = server->base,
                                        .state = server->state,
                                        .secrets = server->secrets,
                                        .control = server->control,
                                        .proxies = server->proxies,
                                        .installation = server->installation,
                                        .default_role = server->default_role,
                                        .max_age_ms = server->config->status_max_age_ms};
    server->observer = observer_new(&observer);
    struct operation_environment environment = {
        .base = server->base,
        .state = server->state,
        .publisher = server->publisher,
        .control = server->control,
        .packages = server->packages,
        .secrets = server->secrets,
        .proxies = server->proxies,
        .package_sweep = server->package_sweep,
        .roster = server->roster,
        .prune = server->prune,
        .observer = server->observer,
        .installation = server->installation,
        .default_role = server->default_role,
        .drain_ms = server->config->drain_ms,
        .max_running = (unsigned)server->config->max_operations,
    };
    server->operations = operations_new(&environment);
    prune_begin(server->prune, server->operations);
    return operations_resume(server->operations, problem);
}

static struct credentials_provider *present_credentials(const void *context)
{
    const struct server *server = context;
    return lambda_control_credentials(server->control);
}

enum error server_start(struct server *server, struct config *config,
                        struct api_certificate *api_certificate, struct buffer *problem)
{
    struct buffer document;
    const int64_t per_second[LAMBDA_QUOTA_COUNT] = {[LAMBDA_QUOTA_CONTROL] =
                                                        config->aws_control_rate,
                                                    [LAMBDA_QUOTA_GET] = config->aws_get_rate};
    memset(server, 0, sizeof *server);
    server->config = config;
    server->api_certificate = api_certificate;
    server->base = event_base_new();
    REQUIRE(server->base);
    server->store_thread = jobs_new(server->base, 1);
    server->pool = jobs_new(server->base, 2);
    enum error error = credentials_check(variable, CREDENTIALS_WAIT_MS, problem);
    if (!error)
        error = make_folders(server, problem);
    if (!error)
        error = lambda_control_new(server->base, variable, per_second, &server->control, problem);
    if (!error)
        error = cloudwatch_new(server->base, variable, present_credentials, server,
                               &server->cloudwatch, problem);
    if (!error)
        error = caller_new(server->base, variable, lambda_control_endpoint(server->control),
                           present_credentials, server, &server->caller, problem);
    if (!error)
        server->account = account_new(server->base, server->control, server->caller);
    if (!error)
        error = open_stores(server, problem);
    if (!error)
        error = read_lists(server, problem);
    server->attempts = attempts_new();
    if (!error)
        error = tokens_prepare(server, problem);
    if (error)
        return error;
    start_audit(server);
    choose_role(server);
    buffer_init(&document, OPENAPI_MAX_BYTES);
    openapi_write(&document);
    REQUIRE(!document.error);
    server->openapi = buffer_take(&document, &server->openapi_length);
    error = listen_for_calls(server, problem);
    if (error)
        return error;
    watch_signals(server);
    api_certificate_begin(server->api_certificate, server->base);
    return start_operations(server, problem);
}

/* A turn at a time, to know how long each keeps all others waiting. */
static void run_loop(struct server *server)
{
    uint64_t before_us = clock_thread_us(), now_us;
    while (event_base_loop(server->base, EVLOOP_ONCE) == 0 && !event_base_got_break(server->base)) {
        now_us = clock_thread_us();
        metrics_count_turn(&server->metrics, now_us - before_us);
        before_us = now_us;
    }
}

void server_run(struct server *server)
{
    log_write(LOG_INFO, "ready", LOG_STRING("listen", incoming_address(server->incoming)),
              LOG_BOOL("tls", server->api_certificate != NULL),
              LOG_STRING("health", server->health ? incoming_address(server->health) : ""),
              LOG_STRING("region", lambda_control_region(server->control)),
              LOG_STRING("endpoint", lambda_control_endpoint(server->control)),
              LOG_BOOL("open", authenticator_open(server->authenticator)));
    run_loop(server);
}

void server_stop(struct server *server)
{
    if (server->operations)
        operations_stop(server->operations);
    if (server->observer)
        observer_stop(server->observer);
    if (server->account)
        account_stop(server->account);
    if (server->proxies)
        proxies_stop(server->proxies);
    if (server->issuers)
        issuers_stop(server->issuers);
    if (server->audit)
        audit_stop(server->audit);
    /* What is being written is finished; a completion may ask for one more. */
    for (int i = 0; i < 2; i++) {
        jobs_drain(server->pool);
        jobs_drain(server->store_thread);
    }
    api_certificate_end(server->api_certificate);
    if (server->incoming)
        incoming_free(server->incoming);
    if (server->health)
        incoming_free(server->health);
    call_drop_all(server);
    jobs_drain(server->pool);
    uploads_drain(server->uploads);
    jobs_drain(server->store_thread);
    operations_free(server->operations);
    observer_free(server->observer);
    proxies_free(server->proxies);
    prune_free(server->prune);
    for (size_t i = 0; i < 3; i++)
        if (server->signals[i])
            event_free(server->signals[i]);
    if (server->drain)
        event_free(server->drain);
    if (server->sweep)
        event_free(server->sweep);
    if (server->uses)
        event_free(server->uses);
    cloudwatch_free(server->cloudwatch);
    account_free(server->account);
    caller_free(server->caller);
    lambda_control_free(server->control);
    publish_close(server->publisher);
    issuers_free(server->issuers);
    package_sweep_free(server->package_sweep);
    packages_free(server->packages);
    uploads_free(server->uploads);
    certificates_free(server->certificates);
    secrets_free(server->secrets);
    audit_free(server->audit);
    roster_free(server->roster);
    logbook_free(server->logbook);
    state_close(server->state);
    authenticator_free(server->authenticator);
    attempts_free(server->attempts);
    jobs_free(server->pool);
    jobs_free(server->store_thread);
    free(server->openapi);
    free(server->default_role);
    event_base_free(server->base);
}
