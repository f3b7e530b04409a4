/* Tests of clocks and dates. */
#include "tests/unit/common/base/check.h"

#include <time.h>

#include "common/base/clock.h"

#define SAMPLE_MS INT64_C(1767323045678) /* 2026-01-02T03:04:05.678Z, a Friday */

static int thaw(void **state)
{
    (void)state;
    clock_thaw();
    return 0;
}

static void a_frozen_clock_moves_only_when_told(void **state)
{
    (void)state;
    clock_freeze(1000, 5000);
    assert_true(clock_wall_ms() == 1000 && clock_monotonic_us() == 5000);
    clock_advance_ms(250);
    assert_true(clock_wall_ms() == 1250 && clock_monotonic_us() == 255000);
    clock_thaw();
    assert_true(clock_wall_ms() > INT64_C(1600000000000));
}

static void the_monotonic_clock_never_goes_back(void **state)
{
    uint64_t before = clock_monotonic_us();

    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_monotonic_us();

        assert_true(now >= before);
        before = now;
    }
}

static void dates_are_written_in_all_four_forms(void **state)
{
    char rfc3339[CLOCK_RFC3339_SIZE], amz[CLOCK_AMZ_SIZE], http[CLOCK_HTTP_SIZE],
        clf[CLOCK_CLF_SIZE];

    (void)state;
    clock_format_rfc3339(SAMPLE_MS, rfc3339);
    clock_format_amz(SAMPLE_MS, amz);
    clock_format_http(SAMPLE_MS, http);
    clock_format_clf(SAMPLE_MS, clf);
    assert_string_equal(rfc3339, "2026-01-02T03:04:05.678Z");
    assert_string_equal(amz, "20260102T030405Z");
    assert_string_equal(http, "Fri, 02 Jan 2026 03:04:05 GMT");
    assert_string_equal(clf, "02/Jan/2026:03:04:05 +0000");
}

