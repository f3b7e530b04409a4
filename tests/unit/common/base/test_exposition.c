/* Tests of the Prometheus text format. */
#include "tests/unit/common/base/check.h"

#include <math.h>

#include "common/base/exposition.h"

static struct buffer out;

static int fresh_buffer(void **state)
{
    (void)state;
    buffer_init(&out, 100000);
    return 0;
}

static int release_buffer(void **state)
{
    (void)state;
    buffer_release(&out);
    return 0;
}

static void a_family_has_help_and_type(void **state)
{
    (void)state;
    exposition_family(&out, "requests_total", "counter", "Requests, by \"class\"\nand \\ app.");
    check_buffer(&out, "# HELP requests_total Requests, by \"class\"\\nand \\\\ app.\n"
                       "# TYPE requests_total counter\n");
}

static void labels_are_escaped(void **state)
{
    const struct exposition_label labels[] = {{"app", VIEW("a\"b\\c\nd")}, {"class", VIEW("")}};

    (void)state;
    exposition_count(&out, "requests_total", labels, 2, UINT64_MAX);
    check_buffer(&out, "requests_total{app=\"a\\\"b\\\\c\\nd\",class=\"\"} 18446744073709551615\n");
}

static void bytes_that_are_not_utf8_do_not_spoil_the_page(void **state)
{
    const struct exposition_label bad = {"app", VIEW("a\xFFz")};
    const struct exposition_label good = {"app", VIEW("caf\xC3\xA9")};

    (void)state;
    exposition_count(&out, "x", &bad, 1, 1);
    exposition_count(&out, "x", &good, 1, 1);
    check_buffer(&out, "x{app=\"a?z\"} 1\nx{app=\"caf\xC3\xA9\"} 1\n");
}

static void numbers_read_back_the_same(void **state)
{
    (void)state;
    exposition_sample(&out, "x", NULL, 0, 0.1);
    exposition_sample(&out, "x", NULL, 0, 1.0 / 3);
    exposition_sample(&out, "x", NULL, 0, 0);
    exposition_sample(&out, "x", NULL, 0, -2.5e-7);
    exposition_sample(&out, "x", NULL, 0, 1795464000.25);
    exposition_sample(&out, "x", NULL, 0, NAN);
    exposition_sample(&out, "x", NULL, 0, INFINITY);
    exposition_sample(&out, "x", NULL, 0, -INFINITY);
    check_buffer(&out, "x 0.1\nx 0.33333333333333331\nx 0\nx -2.5e-07\nx 1795464000.25\n"
                       "x NaN\nx +Inf\nx -Inf\n");
}

static void a_histogram_is_written_cumulative_with_sum_and_count(void **state)
{
    const double bounds[] = {0.005, 0.1, 2.5};
    const uint64_t counts[] = {1, 0, 3, 2};
    const struct exposition_label app = {"app", VIEW("shop")};

    (void)state;
    exposition_histogram(&out, "seconds", &app, 1, bounds, counts, 3, 7.25);
    check_buffer(&out, "seconds_bucket{app=\"shop\",le=\"0.005\"} 1\n"
                       "seconds_bucket{app=\"shop\",le=\"0.1\"} 1\n"
                       "seconds_bucket{app=\"shop\",le=\"2.5\"} 4\n"
                       "seconds_bucket{app=\"shop\",le=\"+Inf\"} 6\n"
                       "seconds_sum{app=\"shop\"} 7.25\n"
                       "seconds_count{app=\"shop\"} 6\n");
    buffer_clear(&out);
    exposition_histogram(&out, "s", NULL, 0, bounds, counts, 0, 0);
    check_buffer(&out, "s_bucket{le=\"+Inf\"} 1\ns_sum 0\ns_count 1\n");
}

#define WITH_BUFFER(test) cmocka_unit_test_setup_teardown(test, fresh_buffer, release_buffer)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BUFFER(a_family_has_help_and_type),
        WITH_BUFFER(labels_are_escaped),
        WITH_BUFFER(bytes_that_are_not_utf8_do_not_spoil_the_page),
        WITH_BUFFER(numbers_read_back_the_same),
        WITH_BUFFER(a_histogram_is_written_cumulative_with_sum_and_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
