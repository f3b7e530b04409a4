/* Keeps one identity's credentials fresh, in one loop, for all threads of the process. */
#include "common/aws/credentials_parts.h"

#include "common/aws/fetch.h"
#include "common/aws/identity.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/log.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#define CHOICE_ARENA_MAX  ((size_t)8 << 20)
#define MARGIN_MOST_MS    900000 /* asked for anew a quarter of an hour ahead, as botocore does */
#define STALE_AGAIN_MS    60000  /* when the provider gives what has expired */
#define FIRST_RETRY_MS    1000
#define LONGEST_RETRY_MS  60000
#define SHORTEST_RETRY_MS 100
#define PATIENCE_MS       1000 /* whoever asks so soon after a failure is told of that one */
#define REFUSED_PAUSE_MS  10000
#define PROBLEM_MAX       2048

struct choice {
    struct arena arena;
    struct shared_files files;
    struct identity *identity;
};

static void set_timer(struct event *timer, int64_t ms)
{
    struct timeval time = {ms / 1000, ms % 1000 * 1000};

    REQUIRE(evtimer_add(timer, &time) == 0);
}

static int64_t random_below(int64_t limit)
{
    uint64_t random;

    random_bytes(&random, sizeof random);
    return limit > 0 ? (int64_t)(random % (uint64_t)limit) : 0;
}

/* ---- choice ---- */

static void choice_free(struct choice *choice)
{
    if (!choice)
        return;
    arena_release(&choice->arena);
    free(choice);
}

static enum error choose(const char *(*variable)(const char *name), struct choice **chosen,
                         struct buffer *problem)
{
    struct choice *choice = calloc(1, sizeof *choice);

    REQUIRE(choice != NULL);
    arena_init(&choice->arena, CHOICE_ARENA_MAX);
    enum error error = shared_files_read(variable, &choice->arena, &choice->files, problem);
    if (error == ERROR_NONE)
        error =
            identity_choose(variable, &choice->files, &choice->arena, &choice->identity, problem);
    if (error != ERROR_NONE) {
        choice_free(choice);
        choice = NULL;
    }
    *chosen = choice;
    return error;
}

/* ---- what is in force ---- */

/* Takes the reference. An outcome that brought nothing leaves what is in force. */
static void publish(struct credentials_source *source, struct credentials *credentials, bool drop)
{
    struct credentials *before = NULL;
    struct credentials_provider *provider;

    pthread_mutex_lock(&source->lock);
    if (credentials || drop) {
        before = source->current;
        source->current = credentials;
    }
    source->outcomes++;
    source->status.present = source->current != NULL;
    source->status.expires_at_ms = source->current ? source->current->expires_at_ms : 0;
    LIST_FOREACH(provider, &source->providers, link)
    wakeup_signal(provider->wake_fd);
    pthread_mutex_unlock(&source->lock);
    credentials_release(before);
}

static void note(struct credentials_source *source, struct view problem)
{
    pthread_mutex_lock(&source->lock);
    if (problem.length)
        source->status.failures++;
    else
        source->status.refreshes++;
    struct view shown = view_slice(problem, 0, sizeof source->status.problem - 1);
    if (shown.length)
        memcpy(source->status.problem, shown.data, shown.length);
    source->status.problem[shown.length] = '\0';
    pthread_mutex_unlock(&source->lock);
}

/* Half of a short life, a quarter of an hour of a long one, and not all processes at once. */
static void plan_next(struct credentials_source *source, int64_t expires_at_ms)
{
    int64_t left_ms = expires_at_ms - clock_wall_ms();

    event_del(source->end_timer);
    if (expires_at_ms == INT64_MAX)
        return;
    if (left_ms <= 0) {
        set_timer(source->ask_timer, STALE_AGAIN_MS + random_below(STALE_AGAIN_MS));
        return;
    }
    int64_t margin_ms = left_ms / 2 < MARGIN_MOST_MS ? left_ms / 2 : MARGIN_MOST_MS;
    set_timer(source->ask_timer, left_ms - margin_ms - random_below(margin_ms / 5));
    if (source->choice->identity->kind != IDENTITY_INSTANCE)
        set_timer(source->end_timer, left_ms);
}

