/* Tests of views and of buffers with a ceiling. */
#include "tests/unit/common/base/check.h"

static void an_append_beyond_the_ceiling_appends_nothing(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, 5);
    buffer_append_string(&buffer, "abc");
    buffer_append_string(&buffer, "def");
    assert_int_equal(buffer.error, ERROR_TOO_BIG);
    check_buffer(&buffer, "abc");
    buffer_append_byte(&buffer, 'd'); /* it would fit, but the error sticks */
    check_buffer(&buffer, "abc");
    buffer_clear(&buffer);
    assert_int_equal(buffer.error, ERROR_NONE);
    buffer_append_string(&buffer, "abcde"); /* exactly the ceiling */
    assert_int_equal(buffer.error, ERROR_NONE);
    check_buffer(&buffer, "abcde");
    buffer_release(&buffer);
}

static void a_buffer_without_room_for_a_number_gets_no_part_of_it(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, 3);
    buffer_append_i64(&buffer, -123);
    assert_int_equal(buffer.length, 0);
    buffer_clear(&buffer);
    buffer_append_format(&buffer, "%s", "four");
    assert_int_equal(buffer.length, 0);
    assert_int_equal(buffer.error, ERROR_TOO_BIG);
    buffer_release(&buffer);
}

static void a_ceiling_of_zero_takes_empty_appends_only(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, 0);
    buffer_append(&buffer, NULL, 0);
    assert_int_equal(buffer.error, ERROR_NONE);
    buffer_append_byte(&buffer, 'x');
    assert_int_equal(buffer.error, ERROR_TOO_BIG);
    buffer_release(&buffer);
}

static void an_append_of_an_absurd_length_is_refused_without_overflow(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, SIZE_MAX / 2 - 1);
    buffer_append_string(&buffer, "abc");
    assert_null(buffer_reserve(&buffer, SIZE_MAX - 1));
    assert_int_equal(buffer.error, ERROR_TOO_BIG);
    buffer_release(&buffer);
}

static void a_buffer_keeps_a_nul_behind_its_last_byte(void **state)
{
    struct buffer buffer;
    char *room;

    (void)state;
    buffer_init(&buffer, 1000);
    for (int i = 0; i < 300; i++) {
        buffer_append_byte(&buffer, 'x');
        assert_int_equal(buffer.data[buffer.length], '\0');
    }
    room = buffer_reserve(&buffer, 10);
    memset(room, 'y', 10);
    buffer_commit(&buffer, 4);
    assert_int_equal(buffer.length, 304);
    assert_int_equal(strlen(buffer.data), 304);
    buffer_release(&buffer);
}

static void numbers_are_written_whole_at_their_limits(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, 1000);
    buffer_append_u64(&buffer, 0);
    buffer_append_byte(&buffer, ' ');
    buffer_append_u64(&buffer, UINT64_MAX);
    buffer_append_byte(&buffer, ' ');
    buffer_append_i64(&buffer, INT64_MIN);
    buffer_append_byte(&buffer, ' ');
    buffer_append_i64(&buffer, INT64_MAX);
    check_buffer(&buffer, "0 18446744073709551615 -9223372036854775808 9223372036854775807");
    buffer_release(&buffer);
}

static void consuming_removes_from_the_front(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, 100);
    buffer_consume(&buffer, 0);
    buffer_append_string(&buffer, "hello world");
    buffer_consume(&buffer, 6);
    check_buffer(&buffer, "world");
    buffer_consume(&buffer, 5);
    assert_int_equal(buffer.length, 0);
    buffer_append_string(&buffer, "again");
    assert_string_equal(buffer.data, "again");
    buffer_release(&buffer);
}

static void taking_gives_the_bytes_away_and_leaves_an_empty_buffer(void **state)
{
    struct buffer buffer;
    size_t length = 99;
    char *taken;

    (void)state;
    buffer_init(&buffer, 100);
    taken = buffer_take(&buffer, &length);
    assert_string_equal(taken, "");
    assert_int_equal(length, 0);
    free(taken);
    buffer_append_string(&buffer, "mine");
    taken = buffer_take(&buffer, &length);
    assert_string_equal(taken, "mine");
    assert_int_equal(length, 4);
    assert_null(buffer.data);
    assert_int_equal(buffer.ceiling, 100);
    free(taken);
}

static void views_compare_by_bytes_and_length(void **state)
{
    struct view none = {NULL, 0};

    (void)state;
    assert_true(view_equal(none, VIEW("")));
    assert_true(view_equal(VIEW("a\0b"), VIEW("a\0b")));
    assert_false(view_equal(VIEW("a\0b"), VIEW("a\0c")));
    assert_false(view_equal_string(VIEW("abc"), "ab"));
    assert_true(view_equal_nocase(VIEW("Content-TYPE"), VIEW("content-type")));
    assert_false(view_equal_nocase(VIEW("a"), VIEW("ab")));
    assert_true(view_compare(VIEW("a"), VIEW("ab")) < 0);
    assert_true(view_compare(VIEW("b"), VIEW("ab")) > 0);
    assert_true(view_compare(VIEW("\xFF"), VIEW("a")) > 0); /* bytes are unsigned */
    assert_int_equal(view_compare(none, VIEW("")), 0);
    assert_true(view_starts_with(VIEW("abc"), VIEW("")));
    assert_false(view_starts_with(VIEW("ab"), VIEW("abc")));
    assert_true(view_ends_with(VIEW("abc"), VIEW("bc")));
    assert_false(view_ends_with(VIEW("bc"), VIEW("abc")));
}

