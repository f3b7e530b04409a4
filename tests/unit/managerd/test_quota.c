/* Tests that no second holds more turns than a quota allows, and who gets them. */
#include "managerd/quota.h"
#include "common/base/clock.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define MANY 150

static struct {
    struct event_base *base;
    struct quota *quota;
    struct quota_place places[MANY];
    size_t numbers[MANY];
    uint64_t at[MANY]; /* the n-th turn */
    size_t order[MANY], count, until;
    size_t leave; /* who leaves at the first turn; 0: nobody */
} world;

static void on_turn(void *context)
{
    size_t number = *(const size_t *)context;
    world.order[world.count] = number;
    world.at[world.count++] = clock_monotonic_us();
    if (world.leave) {
        quota_leave(world.quota, &world.places[world.leave]);
        world.leave = 0;
    }
    if (world.count == world.until)
        event_base_loopbreak(world.base);
}

static void open_world(int64_t rate)
{
    world.base = event_base_new();
    world.quota = quota_new(world.base, rate);
    world.count = 0;
    world.until = MANY;
    world.leave = 0;
}

static void close_world(void)
{
    quota_free(world.quota);
    event_base_free(world.base);
}

static void queue(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        world.numbers[i] = i;
        world.places[i].waiting = false;
        quota_wait(world.quota, &world.places[i], on_turn, &world.numbers[i]);
    }
}

static void no_second_holds_more_turns_than_the_quota(void **state)
{
    (void)state;
    open_world(60);
    queue(0, MANY);
    assert_int_equal(world.count, 0); /* never from inside */
    event_base_dispatch(world.base);
    assert_int_equal(world.count, MANY);
    for (size_t i = 0; i + 60 < MANY; i++)
        assert_true(world.at[i + 60] - world.at[i] >= 1000000);
    /* A burst at first, and not much slower than allowed. */
    assert_true(world.at[15] - world.at[0] < 200000);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(world.order[i], i);
    struct quota_figures figures;
    quota_count(world.quota, &figures);
    assert_int_equal(figures.turns, MANY);
    assert_int_equal(figures.waiting, 0);
    assert_true(figures.waits > MANY / 2 && figures.wait_us > 1000000);
    close_world();
}

static void who_leaves_takes_no_turn(void **state)
{
    (void)state;
    open_world(50);
    queue(0, 40);
    quota_leave(world.quota, &world.places[39]);
    quota_leave(world.quota, &world.places[39]); /* twice is nothing */
    quota_leave(world.quota, &world.places[0]);
    world.leave = 20; /* by one whose turn it is */
    world.until = 37;
    event_base_dispatch(world.base);
    assert_int_equal(world.count, 37);
    for (size_t i = 0; i < 37; i++)
        assert_int_equal(world.order[i], i < 19 ? i + 1 : i + 2);
    /* The line is empty: who comes now is served. */
    world.until = 38;
    queue(39, 40);
    event_base_dispatch(world.base);
    assert_int_equal(world.order[37], 39);
    close_world();
}

static void an_empty_line_ends_and_costs_no_time(void **state)
{
    (void)state;
    open_world(5);
    queue(0, 3);
    for (size_t i = 0; i < 3; i++)
        quota_leave(world.quota, &world.places[i]);
    assert_int_equal(event_base_dispatch(world.base), 1); /* nothing is waited for */
    assert_int_equal(world.count, 0);
    close_world();
}

static void throttling_slows_once_and_recovers(void **state)
{
    struct quota_figures figures;
    (void)state;
    clock_freeze(0, 5000000);
    open_world(10);
    quota_throttled(world.quota, 4999999);
    quota_throttled(world.quota, 4999999); /* sent before the rate fell: the same event */
    quota_count(world.quota, &figures);
    assert_int_equal(figures.throttles, 2);
    assert_true(figures.rate > 6.9 && figures.rate < 7.1);
    for (int i = 0; i < 100; i++)
        quota_throttled(world.quota, 5000000 + (uint64_t)i);
    quota_count(world.quota, &figures);
    assert_true(figures.rate >= 0.5 && figures.rate < 7.0);
    clock_advance_ms(11000);
    quota_throttled(world.quota, 5000000 + 10999999);
    quota_count(world.quota, &figures);
    assert_true(figures.rate > 0.5);
    clock_advance_ms(11000);
    world.places[0].waiting = false;
    quota_wait(world.quota, &world.places[0], on_turn, &world.numbers[0]);
    quota_count(world.quota, &figures);
    assert_true(figures.rate > 9.99 && figures.rate <= 10.0);
    close_world();
    clock_thaw();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_second_holds_more_turns_than_the_quota),
        cmocka_unit_test(who_leaves_takes_no_turn),
        cmocka_unit_test(an_empty_line_ends_and_costs_no_time),
        cmocka_unit_test(throttling_slows_once_and_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
