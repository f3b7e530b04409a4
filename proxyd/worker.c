/* Runs one event loop with all that serves requests on it. */
#include "proxyd/worker.h"

#include "common/base/crypto.h"
#include "common/base/log.h"
#include "proxyd/steps.h"
#include "proxyd/signatures.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DRAIN_TICK_MS 20
#define DRAIN_TICKS   5   /* at the least: the listener takes in what is queued before it closes */
#define RETRY_REFILL  0.1 /* each success earns a tenth of a further attempt */

enum worker_order { ORDER_DRAIN = 1, ORDER_END = 2 };

static void on_request(struct incoming_request *incoming, void *context)
{
    request_start(context, incoming);
}

static void on_refused(const struct incoming_refusal *refusal, void *context)
{
    request_refused(context, refusal);
}

static uint64_t body_limit(const struct incoming_head *head, enum guard_reason *over, void *context)
{
    return admit_body_limit(context, head, over);
}

static void refusal_body(const struct incoming_refusal *refusal, struct buffer *body, void *context)
{
    const struct worker *worker = context;

    respond_refusal(refusal, worker->shared->config, body);
}

static const struct incoming_handlers handlers = {
    .on_request = on_request,
    .on_refused = on_refused,
    .body_limit = body_limit,
    .refusal_body = refusal_body,
    .refusal_header = {{"X-Orchestrator-Invocation", 25}, {"not-started", 11}},
};

static void on_reap(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    request_reap(context);
}

static unsigned connections(const struct worker *worker)
{
    return incoming_connections(worker->incoming) +
           (worker->secure ? incoming_connections(worker->secure) : 0);
}

static void gauge(struct worker *worker)
{
    struct metrics *metrics = &worker->metrics;

    metrics_set(&metrics->connections, connections(worker));
    metrics_set(&metrics->turned_away,
                incoming_turned_away(worker->incoming) +
                    (worker->secure ? incoming_turned_away(worker->secure) : 0));
    metrics_set(&metrics->displaced, incoming_displaced(worker->incoming) +
                                         (worker->secure ? incoming_displaced(worker->secure) : 0));
    metrics_set(&metrics->disagreements,
                incoming_disagreements(worker->incoming) +
                    (worker->secure ? incoming_disagreements(worker->secure) : 0));
    metrics_set(&metrics->upstream_connections, outgoing_connections(worker->outgoing));
}

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    struct worker *worker = context;

    (void)fd;
    (void)events;
    routes_reader_tend(worker->routes);
    metrics_set(&worker->metrics.relieved,
                incoming_relieve(worker->incoming) +
                    (worker->secure ? incoming_relieve(worker->secure) : 0));
    gauge(worker);
}

static void on_drain_tick(evutil_socket_t fd, short events, void *context)
{
    struct worker *worker = context;

    (void)fd;
    (void)events;
    if (++worker->drain_ticks >= DRAIN_TICKS && worker->under_way == 0 &&
        connections(worker) == 0 && queue_settled(worker->shared->queue, worker->number))
        event_base_loopbreak(worker->base);
}

/* Sockets that others hold too are theirs now, with what is queued on them. */
static void stop_listening(struct worker *worker, enum listening_kind kind,
                           struct incoming *incoming)
{
    if (atomic_load(&worker->shared->held_by_others[kind]))
        incoming_leave(incoming);
    else
        incoming_drain(incoming);
}

static void on_wake(evutil_socket_t fd, short events, void *context)
{
    static const struct timeval drain_tick = {0, DRAIN_TICK_MS * 1000};
    struct worker *worker = context;
    uint64_t count;

    (void)events;
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return;
    unsigned orders = atomic_exchange(&worker->orders, 0);
    if (orders & ORDER_DRAIN) {
        stop_listening(worker, LISTENING_HTTP, worker->incoming);
        if (worker->secure)
            stop_listening(worker, LISTENING_HTTPS, worker->secure);
        event_add(worker->drain_tick, &drain_tick);
    }
    if (orders & ORDER_END)
        event_base_loopbreak(worker->base);
}

