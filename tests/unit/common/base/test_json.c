/* Tests of JSON trees and of the writer that streams; texts good and bad are in tests/vectors/json.
 */
#include "tests/unit/common/base/check.h"

#include <math.h>

#include "common/base/file.h"
#include "common/base/json.h"

static struct buffer out;

static int fresh_buffer(void **state)
{
    (void)state;
    buffer_init(&out, (size_t)64 * 1024 * 1024);
    return 0;
}

static int release_buffer(void **state)
{
    (void)state;
    buffer_release(&out);
    return 0;
}

/* A tree that must parse. */
static struct json *tree(const char *text)
{
    struct json *value = NULL;

    assert_int_equal(json_parse(view_of(text), 100, &value, NULL), ERROR_NONE);
    assert_non_null(value);
    return value;
}

static void check_print(const struct json *value, const char *text)
{
    struct buffer printed;

    buffer_init(&printed, 1000000);
    json_print(&printed, value);
    assert_string_equal(printed.data, text);
    buffer_release(&printed);
}

/* Parses each line of a vector file and asks for one outcome; gives the number of lines. */
static unsigned check_lines(const char *path, enum error outcome)
{
    struct view rest, line;
    unsigned lines = 0;

    assert_int_equal(file_read(path, &out), ERROR_NONE);
    rest = buffer_view(&out);
    rest.length--; /* the last line end begins no line */
    while (view_split(&rest, '\n', &line)) {
        struct json *value = NULL, *again = NULL;
        struct buffer printed;

        lines++;
        if (json_parse(line, 100, &value, NULL) != outcome)
            fail_msg("%s:%u: %.*s", path, lines, VIEW_FORMAT(line));
        if (!value)
            continue;
        buffer_init(&printed, 100000);
        json_print(&printed, value); /* what was accepted survives a round trip */
        assert_int_equal(json_parse(buffer_view(&printed), 100, &again, NULL), ERROR_NONE);
        assert_true(json_equal(value, again));
        json_free(value);
        json_free(again);
        buffer_release(&printed);
    }
    return lines;
}

static void good_texts_are_accepted_and_survive_a_round_trip(void **state)
{
    (void)state;
    assert_true(check_lines(TEST_VECTORS_DIR "/json/accepted.txt", ERROR_NONE) > 30);
}

static void bad_texts_are_refused(void **state)
{
    (void)state;
    assert_true(check_lines(TEST_VECTORS_DIR "/json/refused.txt", ERROR_INVALID) > 60);
}

static void bytes_that_are_not_utf8_or_nul_are_refused(void **state)
{
    static const struct {
        struct view text;
        size_t offset;
    } rows[] = {{{"\"ab\xFF\"", 5}, 3},
                {{"\"\xC3\"", 3}, 1},
                {{"\"\xED\xA0\x80\"", 5}, 1},
                {{"\xFF", 1}, 0},
                {{"\"a\0b\"", 5}, 2},
                {{"1\0", 2}, 1},
                {{"\0", 1}, 0},
                {{NULL, 0}, 0},
                {{"[1]\0\0", 5}, 3},
                {{"\"\xC3\xA9\xC3\xA9\x80\"", 7}, 5}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json *value = NULL;
        size_t offset = 999;

        assert_int_equal(json_parse(rows[i].text, 100, &value, &offset), ERROR_INVALID);
        assert_int_equal(offset, rows[i].offset);
    }
}

static void the_offset_says_where_it_breaks(void **state)
{
    static const struct {
        const char *text;
        size_t offset;
    } rows[] = {{"{\"a\":1,}", 7},
                {"[1,2,x]", 5},
                {"{\"a\" 1}", 5},
                {"[1] 2", 4},
                {"", 0},
                {"{\"a\":{\"q\":1},\"b\":2,\"a\":3}", 19},
                {"{\"a\":1,\"a\":2}", 7}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json *value = NULL;
        size_t offset = 999;

        assert_int_equal(json_parse(view_of(rows[i].text), 100, &value, &offset), ERROR_INVALID);
        assert_null(value);
        assert_int_equal(offset, rows[i].offset);
    }
}

