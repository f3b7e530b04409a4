/* Lets calls pass in their order, never more of them within a second than AWS allows. */
#include "managerd/quota.h"

#include "common/base/clock.h"

#include <event2/event.h>
#include <stdlib.h>

#define SECOND_US   1000000
#define WINDOW_US   1050000 /* with a little to spare for calls that are not equally long underway */
#define BURST_SHARE 3
#define SLOWER      0.7
#define LEAST_RATE  0.5
#define RECOVERY_S  10.0
#define LATE_US     1000 /* a turn that came sooner did not wait */

struct quota {
    struct event *timer;
    double per_second; /* never above it */
    double rate;       /* at the moment */
    double tokens, burst;
    uint64_t refilled_us, slowed_us;
    uint64_t *turns; /* a ring: when the last ones were */
    size_t turn_count, next_turn;
    struct quota_place *first, **end;
    struct quota_figures figures;
};

static void on_timer(evutil_socket_t fd, short what, void *context);

struct quota *quota_new(struct event_base *base, int64_t per_second)
{
    struct quota *quota = calloc(1, sizeof *quota);
    REQUIRE(quota && per_second > 0);
    quota->per_second = quota->rate = (double)per_second;
    quota->burst = per_second > BURST_SHARE ? (double)per_second / BURST_SHARE : 1;
    quota->tokens = quota->burst;
    quota->refilled_us = clock_monotonic_us();
    quota->turn_count = (size_t)per_second;
    quota->turns = calloc(quota->turn_count, sizeof *quota->turns);
    quota->timer = evtimer_new(base, on_timer, quota);
    REQUIRE(quota->turns && quota->timer);
    quota->end = &quota->first;
    return quota;
}

void quota_free(struct quota *quota)
{
    if (!quota)
        return;
    event_free(quota->timer);
    free(quota->turns);
    free(quota);
}

static void refill(struct quota *quota, uint64_t now)
{
    double seconds = (double)(now - quota->refilled_us) / SECOND_US;
    quota->refilled_us = now;
    quota->tokens += seconds * quota->rate;
    if (quota->tokens > quota->burst)
        quota->tokens = quota->burst;
    quota->rate += seconds * quota->per_second / RECOVERY_S;
    if (quota->rate > quota->per_second)
        quota->rate = quota->per_second;
}

/* How long until the next turn; 0: now. */
static uint64_t until_turn(const struct quota *quota, uint64_t now)
{
    uint64_t wait = 0, oldest = quota->turns[quota->next_turn];
    if (oldest && now < oldest + WINDOW_US)
        wait = oldest + WINDOW_US - now;
    if (quota->tokens < 1) {
        uint64_t tokens = (uint64_t)((1 - quota->tokens) / quota->rate * SECOND_US) + 1;
        wait = tokens > wait ? tokens : wait;
    }
    return wait;
}

static void arm(struct quota *quota)
{
    uint64_t now = clock_monotonic_us();
    if (!quota->first)
        return;
    refill(quota, now);
    uint64_t wait = until_turn(quota, now);
    struct timeval delay = {(time_t)(wait / SECOND_US), (suseconds_t)(wait % SECOND_US)};
    REQUIRE(evtimer_add(quota->timer, &delay) == 0);
}

static struct quota_place *take_turn(struct quota *quota, uint64_t now)
{
    struct quota_place *place = quota->first;
    quota_leave(quota, place);
    quota->tokens -= 1;
    quota->turns[quota->next_turn] = now;
    quota->next_turn = (quota->next_turn + 1) % quota->turn_count;
    quota->figures.turns++;
    if (now - place->since_us > LATE_US) {
        quota->figures.waits++;
        quota->figures.wait_us += now - place->since_us;
    }
    return place;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct quota *quota = context;
    uint64_t now = clock_monotonic_us();
    (void)fd, (void)what;
    refill(quota, now);
    while (quota->first && until_turn(quota, now) == 0) {
        struct quota_place *place = take_turn(quota, now);
        place->on_turn(place->context);
    }
    arm(quota);
}

void quota_wait(struct quota *quota, struct quota_place *place, void (*on_turn)(void *context),
                void *context)
{
    REQUIRE(!place->waiting);
    bool alone = !quota->first;
    *place = (struct quota_place){
        .waiting = true, .since_us = clock_monotonic_us(), .on_turn = on_turn, .context = context};
    *quota->end = place;
    quota->end = &place->next;
    quota->figures.waiting++;
    if (alone)
        arm(quota);
}

void quota_leave(struct quota *quota, struct quota_place *place)
{
    if (!place->waiting)
        return;
    struct quota_place **link = &quota->first;
    while (*link != place)
        link = &(*link)->next;
    *link = place->next;
    if (quota->end == &place->next)
        quota->end = link;
    place->waiting = false;
    quota->figures.waiting--;
    if (!quota->first)
        evtimer_del(quota->timer);
}

void quota_throttled(struct quota *quota, uint64_t turn_us)
{
    uint64_t now = clock_monotonic_us();
    quota->figures.throttles++;
    if (turn_us < quota->slowed_us)
        return;
    refill(quota, now);
    quota->slowed_us = now;
    quota->rate *= SLOWER;
    if (quota->rate < LEAST_RATE)
        quota->rate = LEAST_RATE;
    quota->tokens = 0;
}

void quota_count(const struct quota *quota, struct quota_figures *figures)
{
    *figures = quota->figures;
    figures->rate = quota->rate;
}
