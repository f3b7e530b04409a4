/* Tests of what is known of logged lines. */
#include "managerd/log_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FIRST  "11111111-2222-4333-8444-555555555555"
#define SECOND "66666666-7777-4888-8999-000000000000"
#define NOW    INT64_C(1767323045678)

static bool add(struct log_seen *seen, int number, int64_t time_ms, bool again)
{
    char id[32];
    snprintf(id, sizeof id, "event-%d", number);
    return log_seen_add(seen, view_of(id), time_ms, again);
}

static void a_line_is_new_once(void **state)
{
    (void)state;
    struct log_seen *seen = calloc(1, sizeof *seen);
    assert_non_null(seen);
    assert_true(add(seen, 1, 1000, false));
    assert_false(add(seen, 1, 1000, false));
    assert_false(add(seen, 1, 1000, true));
    assert_true(add(seen, 2, 1000, true));
    /* One that is shown late, with an earlier time. */
    assert_true(add(seen, 3, 500, true));
    assert_false(add(seen, 3, 500, true));
    free(seen);
}

static void no_line_is_told_twice_however_many_there_were(void **state)
{
    (void)state;
    struct log_seen *seen = calloc(1, sizeof *seen);
    const int count = 3 * LOG_SEEN_MAX;
    assert_non_null(seen);
    for (int i = 0; i < count; i++)
        assert_true(add(seen, i, 1000 + i, false));
    assert_int_equal(seen->forgotten_ms, 1000 + count - LOG_SEEN_MAX - 1);
    assert_false(add(seen, count - LOG_SEEN_MAX, 0, false));
    for (int i = 0; i < count; i++)
        assert_false(add(seen, i, 1000 + i, true));
    assert_true(add(seen, count, 1000 + count, true));
    free(seen);
}

static struct view request(struct log_streams *streams, const char *stream, const char *message)
{
    return log_streams_request(streams, view_of(stream), view_of(message));
}

#define assert_request(streams, stream, message, id)                                               \
    assert_true(view_equal_string(request(streams, stream, message), id))

static void lines_belong_to_the_invocation_that_their_sandbox_is_at(void **state)
{
    (void)state;
    struct log_streams *streams = calloc(1, sizeof *streams);
    assert_non_null(streams);
    assert_request(streams, "a", "INIT_START Runtime Version: x", "");
    assert_request(streams, "a", "START RequestId: " FIRST " Version: 3", FIRST);
    assert_request(streams, "b", "START RequestId: " SECOND " Version: 3\n", SECOND);
    assert_request(streams, "a", "said by a", FIRST);
    assert_request(streams, "b", "said by b", SECOND);
    assert_request(streams, "a", "END RequestId: " FIRST, FIRST);
    assert_request(streams, "a", "REPORT RequestId: " FIRST "\tDuration: 1.00 ms\t", FIRST);
    assert_request(streams, "c", "2026-01-02T03:04:05.678Z\t" SECOND "\tINFO\thello", SECOND);
    assert_request(streams, "c", "a second row", SECOND);
    assert_request(streams, "d", "one\ttwo\tthree", "");
    assert_request(streams, "e", "{\"level\":\"INFO\",\"requestId\":\"" FIRST "\"}", FIRST);
    assert_request(streams, "f",
                   "{\"type\":\"platform.start\",\"record\":{\"requestId\":\"" SECOND "\"}}",
                   SECOND);
    assert_request(streams, "g", "{\"requestId\":\"" FIRST, "");
    free(streams);
}

static void streams_unused_for_longest_are_forgotten_first(void **state)
{
    (void)state;
    struct log_streams *streams = calloc(1, sizeof *streams);
    char name[16];
    assert_non_null(streams);
    assert_request(streams, "first", "START RequestId: " FIRST " ", FIRST);
    for (int i = 0; i < LOG_STREAMS_KEPT - 1; i++) {
        snprintf(name, sizeof name, "s%d", i);
        assert_request(streams, name, "START RequestId: " SECOND " ", SECOND);
    }
    assert_request(streams, "first", "still known", FIRST);
    assert_request(streams, "one more", "takes the place of s0", "");
    assert_request(streams, "s1", "still known", SECOND);
    assert_request(streams, "s0", "forgotten", "");
    free(streams);
}

