/* Writes and reads tagged fields: exact bytes, every bound, the critical tags. */
#include "common/store/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void fields_are_big_endian_with_tag_and_length(void **state)
{
    static const uint8_t expected[] = {
        1,                                               /* format */
        0,    1, 0, 0, 0, 8, 1,   2,   3, 4, 5, 6, 7, 8, /* u64 */
        0,    2, 0, 0, 0, 4, 1,   2,   3, 4,             /* u32 */
        0,    3, 0, 0, 0, 2, 1,   2,                     /* u16 */
        0,    4, 0, 0, 0, 1, 255,                        /* u8 */
        0x80, 5, 0, 0, 0, 2, 'h', 'i',                   /* text */
        0,    6, 0, 0, 0, 7, 0,   1,   0, 0, 0, 1, 9,    /* nested */
        0,    7, 0, 0, 0, 0,                             /* nested, empty */
    };
    struct buffer out;
    size_t position;

    (void)state;
    buffer_init(&out, 1000);
    codec_begin(&out);
    codec_put_u64(&out, 1, 0x0102030405060708);
    codec_put_u32(&out, 2, 0x01020304);
    codec_put_u16(&out, 3, 0x0102);
    codec_put_u8(&out, 4, 255);
    codec_put_text(&out, 0x8005, VIEW("hi"));
    position = codec_open(&out, 6);
    codec_put_u8(&out, 1, 9);
    codec_close(&out, position);
    codec_close(&out, codec_open(&out, 7));
    assert_int_equal(out.length, sizeof(expected));
    assert_memory_equal(out.data, expected, sizeof(expected));
    buffer_release(&out);
}

static void what_was_written_is_read_in_order(void **state)
{
    struct codec_reader reader, inner;
    struct buffer out;
    struct view field;
    size_t position;
    uint16_t tag;

    (void)state;
    buffer_init(&out, 1000);
    codec_begin(&out);
    codec_put_u64(&out, 1, UINT64_MAX);
    codec_put_u32(&out, 2, UINT32_MAX);
    codec_put_u16(&out, 3, UINT16_MAX);
    codec_put_u8(&out, 4, 0);
    codec_put_text(&out, 5, VIEW(""));
    position = codec_open(&out, 6);
    codec_put_text(&out, 1, VIEW("in\0side"));
    codec_close(&out, position);
    codec_read(&reader, buffer_view(&out));
    assert_true(codec_next(&reader, &tag, &field) && tag == 1);
    assert_true(codec_u64(&reader, field) == UINT64_MAX);
    assert_true(codec_next(&reader, &tag, &field) && tag == 2);
    assert_true(codec_u32(&reader, field) == UINT32_MAX);
    assert_true(codec_next(&reader, &tag, &field) && tag == 3);
    assert_true(codec_u16(&reader, field) == UINT16_MAX);
    assert_true(codec_next(&reader, &tag, &field) && tag == 4);
    assert_int_equal(codec_u8(&reader, field), 0);
    assert_true(codec_next(&reader, &tag, &field) && tag == 5 && field.length == 0);
    assert_true(codec_next(&reader, &tag, &field) && tag == 6);
    codec_read_nested(&inner, field);
    assert_true(codec_next(&inner, &tag, &field) && tag == 1);
    assert_true(view_equal(field, VIEW("in\0side")));
    assert_false(codec_next(&inner, &tag, &field));
    assert_false(codec_next(&reader, &tag, &field));
    assert_int_equal(reader.error, ERROR_NONE);
    assert_int_equal(inner.error, ERROR_NONE);
    buffer_release(&out);
}

static void every_shorter_copy_of_a_record_is_damaged_or_ends_between_fields(void **state)
{
    struct buffer out;
    size_t whole = 0;

    (void)state;
    buffer_init(&out, 1000);
    codec_begin(&out);
    codec_put_u32(&out, 1, 1);
    codec_put_text(&out, 2, VIEW("text"));
    for (size_t length = 0; length <= out.length; length++) {
        struct codec_reader reader;
        struct view field;
        uint16_t tag;

        codec_read(&reader, view_from(out.data, length));
        while (codec_next(&reader, &tag, &field))
            ;
        if (reader.error == ERROR_NONE)
            whole++;
        else
            assert_int_equal(reader.error, ERROR_DAMAGED);
    }
    assert_int_equal(whole, 3); /* after the format byte and after each field */
    buffer_release(&out);
}

static void a_number_of_another_width_is_damaged(void **state)
{
    struct codec_reader reader = {.rest = {NULL, 0}};

    (void)state;
    assert_int_equal(codec_u32(&reader, VIEW("12345")), 0);
    assert_int_equal(reader.error, ERROR_DAMAGED);
    reader.error = ERROR_NONE;
    assert_int_equal(codec_u64(&reader, VIEW("")), 0);
    assert_int_equal(reader.error, ERROR_DAMAGED);
    assert_int_equal(codec_u8(&reader, VIEW("1")), 0); /* the error sticks */
}

static void unknown_tags_are_skipped_and_critical_ones_are_not(void **state)
{
    struct codec_reader reader = {.rest = {NULL, 0}};

    (void)state;
    codec_unknown(&reader, 0x7fff);
    assert_int_equal(reader.error, ERROR_NONE);
    codec_unknown(&reader, 0x8000);
    assert_int_equal(reader.error, ERROR_FROM_FUTURE);
}

static void the_format_byte_tells_damage_from_the_future(void **state)
{
    struct codec_reader reader;

    (void)state;
    codec_read(&reader, VIEW("\2"));
    assert_int_equal(reader.error, ERROR_FROM_FUTURE);
    codec_read(&reader, VIEW("\0"));
    assert_int_equal(reader.error, ERROR_DAMAGED);
    codec_read(&reader, (struct view){NULL, 0});
    assert_int_equal(reader.error, ERROR_DAMAGED);
    codec_read(&reader, VIEW("\1"));
    assert_int_equal(reader.error, ERROR_NONE);
}

static void a_buffer_that_is_too_small_keeps_its_error_through_nesting(void **state)
{
    (void)state;
    for (size_t ceiling = 0; ceiling < 20; ceiling++) {
        struct buffer out;
        size_t position;

        buffer_init(&out, ceiling);
        codec_begin(&out);
        position = codec_open(&out, 1);
        codec_put_u64(&out, 1, 1);
        codec_close(&out, position);
        assert_int_equal(out.error, ERROR_TOO_BIG);
        buffer_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_big_endian_with_tag_and_length),
        cmocka_unit_test(what_was_written_is_read_in_order),
        cmocka_unit_test(every_shorter_copy_of_a_record_is_damaged_or_ends_between_fields),
        cmocka_unit_test(a_number_of_another_width_is_damaged),
        cmocka_unit_test(unknown_tags_are_skipped_and_critical_ones_are_not),
        cmocka_unit_test(the_format_byte_tells_damage_from_the_future),
        cmocka_unit_test(a_buffer_that_is_too_small_keeps_its_error_through_nesting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
