/* Tests of replies: the cases of tests/vectors/replies in each format, and what data cannot say. */
#include "tests/unit/common/contract/vectors.h"

#include "common/contract/reply.h"

static struct arena arena;
static struct buffer problem;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 * 1024 * 1024);
    buffer_init(&problem, 1000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_release(&problem);
    arena_release(&arena);
    return 0;
}

static void check_headers(const char *where, const struct reply *reply, const struct json *expected)
{
    size_t i = 0;

    for (const struct json *pair = json_first(expected); pair; pair = json_next(pair), i++) {
        struct view name = json_string(json_first(pair));
        struct view value = json_string(json_next(json_first(pair)));

        if (i >= reply->header_count)
            fail_msg("%s: no header %.*s", where, VIEW_FORMAT(name));
        if (!view_equal(reply->headers[i].name, name) ||
            !view_equal(reply->headers[i].value, value))
            fail_msg("%s: header %zu is %.*s: %.*s", where, i, VIEW_FORMAT(reply->headers[i].name),
                     VIEW_FORMAT(reply->headers[i].value));
    }
    if (i != reply->header_count)
        fail_msg("%s: one header too many: %.*s", where, VIEW_FORMAT(reply->headers[i].name));
}

static void check_outcome(const char *where, enum error error, const struct reply *reply,
                          const struct json *expected)
{
    struct view failure = VIEW("none"), body;
    int64_t status = 0;

    json_get_string(expected, "error", &failure);
    if (!view_equal_string(failure, error_name(error)))
        fail_msg("%s: %s (%s)", where, error_name(error), problem.length ? problem.data : "");
    if (error != ERROR_NONE) {
        assert_true(problem.length > 0);
        return;
    }
    assert_int_equal(problem.length, 0);
    assert_true(json_get_integer(expected, "status", &status));
    if (reply->status != status)
        fail_msg("%s: status %d", where, reply->status);
    check_headers(where, reply, json_get(expected, "headers"));
    body = vectors_bytes(&arena, json_get(expected, "body"), "");
    if (!view_equal(reply->body, body))
        fail_msg("%s: body \"%.*s\"", where, VIEW_FORMAT(reply->body));
}

static void check_case(const char *name, const char *path)
{
    static const struct {
        enum event_format format;
        const char *name;
    } formats[] = {{EVENT_2_0, "2.0"}, {EVENT_1_0, "1.0"}, {EVENT_ALB, "alb"}};
    struct json *expected = vectors_read_json(&arena, path, "expected.json");
    struct view payload = vectors_read(&arena, path, "reply.json");
    unsigned checked = 0;

    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        const struct json *outcome = json_get(expected, formats[i].name);
        char where[200];
        struct reply reply;
        enum error error;

        if (!outcome)
            continue;
        snprintf(where, sizeof(where), "%s in %s", name, formats[i].name);
        buffer_clear(&problem);
        error = reply_decode(formats[i].format, payload, &arena, &reply, &problem);
        check_outcome(where, error, &reply, outcome);
        checked++;
    }
    assert_true(checked > 0);
    json_free(expected);
}

static void every_case_gives_the_response_that_aws_would_give(void **state)
{
    (void)state;
    assert_true(vectors_each("replies", check_case) >= 60);
}

/* {"statusCode":200,"body":"…"} around `length` times `unit`. */
static void long_reply(struct buffer *payload, const char *unit, size_t times, const char *rest)
{
    buffer_init(payload, (size_t)16 * 1024 * 1024);
    buffer_append_string(payload, "{\"statusCode\":200,\"body\":\"");
    for (size_t i = 0; i < times; i++)
        buffer_append_string(payload, unit);
    buffer_append_string(payload, "\"");
    buffer_append_string(payload, rest);
    buffer_append_string(payload, "}");
    assert_int_equal(payload->error, ERROR_NONE);
}