static void depth_counts_containers(void **state)
{
    struct json *value = NULL;

    (void)state;
    assert_int_equal(json_parse(VIEW("1"), 0, &value, NULL), ERROR_NONE);
    json_free(value);
    assert_int_equal(json_parse(VIEW("[]"), 0, &value, NULL), ERROR_INVALID);
    assert_int_equal(json_parse(VIEW("[[],[{}]]"), 3, &value, NULL), ERROR_NONE);
    json_free(value);
    assert_int_equal(json_parse(VIEW("[[],[{}]]"), 2, &value, NULL), ERROR_INVALID);
    for (int i = 0; i < 1000000; i++)
        buffer_append_byte(&out, '[');
    assert_int_equal(json_parse(buffer_view(&out), 100, &value, NULL), ERROR_INVALID);
}

static void an_object_of_many_members_is_checked_in_good_time(void **state)
{
    struct json *value = NULL;
    size_t offset;

    (void)state;
    buffer_append_byte(&out, '{');
    for (int i = 0; i < 200000; i++)
        buffer_append_format(&out, "%s\"member%d\":%d", i ? "," : "", i, i);
    buffer_append_byte(&out, '}');
    assert_int_equal(json_parse(buffer_view(&out), 100, &value, NULL), ERROR_NONE);
    assert_int_equal(json_count(value), 200000);
    json_free(value);
    out.length--;
    buffer_append_string(&out, ",\"member77777\":0}");
    assert_int_equal(json_parse(buffer_view(&out), 100, &value, &offset), ERROR_INVALID);
    assert_true(
        view_starts_with(view_slice(buffer_view(&out), offset, SIZE_MAX), VIEW("\"member77777\"")));
}

static void members_are_found_by_exact_case_and_type(void **state)
{
    struct json *value = tree("{\"name\":\"shop\",\"Name\":\"SHOP\",\"port\":8080,\"ratio\":0.5,"
                              "\"on\":true,\"none\":null,\"list\":[1],\"big\":9007199254740994}");
    struct view text = VIEW("untouched");
    int64_t integer = -7;
    double number = -7;
    bool truth = false;

    (void)state;
    assert_true(json_get_string(value, "name", &text));
    check_view(text, "shop");
    assert_true(json_get_string(value, "Name", &text));
    check_view(text, "SHOP");
    assert_false(json_get_string(value, "NAME", &text));
    assert_false(json_get_string(value, "port", &text));
    assert_false(json_get_string(value, "none", &text));
    check_view(text, "SHOP");
    assert_true(json_get_integer(value, "port", &integer) && integer == 8080);
    assert_false(json_get_integer(value, "ratio", &integer));
    assert_false(json_get_integer(value, "big", &integer)); /* beyond 2^53 */
    assert_false(json_get_integer(value, "name", &integer));
    assert_int_equal(integer, 8080);
    assert_true(json_get_number(value, "ratio", &number) && number > 0.49 && number < 0.51);
    assert_false(json_get_number(value, "on", &number));
    assert_true(json_get_bool(value, "on", &truth) && truth);
    assert_false(json_get_bool(value, "none", &truth));
    assert_null(json_get(json_get(value, "list"), "name"));
    assert_null(json_get(NULL, "name"));
    assert_false(json_get_string(NULL, "name", &text));
    check_view(json_string(json_get(value, "port")), "");
    json_free(value);
}

