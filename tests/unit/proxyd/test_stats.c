/* Figures of versions: what counts as a call, an error of the version, an error of the proxy; places
 * run out and come free; a reader beside two writers. */
#include "common/base/json.h"
#include "proxyd/stats.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct stats *workers[2];

static int set_up(void **state)
{
    (void)state;
    workers[0] = stats_new();
    workers[1] = stats_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stats_free(workers[0]);
    stats_free(workers[1]);
    return 0;
}

static void count(struct stats *stats, const char *app, uint32_t version, int status,
                  enum fault fault, uint64_t duration_us, uint64_t now_us)
{
    struct stats_request request = {.app = view_of(app),
                                    .slot = 3,
                                    .version = version,
                                    .status = status,
                                    .fault = fault,
                                    .duration_us = duration_us};
    stats_count(stats, &request, now_us);
}

static struct json *shown(const char *app)
{
    struct buffer text;
    struct json *json = NULL;

    buffer_init(&text, 16 * 1024 * 1024);
    stats_write(&text, (const struct stats *const *)workers, 2, view_of(app), "a-start");
    assert_int_equal(text.error, ERROR_NONE);
    assert_int_equal(json_parse(buffer_view(&text), 20, &json, NULL), ERROR_NONE);
    buffer_release(&text);
    return json;
}

static int64_t number(const struct json *object, const char *name)
{
    int64_t value = -1;

    assert_true(json_get_integer(object, name, &value));
    return value;
}

static void errors_of_the_version_and_of_the_proxy_are_told_apart(void **state)
{
    (void)state;
    count(workers[0], "shop", 2, 200, FAULT_NONE, 900, 1);
    count(workers[1], "shop", 2, 500, FAULT_NONE, 900, 1);
    count(workers[0], "shop", 2, 404, FAULT_NONE, 900, 1);
    count(workers[0], "shop", 2, 502, FAULT_FUNCTION_ERROR, 900, 1);
    count(workers[0], "shop", 2, 504, FAULT_DEADLINE, 900, 1);
    count(workers[0], "shop", 2, 502, FAULT_LAMBDA_REFUSED, 900, 1);
    count(workers[0], "shop", 2, 503, FAULT_BREAKER_OPEN, 900, 1);
    /* none of the version's doing: */
    count(workers[0], "shop", 2, 429, FAULT_APP_BUSY, 900, 1);
    count(workers[0], "shop", 2, 503, FAULT_UNREACHABLE, 900, 1);
    count(workers[0], "shop", 2, 503, FAULT_PROXY_BUSY, 900, 1);
    count(workers[0], "shop", 2, 401, FAULT_UNAUTHORIZED, 900, 1);
    struct json *json = shown("shop");
    const struct json *version = json_first(json_get(json, "versions"));
    const struct json *status = json_get(version, "status"), *faults = json_get(version, "faults");
    assert_int_equal(json_count(json_get(json, "versions")), 1);
    assert_int_equal(number(version, "version"), 2);
    assert_int_equal(number(version, "requests"), 11);
    assert_int_equal(number(version, "calls"), 7);
    assert_int_equal(number(version, "errors"), 5);
    assert_int_equal(number(version, "proxyErrors"), 2);
    assert_int_equal(number(status, "2xx"), 1);
    assert_int_equal(number(status, "4xx"), 3);
    assert_int_equal(number(status, "5xx"), 7);
    assert_int_equal(number(faults, "not-started"), 6);
    assert_int_equal(number(faults, "unknown"), 1);
    assert_int_equal(number(faults, "ran"), 1);
    json_free(json);
}

