/* Adds up the loop's time for the call or operation whose turn it is. */
#include "managerd/meter.h"

#include "common/base/clock.h"
#include "common/base/error.h"

#include <stddef.h>

#define MAX_DEPTH 32

/* Whose turn it is, the last; below it those whose turn it is again when that is over. NULL: has ended. */
static struct meter *turns[MAX_DEPTH];
static struct meter *present; /* the last of them */
static unsigned depth;
static uint64_t since_us;

static void hand_over(struct meter *next)
{
    uint64_t now_us = clock_thread_us();
    if (present)
        present->loop_us += now_us - since_us;
    present = next;
    since_us = now_us;
}

void meter_enter(struct meter *meter)
{
    REQUIRE(depth < MAX_DEPTH);
    turns[depth++] = meter;
    hand_over(meter);
}

void meter_leave(void)
{
    REQUIRE(depth > 0);
    depth--;
    hand_over(depth ? turns[depth - 1] : NULL);
}

void meter_forget(const struct meter *meter)
{
    if (present == meter)
        hand_over(NULL);
    for (unsigned i = 0; i < depth; i++)
        if (turns[i] == meter)
            turns[i] = NULL;
}

uint64_t meter_own_us(const struct meter *meter)
{
    uint64_t turn_us = present == meter ? clock_thread_us() - since_us : 0;
    return meter->loop_us + meter->store_us + turn_us;
}

void meter_add(struct meter *meter, struct store_times times)
{
    meter->store_us += times.store_us;
    meter->sync_us += times.sync_us;
}

void store_watch_begin(struct store_watch *watch)
{
    *watch = (struct store_watch){clock_monotonic_us(), clock_thread_us()};
}

void store_watch_end(const struct store_watch *watch, struct store_times *times)
{
    uint64_t busy_us = clock_thread_us() - watch->begun_thread_us;
    uint64_t took_us = clock_monotonic_us() - watch->begun_us;
    times->store_us += busy_us;
    times->sync_us += took_us > busy_us ? took_us - busy_us : 0;
}
