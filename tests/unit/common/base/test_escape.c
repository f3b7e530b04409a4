/* Tests of hex, base64, percent escapes, UTF-8 and the inside of JSON strings. */
#include "tests/unit/common/base/check.h"

#include "common/base/escape.h"

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

static void hex_goes_both_ways(void **state)
{
    (void)state;
    hex_encode(&out, "\x00\x7f\xff", 3);
    check_buffer(&out, "007fff");
    buffer_clear(&out);
    assert_int_equal(hex_decode(&out, VIEW("007FfF")), ERROR_NONE);
    check_buffer(&out, "\x00\x7f\xff");
}

static void hex_of_odd_length_or_foreign_digits_is_refused(void **state)
{
    static const char *const bad[] = {"0", "0g", "g0", " 0", "0x00", "00 "};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(hex_decode(&out, view_of(bad[i])), ERROR_INVALID);
    assert_int_equal(out.length, 0);
}

static void base64_matches_the_vectors_of_rfc_4648(void **state)
{
    static const struct {
        const char *plain, *encoded;
    } rows[] = {{"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t unpadded = strcspn(rows[i].encoded, "=");

        buffer_clear(&out);
        base64_encode(&out, rows[i].plain, strlen(rows[i].plain));
        assert_string_equal(out.data, rows[i].encoded);
        assert_int_equal(base64_encoded_length(strlen(rows[i].plain)), out.length);
        buffer_clear(&out);
        assert_int_equal(base64_decode(&out, view_of(rows[i].encoded)), ERROR_NONE);
        assert_true(view_equal_string(buffer_view(&out), rows[i].plain));
        buffer_clear(&out);
        assert_int_equal(base64_decode(&out, view_slice(view_of(rows[i].encoded), 0, unpadded)),
                         ERROR_NONE);
        assert_true(view_equal_string(buffer_view(&out), rows[i].plain));
    }
}

static void base64_brings_every_byte_back_at_every_length(void **state)
{
    unsigned char bytes[512];
    struct buffer back;

    (void)state;
    buffer_init(&back, 1000);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 167 + 13);
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        buffer_clear(&out);
        buffer_clear(&back);
        base64_encode(&out, bytes, length);
        assert_int_equal(base64_decode(&back, buffer_view(&out)), ERROR_NONE);
        assert_int_equal(back.length, length);
        assert_memory_equal(back.data, bytes, length);
    }
    buffer_release(&back);
}

static void base64_outside_its_alphabet_is_refused(void **state)
{
    static const char *const bad[] = {
        "A",    "AAAAA", "Zg=",      "Z===",  "=",    "====",  "Zm9v=",   "Zm9v\n",  "Zm 9v",
        "Zm9-", "Zm9_",  "Zg==Zg==", "Zm9vY", "Z=g=", "Zm8=A", "\xFFm9v", "Zm9v===="};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(base64_decode(&out, view_of(bad[i])), ERROR_INVALID);
    assert_int_equal(base64_decode(&out, VIEW("Zm\0v")), ERROR_INVALID);
    assert_int_equal(out.length, 0);
}

static void decoders_report_a_buffer_that_is_too_small(void **state)
{
    struct buffer small;

    (void)state;
    buffer_init(&small, 2);
    assert_int_equal(base64_decode(&small, VIEW("Zm9v")), ERROR_TOO_BIG);
    buffer_clear(&small);
    assert_int_equal(hex_decode(&small, VIEW("000000")), ERROR_TOO_BIG);
    buffer_clear(&small);
    assert_int_equal(percent_decode(&small, VIEW("abc"), false, true), ERROR_TOO_BIG);
    buffer_clear(&small);
    base64_encode(&small, "x", 1);
    assert_int_equal(small.error, ERROR_TOO_BIG);
    assert_int_equal(small.length, 0);
    buffer_release(&small);
}

static void percent_escapes_keep_the_unreserved(void **state)
{
    (void)state;
    percent_encode(&out, VIEW("aZ09-._~ /?\x00\xC3\xA9%"), NULL);
    check_buffer(&out, "aZ09-._~%20%2F%3F%00%C3%A9%25");
    buffer_clear(&out);
    percent_encode(&out, VIEW("/a b/\0"), "/");
    check_buffer(&out, "/a%20b/%00"); /* the NUL that ends `keep` is not kept */
    buffer_clear(&out);
    percent_encode(&out, VIEW(""), NULL);
    assert_int_equal(out.length, 0);
}

