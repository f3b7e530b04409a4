/* A breaker opens by failures in a row only, lets one probe through at a time, and recovers whole. */
#include "proxyd/breaker.h"

#include <pthread.h>
#include <stdatomic.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS UINT64_C(1000)

static const struct breakers_options usual = {
    .failures = 10, .pause_ms = 1000, .pause_most_ms = 30000};

static struct breakers *breakers;
static uint64_t now_us;

static int begin(void **state)
{
    (void)state;
    now_us = 1000000 * MS;
    breakers = breakers_new(&usual);
    return 0;
}

static int end(void **state)
{
    (void)state;
    breakers_free(breakers);
    return 0;
}

static struct breaker_answer ask(uint32_t slot, uint32_t version)
{
    return breaker_ask(breakers, slot, version, now_us);
}

static enum breaker_change tell(uint32_t slot, uint32_t version, enum breaker_finding finding,
                                bool probe)
{
    struct breaker_report report = {slot, version, finding, probe, now_us};

    return breaker_tell(breakers, &report);
}

static unsigned fail_until_open(uint32_t slot, uint32_t version, enum breaker_finding finding)
{
    for (unsigned failures = 1; failures <= 1000; failures++) {
        if (tell(slot, version, finding, false) == BREAKER_OPENED)
            return failures;
    }
    return 0;
}

/* How long from now until a probe is let through; it is taken. */
static uint64_t wait_for_probe(uint32_t slot, uint32_t version)
{
    uint64_t from_us = now_us;
    struct breaker_answer answer = ask(slot, version);

    while (answer.verdict == BREAKER_REFUSED) {
        assert_true(answer.wait_ms > 0);
        now_us += (answer.wait_ms - 1) * MS;
        assert_int_equal(ask(slot, version).verdict, BREAKER_REFUSED);
        now_us += MS;
        answer = ask(slot, version);
    }
    assert_int_equal(answer.verdict, BREAKER_PROBE);
    return (now_us - from_us) / MS;
}

static void failures_in_a_row_open_it(void **state)
{
    struct breaker_answer answer;

    (void)state;
    for (int i = 0; i < 9; i++) {
        assert_int_equal(tell(1, 1, FINDING_NOT_READY, false), BREAKER_SAME);
        assert_int_equal(ask(1, 1).verdict, BREAKER_PASS);
    }
    assert_int_equal(tell(1, 1, FINDING_NOT_READY, false), BREAKER_OPENED);
    answer = ask(1, 1);
    assert_int_equal(answer.verdict, BREAKER_REFUSED);
    assert_int_equal(answer.reason, BREAKER_NOT_READY);
    assert_in_range(answer.wait_ms, 500, 1000);
    /* Calls that were under way when it opened change nothing, whatever they say. */
    assert_int_equal(tell(1, 1, FINDING_NOT_READY, false), BREAKER_SAME);
    assert_int_equal(tell(1, 1, FINDING_STARTED, false), BREAKER_SAME);
    assert_int_equal(ask(1, 1).verdict, BREAKER_REFUSED);
}

static void other_versions_and_other_apps_stay_closed(void **state)
{
    (void)state;
    assert_int_equal(fail_until_open(1, 1, FINDING_NOT_READY), 10);
    assert_int_equal(ask(1, 2).verdict, BREAKER_PASS);
    assert_int_equal(ask(2, 1).verdict, BREAKER_PASS);
    assert_int_equal(ask(0, 1).verdict, BREAKER_PASS);
    assert_int_equal(fail_until_open(1, 2, FINDING_UNREACHABLE), 10);
    assert_int_equal(ask(1, 2).reason, BREAKER_UNREACHABLE);
    assert_int_equal(ask(1, 1).reason, BREAKER_NOT_READY);
}

static void rare_failures_among_successes_never_open_it(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(tell(1, 1, FINDING_NOT_READY, false), BREAKER_SAME);
        assert_int_equal(tell(1, 1, FINDING_STARTED, false), BREAKER_SAME);
        if (i % 3 == 0)
            assert_int_equal(tell(1, 1, FINDING_UNREACHABLE, false), BREAKER_SAME);
        now_us += MS;
    }
    assert_int_equal(ask(1, 1).verdict, BREAKER_PASS);
}

static void many_failures_with_few_successes_open_it(void **state)
{
    unsigned calls = 0;
    bool opened = false;

    (void)state;
    while (!opened && ++calls < 200) /* nine of ten fail */
        opened =
            tell(1, 1, calls % 10 ? FINDING_NOT_READY : FINDING_STARTED, false) == BREAKER_OPENED;
    assert_in_range(calls, 10, 30);
}

static void time_forgets(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(tell(1, 1, FINDING_NOT_READY, false), BREAKER_SAME);
        now_us += 30000 * MS;
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(tell(1, 1, FINDING_NOT_READY, false), BREAKER_SAME);
    now_us += 86400000 * MS;
    assert_int_equal(fail_until_open(1, 1, FINDING_NOT_READY), 10);
}