/* Places in flight have come for requests that wait here. */
static void on_places(evutil_socket_t fd, short events, void *context)
{
    struct worker *worker = context;
    uint64_t count;

    (void)events;
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return;
    queue_collect(worker->shared->queue, worker->number);
}

static void order(struct worker *worker, enum worker_order what)
{
    uint64_t one = 1;

    atomic_fetch_or(&worker->orders, (unsigned)what);
    REQUIRE(write(worker->wake_fd, &one, sizeof one) == sizeof one || errno == EAGAIN);
}

void worker_drain(struct worker *worker)
{
    order(worker, ORDER_DRAIN);
}

void worker_end(struct worker *worker)
{
    order(worker, ORDER_END);
}

bool worker_ended(const struct worker *worker)
{
    return atomic_load(&worker->ended);
}

static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base;

    REQUIRE(config != NULL);
    /* Other threads wake this loop through a descriptor only: its locks would be for nothing. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    base = event_base_new_with_config(config);
    event_config_free(config);
    REQUIRE(base != NULL);
    return base;
}

static struct incoming_limits limits_of(const struct shared *shared)
{
    const struct config *config = shared->config;
    struct incoming_limits limits = incoming_default_limits;

    limits.guard.max_body_bytes = (uint64_t)config->max_body_bytes;
    limits.guard.max_head_bytes = (size_t)config->max_head_bytes;
    limits.guard.max_headers = (unsigned)config->max_headers;
    limits.head_timeout_ms = config->head_timeout_ms;
    limits.idle_timeout_ms = config->idle_timeout_ms;
    limits.drain_idle_ms = config->drain_idle_ms;
    limits.body_timeout_ms = config->body_timeout_ms;
    limits.write_timeout_ms = config->write_timeout_ms;
    limits.max_connections =
        (unsigned)((config->max_connections + config->workers - 1) / config->workers);
    limits.budget = shared->budget;
    limits.peers = shared->peers;
    limits.max_connections_per_address = (unsigned)config->max_connections_per_address;
    return limits;
}

static void make_events(struct worker *worker)
{
    static const struct timeval tick = {0, ROUTES_TICK_MS * 1000};

    worker->wake = event_new(worker->base, worker->wake_fd, EV_READ | EV_PERSIST, on_wake, worker);
    worker->place_wake =
        event_new(worker->base, queue_descriptor(worker->shared->queue, worker->number),
                  EV_READ | EV_PERSIST, on_places, worker);
    worker->tick = event_new(worker->base, -1, EV_PERSIST, on_tick, worker);
    worker->drain_tick = event_new(worker->base, -1, EV_PERSIST, on_drain_tick, worker);
    worker->reap_event = event_new(worker->base, -1, 0, on_reap, worker);
    REQUIRE(worker->wake && worker->place_wake && worker->tick && worker->drain_tick &&
            worker->reap_event);
    event_add(worker->wake, NULL);
    event_add(worker->place_wake, NULL);
    event_add(worker->tick, &tick);
}

static bool choose_certificate(struct view host, char fingerprint[TLS_FINGERPRINT_HEX_SIZE],
                               void *context)
{
    struct worker *worker = context;

    return routes_certificate(worker->routes, host, fingerprint);
}

static enum error listen_on(struct worker *worker, enum listening_kind kind,
                            struct incoming *incoming)
{
    const struct shared *shared = worker->shared;
    int fds[LISTENING_MAX];
    size_t count;
    enum error error =
        listening_share(shared->listening, kind, worker->number, (unsigned)shared->config->workers,
                        fds, &count, worker->problem);

    if (error == ERROR_NONE)
        incoming_adopt(incoming, fds, count);
    return error;
}

static enum error listen_all(struct worker *worker, const struct incoming_limits *limits)
{
    enum error error = listen_on(worker, LISTENING_HTTP, worker->incoming);

    if (error != ERROR_NONE || !worker->shared->tls)
        return error;
    tls_thread_begin(worker->shared->tls, choose_certificate, worker);
    worker->secure = incoming_new(worker->base, limits, &handlers, worker);
    incoming_use_tls(worker->secure, worker->shared->tls);
    return listen_on(worker, LISTENING_HTTPS, worker->secure);
}

static enum error make(struct worker *worker)
{
    const struct config *config = worker->shared->config;
    struct incoming_limits limits = limits_of(worker->shared);
    struct outgoing_options options = {
        .budget = worker->shared->budget,
        .max_connections = (unsigned)config->upstream_connections,
        .connect_timeout_ms = config->connect_timeout_ms,
        .max_idle_ms = config->upstream_idle_ms,
        .http2 = config->upstream_http2,
        .ca_file = config->endpoint.ca_file,
        .user_agent = "app-orchestrator/" RELEASE_VERSION " proxyd",
    };

    worker->base = make_base();
    make_events(worker);
    worker->routes = routes_reader_new(worker->shared->routes);
    worker->signatures = signatures_new();
    worker->signer = sigv4_signer_new(config->endpoint.region, VIEW("lambda"));
    worker->outgoing = outgoing_new(worker->base, &options);
    worker->incoming = incoming_new(worker->base, &limits, &handlers, worker);
    worker->credentials = credentials_provider_new(worker->shared->credentials, worker->base);
    return listen_all(worker, &limits);
}

/* In this order: calls out, so that no request is resumed; requests; connections, which give back
 * lent bodies; the requests that lent them. */