static void percent_escapes_are_decoded(void **state)
{
    (void)state;
    assert_int_equal(percent_decode(&out, VIEW("a%2fb%2F%00+%41"), false, true), ERROR_NONE);
    check_buffer(&out, "a/b/\0+A");
    buffer_clear(&out);
    assert_int_equal(percent_decode(&out, VIEW("a+b%2B"), true, true), ERROR_NONE);
    check_buffer(&out, "a b+");
}

static void a_bad_percent_escape_is_refused_or_left_alone(void **state)
{
    static const char *const bad[] = {"%", "%4", "%4g", "%g4", "a%", "%%41"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(percent_decode(&out, view_of(bad[i]), false, true), ERROR_INVALID);
    assert_int_equal(out.length, 0);
    assert_int_equal(percent_decode(&out, VIEW("100%, %4g %%41%"), false, false), ERROR_NONE);
    check_buffer(&out, "100%, %4g %A%");
}

/* Good and bad sequences of RFC 3629 and Unicode's table 3-7; `replaced` is what JSON gets. */
static const struct {
    struct view text;
    bool valid;
    struct view replaced;
} sequences[] = {
#define R "\xEF\xBF\xBD"
    {{"", 0}, true, {"", 0}},
    {{"caf\xC3\xA9", 5}, true, {"caf\xC3\xA9", 5}},
    {{"\xEF\xBF\xBF\xF4\x8F\xBF\xBF", 7}, true, {"\xEF\xBF\xBF\xF4\x8F\xBF\xBF", 7}},
    {{"\xC2\x80\xE0\xA0\x80\xF0\x90\x80\x80", 9},
     true,
     {"\xC2\x80\xE0\xA0\x80\xF0\x90\x80\x80", 9}},
    {{"\xED\x9F\xBF\xEE\x80\x80", 6}, true, {"\xED\x9F\xBF\xEE\x80\x80", 6}},
    {{"\x80", 1}, false, {R, 3}},
    {{"a\xFFz", 3}, false, {"a" R "z", 5}},
    {{"\xC0\x80", 2}, false, {R R, 6}},              /* overlong NUL */
    {{"\xC1\xBF", 2}, false, {R R, 6}},              /* overlong */
    {{"\xE0\x9F\xBF", 3}, false, {R R R, 9}},        /* overlong */
    {{"\xF0\x8F\xBF\xBF", 4}, false, {R R R R, 12}}, /* overlong */
    {{"\xED\xA0\x80", 3}, false, {R R R, 9}},        /* surrogate */
    {{"\xF4\x90\x80\x80", 4}, false, {R R R R, 12}}, /* above U+10FFFF */
    {{"\xF5\x80\x80\x80", 4}, false, {R R R R, 12}},
    {{"\xE2\x82", 2}, false, {R, 3}}, /* cut short: one mark for the part */
    {{"\xE2\x82\x41", 3}, false, {R "A", 4}},
    {{"\xF0\x9F\x98", 3}, false, {R, 3}},
    {{"\xC3\"", 2}, false, {R "\\\"", 5}}, /* the quote is not swallowed */
#undef R
};

static void only_well_formed_utf8_is_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
        char padded[40];

        assert_int_equal(utf8_valid(sequences[i].text), sequences[i].valid);
        for (size_t before = 0; before < 17; before++) { /* at every place of a word */
            memset(padded, 'x', sizeof(padded));
            memcpy(padded + before, sequences[i].text.data, sequences[i].text.length);
            assert_int_equal(utf8_valid(view_from(padded, sizeof(padded))), sequences[i].valid);
        }
    }
}

static void json_escapes_give_valid_utf8_for_any_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
        buffer_clear(&out);
        json_escape(&out, sequences[i].text);
        assert_true(view_equal(buffer_view(&out), sequences[i].replaced));
        assert_true(utf8_valid(buffer_view(&out)));
    }
}

static void json_escapes_quotes_slashes_and_control_bytes(void **state)
{
    (void)state;
    json_escape(&out, VIEW("a\"b\\c/\b\f\n\r\t\x01\x1f\0\x7f"));
    check_buffer(&out, "a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\\u0000\x7f");
}

/* The slow way, byte by byte, to hold against the fast one. */
static void escape_slowly(struct buffer *slow, struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.data[i];

        if (byte == '"' || byte == '\\')
            buffer_append_format(slow, "\\%c", byte);
        else if (byte < 0x20)
            buffer_append_format(slow, "\\u%04x", byte);
        else
            buffer_append_byte(slow, (char)byte);
    }
}