static void walking_meets_each_child_in_order(void **state)
{
    struct json *value = tree("{\"a\":[1,\"x\",null],\"b\":{},\"c\":false}");
    const struct json *child = json_first(value);
    const struct json *item = json_first(child);

    (void)state;
    assert_int_equal(json_count(value), 3);
    check_view(json_name(child), "a");
    assert_int_equal(json_type_of(child), JSON_ARRAY);
    check_view(json_name(item), "");
    assert_int_equal(json_type_of(item), JSON_NUMBER);
    item = json_next(item);
    check_view(json_string(item), "x");
    item = json_next(item);
    assert_int_equal(json_type_of(item), JSON_NULL);
    assert_null(json_next(item));
    child = json_next(child);
    assert_null(json_first(child));
    child = json_next(child);
    assert_int_equal(json_type_of(child), JSON_BOOL);
    assert_false(json_bool(child));
    assert_null(json_next(child));
    assert_string_equal(json_type_name(JSON_OBJECT), "object");
    assert_string_equal(json_type_name(JSON_NULL), "null");
    json_free(value);
}

static void escapes_become_the_characters_they_stand_for(void **state)
{
    struct json *value = tree("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\\n\\/\"");

    (void)state;
    check_view(json_string(value), "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\n/");
    json_free(value);
}

static void numbers_print_as_short_as_they_read_back(void **state)
{
    static const struct {
        double number;
        const char *text;
    } rows[] = {{0, "0"},
                {-0.0, "0"},
                {1732392000123, "1732392000123"},
                {9007199254740992, "9007199254740992"},
                {-9007199254740992, "-9007199254740992"},
                {1e15, "1000000000000000"},
                {0.1, "0.1"},
                {1.0 / 3, "0.33333333333333331"},
                {1e300, "1e+300"},
                {-2.5, "-2.5"},
                {NAN, "null"},
                {INFINITY, "null"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json *value = json_new_number(rows[i].number);

        check_print(value, rows[i].text);
        json_free(value);
    }
}

static void a_tree_is_built_and_changed_in_place(void **state)
{
    struct json *value = json_new_object();
    struct json *list = json_new_array();

    (void)state;
    json_set_string(value, "name", VIEW("a\"b\0c"));
    json_set_integer(value, "port", 8080);
    json_set_bool(value, "on", true);
    json_set_null(value, "none");
    json_append(list, json_new_integer(1));
    json_append(list, json_new_string((struct view){NULL, 0}));
    json_append(list, json_copy(json_get(value, "name")));
    json_set(value, "list", list);
    check_print(value, "{\"name\":\"a\\\"b\xEF\xBF\xBD"
                       "c\",\"port\":8080,\"on\":true,\"none\":null,"
                       "\"list\":[1,\"\",\"a\\\"b\xEF\xBF\xBD"
                       "c\"]}");
    json_set_integer(value, "name", 5); /* stays in its place */
    json_set_bool(value, "NAME", false);
    json_remove(value, "none");
    json_remove(value, "absent");
    json_remove(value, "list");
    check_print(value, "{\"name\":5,\"port\":8080,\"on\":true,\"NAME\":false}");
    json_free(value);
}

static void a_copy_is_a_value_of_its_own(void **state)
{
    struct json *value = tree("{\"a\":{\"b\":[1]}}");
    struct json *copy = json_copy(json_get(value, "a"));

    (void)state;
    json_free(value);
    check_view(json_name(copy), "");
    check_print(copy, "{\"b\":[1]}");
    json_free(copy);
}

static void equality_looks_at_values_not_at_member_order(void **state)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {{"{\"a\":1,\"b\":[2]}", "{\"b\":[2],\"a\":1}", true},
                {"{\"a\":1}", "{\"A\":1}", false},
                {"{\"a\":1}", "{\"a\":1,\"b\":null}", false},
                {"[1,2]", "[2,1]", false},
                {"[1,2]", "[1,2,3]", false},
                {"[]", "{}", false},
                {"1", "1.0", true},
                {"1", "true", false},
                {"\"a\"", "\"a\"", true},
                {"9007199254740991", "9007199254740992", false},
                {"null", "false", false}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json *a = tree(rows[i].a), *b = tree(rows[i].b);

        assert_int_equal(json_equal(a, b), rows[i].equal);
        assert_int_equal(json_equal(b, a), rows[i].equal);
        json_free(a);
        json_free(b);
    }
    assert_true(json_equal(NULL, NULL));
}