static void what_is_unclear_counts_neither_way_while_it_is_closed(void **state)
{
    (void)state;
    for (int i = 0; i < 9; i++) {
        assert_int_equal(tell(1, 1, FINDING_NOT_READY, false), BREAKER_SAME);
        for (int j = 0; j < 100; j++)
            assert_int_equal(tell(1, 1, FINDING_UNCLEAR, false), BREAKER_SAME);
    }
    assert_int_equal(tell(1, 1, FINDING_NOT_READY, false), BREAKER_OPENED);
}

static void one_probe_goes_through_and_its_success_closes_it(void **state)
{
    struct breaker_counts counts;

    (void)state;
    fail_until_open(1, 1, FINDING_NOT_READY);
    assert_in_range(wait_for_probe(1, 1), 500, 1000);
    for (int i = 0; i < 100; i++)
        assert_int_equal(ask(1, 1).verdict, BREAKER_REFUSED);
    breakers_count(breakers, now_us, &counts);
    assert_int_equal(counts.half_open, 1);
    assert_int_equal(tell(1, 1, FINDING_STARTED, false), BREAKER_SAME); /* not the probe's */
    assert_int_equal(tell(1, 1, FINDING_STARTED, true), BREAKER_CLOSED);
    assert_int_equal(ask(1, 1).verdict, BREAKER_PASS);
    assert_int_equal(fail_until_open(1, 1, FINDING_NOT_READY), 10); /* nothing is left of before */
    breakers_count(breakers, now_us, &counts);
    assert_int_equal(counts.open, 1);
    assert_int_equal(counts.half_open, 0);
    assert_int_equal(counts.opened, 2);
    assert_int_equal(counts.closed, 1);
    assert_int_equal(counts.probes, 1);
    now_us += 601000 * MS;
    breakers_count(breakers, now_us, &counts);
    assert_int_equal(counts.open, 0); /* nobody asks for it any more */
}

static void each_failed_probe_doubles_the_pause_up_to_the_ceiling(void **state)
{
    uint64_t most_ms = 1000;

    (void)state;
    fail_until_open(1, 1, FINDING_NOT_READY);
    for (int i = 0; i < 40; i++) {
        assert_in_range(wait_for_probe(1, 1), most_ms / 2, most_ms);
        assert_int_equal(tell(1, 1, FINDING_NOT_READY, true), BREAKER_SAME);
        most_ms = most_ms * 2 < 30000 ? most_ms * 2 : 30000;
    }
    wait_for_probe(1, 1);
    assert_int_equal(tell(1, 1, FINDING_STARTED, true), BREAKER_CLOSED);
    fail_until_open(1, 1, FINDING_NOT_READY);
    assert_in_range(wait_for_probe(1, 1), 500, 1000); /* recovered fully */
}

static void an_unclear_probe_lets_requests_through_under_suspicion(void **state)
{
    (void)state;
    fail_until_open(1, 1, FINDING_NOT_READY);
    wait_for_probe(1, 1);
    tell(1, 1, FINDING_NOT_READY, true);
    wait_for_probe(1, 1);
    assert_int_equal(tell(1, 1, FINDING_UNCLEAR, true), BREAKER_CLOSED);
    assert_int_equal(ask(1, 1).verdict, BREAKER_PASS);
    assert_int_equal(fail_until_open(1, 1, FINDING_NOT_READY), 5);
    assert_in_range(wait_for_probe(1, 1), 1000, 2000); /* the pause goes on growing from there */
}

static void a_probe_that_takes_long_lets_another_through(void **state)
{
    (void)state;
    fail_until_open(1, 1, FINDING_NOT_READY);
    wait_for_probe(1, 1);
    now_us += 9999 * MS;
    assert_int_equal(ask(1, 1).verdict, BREAKER_REFUSED);
    now_us += 1 * MS;
    assert_int_equal(ask(1, 1).verdict, BREAKER_PROBE);
    assert_int_equal(ask(1, 1).verdict, BREAKER_REFUSED);
    assert_int_equal(tell(1, 1, FINDING_STARTED, true), BREAKER_CLOSED); /* the first, at last */
    assert_int_equal(tell(1, 1, FINDING_NOT_READY, true), BREAKER_SAME); /* an ordinary failure */
    assert_int_equal(ask(1, 1).verdict, BREAKER_PASS);
}

static void when_lambda_is_reached_again_all_probe_soon(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot <= 50; slot++)
        fail_until_open(slot, 1, slot < 50 ? FINDING_UNREACHABLE : FINDING_NOT_READY);
    for (int round = 0; round < 6; round++) {
        now_us += 31000 * MS;
        for (uint32_t slot = 50; slot <= 50; slot--) { /* so that Lambda is reached first */
            assert_int_equal(ask(slot, 1).verdict, BREAKER_PROBE);
            tell(slot, 1, slot < 50 ? FINDING_UNREACHABLE : FINDING_NOT_READY, true);
        }
    }
    now_us += 2000 * MS;
    for (uint32_t slot = 0; slot <= 50; slot++)
        assert_int_equal(ask(slot, 1).verdict, BREAKER_REFUSED);
    tell(7000, 1, FINDING_STARTED, false); /* any app's call that is answered */
    for (uint32_t slot = 0; slot < 50; slot++) {
        assert_int_equal(ask(slot, 1).verdict, BREAKER_PROBE);
        assert_int_equal(ask(slot, 1).verdict, BREAKER_REFUSED);
        assert_int_equal(tell(slot, 1, FINDING_STARTED, true), BREAKER_CLOSED);
    }
    assert_int_equal(ask(50, 1).verdict, BREAKER_REFUSED); /* its own trouble is not over */
}

