/* Tests of shares: sums, splits, rounding, equality. */
#include "managerd/traffic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static struct json *parse(const char *text)
{
    struct json *value = NULL;
    assert_int_equal(json_parse(view_of(text), 50, &value, NULL), ERROR_NONE);
    return value;
}

static size_t faults_of(const char *text)
{
    struct arena arena;
    struct faults faults;
    struct json *traffic = parse(text);
    arena_init(&arena, 1 << 20);
    faults_init(&faults, &arena);
    traffic_check(traffic, &faults);
    size_t count = faults.count;
    json_free(traffic);
    arena_release(&arena);
    return count;
}

static void percents_have_two_decimals_at_most(void **state)
{
    (void)state;
    assert_int_equal(traffic_weight(100), 10000);
    assert_int_equal(traffic_weight(0.01), 1);
    assert_int_equal(traffic_weight(33.33), 3333);
    assert_int_equal(traffic_weight(0), 0);
    assert_int_equal(traffic_weight(0.005), -1);
    assert_int_equal(traffic_weight(-1), -1);
    assert_int_equal(traffic_weight(100.01), -1);
    assert_int_equal(traffic_weight(0.0 / 0.0), -1);
}

static void shares_must_add_up_and_name_each_version_once(void **state)
{
    (void)state;
    assert_int_equal(faults_of("{\"versions\":[{\"version\":1,\"percent\":100}]}"), 0);
    assert_int_equal(faults_of("{\"versions\":[{\"version\":1,\"percent\":33.33},"
                               "{\"version\":2,\"percent\":66.67}]}"),
                     0);
    assert_int_equal(faults_of("{\"versions\":[{\"version\":1,\"percent\":99.99}]}"), 1);
    assert_int_equal(faults_of("{\"versions\":[]}"), 1);
    assert_int_equal(faults_of("{\"versions\":[{\"version\":1,\"percent\":50},"
                               "{\"version\":1,\"percent\":50}]}"),
                     1);
    assert_int_equal(faults_of("{\"versions\":[{\"version\":1,\"percent\":99.999}]}"), 1);
}

static void each_fault_points_at_the_share_that_has_it(void **state)
{
    (void)state;
    static const char *const expected[] = {"/versions/1/percent", "/versions/2/version"};
    struct arena arena;
    struct faults faults;
    struct json *traffic = parse("{\"versions\":[{\"version\":1,\"percent\":40},"
                                 "{\"version\":2,\"percent\":33.333},"
                                 "{\"version\":1,\"percent\":26}]}");
    arena_init(&arena, 1 << 20);
    faults_init(&faults, &arena);
    traffic_check(traffic, &faults);
    assert_int_equal(faults.count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(faults.list[i].pointer, expected[i]);
    json_free(traffic);
    arena_release(&arena);
}

static void a_split_keeps_the_proportions_of_the_others_and_adds_up(void **state)
{
    (void)state;
    struct json *present = parse("{\"versions\":[{\"version\":1,\"percent\":33.34},"
                                 "{\"version\":2,\"percent\":33.33},"
                                 "{\"version\":3,\"percent\":33.33}],\"sticky\":\"cookie\"}");
    for (int percent = 0; percent <= 100; percent += 7) {
        struct json *traffic = traffic_split(present, 4, percent);
        int total = 0;
        for (int version = 1; version <= 4; version++)
            total += traffic_share(traffic, version);
        assert_int_equal(total, 10000);
        assert_int_equal(traffic_share(traffic, 4), percent * 100);
        json_free(traffic);
    }
    struct json *all = traffic_split(present, 4, 100);
    assert_int_equal(traffic_share(all, 4), 10000);
    assert_int_equal(traffic_share(all, 1), 0);
    json_free(all);
    json_free(present);
}

static void the_first_version_takes_all_whatever_was_asked(void **state)
{
    (void)state;
    struct json *nothing = parse("{\"versions\":[],\"sticky\":\"none\"}");
    struct json *traffic = traffic_split(nothing, 1, 10);
    assert_int_equal(traffic_share(traffic, 1), 10000);
    assert_false(traffic_any(nothing));
    assert_true(traffic_any(traffic));
    json_free(nothing);
    json_free(traffic);
}

static void order_and_empty_shares_do_not_matter_for_equality(void **state)
{
    (void)state;
    struct json *a = parse("{\"versions\":[{\"version\":1,\"percent\":40},{\"version\":2,"
                           "\"percent\":60}],\"sticky\":\"none\"}");
    struct json *b = parse("{\"versions\":[{\"version\":2,\"percent\":60},{\"version\":3,"
                           "\"percent\":0},{\"version\":1,\"percent\":40}],\"sticky\":\"none\"}");
    struct json *c = parse("{\"versions\":[{\"version\":2,\"percent\":60},{\"version\":1,"
                           "\"percent\":40}],\"sticky\":\"cookie\"}");
    struct json *d = traffic_all(1, VIEW("none"));
    assert_true(traffic_equal(a, b));
    assert_false(traffic_equal(a, c));
    assert_false(traffic_equal(a, d));
    assert_false(traffic_equal(d, a));
    json_free(a);
    json_free(b);
    json_free(c);
    json_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percents_have_two_decimals_at_most),
        cmocka_unit_test(shares_must_add_up_and_name_each_version_once),
        cmocka_unit_test(each_fault_points_at_the_share_that_has_it),
        cmocka_unit_test(a_split_keeps_the_proportions_of_the_others_and_adds_up),
        cmocka_unit_test(the_first_version_takes_all_whatever_was_asked),
        cmocka_unit_test(order_and_empty_shares_do_not_matter_for_equality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