/* The examples of RFC 7396, appendix A, and some of ours. */
static void merge_patches_follow_rfc_7396(void **state)
{
    static const struct {
        const char *target, *patch, *result;
    } rows[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
        {"{\"a\":{\"x\":1},\"b\":2}", "{\"a\":{\"y\":2}}", "{\"a\":{\"x\":1,\"y\":2},\"b\":2}"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json *patch = tree(rows[i].patch);
        struct json *result = json_merge_patch(tree(rows[i].target), patch);

        check_print(result, rows[i].result);
        json_free(result);
        json_free(patch);
    }
}

static void the_writer_sets_the_commas(void **state)
{
    struct json *value = tree("{\"x\":[1]}");
    struct json_writer w;

    (void)state;
    json_begin(&w, &out);
    json_open_object(&w, NULL);
    json_write_string(&w, "name", VIEW("a\"b"));
    json_open_array(&w, "list");
    json_write_integer(&w, NULL, INT64_MIN);
    json_open_array(&w, NULL);
    json_close_array(&w);
    json_write_number(&w, NULL, 0.5);
    json_write_null(&w, NULL);
    json_close_array(&w);
    json_open_object(&w, "empty");
    json_close_object(&w);
    json_member(&w, VIEW("out\nside"));
    json_write_bool(&w, NULL, false);
    json_member(&w, VIEW("object"));
    json_open_object(&w, NULL);
    json_write_bool(&w, "in", true);
    json_close_object(&w);
    json_write_base64(&w, "bytes", VIEW("\0\xFF!"));
    json_write_raw(&w, "raw", VIEW("[1,2]"));
    json_write_tree(&w, "tree", value);
    json_close_object(&w);
    check_buffer(&out, "{\"name\":\"a\\\"b\",\"list\":[-9223372036854775808,[],0.5,null],"
                       "\"empty\":{},\"out\\nside\":false,\"object\":{\"in\":true},"
                       "\"bytes\":\"AP8h\",\"raw\":[1,2],\"tree\":{\"x\":[1]}}");
    json_free(value);
    value = tree(out.data);
    json_free(value);
}

static void the_writer_leaves_an_error_in_its_buffer(void **state)
{
    struct buffer small;
    struct json_writer w;

    (void)state;
    buffer_init(&small, 10);
    json_begin(&w, &small);
    json_open_object(&w, NULL);
    json_write_string(&w, "name", VIEW("too long a text"));
    json_close_object(&w);
    assert_int_equal(small.error, ERROR_TOO_BIG);
    assert_true(small.length <= 10);
    buffer_release(&small);
}

#define WITH_BUFFER(test) cmocka_unit_test_setup_teardown(test, fresh_buffer, release_buffer)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BUFFER(good_texts_are_accepted_and_survive_a_round_trip),
        WITH_BUFFER(bad_texts_are_refused),
        WITH_BUFFER(bytes_that_are_not_utf8_or_nul_are_refused),
        WITH_BUFFER(the_offset_says_where_it_breaks),
        WITH_BUFFER(depth_counts_containers),
        WITH_BUFFER(an_object_of_many_members_is_checked_in_good_time),
        WITH_BUFFER(members_are_found_by_exact_case_and_type),
        WITH_BUFFER(walking_meets_each_child_in_order),
        WITH_BUFFER(escapes_become_the_characters_they_stand_for),
        WITH_BUFFER(numbers_print_as_short_as_they_read_back),
        WITH_BUFFER(a_tree_is_built_and_changed_in_place),
        WITH_BUFFER(a_copy_is_a_value_of_its_own),
        WITH_BUFFER(equality_looks_at_values_not_at_member_order),
        WITH_BUFFER(merge_patches_follow_rfc_7396),
        WITH_BUFFER(the_writer_sets_the_commas),
        WITH_BUFFER(the_writer_leaves_an_error_in_its_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
