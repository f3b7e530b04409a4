/* Counts requests in flight and paces apps, for all workers at once and without a lock. */
#include "proxyd/limits.h"

#include <stdatomic.h>
#include <stdlib.h>

#define CHUNK_SLOTS 1024
#define CHUNKS      4096 /* four million apps; slots beyond share the last ones */

struct slot {
    _Atomic uint32_t in_flight;
    /* GCRA: the moment at which the bucket would be full again, monotonic us */
    _Atomic uint64_t full_at_us;
};

struct limits {
    uint32_t max_in_flight;
    _Atomic uint32_t in_flight;
    struct slot *_Atomic chunks[CHUNKS];
};

struct limits *limits_new(uint32_t max_in_flight)
{
    struct limits *limits = calloc(1, sizeof *limits);

    REQUIRE(limits != NULL);
    limits->max_in_flight = max_in_flight;
    return limits;
}

void limits_free(struct limits *limits)
{
    for (size_t i = 0; limits && i < CHUNKS; i++)
        free(atomic_load(&limits->chunks[i]));
    free(limits);
}

uint32_t limits_in_flight(const struct limits *limits)
{
    return atomic_load_explicit(&limits->in_flight, memory_order_relaxed);
}

static struct slot *slot_of(struct limits *limits, uint32_t number)
{
    size_t index = number % (CHUNKS * CHUNK_SLOTS);
    struct slot *_Atomic *place = &limits->chunks[index / CHUNK_SLOTS];
    struct slot *chunk = atomic_load_explicit(place, memory_order_acquire);

    if (!chunk) {
        struct slot *made = calloc(CHUNK_SLOTS, sizeof *made);
        REQUIRE(made != NULL);
        if (atomic_compare_exchange_strong(place, &chunk, made))
            chunk = made;
        else
            free(made); /* another worker was faster; `chunk` is its */
    }
    return &chunk[index % CHUNK_SLOTS];
}

static bool count_in(_Atomic uint32_t *count, uint32_t most)
{
    uint32_t now = atomic_load_explicit(count, memory_order_relaxed);

    while (now < most) {
        if (atomic_compare_exchange_weak_explicit(count, &now, now + 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    }
    return false;
}

static void count_out(_Atomic uint32_t *count)
{
    uint32_t before = atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);

    REQUIRE(before > 0);
}

/* GCRA: each request moves the moment of "full again" by one interval; it may lie at most burst
 * intervals ahead. */
static bool pace(struct slot *slot, const struct limits_ask *ask, uint64_t *wait_us)
{
    uint64_t interval_us = UINT64_C(1000000000) / ask->rate_milli;
    uint64_t most_ahead_us = interval_us * (ask->burst ? ask->burst : 1);
    uint64_t full_at = atomic_load_explicit(&slot->full_at_us, memory_order_relaxed);

    for (;;) {
        uint64_t next = (full_at > ask->now_us ? full_at : ask->now_us) + interval_us;
        if (next - ask->now_us > most_ahead_us) {
            *wait_us = next - ask->now_us - most_ahead_us;
            return false;
        }
        if (atomic_compare_exchange_weak_explicit(&slot->full_at_us, &full_at, next,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}

enum limits_verdict limits_enter(struct limits *limits, const struct limits_ask *ask,
                                 uint64_t *wait_us)
{
    struct slot *slot = slot_of(limits, ask->slot);

    *wait_us = 0;
    if (!count_in(&limits->in_flight, limits->max_in_flight))
        return LIMITS_PROCESS_FULL;
    if (!count_in(&slot->in_flight, ask->max_in_flight)) {
        count_out(&limits->in_flight);
        return LIMITS_APP_FULL;
    }
    if (ask->rate_milli && !pace(slot, ask, wait_us)) {
        limits_leave(limits, ask->slot);
        return LIMITS_APP_RATE;
    }
    return LIMITS_ENTERED;
}

void limits_leave(struct limits *limits, uint32_t slot)
{
    count_out(&slot_of(limits, slot)->in_flight);
    count_out(&limits->in_flight);
}
