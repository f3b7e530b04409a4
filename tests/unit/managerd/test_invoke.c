/* Tests of what /invoke asks and answers. */
#include "common/base/escape.h"
#include "managerd/event_cut.h"
#include "managerd/invoke_answer.h"
#include "managerd/invoke_event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct json *parse(const char *text)
{
    struct json *value = NULL;
    assert_int_equal(json_parse(view_of(text), 50, &value, NULL), ERROR_NONE);
    return value;
}

static struct json *version_of(const char *format, const char *mode)
{
    char text[300];
    snprintf(text, sizeof text,
             "{\"version\":3,\"lambdaVersion\":\"7\",\"http\":{\"payloadFormat\":\"%s\","
             "\"responseMode\":\"%s\",\"multiValueHeaders\":false}}",
             format, mode);
    return parse(text);
}

/* ---- events ---- */

static enum error make_event(const char *body, const char *format, struct buffer *event)
{
    struct invoke_origin origin = {.app = VIEW("shop"),
                                   .host = VIEW("shop.localhost"),
                                   .peer = VIEW("192.0.2.7"),
                                   .id = VIEW("the-id")};
    struct json *version = version_of(format, "buffered");
    struct buffer rest;
    struct view given;
    size_t offset;
    buffer_init(&rest, 1000);
    assert_int_equal(event_cut(view_of(body), &rest, &given, &offset), ERROR_NONE);
    struct json *tree = parse(rest.data);
    enum error error = invoke_event(tree, given, version, &origin, event);
    buffer_release(&rest);
    json_free(tree);
    json_free(version);
    return error;
}

static void an_event_is_taken_byte_by_byte(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"event\":{\"a\": 12345678901234567890 }}", "{\"a\": 12345678901234567890 }"},
        {" { \"version\" : 1 , \"event\" : 1.10 } ", "1.10"},
        {"{\"event\":\"a \\\" b \\u00fc\"}", "\"a \\\" b \\u00fc\""},
        {"{\"\\u0065vent\":[1,\n2]}", "[1,\n2]"},
        {"{\"event\":\"\\u0000\"}", "\"\\u0000\""},
        {"{\"event\":null}", "null"},
        {"{\"event\":true}", "true"},
        {"{\"event\":\"\"}", "\"\""},
        {"{\"deadlineMs\":5,\"event\":{\"event\":2}}", "{\"event\":2}"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer event;
        buffer_init(&event, 1000);
        assert_int_equal(make_event(cases[i][0], "2.0", &event), ERROR_NONE);
        assert_string_equal(event.data, cases[i][1]);
        buffer_release(&event);
    }
}

static void assert_cut(const char *text, enum error error, const char *rest, const char *event)
{
    struct buffer out;
    struct view given;
    size_t offset;
    buffer_init(&out, 1u << 20);
    assert_int_equal(event_cut(view_of(text), &out, &given, &offset), error);
    if (!error) {
        assert_string_equal(out.data, rest);
        assert_true(view_equal_string(given, event));
    } else {
        assert_true(offset <= strlen(text));
    }
    buffer_release(&out);
}

