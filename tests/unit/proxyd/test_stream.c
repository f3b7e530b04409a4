/* A streamed reply being read: head, body and end, split anywhere. */
#include "proxyd/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PRELUDE "{\"statusCode\":201,\"headers\":{\"x-a\":\"b\"}}\0\0\0\0\0\0\0\0"

struct scene {
    struct arena arena;
    struct stream stream;
    struct buffer wire, body;
    unsigned heads;
};

static struct scene scene;

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof scene);
    arena_init(&scene.arena, 1024 * 1024);
    buffer_init(&scene.wire, 16 * 1024 * 1024);
    buffer_init(&scene.body, 16 * 1024 * 1024);
    stream_init(&scene.stream, PRELUDE_AUTO, &scene.arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stream_release(&scene.stream);
    buffer_release(&scene.wire);
    buffer_release(&scene.body);
    arena_release(&scene.arena);
    return 0;
}

static void output(struct view bytes)
{
    event_stream_append_output(&scene.wire, bytes);
}

static void complete(const char *code, const char *details)
{
    event_stream_append_complete(&scene.wire, view_of(code), view_of(details), VIEW(""));
}

static void take_head(void)
{
    scene.heads++;
    buffer_append_view(&scene.body, scene.stream.prelude.reply.body);
}

/* Reads what is on the wire in pieces of `size` bytes; STREAM_FAILED ends it. */
static enum stream_event read_all(size_t size)
{
    struct view left = buffer_view(&scene.wire);

    while (left.length > 0) {
        struct view piece = view_slice(left, 0, size);
        enum stream_event event;

        left = view_slice(left, piece.length, SIZE_MAX);
        while ((event = stream_next(&scene.stream, &piece)) != STREAM_MORE) {
            if (event == STREAM_FAILED)
                return event;
            if (event == STREAM_HEAD)
                take_head();
            else
                buffer_append_view(&scene.body, scene.stream.output);
        }
        assert_int_equal(piece.length, 0);
    }
    return STREAM_MORE;
}

static enum stream_event finish(void)
{
    enum stream_event event = stream_finish(&scene.stream);

    if (event == STREAM_HEAD)
        take_head();
    return event;
}

static void assert_body(const char *expected)
{
    assert_int_equal(scene.body.length, strlen(expected));
    assert_memory_equal(scene.body.data, expected, strlen(expected));
}

static void head_and_body_are_the_same_however_the_bytes_are_split(void **state)
{
    (void)state;
    for (size_t size = 1; size < 400; size++) {
        tear_down(NULL);
        set_up(NULL);
        output(view_from(PRELUDE, sizeof PRELUDE - 1));
        output(VIEW("first "));
        output(VIEW("second"));
        complete("", "");
        assert_int_equal(read_all(size), STREAM_MORE);
        assert_int_equal(finish(), STREAM_DONE);
        assert_int_equal(scene.heads, 1);
        assert_int_equal(scene.stream.prelude.reply.status, 201);
        assert_body("first second");
    }
}

static void a_stream_that_does_not_begin_with_a_brace_is_the_body(void **state)
{
    (void)state;
    output(VIEW("raw"));
    complete("", "");
    assert_int_equal(read_all(7), STREAM_MORE);
    assert_int_equal(finish(), STREAM_DONE);
    assert_int_equal(scene.stream.prelude.reply.status, 200);
    assert_body("raw");
}

static void nothing_but_a_good_end_is_an_empty_response(void **state)
{
    (void)state;
    complete("", "");
    assert_int_equal(read_all(7), STREAM_MORE);
    assert_int_equal(finish(), STREAM_HEAD);
    assert_body("");
}

static void a_buffered_reply_is_collected(void **state)
{
    (void)state;
    output(VIEW("{\"statusCode\":"));
    output(VIEW("200}"));
    complete("", "");
    assert_int_equal(read_all(5), STREAM_MORE);
    assert_int_equal(finish(), STREAM_BUFFERED);
    assert_int_equal(scene.heads, 0);
    assert_true(view_equal_string(buffer_view(&scene.stream.collected), "{\"statusCode\":200}"));
}

