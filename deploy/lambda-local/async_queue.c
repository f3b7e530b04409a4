/* Runs Event invocations in the background, with retries. */
#include "deploy/lambda-local/async_queue.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RETRIES         2
#define MAX_QUEUED_BYTES    (64u * 1024 * 1024)
#define THROTTLE_DELAY_MS   1000
#define THROTTLE_CEILING_MS (5 * 60 * 1000)
#define MAX_AGE_US          (UINT64_C(6) * 3600 * 1000000)

/* One event, from its acceptance to its last attempt. */
struct entry {
    TAILQ_ENTRY(entry) link;
    struct async_queue *queue;
    struct invocation *next; /* the attempt to come; NULL while one runs */
    struct version *version;
    struct event *timer;
    char request_id[ID_SIZE];
    char arn[FUNCTION_ARN_SIZE];
    char trace_id[INVOCATION_TRACE_SIZE];
    struct buffer payload;
    unsigned failures, throttles;
    uint64_t accepted_us;
};

TAILQ_HEAD(entry_list, entry);

struct async_queue {
    struct event_base *base;
    const struct config *config;
    struct pools *pools;
    struct entry_list entries;
    unsigned count;
    size_t bytes;
};

static void attempt(struct entry *entry);

static void entry_free(struct entry *entry)
{
    TAILQ_REMOVE(&entry->queue->entries, entry, link);
    entry->queue->count--;
    entry->queue->bytes -= entry->payload.length;
    if (entry->next)
        invocation_free(entry->next);
    event_free(entry->timer);
    buffer_release(&entry->payload);
    version_release(entry->version);
    free(entry);
}

static void give_up(struct entry *entry, const char *why)
{
    log_write(LOG_WARN, "event-dropped", LOG_STRING("function", entry->version->function->name),
              LOG_STRING("request", entry->request_id), LOG_STRING("why", why));
    entry_free(entry);
}

static void again_after(struct entry *entry, int64_t delay_ms)
{
    struct timeval delay = {delay_ms / 1000, delay_ms % 1000 * 1000};

    if (clock_monotonic_us() - entry->accepted_us > MAX_AGE_US)
        give_up(entry, "it is too old");
    else
        evtimer_add(entry->timer, &delay);
}

static void throttled(struct entry *entry)
{
    int64_t delay_ms = (int64_t)THROTTLE_DELAY_MS
                       << (entry->throttles < 16 ? entry->throttles : 16);

    entry->throttles++;
    again_after(entry, delay_ms < THROTTLE_CEILING_MS ? delay_ms : THROTTLE_CEILING_MS);
}

static void on_done(struct invocation *invocation, enum invocation_outcome outcome, void *context)
{
    struct entry *entry = context;

    (void)invocation;
    switch (outcome) {
    case INVOCATION_SUCCEEDED:
        entry_free(entry);
        return;
    case INVOCATION_FAILED:
        if (entry->failures++ < MAX_RETRIES)
            again_after(entry, entry->queue->config->async_retry_delay_ms << (entry->failures - 1));
        else
            give_up(entry, "the function failed three times");
        return;
    case INVOCATION_THROTTLED:
        throttled(entry);
        return;
    }
}

static struct invocation *make_attempt(const struct entry *entry)
{
    struct invocation *invocation = invocation_new(entry->version, entry->request_id);

    memcpy(invocation->arn, entry->arn, sizeof invocation->arn);
    memcpy(invocation->trace_id, entry->trace_id, sizeof invocation->trace_id);
    buffer_append_view(&invocation->payload, buffer_view(&entry->payload));
    return invocation;
}

static void attempt(struct entry *entry)
{
    struct invocation *invocation = entry->next ? entry->next : make_attempt(entry);

    entry->next = NULL;
    if (entry->version->function->deleted) {
        invocation_free(invocation);
        give_up(entry, "the function was deleted");
        return;
    }
    invocation->on_done = on_done;
    invocation->context = entry;
    if (pools_submit(entry->queue->pools, invocation) != POOL_ACCEPTED) {
        invocation_free(invocation);
        throttled(entry);
    }
}

static void on_timer(int descriptor, short what, void *context)
{
    (void)descriptor;
    (void)what;
    attempt(context);
}

struct async_queue *async_queue_new(struct event_base *base, const struct config *config,
                                    struct pools *pools)
{
    struct async_queue *queue = calloc(1, sizeof *queue);

    REQUIRE(queue);
    queue->base = base;
    queue->config = config;
    queue->pools = pools;
    TAILQ_INIT(&queue->entries);
    return queue;
}

bool async_queue_add(struct async_queue *queue, struct invocation *invocation)
{
    struct timeval now = {0, 0};
    struct entry *entry;

    if (queue->count >= (unsigned)queue->config->async_queue ||
        queue->bytes + invocation->payload.length > MAX_QUEUED_BYTES)
        return false;
    entry = calloc(1, sizeof *entry);
    REQUIRE(entry);
    entry->queue = queue;
    entry->version = version_hold(invocation->version);
    entry->next = invocation;
    entry->accepted_us = clock_monotonic_us();
    memcpy(entry->request_id, invocation->request_id, sizeof entry->request_id);
    memcpy(entry->arn, invocation->arn, sizeof entry->arn);
    memcpy(entry->trace_id, invocation->trace_id, sizeof entry->trace_id);
    buffer_init(&entry->payload, invocation->payload.ceiling);
    buffer_append_view(&entry->payload, buffer_view(&invocation->payload));
    entry->timer = evtimer_new(queue->base, on_timer, entry);
    REQUIRE(entry->timer);
    TAILQ_INSERT_TAIL(&queue->entries, entry, link);
    queue->count++;
    queue->bytes += entry->payload.length;
    evtimer_add(entry->timer, &now);
    return true;
}

void async_queue_free(struct async_queue *queue)
{
    struct entry *entry;

    if (queue->count > 0)
        log_write(LOG_WARN, "events-lost", LOG_INTEGER("count", queue->count));
    while ((entry = TAILQ_FIRST(&queue->entries)))
        entry_free(entry);
    free(queue);
}