static void plan_retry(struct credentials_source *source)
{
    int64_t left_ms = INT64_MAX;

    source->retry_ms = source->retry_ms ? source->retry_ms * 2 : FIRST_RETRY_MS;
    if (source->retry_ms > LONGEST_RETRY_MS)
        source->retry_ms = LONGEST_RETRY_MS;
    if (source->current && source->current->expires_at_ms != INT64_MAX)
        left_ms = source->current->expires_at_ms - clock_wall_ms();
    int64_t pause_ms = source->retry_ms;
    if (left_ms > 0 && pause_ms > left_ms / 4) /* some tries before the end */
        pause_ms = left_ms / 4 > SHORTEST_RETRY_MS ? left_ms / 4 : SHORTEST_RETRY_MS;
    set_timer(source->ask_timer, pause_ms - random_below(pause_ms / 4));
}

static void log_new(const struct credentials_source *source, const struct credentials *credentials)
{
    const char *provider = source->choice->identity->provider;

    if (credentials->expires_at_ms == INT64_MAX)
        log_write(LOG_INFO, "credentials", LOG_STRING("provider", provider));
    else
        log_write(LOG_INFO, "credentials", LOG_STRING("provider", provider),
                  LOG_INTEGER("left_ms", credentials->expires_at_ms - clock_wall_ms()));
}

static void on_fetched(struct credentials *credentials, struct view problem, void *context)
{
    struct credentials_source *source = context;

    source->fetch = NULL;
    note(source, credentials ? VIEW("") : problem);
    if (credentials) {
        log_new(source, credentials);
        source->retry_ms = 0;
        plan_next(source, credentials->expires_at_ms);
        publish(source, credentials, false);
        return;
    }
    source->failed_at_us = clock_monotonic_us();
    log_write(LOG_WARN, "credentials-not-refreshed", LOG_VIEW("problem", problem));
    plan_retry(source);
    publish(source, NULL, false);
}

static void ask(struct credentials_source *source)
{
    event_del(source->ask_timer);
    if (!source->fetch)
        source->fetch = fetch_start(source->fetcher, source->choice->identity, on_fetched, source);
}

static void on_ask_timer(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    ask(context);
}

static void on_end_timer(evutil_socket_t fd, short events, void *context)
{
    struct credentials_source *source = context;

    (void)fd;
    (void)events;
    log_write(LOG_ERROR, "credentials-expired",
              LOG_STRING("provider", source->choice->identity->provider));
    publish(source, NULL, true);
}

/* ---- what providers ask for ---- */

static void look_for_others(struct credentials_source *source)
{
    uint64_t now_us = clock_monotonic_us();
    struct buffer problem;

    if (source->refused_at_us && now_us - source->refused_at_us < REFUSED_PAUSE_MS * 1000)
        return;
    source->refused_at_us = now_us;
    buffer_init(&problem, PROBLEM_MAX);
    if (credentials_source_reload(source, &problem) != ERROR_NONE)
        log_write(LOG_ERROR, "credentials-not-read", LOG_VIEW("problem", buffer_view(&problem)));
    buffer_release(&problem);
}

static void on_poke(evutil_socket_t fd, short events, void *context)
{
    struct credentials_source *source = context;

    (void)events;
    wakeup_drain(fd);
    pthread_mutex_lock(&source->lock);
    bool wanted = source->wanted && !source->current, refused = source->refused;
    source->wanted = source->refused = false;
    pthread_mutex_unlock(&source->lock);
    if (refused)
        look_for_others(source);
    if (!wanted || source->fetch)
        return;
    if (source->retry_ms && clock_monotonic_us() - source->failed_at_us < PATIENCE_MS * 1000)
        publish(source, NULL, false);
    else
        ask(source);
}

/* ---- life ---- */

static struct event *make_event(struct event_base *base, int fd, short events,
                                event_callback_fn on_event, void *context)
{
    struct event *event = event_new(base, fd, events, on_event, context);

    REQUIRE(event != NULL);
    return event;
}

