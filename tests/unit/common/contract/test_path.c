/* Tests of paths: their one form, prefixes on segment borders, and first segments. */
#include "tests/unit/common/base/check.h"

#include "common/contract/path.h"

static void check_normal(const char *path, const char *expected)
{
    struct buffer out;
    enum error error;

    buffer_init(&out, PATH_NORMAL_MAX(strlen(path)));
    error = path_normalize(view_of(path), &out);
    if (error != (expected ? ERROR_NONE : ERROR_INVALID))
        fail_msg("%s: %s", path, error_name(error));
    if (expected && !view_equal_string(buffer_view(&out), expected))
        fail_msg("%s became %s", path, out.data);
    buffer_release(&out);
}

static void paths_have_one_form(void **state)
{
    (void)state;
    check_normal("/", "/");
    check_normal("/a/b", "/a/b");
    check_normal("//a//", "//a//");
    check_normal("/%61%5A%30%2d%2E%5f%7E", "/aZ0-._~");
    check_normal("/a%2fb", "/a%2Fb");
    check_normal("/%c3%a9", "/%C3%A9");
    check_normal("/\xC3\xA9", "/%C3%A9");
    check_normal("/%252e%252e/", "/%252e%252e/");
    check_normal("/a!$&'()*+,;=:@b", "/a!$&'()*+,;=:@b");
    check_normal("/%21", "/%21"); /* reserved: not the same as "!" (RFC 3986 section 2.2) */
    check_normal("/...", "/...");
    check_normal("/..a/.b/c.", "/..a/.b/c.");
    check_normal("/a%20b", "/a%20b");
    check_normal("/%0a", "/%0A");
    check_normal("/%3f%23", "/%3F%23");
}

static void unlawful_paths_are_refused(void **state)
{
    static const char *const paths[] = {
        "",        "a",         "*",       "http://a/", "/.",      "/..",     "/./",
        "/../",    "/a/..",     "/a/./b",  "/%2e",      "/%2E%2e", "/.%2e/a", "/a/%2e%2e",
        "/%",      "/%1",       "/%g0",    "/%0g",      "/a%",     "/%00",    "/a b",
        "/a\tb",   "/a\nb",     "/\x7f",   "/a/..%2fb", "/..%2F",  "/a%2f..", "/a%5c..",
        "/..%5Cb", "/a\\..\\b", "/a/.\\b", "/%2f.",     "/a?b",    "/a#b",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        check_normal(paths[i], NULL);
}

static void a_nul_in_a_path_is_refused(void **state)
{
    struct buffer out;

    (void)state;
    buffer_init(&out, 100);
    assert_int_equal(path_normalize(VIEW("/a\0b"), &out), ERROR_INVALID);
    buffer_release(&out);
}

static void a_path_beyond_the_ceiling_is_too_big(void **state)
{
    struct buffer out;

    (void)state;
    buffer_init(&out, 3);
    assert_int_equal(path_normalize(VIEW("/abc"), &out), ERROR_TOO_BIG);
    buffer_release(&out);
}

static void a_normal_path_stays_as_it_is(void **state)
{
    static const char *const paths[] = {"/%61b", "/%c3%a9/\xC3\xA9", "/a%2f%2Fb", "/x%25%34"};

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        struct buffer once, twice;

        buffer_init(&once, 100);
        buffer_init(&twice, 100);
        assert_int_equal(path_normalize(view_of(paths[i]), &once), ERROR_NONE);
        assert_int_equal(path_normalize(buffer_view(&once), &twice), ERROR_NONE);
        assert_true(view_equal(buffer_view(&once), buffer_view(&twice)));
        buffer_release(&once);
        buffer_release(&twice);
    }
}

static void targets_are_split_at_the_first_question_mark(void **state)
{
    struct view path, query;

    (void)state;
    target_split(VIEW("/a?b=c?d"), &path, &query);
    check_view(path, "/a");
    check_view(query, "b=c?d");
    target_split(VIEW("/a"), &path, &query);
    check_view(path, "/a");
    check_view(query, "");
    target_split(VIEW("/a?"), &path, &query);
    check_view(query, "");
    target_split(VIEW("?x"), &path, &query);
    check_view(path, "");
    check_view(query, "x");
}

static void prefixes_cover_whole_segments(void **state)
{
    (void)state;
    assert_true(path_covers(VIEW("/"), VIEW("/")));
    assert_true(path_covers(VIEW("/"), VIEW("/a/b")));
    assert_true(path_covers(VIEW("/api"), VIEW("/api")));
    assert_true(path_covers(VIEW("/api"), VIEW("/api/")));
    assert_true(path_covers(VIEW("/api"), VIEW("/api/x")));
    assert_true(path_covers(VIEW("/api/"), VIEW("/api/x")));
    assert_true(path_covers(VIEW("/api/"), VIEW("/api")));
    assert_false(path_covers(VIEW("/api"), VIEW("/apis")));
    assert_false(path_covers(VIEW("/api"), VIEW("/ap")));
    assert_false(path_covers(VIEW("/api"), VIEW("/")));
    assert_false(path_covers(VIEW("/api"), VIEW("/api%2Fx")));
    assert_false(path_covers(VIEW("/api"), VIEW("/API")));
}

static void raw_lengths_follow_the_normal_form(void **state)
{
    (void)state;
    assert_int_equal(path_raw_length(VIEW("/api/x"), 4), 4);
    assert_int_equal(path_raw_length(VIEW("/%61pi/x"), 4), 6);
    assert_int_equal(path_raw_length(VIEW("/%c3%a9/x"), 7), 7);
    assert_int_equal(path_raw_length(VIEW("/\xC3\xA9/x"), 7), 3);
    assert_int_equal(path_raw_length(VIEW("/a"), 2), 2);
    assert_int_equal(path_raw_length(VIEW("/a"), 0), 0);
}

static void the_first_segment_is_cut_off(void **state)
{
    struct view segment, rest;

    (void)state;
    assert_true(path_first_segment(VIEW("/hello/a?b/c"), &segment, &rest));
    check_view(segment, "hello");
    check_view(rest, "/a");
    assert_true(path_first_segment(VIEW("/hello"), &segment, &rest));
    check_view(segment, "hello");
    check_view(rest, "/");
    assert_true(path_first_segment(VIEW("/hello?x=/y"), &segment, &rest));
    check_view(segment, "hello");
    check_view(rest, "/");
    assert_true(path_first_segment(VIEW("/hello//"), &segment, &rest));
    check_view(rest, "//");
    assert_false(path_first_segment(VIEW("/"), &segment, &rest));
    assert_false(path_first_segment(VIEW("//a"), &segment, &rest));
    assert_false(path_first_segment(VIEW(""), &segment, &rest));
    assert_false(path_first_segment(VIEW("a/b"), &segment, &rest));
    assert_false(path_first_segment(VIEW("/?a"), &segment, &rest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_have_one_form),
        cmocka_unit_test(unlawful_paths_are_refused),
        cmocka_unit_test(a_nul_in_a_path_is_refused),
        cmocka_unit_test(a_path_beyond_the_ceiling_is_too_big),
        cmocka_unit_test(a_normal_path_stays_as_it_is),
        cmocka_unit_test(targets_are_split_at_the_first_question_mark),
        cmocka_unit_test(prefixes_cover_whole_segments),
        cmocka_unit_test(raw_lengths_follow_the_normal_form),
        cmocka_unit_test(the_first_segment_is_cut_off),
    };

    return cmocka_run_group_tests_name("contract/path", tests, NULL, NULL);
}
