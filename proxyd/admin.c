/* Answers health, readiness, metrics and the figures of versions on the admin address. */
#include "proxyd/admin.h"

#include "common/base/clock.h"
#include "common/base/exposition.h"
#include "common/base/id.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/contract/host.h"
#include "common/contract/path.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BODY_MAX_BYTES (32 * 1024 * 1024) /* figures of TLS_MAX_CERTIFICATES at their longest */

struct admin {
    struct shared *shared;
    struct worker *const *workers;
    size_t worker_count;
    struct event_base *base;
    struct incoming *incoming;
    struct routes_reader *routes;
    struct event *tick, *wake;
    int wake_fd;
    pthread_t thread;
    sem_t started;
    struct buffer *problem; /* of the start */
    enum error start_error;
    atomic_bool leaves, ends; /* orders of the main thread */
    double started_at_s;
    char start[ID_SIZE]; /* whose figures these are */
};

struct answer {
    struct view query;
    int status;
    const char *content_type;
    struct buffer body;
};

static bool is_ready(struct admin *admin, const char **why)
{
    if (atomic_load(&admin->shared->draining)) {
        *why = "draining";
        return false;
    }
    if (routes_generation(admin->routes) == 0) {
        *why = "no routes were published yet";
        return false;
    }
    *why = NULL;
    return true;
}

static void write_health(struct admin *admin, struct answer *answer)
{
    (void)admin;
    buffer_append_string(&answer->body, "{\"status\":\"ok\"}");
}

static void write_readiness(struct admin *admin, struct answer *answer)
{
    struct json_writer w;
    const char *why;
    bool ready = is_ready(admin, &why);

    answer->status = ready ? 200 : 503;
    json_begin(&w, &answer->body);
    json_open_object(&w, NULL);
    json_write_string(&w, "status", view_of(ready ? "ready" : "not-ready"));
    if (why)
        json_write_string(&w, "reason", view_of(why));
    json_write_integer(&w, "generation", (int64_t)routes_generation(admin->routes));
    json_close_object(&w);
}

static void write_metrics(struct admin *admin, struct answer *answer)
{
    const struct metrics **all = calloc(admin->worker_count, sizeof *all);
    const char *why;
    struct metrics_process process = {
        .log_lines_dropped = log_dropped(),
        .generation = routes_generation(admin->routes),
        .ready = is_ready(admin, &why),
        .workers = (unsigned)admin->worker_count,
        .started_at_s = admin->started_at_s,
        .tls = admin->shared->tls,
        .held_bytes = budget_used(admin->shared->budget),
        .max_held_bytes = admin->shared->budget->most,
    };

    credentials_source_status(admin->shared->credentials, &process.credentials);
    breakers_count(admin->shared->breakers, clock_monotonic_us(), &process.breakers);
    REQUIRE(all != NULL);
    for (size_t i = 0; i < admin->worker_count; i++)
        all[i] = &admin->workers[i]->metrics;
    answer->content_type = EXPOSITION_CONTENT_TYPE;
    metrics_write(&answer->body, all, admin->worker_count, &process);
    free(all);
}

static void write_stats(struct admin *admin, struct answer *answer)
{
    struct view app = view_slice(answer->query, sizeof "app=" - 1, SIZE_MAX);

    if (!view_starts_with(answer->query, VIEW("app=")) || !app_name_valid(app)) {
        answer->status = 400;
        buffer_append_string(&answer->body, "{\"status\":\"ask for one app: ?app=NAME\"}");
        return;
    }
    const struct stats **all = calloc(admin->worker_count, sizeof *all);
    REQUIRE(all != NULL);
    for (size_t i = 0; i < admin->worker_count; i++)
        all[i] = admin->workers[i]->stats;
    stats_write(&answer->body, all, admin->worker_count, app, admin->start);
    free(all);
}

static const struct {
    const char *path;
    void (*write)(struct admin *admin, struct answer *answer);
} pages[] = {
    {"/healthz", write_health},
    {"/readyz", write_readiness},
    {"/metrics", write_metrics},
    {"/stats", write_stats},
};

static void find_page(struct admin *admin, struct view path, struct answer *answer)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (view_equal_string(path, pages[i].path)) {
            pages[i].write(admin, answer);
            return;
        }
    }
    answer->status = 404;
    buffer_append_string(&answer->body, "{\"status\":\"not found\"}");
}

