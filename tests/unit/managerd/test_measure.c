/* Figures of proxies added up, and judged: when a canary goes on, waits, or goes back. */
#include "managerd/measure.h"
#include "managerd/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct measure measure;
static char why[MEASURE_WHY];
static const struct measure_limits limits = {
    .max_error_rate = 0.02, .max_p99_ms = 0, .min_calls = 50, .interval_ms = 1000};

static int set_up(void **state)
{
    (void)state;
    measure_begin(&measure);
    return 0;
}

/* Buckets up to 100, 200 and 400 ms, and beyond. */
static struct measure_answer answer(const char *start, uint64_t calls, uint64_t errors)
{
    struct measure_answer made = {.bounds_ms = {100, 200, 400},
                                  .bound_count = 3,
                                  .figures = {.calls = calls, .errors = errors}};
    snprintf(made.start, sizeof made.start, "%s", start);
    made.figures.counts[0] = calls;
    return made;
}

static void take(const char *start, uint64_t calls, uint64_t errors)
{
    struct measure_answer made = answer(start, calls, errors);
    measure_take(&measure, "10.0.0.1:9080", &made);
}

static enum measure_verdict judge(int64_t elapsed_ms)
{
    return measure_judge(&measure, &limits, elapsed_ms, why);
}

static void what_was_before_does_not_count_and_processes_add_up(void **state)
{
    (void)state;
    measure_begin_round(&measure);
    take("a", 1000, 500);
    take("b", 10, 0);
    assert_int_equal(measure.sum.calls, 0);
    measure_begin_round(&measure);
    take("a", 1030, 500);
    take("a", 1030, 500); /* by another address */
    take("b", 40, 1);
    assert_int_equal(measure.sum.calls, 60);
    assert_int_equal(measure.sum.errors, 1);
    assert_int_equal(measure.answered, 2);
    assert_int_equal(judge(1000), MEASURE_ADVANCE);
    assert_int_equal(judge(999), MEASURE_GO_ON);
}

static void a_process_that_began_anew_counts_from_there(void **state)
{
    (void)state;
    measure_begin_round(&measure);
    take("a", 100, 0);
    measure_begin_round(&measure);
    take("a2", 70, 60); /* may be older than the step */
    assert_int_equal(measure.sum.calls, 0);
    assert_int_equal(measure.began_later, 1);
    measure_begin_round(&measure);
    take("a2", 80, 60);
    assert_int_equal(measure.sum.calls, 10);
    assert_int_equal(measure.sum.errors, 0);
    measure_begin_round(&measure);
    take("a2", 5, 0); /* figures that fall are no figures */
    assert_int_equal(measure.sum.calls, 10);
    assert_int_equal(measure.began_later, 2);
}

static void errors_turn_it_back_as_soon_as_they_are_certainly_too_many(void **state)
{
    (void)state;
    measure_begin_round(&measure);
    take("a", 0, 0);
    measure_begin_round(&measure);
    take("a", 10, 1); /* of 50 that would be 2 %: not more than it may */
    assert_int_equal(judge(5000), MEASURE_HOLD);
    measure_begin_round(&measure);
    take("a", 10, 2);
    assert_int_equal(judge(1), MEASURE_BACK);
    assert_non_null(strstr(why, "2 of 10 calls"));
    measure_begin_round(&measure);
    take("a", 100, 2);
    assert_int_equal(judge(5000), MEASURE_ADVANCE);
    measure_begin_round(&measure);
    take("a", 101, 3);
    assert_int_equal(judge(1), MEASURE_BACK);
}

static void without_figures_it_holds(void **state)
{
    (void)state;
    measure_begin_round(&measure);
    assert_int_equal(judge(5000), MEASURE_HOLD);
    assert_non_null(strstr(why, "MANAGERD_PROXIES"));
    measure_begin_round(&measure);
    take("a", 0, 0);
    measure_take(&measure, "10.0.0.2:9080", NULL);
    measure_begin_round(&measure);
    take("a", 500, 0);
    measure_take(&measure, "10.0.0.2:9080", NULL);
    assert_int_equal(judge(5000), MEASURE_HOLD);
    assert_non_null(strstr(why, "10.0.0.2:9080"));
    /* Silence does not hide what the others saw. */
    measure_begin_round(&measure);
    take("a", 600, 50);
    measure_take(&measure, "10.0.0.2:9080", NULL);
    assert_int_equal(judge(5000), MEASURE_BACK);
}

static void other_buckets_are_no_figures(void **state)
{
    (void)state;
    struct measure_answer other = answer("b", 5, 0);
    other.bounds_ms[2] = 500;
    measure_begin_round(&measure);
    take("a", 0, 0);
    measure_take(&measure, "10.0.0.2:9080", &other);
    assert_int_equal(measure.silent, 1);
    assert_string_equal(measure.silent_one, "10.0.0.2:9080");
}

static void more_processes_than_it_can_tell_apart_are_silent(void **state)
{
    char start[16];
    (void)state;
    measure_begin_round(&measure);
    for (int i = 0; i <= MEASURE_PROCESSES; i++) {
        snprintf(start, sizeof start, "%d", i);
        take(start, 0, 0);
    }
    assert_int_equal(measure.answered, MEASURE_PROCESSES);
    assert_int_equal(measure.silent, 1);
}