static void long_ids_are_cut(void **state)
{
    (void)state;
    struct log_streams *streams = calloc(1, sizeof *streams);
    char message[200];
    assert_non_null(streams);
    snprintf(message, sizeof message, "START RequestId: %0100d Version: 1", 0);
    assert_int_equal(request(streams, "a", message).length, LOG_REQUEST_SIZE - 1);
    free(streams);
}

static void the_name_of_a_stream_holds_the_version(void **state)
{
    (void)state;
    assert_true(view_equal_string(log_stream_version(VIEW("2026/01/02/[3]0123")), "3"));
    assert_true(view_equal_string(log_stream_version(VIEW("2026/01/02/[$LATEST]0")), "$LATEST"));
    assert_true(view_equal_string(log_stream_version(VIEW("2026/01/02/name[12]ab")), "12"));
    assert_int_equal(log_stream_version(VIEW("none")).length, 0);
    assert_int_equal(log_stream_version(VIEW("]3[")).length, 0);
    assert_int_equal(log_stream_version(VIEW("[3")).length, 0);
    assert_int_equal(log_stream_version(VIEW("")).length, 0);
}

static void cursors_come_back_as_they_were(void **state)
{
    (void)state;
    char text[LOG_CURSOR_SIZE], longest[LOG_CURSOR_MAX_ID + 2];
    int64_t time_ms = 0;
    struct view id;
    assert_true(log_cursor_write(text, NOW, VIEW("38-a_b.c")));
    assert_string_equal(text, "1767323045678-38-a_b.c");
    assert_true(log_cursor_read(view_of(text), &time_ms, &id));
    assert_int_equal(time_ms, NOW);
    assert_true(view_equal_string(id, "38-a_b.c"));
    memset(longest, 'x', sizeof longest);
    assert_true(log_cursor_write(text, INT64_MAX, view_from(longest, LOG_CURSOR_MAX_ID)));
    assert_true(log_cursor_read(view_of(text), &time_ms, &id));
    assert_false(log_cursor_write(text, NOW, view_from(longest, LOG_CURSOR_MAX_ID + 1)));
    assert_false(log_cursor_write(text, NOW, VIEW("")));
    assert_false(log_cursor_write(text, NOW, VIEW("a\nb")));
    assert_false(log_cursor_write(text, -1, VIEW("a")));
    static const char *const wrong[] = {
        "", "-", "1-", "-a", "x-a", "12", "9223372036854775808-a", "1-a b", "1-a\tb"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(log_cursor_read(view_of(wrong[i]), &time_ms, &id));
}

static void since_is_a_time_or_how_long_ago(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t time_ms;
    } good[] = {{"90s", NOW - 90000},
                {"0s", NOW},
                {"15m", NOW - 15 * 60000},
                {"2h", NOW - 2 * 3600000},
                {"1d", NOW - 86400000},
                {"100000000d", 0},
                {"2026-01-02T03:04:05.678Z", NOW},
                {"2026-01-02T04:04:05.678+01:00", NOW},
                {"1969-12-31T23:59:59Z", 0}};
    static const char *const wrong[] = {"",   "s",    "m",    "10",  "-5m",        "5 m",
                                        "5w", "1.5h", "5m5s", "+5m", "100000001d", "yesterday"};
    int64_t time_ms = 0;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(log_since_read(view_of(good[i].text), NOW, &time_ms));
        assert_int_equal(time_ms, good[i].time_ms);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(log_since_read(view_of(wrong[i]), NOW, &time_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_new_once),
        cmocka_unit_test(no_line_is_told_twice_however_many_there_were),
        cmocka_unit_test(lines_belong_to_the_invocation_that_their_sandbox_is_at),
        cmocka_unit_test(streams_unused_for_longest_are_forgotten_first),
        cmocka_unit_test(long_ids_are_cut),
        cmocka_unit_test(the_name_of_a_stream_holds_the_version),
        cmocka_unit_test(cursors_come_back_as_they_were),
        cmocka_unit_test(since_is_a_time_or_how_long_ago),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