static void the_event_is_cut_out_and_nothing_else(void **state)
{
    (void)state;
    assert_cut("{\"a\":1,\"event\":[1, 2],\"b\":{\"event\":3}}", ERROR_NONE,
               "{\"a\":1,\"event\":null,\"b\":{\"event\":3}}", "[1, 2]");
    assert_cut("{\"request\":{}}", ERROR_NONE, "{\"request\":{}}", "");
    assert_cut("{}", ERROR_NONE, "{}", "");
    /* That it is there twice shows when the rest is parsed. */
    assert_cut("{\"event\":1,\"event\":\"2\"}", ERROR_NONE, "{\"event\":null,\"event\":null}",
               "\"2\"");
    assert_cut("[1,2]", ERROR_NONE, "[]", "");
    assert_cut("\"x\"", ERROR_NONE, "\"\"", "");
    assert_cut(" 7 ", ERROR_NONE, "0", "");
    assert_cut("false", ERROR_NONE, "true", "");
    assert_cut("null", ERROR_NONE, "null", "");
    static const char *const wrong[] = {"",
                                        "{",
                                        "{\"event\":}",
                                        "{\"event\":[1,]}",
                                        "{} {}",
                                        "{\"event\":\"\xff\"}",
                                        "{\"event\":01}",
                                        "nonsense"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_cut(wrong[i], ERROR_INVALID, NULL, NULL);
}

static void only_the_event_may_have_many_values(void **state)
{
    (void)state;
    static const char *const starts[] = {"{\"event\":[0", "{\"request\":[0",
                                         "{\"request\":[\"\\\",\""};
    for (size_t i = 0; i < 3; i++) {
        struct buffer text, rest;
        struct view given;
        size_t offset;
        buffer_init(&text, 4u << 20);
        buffer_init(&rest, 4u << 20);
        buffer_append_string(&text, starts[i]);
        /* What stands in strings is no value. */
        for (int n = 0; n < (i == 2 ? EVENT_CUT_MAX_VALUES / 2 : EVENT_CUT_MAX_VALUES); n++)
            buffer_append_string(&text, i == 2 ? ",\",[\"" : ",0");
        buffer_append_string(&text, "]}");
        assert_int_equal(event_cut(buffer_view(&text), &rest, &given, &offset),
                         i == 1 ? ERROR_TOO_BIG : ERROR_NONE);
        buffer_release(&text);
        buffer_release(&rest);
    }
}

static void an_event_over_the_ceiling_is_too_big(void **state)
{
    (void)state;
    struct buffer event;
    buffer_init(&event, 6);
    assert_int_equal(make_event("{\"event\":\"1234\"}", "2.0", &event), ERROR_NONE);
    buffer_release(&event);
    buffer_init(&event, 6);
    assert_int_equal(make_event("{\"event\":\"12345\"}", "2.0", &event), ERROR_TOO_BIG);
    buffer_release(&event);
    buffer_init(&event, 200);
    assert_int_equal(make_event("{\"request\":{}}", "2.0", &event), ERROR_TOO_BIG);
    buffer_release(&event);
}

static struct json *request_event(const char *body, const char *format)
{
    struct buffer event;
    buffer_init(&event, 65536);
    assert_int_equal(make_event(body, format, &event), ERROR_NONE);
    struct json *value = parse(event.data);
    buffer_release(&event);
    return value;
}

static void assert_member(const struct json *object, const char *name, const char *expected)
{
    struct view text = VIEW("");
    assert_true(json_get_string(object, name, &text));
    if (!view_equal_string(text, expected))
        fail_msg("%s is %.*s instead of %s", name, VIEW_FORMAT(text), expected);
}

static void a_request_becomes_an_event_of_the_versions_format(void **state)
{
    (void)state;
    struct json *event = request_event("{\"request\":{}}", "2.0");
    assert_member(event, "rawPath", "/");
    assert_member(event, "rawQueryString", "");
    assert_member(json_get(event, "headers"), "host", "shop.localhost");
    assert_member(json_get(json_get(event, "requestContext"), "http"), "method", "GET");
    assert_member(json_get(json_get(event, "requestContext"), "http"), "sourceIp", "192.0.2.7");
    assert_member(json_get(event, "requestContext"), "requestId", "the-id");
    json_free(event);
    event = request_event("{\"request\":{\"method\":\"POST\",\"path\":\"/x?a=1\",\"body\":\"YWI=\","
                          "\"isBase64Encoded\":true,\"headers\":{\"X-A\":[\"1\",\"2\"],"
                          "\"Content-Type\":\"text/plain\"}}}",
                          "1.0");
    assert_member(event, "path", "/x");
    assert_member(event, "httpMethod", "POST");
    assert_member(event, "body", "ab");
    assert_int_equal(json_count(json_get(json_get(event, "multiValueHeaders"), "X-A")), 2);
    json_free(event);
    event = request_event("{\"request\":{\"path\":\"/x\",\"query\":{\"a b\":[\"1\",\"&\"],"
                          "\"c\":\"\"}}}",
                          "2.0");
    assert_member(event, "rawQueryString", "a%20b=1&a%20b=%26&c=");
    json_free(event);
    event = request_event("{\"request\":{\"query\":\"x=1&x=2\"}}", "alb");
    assert_member(json_get(event, "queryStringParameters"), "x", "2");
    json_free(event);
}

/* ---- answers ---- */

static struct json *answer_of(struct invoke_outcome *outcome, const char *format, const char *mode)
{
    struct buffer text;
    struct json *version = version_of(format, mode), *answer = NULL;
    outcome->version = version;
    buffer_init(&text, INVOKE_ANSWER_BYTES);
    invoke_answer(outcome, &text);
    assert_int_equal(text.error, ERROR_NONE);
    assert_int_equal(json_parse(buffer_view(&text), 50, &answer, NULL), ERROR_NONE);
    buffer_release(&text);
    json_free(version);
    return answer;
}

static struct invoke_outcome outcome_of(bool is_request, struct view output)
{
    struct view none = VIEW("");
    return (struct invoke_outcome){.is_request = is_request,
                                   .output = output,
                                   .type = none,
                                   .message = none,
                                   .log = none,
                                   .request_id = none};
}

static void assert_is_null(const struct json *object, const char *name)
{
    assert_non_null(json_get(object, name));
    assert_int_equal(json_type_of(json_get(object, name)), JSON_NULL);
}

static void a_reply_to_a_request_is_its_response(void **state)
{
    (void)state;
    struct invoke_outcome outcome = outcome_of(
        true, VIEW("{\"statusCode\":201,\"headers\":{\"x-a\":\"b\"},\"cookies\":[\"c=1\",\"d=2\"],"
                   "\"body\":\"/w==\",\"isBase64Encoded\":true}"));
    outcome.log = VIEW("aGkK");
    outcome.request_id = VIEW("id");
    struct json *answer = answer_of(&outcome, "2.0", "buffered");
    const struct json *response = json_get(answer, "response");
    int64_t number = 0;
    bool truth = false;
    assert_true(json_get_integer(answer, "statusCode", &number) && number == 201);
    assert_int_equal(json_count(json_get(json_get(response, "headers"), "Set-Cookie")), 2);
    assert_member(response, "body", "/w==");
    assert_true(json_get_bool(response, "isBase64Encoded", &truth) && truth);
    assert_member(answer, "log", "hi\n");
    assert_member(answer, "requestId", "id");
    assert_is_null(answer, "reply");
    assert_is_null(answer, "rawReply");
    assert_is_null(answer, "functionError");
    assert_is_null(answer, "contractProblem");
    assert_is_null(answer, "cut");
    json_free(answer);
}

static void a_reply_that_is_no_response_is_shown_as_it_is(void **state)
{
    (void)state;
    struct invoke_outcome outcome = outcome_of(true, VIEW("{\"statusCode\":7,\"n\":1.50}"));
    struct json *answer = answer_of(&outcome, "1.0", "buffered");
    struct view text = VIEW("");
    assert_is_null(answer, "response");
    assert_is_null(answer, "statusCode");
    assert_true(json_get_string(answer, "contractProblem", &text) && text.length);
    assert_int_equal(json_count(json_get(answer, "reply")), 2);
    json_free(answer);
    outcome.output = VIEW("no JSON \xff");
    answer = answer_of(&outcome, "1.0", "buffered");
    assert_is_null(answer, "reply");
    assert_member(json_get(answer, "rawReply"), "body", "bm8gSlNPTiD/");
    json_free(answer);
}

static void a_failure_is_told_with_its_error_object(void **state)
{
    (void)state;
    struct invoke_outcome outcome = outcome_of(true, VIEW("{\"errorType\":\"TypeError\"}"));
    outcome.failed = true;
    outcome.type = VIEW("TypeError");
    outcome.message = VIEW("no luck");
    struct json *answer = answer_of(&outcome, "2.0", "buffered");
    assert_member(json_get(answer, "functionError"), "type", "TypeError");
    assert_member(json_get(answer, "functionError"), "message", "no luck");
    assert_member(json_get(answer, "reply"), "errorType", "TypeError");
    assert_is_null(answer, "response");
    assert_is_null(answer, "contractProblem");
    json_free(answer);
}

static void a_stream_is_taken_apart_as_far_as_it_came(void **state)
{
    (void)state;
    struct invoke_outcome outcome =
        outcome_of(true, VIEW("{\"statusCode\":418}\0\0\0\0\0\0\0\0tea"));
    outcome.cut = "deadline";
    struct json *answer = answer_of(&outcome, "2.0", "stream");
    assert_member(json_get(answer, "response"), "body", "tea");
    assert_member(answer, "cut", "deadline");
    json_free(answer);
    outcome.output = VIEW("plain");
    outcome.cut = NULL;
    outcome.problem = "the stream ended without its last message";
    outcome.failed = true;
    answer = answer_of(&outcome, "2.0", "stream");
    assert_member(json_get(answer, "response"), "body", "plain");
    assert_member(answer, "contractProblem", "the stream ended without its last message");
    json_free(answer);
    /* Nothing came at all. */
    outcome.output = VIEW("");
    answer = answer_of(&outcome, "2.0", "stream");
    assert_is_null(answer, "response");
    assert_is_null(answer, "reply");
    assert_is_null(answer, "rawReply");
    json_free(answer);
}

/* Whatever the bytes are, the answer has a bound. */
static void the_largest_outputs_fit(void **state)
{
    (void)state;
    static const char fillings[] = {'x', '"', '\\', 1, '\n', (char)0xff, 0};
    const size_t length = (size_t)8 << 20;
    char *bytes = malloc(length);
    assert_non_null(bytes);
    for (size_t i = 0; i < sizeof fillings; i++) {
        struct buffer text;
        struct json *version = version_of("2.0", "stream");
        memset(bytes, fillings[i], length);
        struct invoke_outcome outcome = outcome_of(i % 2 == 0, view_from(bytes, length));
        outcome.version = version;
        buffer_init(&text, INVOKE_ANSWER_BYTES);
        invoke_answer(&outcome, &text);
        assert_int_equal(text.error, ERROR_NONE);
        assert_true(text.length > length);
        buffer_release(&text);
        json_free(version);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_taken_byte_by_byte),
        cmocka_unit_test(the_event_is_cut_out_and_nothing_else),
        cmocka_unit_test(only_the_event_may_have_many_values),
        cmocka_unit_test(an_event_over_the_ceiling_is_too_big),
        cmocka_unit_test(a_request_becomes_an_event_of_the_versions_format),
        cmocka_unit_test(a_reply_to_a_request_is_its_response),
        cmocka_unit_test(a_reply_that_is_no_response_is_shown_as_it_is),
        cmocka_unit_test(a_failure_is_told_with_its_error_object),
        cmocka_unit_test(a_stream_is_taken_apart_as_far_as_it_came),
        cmocka_unit_test(the_largest_outputs_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
