/* Limits hold exactly, also when several threads come at once. */
#include "proxyd/limits.h"

#include <pthread.h>
#include <stdatomic.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void the_process_is_full_at_its_limit(void **state)
{
    struct limits *limits = limits_new(2);

    (void)state;
    assert_int_equal(limits_enter(limits, 1, 10), LIMITS_ENTERED);
    assert_false(limits_full(limits));
    assert_int_equal(limits_enter(limits, 2, 10), LIMITS_ENTERED);
    assert_true(limits_full(limits));
    assert_int_equal(limits_enter(limits, 2, 10), LIMITS_PROCESS_FULL);
    assert_int_equal(limits_app_in_flight(limits, 2), 1);
    limits_leave(limits, 1);
    assert_int_equal(limits_enter(limits, 2, 10), LIMITS_ENTERED);
    assert_int_equal(limits_in_flight(limits), 2);
    limits_free(limits);
}

static void apps_do_not_take_each_others_places(void **state)
{
    struct limits *limits = limits_new(100);

    (void)state;
    assert_int_equal(limits_enter(limits, 1, 1), LIMITS_ENTERED);
    assert_int_equal(limits_enter(limits, 1, 1), LIMITS_APP_FULL);
    assert_int_equal(limits_enter(limits, 123456, 1), LIMITS_ENTERED);
    assert_int_equal(limits_in_flight(limits), 2);
    limits_leave(limits, 1);
    limits_leave(limits, 123456);
    assert_int_equal(limits_in_flight(limits), 0);
    assert_int_equal(limits_app_in_flight(limits, 1), 0);
    limits_free(limits);
}

static unsigned take_many(struct limits *limits, const struct limits_pace *pace, unsigned tries,
                          uint64_t *wait)
{
    unsigned taken = 0;

    for (unsigned i = 0; i < tries; i++)
        taken += limits_take_turn(limits, pace, wait);
    return taken;
}

static void a_rate_lets_its_burst_through_and_then_one_an_interval(void **state)
{
    struct limits *limits = limits_new(100);
    struct limits_pace pace = {.slot = 7, .rate_milli = 10000, .burst = 5, .now_us = 1000000};
    uint64_t wait = 0;

    (void)state;
    assert_int_equal(take_many(limits, &pace, 20, &wait), 5);
    assert_int_equal(wait, 100000);
    pace.now_us += 100000;
    assert_int_equal(take_many(limits, &pace, 20, &wait), 1);
    pace.now_us += 250000;
    assert_int_equal(take_many(limits, &pace, 20, &wait), 2);
    pace.now_us += 60000000;
    assert_int_equal(take_many(limits, &pace, 20, &wait), 5);
    limits_free(limits);
}

static void a_rate_that_is_raised_or_a_burst_that_is_lowered_acts_on_the_next_request(void **state)
{
    struct limits *limits = limits_new(100);
    struct limits_pace slow = {.slot = 7, .rate_milli = 17, .burst = 60, .now_us = 1000000};
    struct limits_pace fast = {.slot = 7, .rate_milli = 10000, .burst = 5, .now_us = 2000000};
    struct limits_pace wide = {.slot = 8, .rate_milli = 10000, .burst = 1000, .now_us = 1000000};
    struct limits_pace tight = {.slot = 8, .rate_milli = 10000, .burst = 5, .now_us = 2000000};
    uint64_t wait = 0;

    (void)state;
    assert_int_equal(take_many(limits, &slow, 100, &wait), 60);
    assert_int_equal(take_many(limits, &fast, 20, &wait), 1);
    assert_int_equal(wait, 100000);
    fast.now_us += 200000;
    assert_int_equal(take_many(limits, &fast, 20, &wait), 2);
    assert_int_equal(take_many(limits, &wide, 2000, &wait), 1000);
    assert_int_equal(take_many(limits, &tight, 20, &wait), 1);
    tight.now_us += 60000000;
    assert_int_equal(take_many(limits, &tight, 20, &wait), 5);
    limits_free(limits);
}