static void calls_fall_into_fixed_buckets_and_versions_and_apps_are_apart(void **state)
{
    (void)state;
    count(workers[0], "shop", 1, 200, FAULT_NONE, 1000, 1);       /* exactly the first bound */
    count(workers[1], "shop", 1, 200, FAULT_NONE, 1001, 1);       /* the second */
    count(workers[0], "shop", 1, 200, FAULT_NONE, UINT64_MAX, 1); /* beyond the last */
    count(workers[0], "shop", 9, 200, FAULT_NONE, 1, 1);
    count(workers[0], "other", 1, 200, FAULT_NONE, 1, 1); /* same slot, another app */
    struct json *json = shown("shop");
    const struct json *version = json_first(json_get(json, "versions"));
    const struct json *counts = json_get(json_get(version, "latency"), "counts");
    size_t bounds = json_count(json_get(json, "boundsMs"));
    assert_int_equal(json_count(json_get(json, "versions")), 2);
    assert_int_equal(json_count(counts), bounds + 1);
    int64_t wanted[] = {1, 1}, value = -1;
    const struct json *one = json_first(counts);
    for (size_t i = 0; i < bounds + 1; i++, one = json_next(one)) {
        assert_true(json_integer(one, &value));
        assert_int_equal(value, i < 2 ? wanted[i] : i == bounds);
    }
    assert_int_equal(number(json_next(version), "version"), 9);
    json_free(json);
    json = shown("nobody");
    assert_int_equal(json_count(json_get(json, "versions")), 0);
    json_free(json);
}

static void a_full_table_counts_what_it_misses_and_gives_idle_places_away(void **state)
{
    (void)state;
    for (uint32_t version = 1; version <= 2 * STATS_VERSIONS; version++)
        count(workers[0], "crowd", version, 200, FAULT_NONE, 1, 1000);
    struct json *json = shown("crowd");
    int64_t missed = number(json, "missed");
    assert_true(missed >= STATS_VERSIONS && missed < 2 * STATS_VERSIONS);
    assert_int_equal(json_count(json_get(json, "versions")), STATS_SHOWN);
    bool cut = false;
    assert_true(json_get_bool(json, "cut", &cut) && cut);
    json_free(json);
    /* Ten minutes later a newcomer finds a place, with figures of its own. */
    for (uint32_t version = 1; version <= 100; version++)
        count(workers[0], "new", version, 500, FAULT_NONE, 1, 2000 + STATS_IDLE_US);
    json = shown("new");
    assert_int_equal(number(json, "missed"), missed);
    assert_int_equal(json_count(json_get(json, "versions")), 100);
    assert_int_equal(number(json_first(json_get(json, "versions")), "requests"), 1);
    json_free(json);
}

static atomic_bool over;

static void *write_much(void *context)
{
    struct stats *stats = context;
    uint64_t now_us = 1;

    /* New versions, each time after all others have become idle: places change hands all the time. */
    for (uint32_t round = 0; round < 40; round++, now_us += 2 * STATS_IDLE_US)
        for (uint32_t version = 1; version <= 1000; version++)
            count(stats, "shop", 1000 * round + version, 200, FAULT_NONE, version, now_us);
    for (int i = 0; i < 100000; i++)
        count(stats, "steady", 1, i % 4 ? 200 : 500, FAULT_NONE, 5, now_us);
    atomic_store(&over, true);
    return NULL;
}

static void a_reader_beside_the_writers_sees_figures_that_only_rise(void **state)
{
    pthread_t threads[2];
    int64_t last = 0;

    (void)state;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, write_much, workers[i]);
    while (!atomic_load(&over)) {
        struct json *json = shown("steady");
        const struct json *version = json_first(json_get(json, "versions"));
        if (version) {
            assert_true(number(version, "calls") >= last);
            last = number(version, "calls");
        }
        json_free(json);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    struct json *json = shown("steady");
    const struct json *version = json_first(json_get(json, "versions"));
    assert_int_equal(number(version, "calls"), 200000);
    assert_int_equal(number(version, "errors"), 50000);
    json_free(json);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(errors_of_the_version_and_of_the_proxy_are_told_apart),
        TEST(calls_fall_into_fixed_buckets_and_versions_and_apps_are_apart),
        TEST(a_full_table_counts_what_it_misses_and_gives_idle_places_away),
        TEST(a_reader_beside_the_writers_sees_figures_that_only_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