static void on_request(struct incoming_request *request, void *context)
{
    struct answer answer = {.status = 200, .content_type = "application/json"};
    struct view path, method = incoming_method(request);

    buffer_init(&answer.body, BODY_MAX_BYTES);
    target_split(incoming_target(request), &path, &answer.query);
    if (view_equal_string(method, "GET") || view_equal_string(method, "HEAD")) {
        find_page(context, path, &answer);
    } else {
        answer.status = 405;
        buffer_append_string(&answer.body, "{\"status\":\"only GET and HEAD\"}");
    }
    REQUIRE(answer.body.error == ERROR_NONE);
    struct incoming_header headers[] = {
        {VIEW("Content-Type"), view_of(answer.content_type)},
        {VIEW("Cache-Control"), VIEW("no-store")},
        {VIEW("Allow"), VIEW("GET, HEAD")},
    };
    incoming_reply(request, answer.status, headers, answer.status == 405 ? 3 : 2,
                   buffer_view(&answer.body), NULL, NULL);
    buffer_release(&answer.body);
}

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    struct admin *admin = context;

    (void)fd;
    (void)events;
    routes_reader_tend(admin->routes);
}

static void on_wake(evutil_socket_t fd, short events, void *context)
{
    struct admin *admin = context;
    uint64_t count;

    (void)events;
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return;
    if (atomic_load(&admin->leaves))
        incoming_leave(admin->incoming);
    if (atomic_load(&admin->ends))
        event_base_loopbreak(admin->base);
}

static enum error make(struct admin *admin)
{
    static const struct incoming_handlers handlers = {.on_request = on_request};
    static const struct timeval tick = {0, ROUTES_TICK_MS * 1000};
    struct incoming_limits limits = incoming_default_limits;

    limits.guard.max_body_bytes = 65536;
    limits.max_connections = 256;
    admin->started_at_s = (double)clock_wall_ms() / 1000;
    admin->base = event_base_new();
    REQUIRE(admin->base != NULL);
    admin->routes = routes_reader_new(admin->shared->routes);
    admin->incoming = incoming_new(admin->base, &limits, &handlers, admin);
    admin->tick = event_new(admin->base, -1, EV_PERSIST, on_tick, admin);
    admin->wake = event_new(admin->base, admin->wake_fd, EV_READ | EV_PERSIST, on_wake, admin);
    REQUIRE(admin->tick && admin->wake);
    event_add(admin->tick, &tick);
    event_add(admin->wake, NULL);
    int fds[LISTENING_MAX];
    size_t count;
    enum error error = listening_share(admin->shared->listening, LISTENING_ADMIN, 0, 1, fds, &count,
                                       admin->problem);
    if (error == ERROR_NONE)
        incoming_adopt(admin->incoming, fds, count);
    return error;
}

static void *run(void *context)
{
    struct admin *admin = context;
    enum error error = make(admin);

    admin->start_error = error;
    sem_post(&admin->started);
    if (error == ERROR_NONE)
        event_base_dispatch(admin->base);
    incoming_free(admin->incoming);
    routes_reader_free(admin->routes);
    event_free(admin->tick);
    event_free(admin->wake);
    event_base_free(admin->base);
    return NULL;
}

enum error admin_start(struct shared *shared, struct worker *const *workers, size_t count,
                       struct admin **started, struct buffer *problem)
{
    struct admin *admin = calloc(1, sizeof *admin);

    REQUIRE(admin != NULL);
    id_make(admin->start);
    admin->shared = shared;
    admin->workers = workers;
    admin->worker_count = count;
    admin->problem = problem;
    admin->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    REQUIRE(admin->wake_fd >= 0 && sem_init(&admin->started, 0, 0) == 0);
    REQUIRE(pthread_create(&admin->thread, NULL, run, admin) == 0);
    while (sem_wait(&admin->started) != 0)
        REQUIRE(errno == EINTR);
    enum error error = admin->start_error;
    if (error != ERROR_NONE) {
        admin_stop(admin);
        admin = NULL;
    }
    *started = admin;
    return error;
}

static void order(struct admin *admin, atomic_bool *what)
{
    uint64_t one = 1;

    atomic_store(what, true);
    REQUIRE(write(admin->wake_fd, &one, sizeof one) == sizeof one);
}

void admin_leave(struct admin *admin)
{
    order(admin, &admin->leaves);
}

void admin_stop(struct admin *admin)
{
    if (!admin)
        return;
    order(admin, &admin->ends);
    pthread_join(admin->thread, NULL);
    sem_destroy(&admin->started);
    close(admin->wake_fd);
    free(admin);
}
