/* Tests of whose time it is. */
#include "managerd/meter.h"

#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

/* Works for so long that it is seen, also on a clock of whole milliseconds. */
static void work(uint64_t us)
{
    uint64_t from_us = clock_thread_us();
    while (clock_thread_us() - from_us < us)
        ;
}

static void work_counts_for_the_one_whose_turn_it_is(void **state)
{
    struct meter outer = {0}, inner = {0};
    (void)state;
    work(3000);
    meter_enter(&outer);
    work(2000);
    meter_enter(&inner);
    work(20000);
    assert_true(meter_own_us(&inner) >= 20000);
    meter_leave();
    work(2000);
    meter_leave();
    work(3000);
    assert_true(outer.loop_us >= 4000);
    assert_true(outer.loop_us < 20000);
    assert_true(inner.loop_us >= 20000);
    assert_int_equal(meter_own_us(&outer), outer.loop_us);
}

static void waiting_is_nobodys_work(void **state)
{
    struct meter meter = {0};
    (void)state;
    meter_enter(&meter);
    usleep(50000);
    meter_leave();
    assert_true(meter.loop_us < 40000);
}

static void one_that_ends_within_its_turn_is_left_alone(void **state)
{
    struct meter outer = {0}, *ended = calloc(1, sizeof *ended);
    (void)state;
    meter_enter(&outer);
    meter_enter(ended);
    meter_enter(ended);
    meter_forget(ended);
    free(ended);
    meter_leave();
    meter_leave();
    work(2000);
    meter_leave();
    assert_true(outer.loop_us >= 2000);
}

static void a_transaction_is_work_and_waiting(void **state)
{
    struct store_watch watch;
    struct store_times times = {0};
    struct meter meter = {0};
    (void)state;
    store_watch_begin(&watch);
    work(3000);
    usleep(20000);
    store_watch_end(&watch, &times);
    assert_true(times.store_us >= 3000 && times.store_us < 20000);
    assert_true(times.sync_us >= 20000);
    meter_add(&meter, times);
    meter_add(&meter, times);
    assert_int_equal(meter_own_us(&meter), 2 * times.store_us);
    assert_int_equal(meter.sync_us, 2 * times.sync_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_counts_for_the_one_whose_turn_it_is),
        cmocka_unit_test(waiting_is_nobodys_work),
        cmocka_unit_test(one_that_ends_within_its_turn_is_left_alone),
        cmocka_unit_test(a_transaction_is_work_and_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