static void each_ascii_byte_is_escaped_alike_at_each_place_of_a_long_text(void **state)
{
    struct buffer slow;
    char text[64];

    (void)state;
    buffer_init(&slow, 1000);
    for (int byte = 0; byte < 128; byte++) {
        if (byte && strchr("\b\f\n\r\t", byte))
            continue; /* these have short forms, tested above */
        for (size_t place = 0; place < 24; place++) {
            memset(text, 'x', sizeof(text));
            text[place] = (char)byte;
            buffer_clear(&out);
            buffer_clear(&slow);
            json_escape(&out, view_from(text, sizeof(text)));
            escape_slowly(&slow, view_from(text, sizeof(text)));
            assert_true(view_equal(buffer_view(&out), buffer_view(&slow)));
        }
    }
    buffer_release(&slow);
}

static void a_long_text_is_escaped_across_the_scratch_pages(void **state)
{
    char text[9000];

    (void)state;
    for (size_t quotes = 0; quotes < 12; quotes++) {
        memset(text, 'x', sizeof(text));
        memset(text + 4090, '"', quotes);
        buffer_clear(&out);
        json_escape(&out, view_from(text, sizeof(text)));
        assert_int_equal(out.length, sizeof(text) + quotes);
    }
}

static void json_escape_stops_at_the_ceiling(void **state)
{
    struct buffer small;

    (void)state;
    buffer_init(&small, 6);
    json_escape(&small, VIEW("\x01"));
    assert_int_equal(small.error, ERROR_NONE);
    buffer_clear(&small);
    json_escape(&small, VIEW("\x01\x01"));
    assert_int_equal(small.error, ERROR_TOO_BIG);
    buffer_release(&small);
}

#define WITH_BUFFER(test) cmocka_unit_test_setup_teardown(test, fresh_buffer, release_buffer)

static void base64url_has_one_spelling_only(void **state)
{
    static const struct {
        const char *text, *meaning; /* NULL: refused */
    } cases[] = {{"", ""},
                 {"Zg", "f"},
                 {"Zm8", "fo"},
                 {"Zm9v", "foo"},
                 {"Zm9vYg", "foob"},
                 {"-_8", "\xfb\xff"},
                 {"_-_-", "\xff\xef\xfe"},
                 {"Z", NULL},
                 {"Zm9vY", NULL},
                 {"Zg==", NULL},
                 {"Zh", NULL},
                 {"Zm9", NULL},
                 {"+/8", NULL},
                 {"Zm 9v", NULL},
                 {"Zm9v\n", NULL},
                 {"Zm9=", NULL},
                 {"\xff\xff", NULL}};
    struct buffer bytes;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer_init(&bytes, 100);
        enum error error = base64url_decode(&bytes, view_of(cases[i].text));
        assert_int_equal(error, cases[i].meaning ? ERROR_NONE : ERROR_INVALID);
        if (cases[i].meaning)
            assert_true(view_equal_string(buffer_view(&bytes), cases[i].meaning));
        buffer_release(&bytes);
    }
    buffer_init(&bytes, 2);
    assert_int_equal(base64url_decode(&bytes, VIEW("Zm9v")), ERROR_TOO_BIG);
    buffer_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64url_has_one_spelling_only),
        WITH_BUFFER(hex_goes_both_ways),
        WITH_BUFFER(hex_of_odd_length_or_foreign_digits_is_refused),
        WITH_BUFFER(base64_matches_the_vectors_of_rfc_4648),
        WITH_BUFFER(base64_brings_every_byte_back_at_every_length),
        WITH_BUFFER(base64_outside_its_alphabet_is_refused),
        WITH_BUFFER(decoders_report_a_buffer_that_is_too_small),
        WITH_BUFFER(percent_escapes_keep_the_unreserved),
        WITH_BUFFER(percent_escapes_are_decoded),
        WITH_BUFFER(a_bad_percent_escape_is_refused_or_left_alone),
        WITH_BUFFER(only_well_formed_utf8_is_valid),
        WITH_BUFFER(json_escapes_give_valid_utf8_for_any_bytes),
        WITH_BUFFER(json_escapes_quotes_slashes_and_control_bytes),
        WITH_BUFFER(each_ascii_byte_is_escaped_alike_at_each_place_of_a_long_text),
        WITH_BUFFER(a_long_text_is_escaped_across_the_scratch_pages),
        WITH_BUFFER(json_escape_stops_at_the_ceiling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