static void a_slice_is_clamped_to_the_view(void **state)
{
    (void)state;
    check_view(view_slice(VIEW("hello"), 1, 3), "ell");
    check_view(view_slice(VIEW("hello"), 3, SIZE_MAX), "lo");
    check_view(view_slice(VIEW("hello"), 9, 3), "");
    check_view(view_slice((struct view){NULL, 0}, 1, 1), "");
}

static void splitting_gives_empty_parts_too(void **state)
{
    struct view rest = VIEW("a,,b,"), part;

    (void)state;
    assert_true(view_split(&rest, ',', &part));
    check_view(part, "a");
    assert_true(view_split(&rest, ',', &part));
    check_view(part, "");
    assert_true(view_split(&rest, ',', &part));
    check_view(part, "b");
    assert_true(view_split(&rest, ',', &part));
    check_view(part, "");
    assert_false(view_split(&rest, ',', &part));
    rest = VIEW("");
    assert_true(view_split(&rest, ',', &part));
    check_view(part, "");
    assert_false(view_split(&rest, ',', &part));
}

static void trimming_removes_spaces_and_tabs_only(void **state)
{
    (void)state;
    check_view(view_trim(VIEW(" \t a b\t ")), "a b");
    check_view(view_trim(VIEW(" \t ")), "");
    check_view(view_trim(VIEW("\na\r")), "\na\r");
}

static void digits_are_read_strictly(void **state)
{
    static const struct {
        const char *text;
        uint64_t max;
        enum error error;
        uint64_t value;
    } rows[] = {
        {"0", 0, ERROR_NONE, 0},
        {"0042", 42, ERROR_NONE, 42},
        {"43", 42, ERROR_TOO_BIG, 0},
        {"18446744073709551615", UINT64_MAX, ERROR_NONE, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, ERROR_TOO_BIG, 0},
        {"99999999999999999999999999", UINT64_MAX, ERROR_TOO_BIG, 0},
        {"", 9, ERROR_INVALID, 0},
        {"-1", 9, ERROR_INVALID, 0},
        {"+1", 9, ERROR_INVALID, 0},
        {" 1", 9, ERROR_INVALID, 0},
        {"1 ", 9, ERROR_INVALID, 0},
        {"0x1", 9, ERROR_INVALID, 0},
        {"1:", 99, ERROR_INVALID, 0}, /* ":" follows "9" in ASCII */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t value = 0;

        assert_int_equal(view_to_u64(view_of(rows[i].text), rows[i].max, &value), rows[i].error);
        assert_true(value == rows[i].value);
    }
}

static void a_duplicate_ends_in_nul_and_keeps_every_byte(void **state)
{
    char *copy = view_duplicate(VIEW("a\0b"));

    (void)state;
    assert_memory_equal(copy, "a\0b", 4);
    free(copy);
    copy = view_duplicate((struct view){NULL, 0});
    assert_string_equal(copy, "");
    free(copy);
}

static void finding_a_byte_gives_its_first_place(void **state)
{
    (void)state;
    assert_int_equal(view_find(VIEW("abcabc"), 'c'), 2);
    assert_true(view_find(VIEW("abc"), 'x') == SIZE_MAX);
    assert_true(view_find((struct view){NULL, 0}, 'x') == SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_append_beyond_the_ceiling_appends_nothing),
        cmocka_unit_test(a_buffer_without_room_for_a_number_gets_no_part_of_it),
        cmocka_unit_test(a_ceiling_of_zero_takes_empty_appends_only),
        cmocka_unit_test(an_append_of_an_absurd_length_is_refused_without_overflow),
        cmocka_unit_test(a_buffer_keeps_a_nul_behind_its_last_byte),
        cmocka_unit_test(numbers_are_written_whole_at_their_limits),
        cmocka_unit_test(consuming_removes_from_the_front),
        cmocka_unit_test(taking_gives_the_bytes_away_and_leaves_an_empty_buffer),
        cmocka_unit_test(views_compare_by_bytes_and_length),
        cmocka_unit_test(a_slice_is_clamped_to_the_view),
        cmocka_unit_test(splitting_gives_empty_parts_too),
        cmocka_unit_test(trimming_removes_spaces_and_tabs_only),
        cmocka_unit_test(digits_are_read_strictly),
        cmocka_unit_test(a_duplicate_ends_in_nul_and_keeps_every_byte),
        cmocka_unit_test(finding_a_byte_gives_its_first_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