static void a_full_table_leaves_the_others_without_a_breaker_and_makes_room_in_time(void **state)
{
    struct breaker_counts counts;
    uint64_t tracked;

    (void)state;
    for (uint32_t slot = 0; slot < 40000; slot++) {
        for (int i = 0; i < 10; i++)
            tell(slot, 7, FINDING_NOT_READY, false);
    }
    breakers_count(breakers, now_us, &counts);
    tracked = counts.open;
    assert_in_range(tracked, 15000, 16384);
    uint64_t refused = 0;
    for (uint32_t slot = 0; slot < 40000; slot++)
        refused += ask(slot, 7).verdict == BREAKER_REFUSED;
    assert_int_equal(refused, tracked);
    now_us += 600000 * MS;
    refused = 0;
    for (uint32_t slot = 100000; slot < 110000; slot++) {
        fail_until_open(slot, 1, FINDING_NOT_READY);
        refused += ask(slot, 1).verdict == BREAKER_REFUSED;
    }
    assert_in_range(refused, 9000, 10000);
}

static void without_breakers_everything_passes(void **state)
{
    struct breaker_counts counts;

    (void)state;
    struct breaker_report report = {1, 1, FINDING_NOT_READY, false, now_us};
    assert_int_equal(breaker_tell(NULL, &report), BREAKER_SAME);
    assert_int_equal(breaker_ask(NULL, 1, 1, now_us).verdict, BREAKER_PASS);
    breakers_count(NULL, now_us, &counts);
    assert_int_equal(counts.open, 0);
}

static atomic_uint probes, openings, closings;
static atomic_bool healthy;

/* Asks and tells as workers do, on a few versions; a turn of the loop is a millisecond. */
static void *work(void *context)
{
    uint64_t us = now_us;

    (void)context;
    for (int i = 0; i < 40000; i++) {
        uint32_t slot = (uint32_t)i % 3;
        us += MS;
        struct breaker_answer answer = breaker_ask(breakers, slot, 1, us);
        if (answer.verdict == BREAKER_REFUSED)
            continue;
        bool probe = answer.verdict == BREAKER_PROBE;
        struct breaker_report report = {
            slot, 1, atomic_load(&healthy) ? FINDING_STARTED : FINDING_NOT_READY, probe, us};
        atomic_fetch_add(&probes, probe);
        enum breaker_change change = breaker_tell(breakers, &report);
        atomic_fetch_add(&openings, change == BREAKER_OPENED);
        atomic_fetch_add(&closings, change == BREAKER_CLOSED);
    }
    return NULL;
}

static void run_workers(bool well)
{
    pthread_t threads[6];

    atomic_store(&healthy, well);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, NULL), 0);
    for (size_t i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    now_us += 40000 * MS;
}

static void many_workers_see_each_change_once(void **state)
{
    struct breaker_counts counts;

    (void)state;
    run_workers(false);
    assert_int_equal(atomic_load(&openings), 3);
    assert_int_equal(atomic_load(&closings), 0);
    breakers_count(breakers, now_us, &counts);
    assert_int_equal(counts.open + counts.half_open, 3);
    assert_int_equal(counts.probes, atomic_load(&probes));
    assert_true(counts.probes >= 3);
    run_workers(true);
    assert_int_equal(atomic_load(&openings), 3);
    assert_int_equal(atomic_load(&closings), 3);
    breakers_count(breakers, now_us, &counts);
    assert_int_equal(counts.open + counts.half_open, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_BREAKERS(name) cmocka_unit_test_setup_teardown(name, begin, end)
        WITH_BREAKERS(failures_in_a_row_open_it),
        WITH_BREAKERS(other_versions_and_other_apps_stay_closed),
        WITH_BREAKERS(rare_failures_among_successes_never_open_it),
        WITH_BREAKERS(many_failures_with_few_successes_open_it),
        WITH_BREAKERS(time_forgets),
        WITH_BREAKERS(what_is_unclear_counts_neither_way_while_it_is_closed),
        WITH_BREAKERS(one_probe_goes_through_and_its_success_closes_it),
        WITH_BREAKERS(each_failed_probe_doubles_the_pause_up_to_the_ceiling),
        WITH_BREAKERS(an_unclear_probe_lets_requests_through_under_suspicion),
        WITH_BREAKERS(a_probe_that_takes_long_lets_another_through),
        WITH_BREAKERS(when_lambda_is_reached_again_all_probe_soon),
        WITH_BREAKERS(a_full_table_leaves_the_others_without_a_breaker_and_makes_room_in_time),
        WITH_BREAKERS(without_breakers_everything_passes),
        WITH_BREAKERS(many_workers_see_each_change_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
