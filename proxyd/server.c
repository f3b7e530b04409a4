/* Starts all threads, says where it listens, and ends them in order when a signal asks for it. */
#include "proxyd/server.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "proxyd/admin.h"
#include "proxyd/worker.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ENDING_TICK_MS 10

struct server {
    const struct config *config;
    struct shared shared;
    struct certificates *certificates;
    struct event_base *base;
    struct event *signals[3];
    struct event *tick, *drain_timer, *end_timer, *ending_tick;
    struct worker **workers;
    size_t worker_count;
    struct admin *admin;
};

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    struct server *server = context;

    (void)fd;
    (void)events;
    routes_tend(server->shared.routes);
    certificates_tend(server->certificates);
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

static void on_drain_timer(evutil_socket_t fd, short events, void *context)
{
    struct server *server = context;
    struct timeval most = milliseconds(server->config->drain_timeout_ms);
    struct timeval tick = milliseconds(ENDING_TICK_MS);

    (void)fd;
    (void)events;
    for (size_t i = 0; i < server->worker_count; i++)
        worker_drain(server->workers[i]);
    event_add(server->end_timer, &most);
    event_add(server->ending_tick, &tick);
}

static void on_signal(evutil_socket_t number, short events, void *context)
{
    struct server *server = context;
    struct timeval delay = milliseconds(server->config->drain_delay_ms);

    (void)events;
    if (number == SIGHUP) {
        log_write(LOG_INFO, "reload");
        for (size_t i = 0; i < server->worker_count; i++)
            worker_reload(server->workers[i]);
        certificates_reload(server->certificates);
        return;
    }
    if (atomic_exchange(&server->shared.draining, true)) {
        log_write(LOG_WARN, "killed");
        log_stop();
        _exit(1);
    }
    log_write(LOG_INFO, "draining", LOG_INTEGER("signal", number));
    event_add(server->drain_timer, &delay);
}

static void make_events(struct server *server)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    struct timeval tick = milliseconds(ROUTES_TICK_MS);

    for (size_t i = 0; i < 3; i++) {
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

/* The first worker binds; the others share what it got, so that port 0 works with several. */
static enum error start_threads(struct server *server, struct buffer *problem)
{
    const struct config *config = server->config;
    const char *address = config->listen, *tls_address = config->tls_listen;

    server->workers = calloc((size_t)config->workers, sizeof *server->workers);
    REQUIRE(server->workers != NULL);
    for (unsigned i = 0; i < (unsigned)config->workers; i++) {
        enum error error =
            worker_start(&server->shared, i, address, tls_address, &server->workers[i], problem);
        if (error != ERROR_NONE)
            return error;
        server->worker_count++;
        address = worker_address(server->workers[0]);
        tls_address = worker_tls_address(server->workers[0]);
    }
    return admin_start(&server->shared, server->workers, server->worker_count, config->admin_listen,
                       &server->admin, problem);
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

static void release(struct server *server)
{
    admin_stop(server->admin);
    for (size_t i = 0; i < server->worker_count; i++) {
        worker_end(server->workers[i]);
        worker_join(server->workers[i]);
    }
    free(server->workers);
    for (size_t i = 0; i < 3; i++)
        event_free(server->signals[i]);
    event_free(server->tick);
    event_free(server->drain_timer);
    event_free(server->end_timer);
    event_free(server->ending_tick);
    event_base_free(server->base);
    routes_free(server->shared.routes);
    limits_free(server->shared.limits);
    breakers_free(server->shared.breakers);
}

static void log_ready(const struct server *server)
{
    const char *address = worker_address(server->workers[0]);
    const char *tls_address = worker_tls_address(server->workers[0]);

    if (server->shared.tls)
        log_write(LOG_INFO, "ready", LOG_STRING("listen", address),
                  LOG_STRING("tlsListen", tls_address),
                  LOG_STRING("admin", admin_address(server->admin)),
                  LOG_INTEGER("workers", server->worker_count));
    else
        log_write(LOG_INFO, "ready", LOG_STRING("listen", address),
                  LOG_STRING("admin", admin_address(server->admin)),
                  LOG_INTEGER("workers", server->worker_count));
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

int server_run(const struct config *config, struct certificates *certificates)
{
    struct server server = {.config = config};
    struct buffer problem;
    int exit_code = 0;

    buffer_init(&problem, 4096);
    server.base = event_base_new();
    REQUIRE(server.base != NULL);
    server.shared.config = config;
    server.certificates = certificates;
    server.shared.tls = certificates_tls(certificates);
    server.shared.limits = limits_new((uint32_t)config->max_in_flight);
    server.shared.breakers = make_breakers(config);
    server.shared.routes = routes_new(config);
    routes_tend(server.shared.routes);
    make_events(&server);
    if (start_threads_deaf(&server, &problem) == ERROR_NONE) {
        log_ready(&server);
        event_base_dispatch(server.base);
    } else {
        fprintf(stderr, "proxyd: %.*s\n", VIEW_FORMAT(buffer_view(&problem)));
        exit_code = 1;
    }
    release(&server);
    buffer_release(&problem);
    return exit_code;
}
