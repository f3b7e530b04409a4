/* Starts all threads, says where it listens, and ends them in order when a signal asks for it. */
#include "proxyd/server.h"

#include "common/aws/credentials_source.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/peers.h"
#include "common/net/supervisor.h"
#include "proxyd/admin.h"
#include "proxyd/takeover.h"
#include "proxyd/worker.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ENDING_TICK_MS 10
#define ROUTES_WAIT_US 20000

struct server {
    const struct config *config;
    struct shared shared;
    struct budget budget;
    struct certificates *certificates;
    struct event_base *base;
    struct event *signals[3];
    struct event *tick, *drain_timer, *end_timer, *ending_tick;
    struct worker **workers;
    size_t worker_count;
    struct admin *admin;
    struct listening listening;
    struct routes_reader *routes; /* the main thread's own */
    struct taker taker;
    struct giver *giver;
    bool signalled; /* to end, once */
    int exit_code;
};

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    struct server *server = context;

    (void)fd;
    (void)events;
    routes_tend(server->shared.routes);
    certificates_tend(server->certificates);
    routes_reader_tend(server->routes);
}

static void on_ending_tick(evutil_socket_t fd, short events, void *context)
{
    struct server *server = context;

    (void)fd;
    (void)events;
    for (size_t i = 0; i < server->worker_count; i++) {
        if (!worker_ended(server->workers[i]))
            return;
    }
    event_base_loopbreak(server->base);
}

static void on_end_timer(evutil_socket_t fd, short events, void *context)
{
    struct server *server = context;

    (void)fd;
    (void)events;
    log_write(LOG_WARN, "drain-cut", LOG_INTEGER("timeout_ms", server->config->drain_timeout_ms),
              LOG_INTEGER("in_flight", limits_in_flight(server->shared.limits)));
    for (size_t i = 0; i < server->worker_count; i++)
        worker_end(server->workers[i]);
}

static struct timeval milliseconds(int64_t ms)
{
    return (struct timeval){ms / 1000, ms % 1000 * 1000};
}

/* Sockets that others hold stay open there. Of the others the last descriptors to close are those of
 * the workers, which take in what is queued on them first. */
static void leave_sockets(struct server *server)
{
    for (unsigned kind = 0; kind < LISTENING_KINDS; kind++) {
        if (listening_kept(&server->listening, (enum listening_kind)kind))
            atomic_store(&server->shared.held_by_others[kind], true);
        listening_close(&server->listening, (enum listening_kind)kind);
    }
    if (atomic_load(&server->shared.held_by_others[LISTENING_ADMIN]))
        admin_leave(server->admin);
}

static void drain(struct server *server)
{
    struct timeval most = milliseconds(server->config->drain_timeout_ms);
    struct timeval tick = milliseconds(ENDING_TICK_MS);

    leave_sockets(server);
    for (size_t i = 0; i < server->worker_count; i++)
        worker_drain(server->workers[i]);
    event_add(server->end_timer, &most);
    event_add(server->ending_tick, &tick);
}

static void on_drain_timer(evutil_socket_t fd, short events, void *context)
{
    struct server *server = context;

    (void)fd;
    (void)events;
    giver_free(server->giver);
    server->giver = NULL;
    drain(server);
}

static void hand_over(struct server *server, unsigned kinds)
{
    for (unsigned kind = 0; kind < LISTENING_KINDS; kind++)
        atomic_store(&server->shared.held_by_others[kind], (kinds & (1u << kind)) != 0);
    if (!atomic_exchange(&server->shared.draining, true))
        supervisor_notify("STOPPING=1");
    event_del(server->drain_timer);
    drain(server);
}

static void on_given(unsigned kinds, void *context)
{
    hand_over(context, kinds);
}

static void reload_credentials(struct server *server)
{
    struct buffer problem;

    buffer_init(&problem, 4096);
    if (credentials_source_reload(server->shared.credentials, &problem) != ERROR_NONE)
        log_write(LOG_ERROR, "credentials-not-read", LOG_VIEW("problem", buffer_view(&problem)));
    buffer_release(&problem);
}

static void on_signal(evutil_socket_t number, short events, void *context)
{
    struct server *server = context;
    struct timeval delay = milliseconds(server->config->drain_delay_ms);

    (void)events;
    if (number == SIGHUP) {
        log_write(LOG_INFO, "reload");
        reload_credentials(server);
        certificates_reload(server->certificates);
        return;
    }
    if (server->signalled) {
        log_write(LOG_WARN, "killed");
        log_stop();
        _exit(1);
    }
    server->signalled = true;
    log_write(LOG_INFO, "draining", LOG_INTEGER("signal", number));
    if (atomic_exchange(&server->shared.draining, true))
        return; /* it was taken over from before */
    supervisor_notify("STOPPING=1");
    event_add(server->drain_timer, &delay);
}

