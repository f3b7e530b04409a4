/* Hands a source's snapshots to one loop: copies of its own, and calls to those who wait. */
#include "common/aws/credentials_parts.h"
#include "common/aws/refusal.h"
#include "common/base/log.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct waiter {
    TAILQ_ENTRY(waiter) link;
    void (*on_ready)(struct credentials *credentials, enum error error, void *context);
    void *context;
};

int wakeup_new(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    REQUIRE(fd >= 0);
    return fd;
}

void wakeup_signal(int fd)
{
    uint64_t one = 1;

    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void wakeup_drain(int fd)
{
    uint64_t count;

    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
}

/* A copy of what is in force, when it is another than before. Gives the outcomes so far. */
static uint64_t take_current(struct credentials_provider *provider)
{
    struct credentials_source *source = provider->source;

    pthread_mutex_lock(&source->lock);
    struct credentials *current = source->current;
    uint64_t outcomes = source->outcomes;
    if (!current || current->serial != provider->of_serial) {
        credentials_release(provider->snapshot);
        provider->snapshot =
            current ? credentials_new(current->access_key_id, current->secret_access_key,
                                      current->session_token, current->expires_at_ms)
                    : NULL;
        provider->of_serial = current ? current->serial : 0;
    }
    pthread_mutex_unlock(&source->lock);
    return outcomes;
}

/* Those who wait now, and not those who ask again when they are called; whoever is forgotten meanwhile
 * is still in the list, but has nobody to call. */
static void tell_waiters(struct credentials_provider *provider)
{
    struct waiter *waiter;
    size_t count = 0;

    TAILQ_FOREACH(waiter, &provider->waiters, link)
    count++;
    for (; count > 0; count--) {
        waiter = TAILQ_FIRST(&provider->waiters);
        TAILQ_REMOVE(&provider->waiters, waiter, link);
        if (waiter->on_ready) {
            struct credentials *held =
                provider->snapshot ? credentials_hold(provider->snapshot) : NULL;
            waiter->on_ready(held, held ? ERROR_NONE : ERROR_UNREACHABLE, waiter->context);
        }
        free(waiter);
    }
}

static void on_wake(evutil_socket_t fd, short events, void *context)
{
    struct credentials_provider *provider = context;

    (void)events;
    wakeup_drain(fd);
    uint64_t outcomes = take_current(provider);
    bool ended = outcomes != provider->outcomes;
    provider->outcomes = outcomes;
    if (ended)
        tell_waiters(provider);
}

struct credentials_provider *credentials_provider_new(struct credentials_source *source,
                                                      struct event_base *base)
{
    struct credentials_provider *provider = calloc(1, sizeof *provider);

    REQUIRE(provider != NULL);
    provider->source = source;
    TAILQ_INIT(&provider->waiters);
    provider->wake_fd = wakeup_new();
    provider->wake = event_new(base, provider->wake_fd, EV_READ | EV_PERSIST, on_wake, provider);
    REQUIRE(provider->wake != NULL);
    event_add(provider->wake, NULL);
    pthread_mutex_lock(&source->lock);
    LIST_INSERT_HEAD(&source->providers, provider, link);
    pthread_mutex_unlock(&source->lock);
    provider->outcomes = take_current(provider);
    return provider;
}

void credentials_provider_free(struct credentials_provider *provider)
{
    struct waiter *waiter;

    if (!provider)
        return;
    pthread_mutex_lock(&provider->source->lock);
    LIST_REMOVE(provider, link);
    pthread_mutex_unlock(&provider->source->lock);
    while ((waiter = TAILQ_FIRST(&provider->waiters))) {
        TAILQ_REMOVE(&provider->waiters, waiter, link);
        free(waiter);
    }
    event_free(provider->wake);
    close(provider->wake_fd);
    credentials_release(provider->snapshot);
    free(provider);
}

static void poke(struct credentials_source *source, bool refused)
{
    pthread_mutex_lock(&source->lock);
    if (refused)
        source->refused = true;
    else
        source->wanted = true;
    pthread_mutex_unlock(&source->lock);
    wakeup_signal(source->poke_fd);
}

struct credentials *credentials_get(struct credentials_provider *provider,
                                    void (*on_ready)(struct credentials *credentials,
                                                     enum error error, void *context),
                                    void *context)
{
    if (provider->snapshot)
        return credentials_hold(provider->snapshot);
    struct waiter *waiter = calloc(1, sizeof *waiter);
    REQUIRE(waiter != NULL);
    waiter->on_ready = on_ready;
    waiter->context = context;
    TAILQ_INSERT_TAIL(&provider->waiters, waiter, link);
    poke(provider->source, false);
    return NULL;
}

void credentials_forget(struct credentials_provider *provider, void *context)
{
    struct waiter *waiter;

    TAILQ_FOREACH(waiter, &provider->waiters, link)
    if (waiter->context == context)
        waiter->on_ready = NULL;
}

int64_t credentials_clock_offset_ms(const struct credentials_provider *provider)
{
    return atomic_load_explicit(&provider->source->clock_offset_ms, memory_order_relaxed);
}

static bool clock_corrected(struct credentials_provider *provider, struct view date)
{
    int64_t offset_ms = credentials_clock_offset_ms(provider);

    if (!refusal_corrects_clock(date, &offset_ms))
        return false;
    atomic_store_explicit(&provider->source->clock_offset_ms, offset_ms, memory_order_relaxed);
    log_write(LOG_WARN, "clock-skewed", LOG_INTEGER("offset_ms", offset_ms));
    return true;
}

bool credentials_refused(struct credentials_provider *provider,
                         const struct credentials *credentials, struct view code, struct view date)
{
    if (refusal_doubts_clock(code))
        return clock_corrected(provider, date);
    if (!refusal_doubts_credentials(code))
        return false;
    if (provider->snapshot && provider->snapshot->serial != credentials->serial)
        return true;
    poke(provider->source, true);
    return false;
}
