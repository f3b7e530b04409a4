/* Tests of the check whether an event is JSON. */
#include "tests/unit/deploy/lambda-local/check.h"

#include "deploy/lambda-local/payload.h"

static void what_is_json_passes(void **state)
{
    static const char *const good[] = {"{}",
                                       "[]",
                                       "0",
                                       "-0",
                                       "1.5e+10",
                                       "1E5",
                                       "\"\"",
                                       "\"\\u0000\\\\\\\"\\n\"",
                                       "true",
                                       "false",
                                       "null",
                                       " \t\r\n{ \"a\" : [ 1 , { } , [ ] ] , \"a\" : 2 } ",
                                       "[[[[]]]]",
                                       "123456789012345678901234567890",
                                       "\"\xc3\xbc\xf0\x9f\x98\x80\"",
                                       "{\"\":{\"\":\"\"}}"};
    size_t offset;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(payload_check(view_of(good[i]), &offset), ERROR_NONE);
}

static void what_is_none_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text;
        size_t offset;
    } rows[] = {
        {"{", 1},           {"}", 0},      {"[1,]", 3},       {"[1 2]", 3},
        {"{\"a\"}", 4},     {"{a:1}", 1},  {"{}x", 2},        {"01", 1},
        {"1.", 2},          {"-", 1},      {"1e", 2},         {"nul", 0},
        {"'a'", 0},         {"\"a", 2},    {"\"\\x\"", 3},    {"", 0},
        {" ", 1},           {"\"\n\"", 1}, {"{\"a\":1,}", 7}, {"tru e", 0},
        {"\"\\u12g4\"", 5},
    };
    size_t offset;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(payload_check(view_of(rows[i].text), &offset), ERROR_INVALID);
        if (offset != rows[i].offset)
            fail_msg("%s: %zu instead of %zu", rows[i].text, offset, rows[i].offset);
    }
}

static void a_nul_byte_is_no_escape(void **state)
{
    size_t offset;

    (void)state;
    assert_int_equal(payload_check(view_from("\"\\\0\"", 4), &offset), ERROR_INVALID);
    assert_int_equal(payload_check(view_from("\0", 1), &offset), ERROR_INVALID);
}

static void bytes_that_are_no_utf_8_are_refused(void **state)
{
    size_t offset;

    (void)state;
    assert_int_equal(payload_check(VIEW("\"\xff\""), &offset), ERROR_INVALID);
    assert_int_equal(payload_check(VIEW("\"\xed\xa0\x80\""), &offset), ERROR_INVALID);
}

static void nesting_has_an_end(void **state)
{
    char text[2 * (PAYLOAD_MAX_DEPTH + 1)];
    size_t offset;

    (void)state;
    memset(text, '[', PAYLOAD_MAX_DEPTH + 1);
    memset(text + PAYLOAD_MAX_DEPTH + 1, ']', PAYLOAD_MAX_DEPTH + 1);
    /* The innermost [] is closed at once and needs no place of its own. */
    assert_int_equal(payload_check(view_from(text, sizeof text), &offset), ERROR_NONE);
    memset(text, '[', sizeof text);
    assert_int_equal(payload_check(view_from(text, sizeof text), &offset), ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json_passes),
        cmocka_unit_test(what_is_none_is_refused_with_its_place),
        cmocka_unit_test(a_nul_byte_is_no_escape),
        cmocka_unit_test(bytes_that_are_no_utf_8_are_refused),
        cmocka_unit_test(nesting_has_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
