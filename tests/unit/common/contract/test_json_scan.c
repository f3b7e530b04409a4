/* Tests of the walk over JSON: what it takes, what it gives out, and what strings mean. */
#include "tests/unit/common/contract/vectors.h"

#include "common/base/escape.h"
#include "common/contract/json_scan.h"

static bool is_json(const char *text)
{
    struct json_scan scan;
    struct json_part part;

    json_scan_begin(&scan, view_of(text));
    return json_scan_value(&scan, &part) && json_scan_done(&scan);
}

static void values_of_every_type_are_taken(void **state)
{
    static const char *const texts[] = {
        "0",         "-0",          "10",
        "-1.5",      "1e5",         "1E+5",
        "1.25e-7",   "\"\"",        "\"a\"",
        "true",      "null",        "false",
        "[]",        "{}",          " [ ] ",
        "[1]",       "[1,2]",       "{\"a\":1}",
        "[[]]",      "[{}]",        "\t1\n",
        "[[],1]",    "[{},[]]",     "{\"a\":{}}",
        "{\"\":[]}", "\"\\u0000\"", "{\"a\":1,\"a\":2}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (!is_json(texts[i]))
            fail_msg("refused %s", texts[i]);
}

static void what_is_no_json_is_refused(void **state)
{
    static const char *const texts[] = {
        "",          " ",         "-",           "01",       "1.",         ".5",     "1e",
        "1e+",       "+1",        "tru",         "truex",    "nul",        "True",   "[",
        "]",         "[1",        "[1,",         "[1,]",     "[,1]",       "[1 2]",  "[1]]",
        "{",         "}",         "{\"a\"}",     "{\"a\":}", "{\"a\":1,}", "{a:1}",  "{1:1}",
        "{\"a\" 1}", "{\"a\":1]", "[1}",         "\"",       "\"a",        "\"\\\"", "\"\\",
        "\"\\q\"",   "\"\\u12\"", "\"\\u12x4\"", "\"\n\"",   "1 2",        "[[}]",   "{[]:1}",
        "\"a\"b",    "[\"a\":1]", "//",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (is_json(texts[i]))
            fail_msg("took %s", texts[i]);
}

static void nesting_has_a_limit(void **state)
{
    char text[2 * JSON_SCAN_MAX_DEPTH + 3];

    (void)state;
    memset(text, 0, sizeof(text));
    memset(text, '[', JSON_SCAN_MAX_DEPTH);
    memset(text + JSON_SCAN_MAX_DEPTH, ']', JSON_SCAN_MAX_DEPTH);
    assert_true(is_json(text));
    memset(text, '[', JSON_SCAN_MAX_DEPTH + 1);
    memset(text + JSON_SCAN_MAX_DEPTH + 1, ']', JSON_SCAN_MAX_DEPTH + 1);
    assert_false(is_json(text));
}

static void members_come_out_as_parts_of_the_text(void **state)
{
    struct json_scan scan, inner;
    struct json_part whole, name, value;

    (void)state;
    json_scan_begin(&scan, VIEW(" {\"a\" : [1, \"x\\n\"] , \"b\":{\"c\":null}} "));
    assert_true(json_scan_value(&scan, &whole) && json_scan_done(&scan));
    assert_int_equal(whole.type, JSON_OBJECT);
    json_scan_enter(&scan, &whole);
    assert_true(json_scan_next(&scan, &name, &value));
    assert_true(json_scan_equals(&name, "a"));
    assert_int_equal(value.type, JSON_ARRAY);
    check_view(value.text, "[1, \"x\\n\"]");
    json_scan_enter(&inner, &value);
    assert_true(json_scan_next(&inner, NULL, &value));
    assert_int_equal(value.type, JSON_NUMBER);
    check_view(value.text, "1");
    assert_true(json_scan_next(&inner, NULL, &value));
    check_view(value.text, "x\\n");
    assert_true(value.escaped);
    assert_false(json_scan_next(&inner, NULL, &value));
    assert_false(inner.broken);
    assert_true(json_scan_next(&scan, &name, &value));
    check_view(value.text, "{\"c\":null}");
    assert_false(json_scan_next(&scan, &name, &value));
    assert_false(scan.broken);
}

static void check_meaning(const char *text, struct view meaning)
{
    struct json_scan scan;
    struct json_part part;
    char to[200];

    json_scan_begin(&scan, view_of(text));
    assert_true(json_scan_value(&scan, &part) && json_scan_done(&scan));
    assert_int_equal(part.type, JSON_STRING);
    assert_true(part.text.length <= sizeof(to));
    check_same(view_from(to, json_scan_unescape(&part, to)), meaning, __FILE__, __LINE__);
}

static void strings_mean_what_their_escapes_say(void **state)
{
    (void)state;
    check_meaning("\"\"", VIEW(""));
    check_meaning("\"plain text that is longer than a word\"",
                  VIEW("plain text that is longer than a word"));
    check_meaning("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", VIEW("\"\\/\b\f\n\r\t"));
    check_meaning("\"a\\u0000b\"", VIEW("a\0b"));
    check_meaning("\"\\u007f\\u0080\\u07FF\\u0800\\uffff\"",
                  VIEW("\x7f\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF"));
    check_meaning("\"\\uD800\\uDC00\\udbff\\udfff\"", VIEW("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"));
    check_meaning("\"\\ud800\"", VIEW("\xEF\xBF\xBD"));
    check_meaning("\"\\udc00\\ud800\"", VIEW("\xEF\xBF\xBD\xEF\xBF\xBD"));
    check_meaning("\"\\ud800\\u0041\"", VIEW("\xEF\xBF\xBD"
                                             "A"));
    check_meaning("\"\\ud800\\n\"", VIEW("\xEF\xBF\xBD\n"));
}

static void unescaping_over_itself_is_fine(void **state)
{
    char text[] = "\"a\\nbc\\u00e9\\ud83d\\ude00 and some more text\"";
    struct json_scan scan;
    struct json_part part;
    size_t length;

    (void)state;
    json_scan_begin(&scan, view_of(text));
    assert_true(json_scan_value(&scan, &part));
    length = json_scan_unescape(&part, text + 1);
    check_view(view_from(text + 1, length), "a\nbc\xC3\xA9\xF0\x9F\x98\x80 and some more text");
}

/* Texts of every length around that of a block, full of what needs an escape, in memory of exactly their size. */
static void what_was_escaped_means_the_same_again(void **state)
{
    static const char *const pieces[] = {
        "\"", "\\", "\n", "\x01", "a", "bcd", "efghijklmnopqrst", "\xC3\xA9", "\xF0\x9F\x98\x80",
        "/"};
    struct buffer text, quoted;

    (void)state;
    srandom(7);
    buffer_init(&text, 4096);
    buffer_init(&quoted, 16384);
    for (int round = 0; round < 20000; round++) {
        buffer_clear(&text);
        for (long left = random() % 30; left > 0; left--)
            buffer_append_string(&text,
                                 pieces[(size_t)random() % (sizeof(pieces) / sizeof(*pieces))]);
        buffer_clear(&quoted);
        buffer_append_byte(&quoted, '"');
        json_escape(&quoted, buffer_view(&text));
        buffer_append_byte(&quoted, '"');
        char *exact = view_duplicate(buffer_view(&quoted));
        struct json_scan scan;
        struct json_part part;
        json_scan_begin(&scan, view_from(exact, quoted.length));
        assert_true(json_scan_value(&scan, &part) && json_scan_done(&scan));
        assert_int_equal(part.text.length, quoted.length - 2);
        size_t meant = json_scan_unescape(&part, exact + 1);
        assert_int_equal(meant, text.length);
        assert_true(meant == 0 || memcmp(exact + 1, text.data, meant) == 0);
        free(exact);
    }
    buffer_release(&text);
    buffer_release(&quoted);
}

/* A quote, a back-slash or a control byte is seen wherever it stands in a block. */
static void special_bytes_are_seen_at_every_place(void **state)
{
    (void)state;
    for (size_t place = 0; place < 24; place++) {
        char text[40];
        struct json_scan scan;
        struct json_part part;

        memset(text, 0xC3, sizeof(text));
        text[0] = '"';
        text[1 + place] = '"';
        json_scan_begin(&scan, view_from(text, sizeof(text)));
        assert_true(json_scan_value(&scan, &part));
        assert_int_equal(part.text.length, place);
        text[1 + place] = '\x1f';
        text[39] = '"';
        json_scan_begin(&scan, view_from(text, sizeof(text)));
        assert_false(json_scan_value(&scan, &part));
        text[1 + place] = '\\';
        text[2 + place] = 'n';
        json_scan_begin(&scan, view_from(text, sizeof(text)));
        assert_true(json_scan_value(&scan, &part));
        assert_true(part.escaped);
    }
}

static void names_are_compared_by_what_they_mean(void **state)
{
    struct json_part name = {JSON_STRING, VIEW("isB\\u0061se64Encoded"), true};

    (void)state;
    assert_true(json_scan_equals(&name, "isBase64Encoded"));
    assert_false(json_scan_equals(&name, "isBase64EncodeD"));
    name = (struct json_part){JSON_STRING, VIEW("a\\u0000"), true};
    assert_false(json_scan_equals(&name, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_type_are_taken),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(members_come_out_as_parts_of_the_text),
        cmocka_unit_test(strings_mean_what_their_escapes_say),
        cmocka_unit_test(unescaping_over_itself_is_fine),
        cmocka_unit_test(what_was_escaped_means_the_same_again),
        cmocka_unit_test(special_bytes_are_seen_at_every_place),
        cmocka_unit_test(names_are_compared_by_what_they_mean),
    };

    return cmocka_run_group_tests_name("contract/json_scan", tests, NULL, NULL);
}