static void times_are_judged_by_a_hundred_calls_or_more(void **state)
{
    struct measure_limits with_times = limits;
    struct measure_answer made = answer("a", 0, 0);
    (void)state;
    with_times.max_p99_ms = 200;
    measure_begin_round(&measure);
    measure_take(&measure, "x", &made);
    made.figures.calls = 99;
    made.figures.counts[0] = 90;
    made.figures.counts[2] = 9;
    measure_begin_round(&measure);
    measure_take(&measure, "x", &made);
    assert_int_equal(measure_judge(&measure, &with_times, 5000, why), MEASURE_HOLD);
    made.figures.calls = 100;
    made.figures.counts[0] = 91;
    measure_begin_round(&measure);
    measure_take(&measure, "x", &made);
    /* rank 99: the eighth of nine between 200 and 400 */
    assert_int_equal((int)measure_p99_ms(&measure), 377);
    assert_int_equal(measure_judge(&measure, &with_times, 1, why), MEASURE_BACK);
    with_times.max_p99_ms = 378;
    assert_int_equal(measure_judge(&measure, &with_times, 5000, why), MEASURE_ADVANCE);
    made.figures.calls = 1100;
    made.figures.counts[3] = 1000; /* beyond the last bound */
    measure_begin_round(&measure);
    measure_take(&measure, "x", &made);
    assert_int_equal((int)measure_p99_ms(&measure), 400);
    with_times.max_p99_ms = 900000;
    assert_int_equal(measure_judge(&measure, &with_times, 1, why), MEASURE_BACK);
}

static void answers_are_read_with_care(void **state)
{
    static const char *const wrong[] = {
        "",
        "[]",
        "{}",
        "{\"start\":\"\",\"boundsMs\":[1],\"versions\":[]}",
        "{\"start\":\"a\",\"boundsMs\":[],\"versions\":[]}",
        "{\"start\":\"a\",\"boundsMs\":[2,1],\"versions\":[]}",
        "{\"start\":\"a\",\"boundsMs\":[-1],\"versions\":[]}",
        "{\"start\":\"a\",\"boundsMs\":[1],\"versions\":{}}",
        "{\"start\":\"a\",\"boundsMs\":[1],\"versions\":[{\"version\":2,\"calls\":1,\"errors\":0,"
        "\"proxyErrors\":0,\"latency\":{\"counts\":[1]}}]}",
        "{\"start\":\"a\",\"boundsMs\":[1],\"versions\":[{\"version\":2,\"calls\":1,\"errors\":0,"
        "\"proxyErrors\":0,\"latency\":{\"counts\":[1,2,3]}}]}",
        "{\"start\":\"a\",\"boundsMs\":[1],\"versions\":[{\"version\":2,\"calls\":-1,\"errors\":0,"
        "\"proxyErrors\":0,\"latency\":{\"counts\":[1,0]}}]}",
        "{\"start\":\"a\",\"boundsMs\":[1],\"versions\":[{\"version\":2,\"calls\":1,\"errors\":0,"
        "\"latency\":{\"counts\":[1,0]}}]}",
    };
    struct measure_answer read;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(measure_read(view_of(wrong[i]), 2, &read), ERROR_INVALID);
    assert_int_equal(measure_read(VIEW("{\"start\":\"a\",\"boundsMs\":[1,5],\"versions\":[{"
                                       "\"version\":2,\"calls\":3,\"errors\":1,\"proxyErrors\":4,"
                                       "\"latency\":{\"counts\":[1,0,2]}},{\"version\":\"x\"}]}"),
                                  2, &read),
                     ERROR_NONE);
    assert_int_equal(read.figures.calls, 3);
    assert_int_equal(read.figures.counts[2], 2);
    assert_int_equal(read.figures.proxy_errors, 4);
    assert_int_equal(
        measure_read(VIEW("{\"start\":\"a\",\"boundsMs\":[1],\"versions\":[]}"), 2, &read),
        ERROR_NONE);
    assert_int_equal(read.figures.calls, 0);
}

static void what_holds_for_too_long_goes_back_and_says_what_was_missing(void **state)
{
    (void)state;
    struct measure_limits bounded = limits;
    bounded.max_hold_ms = 5000;
    measure_begin_round(&measure);
    take("a", 0, 0);
    measure_begin_round(&measure);
    take("a", 10, 0);
    assert_int_equal(measure_judge(&measure, &bounded, 999, why), MEASURE_GO_ON);
    assert_int_equal(measure_judge(&measure, &bounded, 5999, why), MEASURE_HOLD);
    assert_int_equal(measure_judge(&measure, &bounded, 6000, why), MEASURE_BACK);
    assert_string_equal(why, "It held for 5 s, and could not be judged. Too few calls to judge by: "
                             "fewer than 50.");
    assert_int_equal(measure_judge(&measure, &limits, INT64_MAX / 2, why), MEASURE_HOLD);
    measure_begin_round(&measure);
    take("a", 60, 0);
    assert_int_equal(measure_judge(&measure, &bounded, 6000, why), MEASURE_ADVANCE);
}

static void all_that_was_counted_can_be_told(void **state)
{
    (void)state;
    measure_begin_round(&measure);
    take("a", 1000, 10);
    take("b", 100, 1);
    take("a", 1000, 10); /* by another address */
    measure_take_all(&measure);
    assert_int_equal(measure.sum.calls, 1100);
    assert_int_equal(measure.sum.errors, 11);
    assert_int_equal(measure.sum.counts[0], 1100);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_before_does_not_count_and_processes_add_up),
        TEST(a_process_that_began_anew_counts_from_there),
        TEST(errors_turn_it_back_as_soon_as_they_are_certainly_too_many),
        TEST(without_figures_it_holds),
        TEST(other_buckets_are_no_figures),
        TEST(more_processes_than_it_can_tell_apart_are_silent),
        TEST(times_are_judged_by_a_hundred_calls_or_more),
        TEST(answers_are_read_with_care),
        TEST(all_that_was_counted_can_be_told),
        TEST(what_holds_for_too_long_goes_back_and_says_what_was_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