static void edges_of_the_calendar_are_right(void **state)
{
    static const struct {
        int64_t wall_ms;
        const char *text;
    } rows[] = {{0, "1970-01-01T00:00:00.000Z"},
                {-1, "1969-12-31T23:59:59.999Z"},
                {INT64_C(951782399999), "2000-02-28T23:59:59.999Z"},
                {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
                {INT64_C(4107542400000), "2100-03-01T00:00:00.000Z"},
                {INT64_C(4107542399000), "2100-02-28T23:59:59.000Z"},
                {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
                {INT64_C(-62167219200000), "0000-01-01T00:00:00.000Z"},
                {INT64_MAX, "9999-12-31T23:59:59.999Z"}, /* clamped */
                {INT64_MIN, "0000-01-01T00:00:00.000Z"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[CLOCK_RFC3339_SIZE];

        clock_format_rfc3339(rows[i].wall_ms, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void every_day_agrees_with_the_c_library_and_reads_back(void **state)
{
    (void)state;
    for (int64_t day = -200000; day < 400000; day += 37) { /* years 1422 to 3065 */
        int64_t wall_ms = day * 86400000 + (day & 1023) * 80000 * 1000 % 86400000, back = 0;
        time_t seconds = (time_t)((wall_ms - (wall_ms % 1000 + 1000) % 1000) / 1000);
        char ours[CLOCK_HTTP_SIZE], theirs[64], amz[CLOCK_AMZ_SIZE];
        struct tm broken;

        assert_non_null(gmtime_r(&seconds, &broken));
        strftime(theirs, sizeof(theirs), "%a, %d %b %Y %H:%M:%S GMT", &broken);
        clock_format_http(wall_ms, ours);
        assert_string_equal(ours, theirs);
        assert_int_equal(clock_parse_http(view_of(ours), &back), ERROR_NONE);
        assert_true(back == (int64_t)seconds * 1000);
        clock_format_amz(wall_ms, amz);
        assert_int_equal(clock_parse_amz(view_of(amz), &back), ERROR_NONE);
        assert_true(back == (int64_t)seconds * 1000);
    }
}

static void rfc3339_is_read_with_any_fraction_and_offset(void **state)
{
    static const struct {
        const char *text;
        int64_t wall_ms;
    } rows[] = {{"2026-01-02T03:04:05.678Z", SAMPLE_MS},
                {"2026-01-02t03:04:05.678z", SAMPLE_MS},
                {"2026-01-02 03:04:05.678Z", SAMPLE_MS},
                {"2026-01-02T03:04:05Z", SAMPLE_MS - 678},
                {"2026-01-02T03:04:05.6Z", SAMPLE_MS - 78},
                {"2026-01-02T03:04:05.6789999999999999Z", SAMPLE_MS},
                {"2026-01-02T03:04:05.678+00:00", SAMPLE_MS},
                {"2026-01-02T05:34:05.678+02:30", SAMPLE_MS},
                {"2026-01-01T22:04:05.678-05:00", SAMPLE_MS},
                {"2016-12-31T23:59:60Z", INT64_C(1483228800000)}, /* a leap second */
                {"2024-02-29T00:00:00Z", INT64_C(1709164800000)}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t wall_ms = -1;

        assert_int_equal(clock_parse_rfc3339(view_of(rows[i].text), &wall_ms), ERROR_NONE);
        assert_true(wall_ms == rows[i].wall_ms);
    }
}

static void malformed_dates_are_refused(void **state)
{
    static const char *const bad_rfc3339[] = {"",
                                              "2026",
                                              "2026-01-02",
                                              "2026-01-02T03:04:05",
                                              "2026-01-02T03:04Z",
                                              "2026-1-02T03:04:05Z",
                                              "2026-13-02T03:04:05Z",
                                              "2026-00-02T03:04:05Z",
                                              "2026-02-29T03:04:05Z",
                                              "2100-02-29T00:00:00Z",
                                              "2026-04-31T03:04:05Z",
                                              "2026-01-00T03:04:05Z",
                                              "2026-01-02T24:00:00Z",
                                              "2026-01-02T03:60:05Z",
                                              "2026-01-02T03:04:61Z",
                                              "2026-01-02T03:04:05.Z",
                                              "2026-01-02T03:04:05ZZ",
                                              "2026-01-02T03:04:05+0000",
                                              "2026-01-02T03:04:05+24:00",
                                              "2026-01-02T03:04:05+00:60",
                                              " 2026-01-02T03:04:05Z",
                                              "2026-01-02X03:04:05Z",
                                              "2026-01-02T03:04:05,5Z",
                                              "+026-01-02T03:04:05Z"};
    static const char *const bad_amz[] = {"20260102T030405",      "20260102 030405Z",
                                          "20261302T030405Z",     "20260102T030405Zx",
                                          "2026-01-02T03:04:05Z", ""};
    static const char *const bad_http[] = {"Fri, 2 Jan 2026 03:04:05 GMT",
                                           "Foo, 02 Jan 2026 03:04:05 GMT",
                                           "Fri, 02 jan 2026 03:04:05 GMT",
                                           "Fri, 02 Jan 2026 03:04:05 UTC",
                                           "Friday, 02-Jan-26 03:04:05 GMT",
                                           "Fri, 02 Jan 2026 03:04:05",
                                           ""};
    int64_t wall_ms = 77;

    (void)state;
    for (size_t i = 0; i < sizeof(bad_rfc3339) / sizeof(bad_rfc3339[0]); i++)
        assert_int_equal(clock_parse_rfc3339(view_of(bad_rfc3339[i]), &wall_ms), ERROR_INVALID);
    for (size_t i = 0; i < sizeof(bad_amz) / sizeof(bad_amz[0]); i++)
        assert_int_equal(clock_parse_amz(view_of(bad_amz[i]), &wall_ms), ERROR_INVALID);
    for (size_t i = 0; i < sizeof(bad_http) / sizeof(bad_http[0]); i++)
        assert_int_equal(clock_parse_http(view_of(bad_http[i]), &wall_ms), ERROR_INVALID);
    assert_int_equal(wall_ms, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_frozen_clock_moves_only_when_told, thaw),
        cmocka_unit_test(the_monotonic_clock_never_goes_back),
        cmocka_unit_test(dates_are_written_in_all_four_forms),
        cmocka_unit_test(edges_of_the_calendar_are_right),
        cmocka_unit_test(every_day_agrees_with_the_c_library_and_reads_back),
        cmocka_unit_test(rfc3339_is_read_with_any_fraction_and_offset),
        cmocka_unit_test(malformed_dates_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