static void release(struct worker *worker)
{
    outgoing_free(worker->outgoing);
    request_drop_all(worker);
    incoming_free(worker->incoming);
    incoming_free(worker->secure);
    request_reap(worker);
    tls_thread_end();
    routes_reader_free(worker->routes);
    sigv4_signer_free(worker->signer);
    signatures_free(worker->signatures);
    credentials_provider_free(worker->credentials);
    event_free(worker->wake);
    event_free(worker->place_wake);
    event_free(worker->tick);
    event_free(worker->drain_tick);
    event_free(worker->reap_event);
    event_base_free(worker->base);
}

static void *run(void *context)
{
    struct worker *worker = context;
    enum error error = make(worker);

    worker->start_error = error;
    sem_post(&worker->started);
    if (error == ERROR_NONE)
        event_base_dispatch(worker->base);
    release(worker);
    atomic_store(&worker->ended, true);
    return NULL;
}

enum error worker_start(struct shared *shared, unsigned number, struct worker **started,
                        struct buffer *problem)
{
    struct worker *worker = calloc(1, sizeof *worker);

    REQUIRE(worker != NULL);
    worker->shared = shared;
    worker->number = number;
    worker->problem = problem;
    worker->stats = stats_new();
    worker->retry_budget = RETRY_BUDGET_MOST;
    random_bytes(&worker->random_state, sizeof worker->random_state);
    worker->random_state |= 1;
    TAILQ_INIT(&worker->requests);
    TAILQ_INIT(&worker->finished);
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    REQUIRE(worker->wake_fd >= 0 && sem_init(&worker->started, 0, 0) == 0);
    REQUIRE(pthread_create(&worker->thread, NULL, run, worker) == 0);
    while (sem_wait(&worker->started) != 0)
        REQUIRE(errno == EINTR);
    enum error error = worker->start_error;
    if (error != ERROR_NONE) {
        worker_join(worker);
        worker = NULL;
    }
    *started = worker;
    return error;
}

void worker_join(struct worker *worker)
{
    if (!worker)
        return;
    pthread_join(worker->thread, NULL);
    sem_destroy(&worker->started);
    close(worker->wake_fd);
    stats_free(worker->stats);
    free(worker);
}

/* xorshift64*: spreads load and pauses; nothing secret hangs on it. */
uint32_t worker_random(struct worker *worker, uint32_t below)
{
    uint64_t x = worker->random_state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    worker->random_state = x;
    uint64_t high = (x * UINT64_C(2685821657736338717)) >> 32;
    return (uint32_t)((high * below) >> 32);
}

bool worker_may_retry(struct worker *worker)
{
    if (worker->retry_budget < 1)
        return false;
    worker->retry_budget -= 1;
    return true;
}

void worker_succeeded(struct worker *worker)
{
    if (worker->retry_budget < RETRY_BUDGET_MOST)
        worker->retry_budget += RETRY_REFILL;
}
