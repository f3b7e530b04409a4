/* Tests of a record's form in state: what was written is read, anything else is damaged. */
#include "managerd/state_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define KEY  VIEW("apps/hello")
#define TEXT VIEW("{\"name\":\"hello\",\"memoryMb\":128}")

static void what_was_written_is_read(void **state)
{
    struct buffer record;
    struct view text;
    uint64_t revision;
    (void)state;
    buffer_init(&record, 1000);
    state_record_write(&record, KEY, UINT64_C(0x0102030405060708), TEXT);
    assert_int_equal(record.length, TEXT.length + STATE_RECORD_OVERHEAD);
    assert_true(state_record_read(KEY, buffer_view(&record), &revision, &text));
    assert_true(revision == UINT64_C(0x0102030405060708) && view_equal(text, TEXT));
    assert_true(state_record_whole(KEY, buffer_view(&record), &revision));
    buffer_release(&record);
}

static void no_changed_bit_cut_or_other_key_is_read(void **state)
{
    struct buffer record;
    struct view text;
    uint64_t revision;
    (void)state;
    buffer_init(&record, 1000);
    state_record_write(&record, KEY, 7, TEXT);
    for (size_t bit = 0; bit < record.length * 8; bit++) {
        record.data[bit / 8] = (char)(record.data[bit / 8] ^ 1 << bit % 8);
        assert_false(state_record_whole(KEY, buffer_view(&record), &revision));
        record.data[bit / 8] = (char)(record.data[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t length = 0; length < record.length; length++) {
        struct view cut = view_slice(buffer_view(&record), 0, length);
        /* Cut right behind the text it looks as records did before the sums: as good as those. */
        if (length != 8 + TEXT.length)
            assert_false(state_record_whole(KEY, cut, &revision));
    }
    assert_false(state_record_read(VIEW("apps/hallo"), buffer_view(&record), &revision, &text));
    buffer_release(&record);
}

static void a_record_of_before_the_sums_is_read(void **state)
{
    struct view text;
    uint64_t revision;
    (void)state;
    struct view old = VIEW("\0\0\0\0\0\0\0\x05{\"a\":1}");
    assert_true(state_record_read(KEY, old, &revision, &text));
    assert_true(revision == 5 && view_equal(text, VIEW("{\"a\":1}")));
    assert_true(state_record_whole(KEY, old, &revision));
    assert_false(state_record_whole(KEY, VIEW("\0\0\0\0\0\0\0\x05{\"a\":1"), &revision));
    assert_false(state_record_read(KEY, VIEW("\0\0\0\0\0\0\0"), &revision, &text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(no_changed_bit_cut_or_other_key_is_read),
        cmocka_unit_test(a_record_of_before_the_sums_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