static void make_events(struct server *server)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    struct timeval tick = milliseconds(ROUTES_TICK_MS);

    for (size_t i = 0; i < 3; i++) {
        /* What libevent puts back when the loop is over: the exit code is settled by then. */
        signal(numbers[i], SIG_IGN);
        server->signals[i] = evsignal_new(server->base, numbers[i], on_signal, server);
        REQUIRE(server->signals[i] && event_add(server->signals[i], NULL) == 0);
    }
    server->tick = event_new(server->base, -1, EV_PERSIST, on_tick, server);
    server->drain_timer = event_new(server->base, -1, 0, on_drain_timer, server);
    server->end_timer = event_new(server->base, -1, 0, on_end_timer, server);
    server->ending_tick = event_new(server->base, -1, EV_PERSIST, on_ending_tick, server);
    REQUIRE(server->tick && server->drain_timer && server->end_timer && server->ending_tick);
    event_add(server->tick, &tick);
}

static enum error start_threads(struct server *server, struct buffer *problem)
{
    const struct config *config = server->config;

    server->workers = calloc((size_t)config->workers, sizeof *server->workers);
    REQUIRE(server->workers != NULL);
    for (unsigned i = 0; i < (unsigned)config->workers; i++) {
        enum error error = worker_start(&server->shared, i, &server->workers[i], problem);
        if (error != ERROR_NONE)
            return error;
        server->worker_count++;
    }
    return admin_start(&server->shared, server->workers, server->worker_count, &server->admin,
                       problem);
}

/* Signals are the main thread's business: the others start with all of them blocked. */
static enum error start_threads_deaf(struct server *server, struct buffer *problem)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    enum error error = start_threads(server, problem);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static uint64_t generation(void *context)
{
    struct server *server = context;

    return routes_generation(server->routes);
}

static enum error start_giver(struct server *server, struct buffer *problem)
{
    static const struct giver_hooks hooks = {.generation = generation, .on_given = on_given};
    int fd = server->taker.giver_fd;

    if (!server->config->takeover_socket)
        return ERROR_NONE;
    server->taker.giver_fd = -1;
    return giver_new(server->base, fd, server->config, &server->listening, &hooks, server,
                     &server->giver, problem);
}

/* A process that cannot read the routes must not take requests away from one that can. */
static enum error wait_for_routes(struct server *server, struct buffer *problem)
{
    int64_t until_us =
        (int64_t)clock_monotonic_us() + server->config->takeover_timeout_ms * 1000 / 2;

    if (server->taker.generation == 0)
        return ERROR_NONE;
    while (routes_generation(server->routes) == 0) {
        if ((int64_t)clock_monotonic_us() > until_us) {
            buffer_append_format(problem,
                                 "cannot take over from the running process: it has routes, and "
                                 "none can be read in %s",
                                 server->config->routes_dir);
            return ERROR_NOT_FOUND;
        }
        usleep(ROUTES_WAIT_US);
        routes_tend(server->shared.routes);
        routes_reader_tend(server->routes);
    }
    return ERROR_NONE;
}

/* All that may fail comes before the first connection is accepted. */
static enum error start(struct server *server, struct buffer *problem)
{
    const struct config *config = server->config;
    enum error error = listening_from_systemd(&server->listening, config, problem);

    if (error == ERROR_NONE)
        error = taker_begin(&server->taker, config, &server->listening, problem);
    if (error == ERROR_NONE)
        error = wait_for_routes(server, problem);
    /* The admin address is nobody else's: a second process that may not be ends here, before it
     * shares clients' connections or takes the path of the next. */
    if (error == ERROR_NONE)
        error = listening_complete(&server->listening, config, LISTENING_ADMIN, problem);
    if (error == ERROR_NONE && server->taker.fd < 0)
        error = start_giver(server, problem);
    if (error == ERROR_NONE)
        error = listening_complete(&server->listening, config, LISTENING_HTTP, problem);
    if (error == ERROR_NONE)
        error = listening_complete(&server->listening, config, LISTENING_HTTPS, problem);
    if (error == ERROR_NONE)
        error = start_threads_deaf(server, problem);
    return error;
}