static void a_body_without_escapes_is_borrowed_from_the_payload(void **state)
{
    struct buffer payload;
    struct reply reply;

    (void)state;
    long_reply(&payload, "0123456789", 500000, "");
    assert_int_equal(reply_decode(EVENT_2_0, buffer_view(&payload), &arena, &reply, &problem),
                     ERROR_NONE);
    assert_int_equal(reply.body.length, 5000000);
    assert_true(reply.body.data > payload.data && reply.body.data < payload.data + payload.length);
    assert_true(arena.used < 100000);
    buffer_release(&payload);
}

static void a_long_body_fits_the_arena_that_the_header_asks_for(void **state)
{
    struct buffer payload;
    struct arena exact;
    struct reply reply;

    (void)state;
    long_reply(&payload, "\\n", 2500000, "");
    arena_init(&exact, REPLY_ARENA_BYTES(payload.length));
    assert_int_equal(reply_decode(EVENT_1_0, buffer_view(&payload), &exact, &reply, &problem),
                     ERROR_NONE);
    assert_int_equal(reply.body.length, 2500000);
    assert_int_equal(reply.body.data[2499999], '\n');
    arena_release(&exact);
    buffer_release(&payload);
}

static void a_long_base64_body_is_decoded(void **state)
{
    struct buffer payload;
    struct reply reply;

    (void)state;
    long_reply(&payload, "\\/\\/79", 1000000, ",\"isBase64Encoded\":true");
    assert_int_equal(reply_decode(EVENT_2_0, buffer_view(&payload), &arena, &reply, &problem),
                     ERROR_NONE);
    assert_int_equal(reply.body.length, 3000000);
    assert_memory_equal(reply.body.data + 2999997, "\xff\xfe\xfd", 3);
    buffer_release(&payload);
}

static void an_arena_that_is_too_small_is_an_error_with_a_sentence(void **state)
{
    struct buffer payload;
    struct arena small;
    struct reply reply;

    (void)state;
    long_reply(&payload, "\\n", 50000, "");
    arena_init(&small, 10000);
    assert_int_equal(reply_decode(EVENT_2_0, buffer_view(&payload), &small, &reply, &problem),
                     ERROR_TOO_BIG);
    assert_true(problem.length > 0);
    arena_release(&small);
    buffer_release(&payload);
}

static void every_cut_of_a_reply_is_refused(void **state)
{
    struct view whole =
        VIEW("{\"statusCode\":200,\"headers\":{\"A\":\"\\u00e9\"},\"multiValueHeaders\":"
             "{\"B\":[1.5e3,true]},\"cookies\":[\"a=b\"],\"body\":\"\\ud83d\\ude00\"}");
    struct reply reply;

    (void)state;
    for (size_t length = 0; length < whole.length; length++) {
        struct view cut = arena_copy(&arena, view_slice(whole, 0, length));

        assert_int_equal(reply_decode(EVENT_2_0, cut, &arena, &reply, &problem), ERROR_INVALID);
    }
    assert_int_equal(reply_decode(EVENT_2_0, whole, &arena, &reply, &problem), ERROR_NONE);
}

static bool length_of(const char *headers, uint64_t *length)
{
    struct reply reply;
    char *payload = arena_format(&arena, "{\"statusCode\":200,\"headers\":{%s}}", headers);
    enum error error = reply_decode(EVENT_2_0, view_of(payload), &arena, &reply, &problem);

    assert_int_equal(error, ERROR_NONE);
    for (size_t i = 0; i < reply.header_count; i++)
        assert_false(view_equal_nocase(reply.headers[i].name, VIEW("Content-Length")));
    *length = reply.own_length;
    return reply.has_own_length;
}