static void a_buffered_reply_over_6_mb_is_refused(void **state)
{
    static char spaces[1024 * 1024];

    (void)state;
    memset(spaces, ' ', sizeof spaces);
    output(VIEW("{"));
    for (int i = 0; i < 6; i++)
        output(view_from(spaces, sizeof spaces));
    assert_int_equal(read_all(65536), STREAM_FAILED);
    assert_int_equal(scene.stream.fault, FAULT_BAD_REPLY);
    assert_non_null(strstr(scene.stream.detail, "6 MB"));
}

static void a_stream_without_its_end_is_lambdas_failure(void **state)
{
    (void)state;
    output(VIEW("raw"));
    assert_int_equal(read_all(64), STREAM_MORE);
    assert_int_equal(finish(), STREAM_FAILED);
    assert_int_equal(scene.stream.fault, FAULT_LAMBDA_FAILED);
}

static void a_wrong_crc_is_lambdas_failure(void **state)
{
    (void)state;
    output(VIEW("raw"));
    scene.wire.data[scene.wire.length - 1] ^= 1;
    assert_int_equal(read_all(64), STREAM_FAILED);
    assert_int_equal(scene.stream.fault, FAULT_LAMBDA_FAILED);
    assert_non_null(scene.stream.detail);
}

static void a_functions_error_is_named_in_the_log(void **state)
{
    (void)state;
    output(VIEW("raw"));
    complete("Unhandled", "{\"errorType\":\"Mine\",\"errorMessage\":\"m\"}");
    assert_int_equal(read_all(64), STREAM_MORE);
    assert_int_equal(finish(), STREAM_FAILED);
    assert_int_equal(scene.stream.fault, FAULT_FUNCTION_ERROR);
    assert_string_equal(scene.stream.detail, "Mine");
}

static void a_functions_timeout_is_one_also_without_output(void **state)
{
    (void)state;
    complete("Unhandled", "{\"errorType\":\"Sandbox.Timedout\"}");
    assert_int_equal(read_all(64), STREAM_MORE);
    assert_int_equal(finish(), STREAM_FAILED);
    assert_int_equal(scene.stream.fault, FAULT_FUNCTION_TIMEOUT);
    assert_int_equal(scene.heads, 0);
}

static void an_exception_of_lambdas_is_its_failure(void **state)
{
    (void)state;
    event_stream_append_exception(&scene.wire, VIEW("ServiceException"), VIEW("m"));
    assert_int_equal(read_all(64), STREAM_MORE);
    assert_int_equal(finish(), STREAM_FAILED);
    assert_int_equal(scene.stream.fault, FAULT_LAMBDA_FAILED);
    assert_string_equal(scene.stream.detail, "ServiceException");
}

static void a_prelude_that_breaks_a_rule_is_a_bad_reply(void **state)
{
    static const char bad[] = "{\"statusCode\":99}\0\0\0\0\0\0\0\0";

    (void)state;
    output(view_from(bad, sizeof bad - 1));
    assert_int_equal(read_all(64), STREAM_FAILED);
    assert_int_equal(scene.stream.fault, FAULT_BAD_REPLY);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(head_and_body_are_the_same_however_the_bytes_are_split),
        TEST(a_stream_that_does_not_begin_with_a_brace_is_the_body),
        TEST(nothing_but_a_good_end_is_an_empty_response),
        TEST(a_buffered_reply_is_collected),
        TEST(a_buffered_reply_over_6_mb_is_refused),
        TEST(a_stream_without_its_end_is_lambdas_failure),
        TEST(a_wrong_crc_is_lambdas_failure),
        TEST(a_functions_error_is_named_in_the_log),
        TEST(a_functions_timeout_is_one_also_without_output),
        TEST(an_exception_of_lambdas_is_its_failure),
        TEST(a_prelude_that_breaks_a_rule_is_a_bad_reply),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
