/* Limits hold exactly, also when several threads come at once. */
#include "proxyd/limits.h"

#include <pthread.h>
#include <stdatomic.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct limits_ask ask_for(uint32_t slot, uint32_t most)
{
    return (struct limits_ask){.slot = slot, .max_in_flight = most, .now_us = 1000000};
}

static void the_process_is_full_at_its_limit(void **state)
{
    struct limits *limits = limits_new(2);
    struct limits_ask a = ask_for(1, 10), b = ask_for(2, 10);
    uint64_t wait;

    (void)state;
    assert_int_equal(limits_enter(limits, &a, &wait), LIMITS_ENTERED);
    assert_int_equal(limits_enter(limits, &b, &wait), LIMITS_ENTERED);
    assert_int_equal(limits_enter(limits, &b, &wait), LIMITS_PROCESS_FULL);
    limits_leave(limits, 1);
    assert_int_equal(limits_enter(limits, &b, &wait), LIMITS_ENTERED);
    assert_int_equal(limits_in_flight(limits), 2);
    limits_free(limits);
}

static void apps_do_not_take_each_others_places(void **state)
{
    struct limits *limits = limits_new(100);
    struct limits_ask a = ask_for(1, 1), b = ask_for(123456, 1);
    uint64_t wait;

    (void)state;
    assert_int_equal(limits_enter(limits, &a, &wait), LIMITS_ENTERED);
    assert_int_equal(limits_enter(limits, &a, &wait), LIMITS_APP_FULL);
    assert_int_equal(limits_enter(limits, &b, &wait), LIMITS_ENTERED);
    assert_int_equal(limits_in_flight(limits), 2);
    limits_leave(limits, 1);
    limits_leave(limits, 123456);
    assert_int_equal(limits_in_flight(limits), 0);
    limits_free(limits);
}

static unsigned enter_many(struct limits *limits, struct limits_ask *ask, unsigned tries,
                           uint64_t *wait)
{
    unsigned entered = 0;

    for (unsigned i = 0; i < tries; i++) {
        if (limits_enter(limits, ask, wait) == LIMITS_ENTERED) {
            entered++;
            limits_leave(limits, ask->slot);
        }
    }
    return entered;
}

static void a_rate_lets_its_burst_through_and_then_one_an_interval(void **state)
{
    struct limits *limits = limits_new(100);
    struct limits_ask ask = ask_for(7, 100);
    uint64_t wait = 0;

    (void)state;
    ask.rate_milli = 10000; /* 10 a second */
    ask.burst = 5;
    assert_int_equal(enter_many(limits, &ask, 20, &wait), 5);
    assert_int_equal(wait, 100000);
    ask.now_us += 100000;
    assert_int_equal(enter_many(limits, &ask, 20, &wait), 1);
    ask.now_us += 250000;
    assert_int_equal(enter_many(limits, &ask, 20, &wait), 2);
    ask.now_us += 60000000;
    assert_int_equal(enter_many(limits, &ask, 20, &wait), 5);
    limits_free(limits);
}

static void a_refused_rate_holds_no_place(void **state)
{
    struct limits *limits = limits_new(100);
    struct limits_ask ask = ask_for(7, 100);
    uint64_t wait;

    (void)state;
    ask.rate_milli = 1;
    assert_int_equal(limits_enter(limits, &ask, &wait), LIMITS_ENTERED);
    assert_int_equal(limits_enter(limits, &ask, &wait), LIMITS_APP_RATE);
    assert_int_equal(limits_in_flight(limits), 1);
    limits_free(limits);
}

struct crowd {
    struct limits *limits;
    atomic_uint inside, most, entered;
};

static void *join_crowd(void *context)
{
    struct crowd *crowd = context;
    struct limits_ask ask = ask_for(3000, 3);
    uint64_t wait;

    for (int i = 0; i < 20000; i++) {
        if (limits_enter(crowd->limits, &ask, &wait) != LIMITS_ENTERED)
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
        cmocka_unit_test(a_refused_rate_holds_no_place),
        cmocka_unit_test(many_threads_never_exceed_a_limit_and_leave_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