static void a_length_that_the_function_gave_is_kept_apart_when_it_is_one(void **state)
{
    static const char *const none[] = {
        "",
        "\"content-length\":\"\"",
        "\"content-length\":\"+5\"",
        "\"content-length\":\"5,5\"",
        "\"content-length\":-1",
        "\"content-length\":\"9999999999999999\"",
        "\"content-length\":\"5\",\"Content-Length\":\"6\"",
        "\"content-length\":\"x\",\"Content-Length\":\"6\"",
    };
    uint64_t length;

    (void)state;
    assert_true(length_of("\"Content-Length\":\"1234\"", &length) && length == 1234);
    assert_true(length_of("\"content-length\":0", &length) && length == 0);
    assert_true(length_of("\"content-length\":\"5\",\"Content-Length\":5", &length) && length == 5);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (length_of(none[i], &length))
            fail_msg("%s is a length", none[i]);
}

static void responses_without_content_are_known_by_method_and_status(void **state)
{
    (void)state;
    assert_true(reply_has_no_body(VIEW("HEAD"), 200));
    assert_true(reply_has_no_body(VIEW("GET"), 204));
    assert_true(reply_has_no_body(VIEW("GET"), 304));
    assert_false(reply_has_no_body(VIEW("GET"), 200));
    assert_false(reply_has_no_body(VIEW("head"), 200)); /* methods are case-sensitive */
    assert_false(reply_has_no_body(VIEW("POST"), 205));
}

static void check_error(const char *payload, bool is_error, const char *type, const char *message,
                        bool timed_out)
{
    struct view found_type, found_message;
    bool found_timeout;

    assert_int_equal(
        reply_function_error(view_of(payload), &arena, &found_type, &found_message, &found_timeout),
        is_error);
    assert_true(view_equal_string(found_type, type));
    assert_true(view_equal_string(found_message, message));
    assert_int_equal(found_timeout, timed_out);
}

static void a_function_error_is_an_object_with_type_or_message(void **state)
{
    (void)state;
    check_error("{\"errorType\":\"TypeError\",\"errorMessage\":\"x is\\nnull\",\"trace\":[]}", true,
                "TypeError", "x is\nnull", false);
    check_error("{\"errorMessage\":\"boom\"}", true, "", "boom", false);
    check_error("{\"errorType\":\"Runtime.ExitError\"}", true, "Runtime.ExitError", "", false);
    check_error("{\"errorMessage\":null,\"errorType\":7}", false, "", "", false);
    check_error("{\"statusCode\":200}", false, "", "", false);
    check_error("\"errorMessage\"", false, "", "", false);
    check_error("[{\"errorMessage\":\"x\"}]", false, "", "", false);
    check_error("{\"errorMessage\":\"x\"", false, "", "", false);
    check_error("", false, "", "", false);
}

static void a_timeout_is_told_by_its_type_or_by_the_old_message(void **state)
{
    (void)state;
    check_error("{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"RequestId: 1 Error: Task "
                "timed out after 3.00 seconds\"}",
                true, "Sandbox.Timedout", "RequestId: 1 Error: Task timed out after 3.00 seconds",
                true);
    check_error("{\"errorMessage\":\"2026-01-01T00:00:00Z 1 Task timed out after 3.00 seconds\"}",
                true, "", "2026-01-01T00:00:00Z 1 Task timed out after 3.00 seconds", true);
    /* The function itself said so: that it ran out of time is not Lambda's word. */
    check_error("{\"errorType\":\"Error\",\"errorMessage\":\"Task timed out after a while\"}", true,
                "Error", "Task timed out after a while", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_case_gives_the_response_that_aws_would_give, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_body_without_escapes_is_borrowed_from_the_payload, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_long_body_fits_the_arena_that_the_header_asks_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_long_base64_body_is_decoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_arena_that_is_too_small_is_an_error_with_a_sentence,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_cut_of_a_reply_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_length_that_the_function_gave_is_kept_apart_when_it_is_one, set_up, tear_down),
        cmocka_unit_test(responses_without_content_are_known_by_method_and_status),
        cmocka_unit_test_setup_teardown(a_function_error_is_an_object_with_type_or_message, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_timeout_is_told_by_its_type_or_by_the_old_message, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests_name("contract/reply", tests, NULL, NULL);
}