enum error credentials_source_new(struct event_base *base,
                                  const char *(*variable)(const char *name),
                                  struct credentials_source **made, struct buffer *problem)
{
    struct choice *choice;
    enum error error = choose(variable, &choice, problem);

    *made = NULL;
    if (error != ERROR_NONE)
        return error;
    struct credentials_source *source = calloc(1, sizeof *source);
    REQUIRE(source && pthread_mutex_init(&source->lock, NULL) == 0);
    source->base = base;
    source->variable = variable;
    source->choice = choice;
    source->status.provider = choice->identity->provider;
    source->fetcher = fetcher_new(base, variable);
    LIST_INIT(&source->providers);
    source->poke_fd = wakeup_new();
    source->poke = make_event(base, source->poke_fd, EV_READ | EV_PERSIST, on_poke, source);
    source->ask_timer = make_event(base, -1, 0, on_ask_timer, source);
    source->end_timer = make_event(base, -1, 0, on_end_timer, source);
    event_add(source->poke, NULL);
    ask(source);
    *made = source;
    return ERROR_NONE;
}

enum error credentials_source_reload(struct credentials_source *source, struct buffer *problem)
{
    struct choice *choice;
    enum error error = choose(source->variable, &choice, problem);

    if (error != ERROR_NONE)
        return error;
    fetch_cancel(source->fetch);
    source->fetch = NULL;
    choice_free(source->choice);
    source->choice = choice;
    pthread_mutex_lock(&source->lock);
    source->status.provider = choice->identity->provider;
    pthread_mutex_unlock(&source->lock);
    ask(source);
    return ERROR_NONE;
}

void credentials_source_free(struct credentials_source *source)
{
    if (!source)
        return;
    REQUIRE(LIST_EMPTY(&source->providers));
    fetch_cancel(source->fetch);
    fetcher_free(source->fetcher);
    choice_free(source->choice);
    event_free(source->ask_timer);
    event_free(source->end_timer);
    event_free(source->poke);
    close(source->poke_fd);
    credentials_release(source->current);
    pthread_mutex_destroy(&source->lock);
    free(source);
}

void credentials_source_status(struct credentials_source *source, struct credentials_status *status)
{
    pthread_mutex_lock(&source->lock);
    *status = source->status;
    pthread_mutex_unlock(&source->lock);
}

/* ---- the start ---- */

struct first {
    struct event_base *base;
    struct buffer *problem;
    bool failed;
};

static void on_first(struct credentials *credentials, struct view problem, void *context)
{
    struct first *first = context;

    first->failed = credentials == NULL;
    buffer_append_view(first->problem, problem);
    credentials_release(credentials);
    event_base_loopbreak(first->base);
}

/* Whether the identity is one that must have answered: keys that stand there, and an instance that
 * nobody named. */
static bool must_answer(const struct identity *identity)
{
    return identity->kind == IDENTITY_STATIC || identity->unasked_for;
}

enum error credentials_check(const char *(*variable)(const char *name), int64_t timeout_ms,
                             struct buffer *problem)
{
    struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    struct first first = {.problem = problem};
    struct choice *choice;
    enum error error = choose(variable, &choice, problem);

    if (error != ERROR_NONE)
        return error;
    if (must_answer(choice->identity)) {
        first.base = event_base_new();
        REQUIRE(first.base != NULL);
        struct fetcher *fetcher = fetcher_new(first.base, variable);
        struct fetch *fetch = fetch_start(fetcher, choice->identity, on_first, &first);
        event_base_loopexit(first.base, &timeout);
        event_base_dispatch(first.base);
        if (!first.failed && !problem->length && event_base_got_exit(first.base)) {
            fetch_cancel(fetch);
            first.failed = true;
            buffer_append_string(problem, "the provider of credentials took too long");
        }
        fetcher_free(fetcher);
        event_base_free(first.base);
        if (first.failed && choice->identity->unasked_for)
            buffer_append_string(problem, ". No other AWS credentials are configured: set "
                                          "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                                          "another provider of the SDKs.");
    }
    choice_free(choice);
    return first.failed ? ERROR_NOT_FOUND : ERROR_NONE;
}
