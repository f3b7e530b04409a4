/* Counts requests in flight and paces apps, for all workers at once and without a lock. */
#include "proxyd/limits.h"

#include <stdatomic.h>
#include <stdlib.h>

#define CHUNK_SLOTS 1024
#define APART_US    1000000 /* how much the times at which workers ask may differ */
#define CHUNKS      4096    /* four million apps; slots beyond share the last ones */

struct slot {
    _Atomic uint32_t in_flight;
    /* GCRA: the moment at which the bucket would be full again, monotonic us */
    _Atomic uint64_t full_at_us;
    void *_Atomic attachment;
    _Atomic uint64_t held_bytes;
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
    for (size_t i = 0; limits && i < CHUNKS; i++) {
        struct slot *chunk = atomic_load(&limits->chunks[i]);

        for (size_t k = 0; chunk && k < CHUNK_SLOTS; k++)
            free(atomic_load(&chunk[k].attachment));
        free(chunk);
    }
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
    uint32_t now = atomic_load(count);

    while (now < most) {
        if (atomic_compare_exchange_weak(count, &now, now + 1))
            return true;
    }
    return false;
}

static void count_out(_Atomic uint32_t *count)
{
    uint32_t before = atomic_fetch_sub(count, 1);

    REQUIRE(before > 0);
}

/* GCRA: each request moves the moment of "full again" by one interval; it may lie at most burst
 * intervals ahead, or as much further as the request may wait. */
static uint64_t interval_us(const struct limits_pace *pace)
{
    return UINT64_C(1000000000) / pace->rate_milli;
}

/* Turns that lie further ahead than these limits let any lie were given out under others: under a rate of
 * one a minute they would shut the app for hours after it was raised. One turn at once, then the rate. */
static uint64_t under_these_limits(const struct limits_pace *pace, uint64_t most_ahead_us,
                                   uint64_t full_at_us)
{
    uint64_t wait_us =
        pace->most_wait_us > pace->longest_wait_us ? pace->most_wait_us : pace->longest_wait_us;

    if (full_at_us <= pace->now_us + most_ahead_us + wait_us + APART_US)
        return full_at_us;
    return pace->now_us + most_ahead_us - interval_us(pace);
}

bool limits_take_turn(struct limits *limits, const struct limits_pace *pace, uint64_t *wait_us)
{
    struct slot *slot = slot_of(limits, pace->slot);
    uint64_t most_ahead_us = interval_us(pace) * (pace->burst ? pace->burst : 1);
    uint64_t full_at = atomic_load_explicit(&slot->full_at_us, memory_order_relaxed);

    for (;;) {
        uint64_t lawful = under_these_limits(pace, most_ahead_us, full_at);
        uint64_t next = (lawful > pace->now_us ? lawful : pace->now_us) + interval_us(pace);
        uint64_t ahead_us = next - pace->now_us;

        *wait_us = ahead_us > most_ahead_us ? ahead_us - most_ahead_us : 0;
        if (*wait_us > pace->most_wait_us)
            return false;
        if (atomic_compare_exchange_weak_explicit(&slot->full_at_us, &full_at, next,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}

void limits_return_turn(struct limits *limits, const struct limits_pace *pace)
{
    atomic_fetch_sub_explicit(&slot_of(limits, pace->slot)->full_at_us, interval_us(pace),
                              memory_order_relaxed);
}

enum limits_verdict limits_enter(struct limits *limits, uint32_t slot, uint32_t max_in_flight)
{
    _Atomic uint32_t *of_the_app = &slot_of(limits, slot)->in_flight;

    /* In this order: refusing an app's requests must not take places from others, not for a moment. */
    if (!count_in(of_the_app, max_in_flight))
        return LIMITS_APP_FULL;
    if (!count_in(&limits->in_flight, limits->max_in_flight)) {
        count_out(of_the_app);
        return LIMITS_PROCESS_FULL;
    }
    return LIMITS_ENTERED;
}

void limits_leave(struct limits *limits, uint32_t slot)
{
    count_out(&limits->in_flight);
    count_out(&slot_of(limits, slot)->in_flight);
}

bool limits_hold(struct limits *limits, uint32_t slot, uint64_t bytes, uint64_t most)
{
    _Atomic uint64_t *held = &slot_of(limits, slot)->held_bytes;
    uint64_t now = atomic_load_explicit(held, memory_order_relaxed);

    do {
        if (now > 0 && (now > most || bytes > most - now))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(held, &now, now + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void limits_drop(struct limits *limits, uint32_t slot, uint64_t bytes)
{
    _Atomic uint64_t *held = &slot_of(limits, slot)->held_bytes;
    uint64_t before = atomic_fetch_sub_explicit(held, bytes, memory_order_relaxed);

    REQUIRE(before >= bytes);
}

bool limits_full(const struct limits *limits)
{
    return limits_in_flight(limits) >= limits->max_in_flight;
}

uint32_t limits_app_in_flight(struct limits *limits, uint32_t slot)
{
    return atomic_load(&slot_of(limits, slot)->in_flight);
}

void *_Atomic *limits_attachment(struct limits *limits, uint32_t slot)
{
    return &slot_of(limits, slot)->attachment;
}
