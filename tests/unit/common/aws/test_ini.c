/* Reads INI files as the SDKs do: sections, keys, values that go on, and words of a command line. */
#include "common/aws/ini.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena arena;
    struct buffer problem;
    struct ini ini;
};

static struct fixture fixture;

static int set_up(void **state)
{
    (void)state;
    arena_init(&fixture.arena, 65536);
    buffer_init(&fixture.problem, 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&fixture.arena);
    buffer_release(&fixture.problem);
    return 0;
}

static enum error parse(const char *text)
{
    return ini_parse(view_of(text), &fixture.arena, &fixture.ini, &fixture.problem);
}

static void expect_entry(const char *section, const char *key, const char *value)
{
    struct view found;

    assert_true(ini_get(&fixture.ini, ini_section(&fixture.ini, view_of(section)), key, &found));
    assert_int_equal(found.length, strlen(value));
    assert_memory_equal(found.data ? found.data : "", value, found.length);
}

static void expect_refusal(const char *text, const char *sentence)
{
    buffer_clear(&fixture.problem);
    assert_int_equal(parse(text), ERROR_INVALID);
    assert_string_equal(fixture.problem.data, sentence);
}

static void keys_are_lower_case_and_values_are_trimmed(void **state)
{
    (void)state;
    assert_int_equal(parse("[a]\n Key =  v \t\n[b]\r\nother:x = y\r\nempty=\n"), ERROR_NONE);
    expect_entry("a", "key", "v");
    expect_entry("b", "other", "x = y");
    expect_entry("b", "empty", "");
}

static void lines_that_are_indented_more_go_on_with_a_value(void **state)
{
    struct view value, nested;

    (void)state;
    assert_int_equal(parse("[a]\ns3 =\n  x = 1\n\n  y = 2\n  # not this\nk = v\n"), ERROR_NONE);
    expect_entry("a", "s3", "\nx = 1\n\ny = 2");
    expect_entry("a", "k", "v");
    assert_true(ini_get(&fixture.ini, ini_section(&fixture.ini, VIEW("a")), "s3", &value));
    assert_true(ini_nested(value, "y", &nested));
    assert_true(view_equal(nested, VIEW("2")));
    assert_false(ini_nested(value, "z", &nested));
    assert_false(ini_nested(VIEW("y = 2"), "y", &nested));
}

static void the_section_DEFAULT_lends_its_keys(void **state)
{
    struct view value;

    (void)state;
    assert_int_equal(parse("[a]\nk = own\n[DEFAULT]\nk = lent\nl = lent\n[DEFAULT]\nm = lent\n"),
                     ERROR_NONE);
    expect_entry("a", "k", "own");
    expect_entry("a", "l", "lent");
    expect_entry("a", "m", "lent");
    assert_false(ini_get(&fixture.ini, ini_section(&fixture.ini, VIEW("b")), "l", &value));
}

static void what_is_wrong_is_told_with_its_line_and_nothing_of_its_text(void **state)
{
    (void)state;
    expect_refusal("# x\nsecret = 1\n", "line 2 comes before the first [section]");
    expect_refusal("[a]\nsecret\n", "line 2 is neither a section, nor a key with a value");
    expect_refusal("[a]\n= secret\n", "line 2 has no key");
    expect_refusal("[a]\nk = 1\nK = 2\n", "line 3 sets a key that was set before in this section");
    expect_refusal("[a]\n\n[a]\n", "line 3 begins a section that was there before");
}

static void an_arena_that_is_too_small_is_an_error(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096);
    char text[9000] = "[a]\nk = ";
    memset(text + 8, 'x', sizeof text - 9);
    assert_int_equal(ini_parse(view_of(text), &arena, &fixture.ini, &fixture.problem),
                     ERROR_TOO_BIG);
    arena_release(&arena);
}

static void expect_words(const char *text, const char *const *expected)
{
    char **words;
    size_t count;

    assert_int_equal(ini_words(view_of(text), &fixture.arena, &words, &count), ERROR_NONE);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(words[i], expected[i]);
    assert_null(words[count]);
    assert_null(expected[count]);
}

static void words_are_split_as_a_shell_does(void **state)
{
    char **words;
    size_t count;

    (void)state;
    expect_words(" /bin/x  'a b' \"c \\\"d\\\\ \\e\" f\\ g\"h\"'i' \"\" ",
                 (const char *const[]){"/bin/x", "a b", "c \"d\\ \\e", "f ghi", "", NULL});
    expect_words("", (const char *const[]){NULL});
    assert_int_equal(ini_words(VIEW("a 'b"), &fixture.arena, &words, &count), ERROR_INVALID);
    assert_int_equal(ini_words(VIEW("a \\"), &fixture.arena, &words, &count), ERROR_INVALID);
}

static void too_many_words_are_an_error(void **state)
{
    char text[2 * INI_MAX_WORDS + 2] = "";
    char **words;
    size_t count;

    (void)state;
    for (size_t i = 0; i < INI_MAX_WORDS; i++)
        memcpy(text + 2 * i, "a ", 2);
    assert_int_equal(ini_words(view_of(text), &fixture.arena, &words, &count), ERROR_NONE);
    assert_int_equal(count, INI_MAX_WORDS);
    text[2 * INI_MAX_WORDS] = 'a';
    assert_int_equal(ini_words(view_of(text), &fixture.arena, &words, &count), ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_lower_case_and_values_are_trimmed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(lines_that_are_indented_more_go_on_with_a_value, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_section_DEFAULT_lends_its_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_told_with_its_line_and_nothing_of_its_text,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_arena_that_is_too_small_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_are_split_as_a_shell_does, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_many_words_are_an_error, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