static void log_ready(const struct server *server)
{
    char address[BOUND_SOCKET_ADDRESS_SIZE], tls_address[BOUND_SOCKET_ADDRESS_SIZE];
    char admin[BOUND_SOCKET_ADDRESS_SIZE];

    listening_address(&server->listening, LISTENING_HTTP, address);
    listening_address(&server->listening, LISTENING_HTTPS, tls_address);
    listening_address(&server->listening, LISTENING_ADMIN, admin);
    if (server->shared.tls)
        log_write(LOG_INFO, "ready", LOG_STRING("listen", address),
                  LOG_STRING("tlsListen", tls_address), LOG_STRING("admin", admin),
                  LOG_INTEGER("workers", server->worker_count));
    else
        log_write(LOG_INFO, "ready", LOG_STRING("listen", address), LOG_STRING("admin", admin),
                  LOG_INTEGER("workers", server->worker_count));
}

static void say(const struct buffer *problem)
{
    fprintf(stderr, "proxyd: %.*s\n", VIEW_FORMAT(buffer_view(problem)));
}

static void run(struct server *server, struct buffer *problem)
{
    bool takes = server->taker.fd >= 0;
    enum error error = taker_finish(&server->taker, problem);

    if (error == ERROR_NONE) {
        log_ready(server);
        supervisor_notify("READY=1");
        /* It serves: that the next one will not find it is no reason to end. */
        if (takes && start_giver(server, problem) != ERROR_NONE)
            log_write(LOG_ERROR, "takeover-socket-lost", LOG_VIEW("problem", buffer_view(problem)));
    } else {
        say(problem);
        server->exit_code = 1;
        hand_over(server, server->taker.kinds);
    }
    event_base_dispatch(server->base);
}

static void release(struct server *server)
{
    giver_free(server->giver);
    taker_release(&server->taker);
    if (server->admin)
        admin_stop(server->admin);
    for (size_t i = 0; i < server->worker_count; i++)
        worker_end(server->workers[i]);
    for (size_t i = 0; i < server->worker_count; i++)
        worker_join(server->workers[i]);
    free(server->workers);
    credentials_source_free(server->shared.credentials);
    for (size_t i = 0; i < 3; i++)
        event_free(server->signals[i]);
    event_free(server->tick);
    event_free(server->drain_timer);
    event_free(server->end_timer);
    event_free(server->ending_tick);
    event_base_free(server->base);
    listening_release(&server->listening);
    routes_reader_free(server->routes);
    routes_free(server->shared.routes);
    queue_free(server->shared.queue);
    limits_free(server->shared.limits);
    peers_free(server->shared.peers);
    breakers_free(server->shared.breakers);
}

static struct breakers *make_breakers(const struct config *config)
{
    struct breakers_options options = {
        .failures = (uint32_t)config->breaker_failures,
        .pause_ms = (uint32_t)config->breaker_pause_ms,
        .pause_most_ms = (uint32_t)config->breaker_pause_most_ms,
    };

    return options.failures ? breakers_new(&options) : NULL;
}

static const char *variable(const char *name)
{
    return getenv(name);
}

int server_run(const struct config *config, struct certificates *certificates)
{
    static struct server server;
    struct buffer problem;

    buffer_init(&problem, 4096);
    server.config = config;
    server.taker = (struct taker){.config = config, .fd = -1, .giver_fd = -1};
    server.base = event_base_new();
    REQUIRE(server.base != NULL);
    server.shared.config = config;
    server.certificates = certificates;
    server.shared.tls = certificates_tls(certificates);
    server.shared.listening = &server.listening;
    server.budget.most = (uint64_t)config->max_memory_bytes;
    server.shared.budget = &server.budget;
    server.shared.peers = peers_new();
    server.shared.limits = limits_new((uint32_t)config->max_in_flight);
    server.shared.breakers = make_breakers(config);
    server.shared.queue = queue_new(server.shared.limits, (unsigned)config->workers);
    server.shared.routes = routes_new(config);
    routes_tend(server.shared.routes);
    server.routes = routes_reader_new(server.shared.routes);
    make_events(&server);
    enum error error =
        credentials_source_new(server.base, variable, &server.shared.credentials, &problem);
    if (error == ERROR_NONE)
        error = start(&server, &problem);
    if (error == ERROR_NONE) {
        run(&server, &problem);
    } else {
        say(&problem);
        server.exit_code = 1;
    }
    release(&server);
    buffer_release(&problem);
    return server.exit_code;
}