static void an_app_holds_its_share_and_one_request_at_the_least(void **state)
{
    struct limits *limits = limits_new(100);

    (void)state;
    assert_true(limits_hold(limits, 1, 500, 100));
    assert_false(limits_hold(limits, 1, 1, 100));
    assert_true(limits_hold(limits, 2, 60, 100));
    assert_false(limits_hold(limits, 2, 41, 100));
    assert_true(limits_hold(limits, 2, 40, 100));
    limits_drop(limits, 1, 500);
    assert_true(limits_hold(limits, 1, 100, 100));
    limits_drop(limits, 1, 100);
    limits_drop(limits, 2, 60);
    assert_false(limits_hold(limits, 2, UINT64_MAX, 100));
    limits_drop(limits, 2, 40);
    limits_free(limits);
}

static void turns_that_may_be_waited_for_come_one_an_interval(void **state)
{
    struct limits *limits = limits_new(100);
    struct limits_pace pace = {
        .slot = 7, .rate_milli = 10000, .burst = 2, .now_us = 1000000, .most_wait_us = 300000};
    const uint64_t waits[] = {0, 0, 100000, 200000, 300000};
    uint64_t wait;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        assert_true(limits_take_turn(limits, &pace, &wait));
        assert_int_equal(wait, waits[i]);
    }
    assert_false(limits_take_turn(limits, &pace, &wait));
    assert_int_equal(wait, 400000);
    pace.now_us += 100000; /* as much nearer is the next */
    assert_true(limits_take_turn(limits, &pace, &wait));
    assert_int_equal(wait, 300000);
    limits_free(limits);
}

static void a_turn_that_is_returned_is_the_next_ones(void **state)
{
    struct limits *limits = limits_new(100);
    struct limits_pace pace = {.slot = 7, .rate_milli = 1, .burst = 1, .now_us = 1000000};
    uint64_t wait;

    (void)state;
    assert_true(limits_take_turn(limits, &pace, &wait));
    assert_false(limits_take_turn(limits, &pace, &wait));
    limits_return_turn(limits, &pace);
    assert_true(limits_take_turn(limits, &pace, &wait));
    assert_false(limits_take_turn(limits, &pace, &wait));
    assert_int_equal(limits_in_flight(limits), 0);
    limits_free(limits);
}

struct crowd {
    struct limits *limits;
    atomic_uint inside, most, entered;
};

static void *join_crowd(void *context)
{
    struct crowd *crowd = context;

    for (int i = 0; i < 20000; i++) {
        if (limits_enter(crowd->limits, 3000, 3) != LIMITS_ENTERED)
            continue;
        unsigned inside = atomic_fetch_add(&crowd->inside, 1) + 1;
        unsigned most = atomic_load(&crowd->most);
        while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside))
            ;
        atomic_fetch_add(&crowd->entered, 1);
        atomic_fetch_sub(&crowd->inside, 1);
        limits_leave(crowd->limits, 3000);
    }
    return NULL;
}

static void many_threads_never_exceed_a_limit_and_leave_nothing(void **state)
{
    struct crowd crowd = {.limits = limits_new(1000)};
    pthread_t threads[6];

    (void)state;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, join_crowd, &crowd), 0);
    for (size_t i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(atomic_load(&crowd.most), 1, 3);
    assert_true(atomic_load(&crowd.entered) > 0);
    assert_int_equal(limits_in_flight(crowd.limits), 0);
    limits_free(crowd.limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_process_is_full_at_its_limit),
        cmocka_unit_test(apps_do_not_take_each_others_places),
        cmocka_unit_test(a_rate_lets_its_burst_through_and_then_one_an_interval),
        cmocka_unit_test(a_rate_that_is_raised_or_a_burst_that_is_lowered_acts_on_the_next_request),
        cmocka_unit_test(an_app_holds_its_share_and_one_request_at_the_least),
        cmocka_unit_test(turns_that_may_be_waited_for_come_one_an_interval),
        cmocka_unit_test(a_turn_that_is_returned_is_the_next_ones),
        cmocka_unit_test(many_threads_never_exceed_a_limit_and_leave_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
