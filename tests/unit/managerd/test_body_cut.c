/* Tests of cutting packages out of JSON bodies. */
#include "managerd/body_cut.h"

#include "common/base/escape.h"
#include "common/base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct buffer text, rest;
static struct body_cuts cuts;

static int set_up(void **state)
{
    (void)state;
    buffer_init(&text, 1u << 20);
    buffer_init(&rest, 4096);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    body_cuts_release(&cuts);
    buffer_release(&text);
    buffer_release(&rest);
    return 0;
}

/* "@" becomes a long text. */
static void write_text(const char *pattern)
{
    buffer_clear(&text);
    for (; *pattern; pattern++) {
        if (*pattern != '@')
            buffer_append_byte(&text, *pattern);
        for (int i = 0; *pattern == '@' && i < 512; i++)
            buffer_append_string(&text, "QUJD");
    }
}

static void assert_cut(const char *pattern, const char *expected, size_t count)
{
    write_text(pattern);
    body_cuts_release(&cuts);
    buffer_clear(&rest);
    assert_int_equal(body_cut(buffer_view(&text), &rest, &cuts), ERROR_NONE);
    assert_string_equal(rest.data, expected);
    assert_int_equal(cuts.count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(cuts.texts[i].length, 2048);
}

static void a_package_is_cut_out_wherever_it_stands(void **state)
{
    (void)state;
    assert_cut("{\"package\":{\"zip\":\"@\"},\"memoryMb\":1}",
               "{\"package\":{\"zip\":\".0\"},\"memoryMb\":1}", 1);
    assert_cut(" { \"a\" : [1,\"x\"] , \"package\" : { \"zip\" :\n\"@\" } }",
               " { \"a\" : [1,\"x\"] , \"package\" : { \"zip\" :\n\".0\" } }", 1);
    assert_cut("{\"name\":\"a\",\"archive\":\"@\"}", "{\"name\":\"a\",\"archive\":\".0\"}", 1);
    assert_cut(
        "{\"apps\":[{\"package\":{\"zip\":\"@\"}},{\"b\":\"\\\"\",\"package\":{\"zip\":\"@\"}}]}",
        "{\"apps\":[{\"package\":{\"zip\":\".0\"}},{\"b\":\"\\\"\",\"package\":{\"zip\":\".1\"}}]}",
        2);
    struct view found;
    assert_true(body_cuts_find(&cuts, VIEW(".1"), &found));
    assert_ptr_equal(found.data, cuts.texts[1].data);
    assert_false(body_cuts_find(&cuts, VIEW(".2"), &found));
    assert_false(body_cuts_find(&cuts, VIEW("."), &found));
    assert_false(body_cuts_find(&cuts, VIEW("QUJD"), &found));
}

static void what_only_looks_like_a_package_stays(void **state)
{
    (void)state;
    static const char *const others[] = {
        "{\"package\":{\"zip\":\"QUJD\"}}", /* short */
        "{\"zip\":\"@\"}",
        "{\"package\":\"@\"}",
        "{\"package\":[{\"zip\":\"@\"}]}",
        "{\"package\":{\"a\":{\"zip\":\"@\"}}}",
        "{\"package\":{\"a\":1},\"zip\":\"@\"}",
        "{\"a\":{\"archive\":\"@\"}}",
        "{\"a\":\"\\\"package\\\":{\\\"zip\\\":\\\"@\\\"}\"}",
        "[\"package\",{\"zip\":\"@\"}]",
        "{\"package\" {\"zip\":\"@\"}}",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        write_text(others[i]);
        buffer_clear(&rest);
        assert_int_equal(body_cut(buffer_view(&text), &rest, &cuts), ERROR_NONE);
        assert_int_equal(cuts.count, 0);
        assert_true(view_equal(buffer_view(&rest), buffer_view(&text)));
        body_cuts_release(&cuts);
    }
}

static void texts_that_end_anywhere_do_no_harm(void **state)
{
    (void)state;
    write_text("{\"a\":[{\"package\" : {\"x\":\"\\\\\\\"\",\"zip\":\"@\"}}], \"archive\":\"@\"}");
    struct view whole = buffer_view(&text);
    for (size_t length = 0; length <= whole.length; length++) {
        char *copy = malloc(length + 1); /* so that one byte too many shows */
        memcpy(copy, whole.data, length);
        char *exact = realloc(copy, length ? length : 1);
        buffer_clear(&rest);
        assert_int_equal(body_cut(view_from(exact, length), &rest, &cuts), ERROR_NONE);
        body_cuts_release(&cuts);
        free(exact);
    }
    static char deep[200];
    memset(deep, '[', sizeof deep - 1);
    buffer_clear(&rest);
    assert_int_equal(body_cut(view_of(deep), &rest, &cuts), ERROR_NONE);
    assert_int_equal(rest.length, sizeof deep - 1);
    body_cuts_release(&cuts);
    write_text("{\"a\":\"@@@\"}");
    buffer_clear(&rest);
    assert_int_equal(body_cut(buffer_view(&text), &rest, &cuts), ERROR_TOO_BIG);
}

static void a_place_in_the_rest_is_told_in_the_whole(void **state)
{
    (void)state;
    assert_cut("{\"package\":{\"zip\":\"@\"},!", "{\"package\":{\"zip\":\".0\"},!", 1);
    size_t in_rest = (size_t)(strchr(rest.data, '!') - rest.data);
    size_t in_text = (size_t)(strchr(text.data, '!') - text.data);
    assert_int_equal(body_cuts_place(&cuts, buffer_view(&text), in_rest), in_text);
    assert_int_equal(body_cuts_place(&cuts, buffer_view(&text), 3), 3);
}

static enum error decode(const char *base64, size_t piece, struct buffer *out)
{
    struct view left = view_of(base64);
    enum error error = ERROR_NONE;
    buffer_clear(out);
    while (left.length && !error)
        error = body_cut_decode(&left, piece, out);
    return error;
}

static void base64_is_decoded_in_pieces_of_any_size(void **state)
{
    (void)state;
    struct buffer bytes, encoded, out;
    buffer_init(&bytes, 4096);
    buffer_init(&encoded, 8192);
    buffer_init(&out, 4096);
    for (size_t length = 1; length < 130; length++) {
        buffer_clear(&bytes);
        buffer_clear(&encoded);
        for (size_t i = 0; i < length; i++)
            buffer_append_byte(&bytes, (char)(i * 211 + length));
        base64_encode(&encoded, bytes.data, bytes.length);
        for (size_t piece = 4; piece < 200; piece += 3) {
            assert_int_equal(decode(encoded.data, piece, &out), ERROR_NONE);
            assert_true(view_equal(buffer_view(&out), buffer_view(&bytes)));
        }
    }
    buffer_release(&bytes);
    buffer_release(&encoded);
    buffer_release(&out);
}

static void escapes_are_resolved_and_bad_base64_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "QU",     "QQ==QUJD", "QUJDQQ==QUJD", "QU\\nJ", "QU\\u00e4J", "\\u00",
        "QUJD\\", "Q",        "QUJD QUJD",    "Q=JD",   ".0"};
    struct buffer out;
    buffer_init(&out, 4096);
    for (size_t piece = 4; piece < 40; piece += 4) {
        assert_int_equal(decode("+\\/\\u002B\\u002f\\u0041\\u0041AA", piece, &out), ERROR_NONE);
        assert_int_equal(out.length, 6);
        assert_memory_equal(out.data, "\xfb\xff\xbf\x00\x00\x00", 6);
        for (size_t i = 1; i < sizeof bad / sizeof bad[0]; i++)
            assert_int_equal(decode(bad[i], piece, &out), ERROR_INVALID);
    }
    assert_int_equal(decode(bad[0], 8, &out), ERROR_NONE); /* padding may be absent */
    buffer_release(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_package_is_cut_out_wherever_it_stands),
        TEST(what_only_looks_like_a_package_stays),
        TEST(texts_that_end_anywhere_do_no_harm),
        TEST(a_place_in_the_rest_is_told_in_the_whole),
        TEST(base64_is_decoded_in_pieces_of_any_size),
        TEST(escapes_are_resolved_and_bad_base64_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
