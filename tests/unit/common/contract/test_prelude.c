/* Tests of how streamed replies begin: the cases of tests/vectors/preludes in each mode and in every split. */
#include "tests/unit/common/contract/vectors.h"

#include "common/contract/prelude.h"

/* What came out of one stream. */
struct outcome {
    struct arena arena;
    struct buffer problem, body;
    struct prelude prelude;
    enum error error;
};

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 * 1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

/* Feeds some bytes from memory of their own; what follows the head is body. */
static void feed(struct outcome *outcome, struct view bytes)
{
    char *own = view_duplicate(bytes);
    struct view rest = view_from(own, bytes.length);

    if (outcome->prelude.outcome == PRELUDE_PENDING)
        outcome->error = prelude_feed(&outcome->prelude, &rest, &outcome->arena, &outcome->problem);
    if (outcome->prelude.outcome == PRELUDE_PENDING)
        assert_int_equal(rest.length, 0);
    buffer_append_view(&outcome->body, rest);
    free(own);
}

/* Feeds the stream: `first` bytes, then pieces of `piece` bytes, then its end. */
static void decode(struct outcome *outcome, enum prelude_mode mode, struct view stream,
                   size_t first, size_t piece)
{
    *outcome = (struct outcome){.error = ERROR_NONE};
    arena_init(&outcome->arena, REPLY_ARENA_BYTES(PRELUDE_MAX_BYTES));
    buffer_init(&outcome->problem, 1000);
    buffer_init(&outcome->body, stream.length);
    prelude_init(&outcome->prelude, mode);
    if (first > 0)
        feed(outcome, view_slice(stream, 0, first));
    for (size_t at = first; at < stream.length && outcome->error == ERROR_NONE; at += piece)
        feed(outcome, view_slice(stream, at, piece));
    if (outcome->prelude.outcome == PRELUDE_PENDING)
        outcome->error = prelude_end(&outcome->prelude, &outcome->arena, &outcome->problem);
    assert_int_equal(outcome->error != ERROR_NONE, outcome->prelude.outcome == PRELUDE_REFUSED);
    assert_int_equal(outcome->error != ERROR_NONE, outcome->problem.length > 0);
    assert_true(outcome->prelude.held.length <= PRELUDE_MAX_BYTES);
}

static void release(struct outcome *outcome)
{
    prelude_release(&outcome->prelude);
    arena_release(&outcome->arena);
    buffer_release(&outcome->problem);
    buffer_release(&outcome->body);
}

static void check_headers(const char *where, const struct reply *reply, const struct json *expected)
{
    size_t i = 0;

    for (const struct json *pair = json_first(expected); pair; pair = json_next(pair), i++) {
        struct view name = json_string(json_first(pair));
        struct view value = json_string(json_next(json_first(pair)));

        if (i >= reply->header_count || !view_equal(reply->headers[i].name, name) ||
            !view_equal(reply->headers[i].value, value))
            fail_msg("%s: header %zu is not %.*s", where, i, VIEW_FORMAT(name));
    }
    if (i != reply->header_count)
        fail_msg("%s: %zu headers", where, reply->header_count);
}

/* The body is what was held back and was none of the head, and what follows. */
static void check_body(const char *where, const struct outcome *outcome,
                       const struct json *expected)
{
    struct view body = vectors_bytes(&arena, json_get(expected, "body"), "");
    struct view held = outcome->prelude.reply.body;

    if (!view_starts_with(body, held) ||
        !view_equal(view_slice(body, held.length, SIZE_MAX), buffer_view(&outcome->body)))
        fail_msg("%s: body \"%.*s\" and \"%.*s\"", where, VIEW_FORMAT(held),
                 VIEW_FORMAT(buffer_view(&outcome->body)));
}

static void check_outcome(const char *where, const struct outcome *outcome,
                          const struct json *expected)
{
    struct view error = VIEW("none"), kind = VIEW("");
    int64_t status = 0;

    json_get_string(expected, "error", &error);
    if (!view_equal_string(error, error_name(outcome->error)))
        fail_msg("%s: %s (%s)", where, error_name(outcome->error),
                 outcome->problem.length ? outcome->problem.data : "");
    if (outcome->error != ERROR_NONE)
        return;
    assert_true(json_get_string(expected, "outcome", &kind));
    if (view_equal(kind, VIEW("stream")) != (outcome->prelude.outcome == PRELUDE_STREAM))
        fail_msg("%s: outcome %d", where, (int)outcome->prelude.outcome);
    check_body(where, outcome, expected);
    if (outcome->prelude.outcome == PRELUDE_BUFFERED)
        return;
    assert_true(json_get_integer(expected, "status", &status));
    if (outcome->prelude.reply.status != status)
        fail_msg("%s: status %d", where, outcome->prelude.reply.status);
    check_headers(where, &outcome->prelude.reply, json_get(expected, "headers"));
}

static void check_mode(const char *name, const char *mode_name, enum prelude_mode mode,
                       struct view stream, const struct json *expected)
{
    size_t step = stream.length > 1000 ? 97 : 1; /* the long ones differ in length alone */
    struct outcome outcome;
    char where[200];

    assert_non_null(expected);
    snprintf(where, sizeof(where), "%s, %s, byte by byte", name, mode_name);
    decode(&outcome, mode, stream, 0, 1);
    check_outcome(where, &outcome, expected);
    release(&outcome);
    for (size_t first = 0; first <= stream.length; first += step) {
        snprintf(where, sizeof(where), "%s, %s, split at %zu", name, mode_name, first);
        decode(&outcome, mode, stream, first, SIZE_MAX / 2);
        check_outcome(where, &outcome, expected);
        release(&outcome);
    }
}

static void check_case(const char *name, const char *path)
{
    static const struct {
        enum prelude_mode mode;
        const char *name;
    } modes[] = {
        {PRELUDE_REQUIRED, "required"}, {PRELUDE_OPTIONAL, "optional"}, {PRELUDE_AUTO, "auto"}};
    struct json *expected = vectors_read_json(&arena, path, "expected.json");
    struct view stream = vectors_read(&arena, path, "stream");
    const struct json *any = json_get(expected, "any");

    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
        check_mode(name, modes[i].name, modes[i].mode, stream,
                   any ? any : json_get(expected, modes[i].name));
    json_free(expected);
}

static void every_case_comes_out_the_same_in_every_split(void **state)
{
    (void)state;
    assert_true(vectors_each("preludes", check_case) >= 45);
}

/* A raw stream is never looked into, whatever it is. */
static void check_raw(const char *name, const char *path)
{
    struct view stream = vectors_read(&arena, path, "stream");
    struct outcome outcome;

    decode(&outcome, PRELUDE_RAW, stream, 0, 7);
    if (outcome.prelude.outcome != PRELUDE_STREAM ||
        !view_equal(buffer_view(&outcome.body), stream))
        fail_msg("%s: a raw stream is all body", name);
    assert_int_equal(outcome.prelude.reply.status, 200);
    assert_int_equal(outcome.prelude.reply.header_count, 1);
    check_view(outcome.prelude.reply.headers[0].value, "application/octet-stream");
    release(&outcome);
}

static void a_raw_stream_is_all_body(void **state)
{
    (void)state;
    assert_true(vectors_each("preludes", check_raw) >= 45);
}

static void a_raw_stream_has_its_head_before_its_first_byte(void **state)
{
    struct outcome outcome = {.error = ERROR_NONE};
    struct view nothing = VIEW("");

    (void)state;
    buffer_init(&outcome.problem, 100);
    arena_init(&outcome.arena, 100000);
    prelude_init(&outcome.prelude, PRELUDE_RAW);
    assert_int_equal(prelude_feed(&outcome.prelude, &nothing, &outcome.arena, &outcome.problem),
                     ERROR_NONE);
    assert_int_equal(outcome.prelude.outcome, PRELUDE_STREAM);
    release(&outcome);
}

static void nothing_is_decided_by_no_bytes(void **state)
{
    struct outcome outcome = {.error = ERROR_NONE};
    struct view nothing = VIEW("");

    (void)state;
    buffer_init(&outcome.problem, 100);
    arena_init(&outcome.arena, 100000);
    prelude_init(&outcome.prelude, PRELUDE_REQUIRED);
    assert_int_equal(prelude_feed(&outcome.prelude, &nothing, &outcome.arena, &outcome.problem),
                     ERROR_NONE);
    assert_int_equal(outcome.prelude.outcome, PRELUDE_PENDING);
    release(&outcome);
}

static void a_raw_byte_decides_at_once(void **state)
{
    struct outcome outcome = {.error = ERROR_NONE};
    struct view bytes = VIEW("<");

    (void)state;
    buffer_init(&outcome.problem, 100);
    arena_init(&outcome.arena, 100000);
    prelude_init(&outcome.prelude, PRELUDE_AUTO);
    assert_int_equal(prelude_feed(&outcome.prelude, &bytes, &outcome.arena, &outcome.problem),
                     ERROR_NONE);
    assert_int_equal(outcome.prelude.outcome, PRELUDE_STREAM);
    check_view(bytes, "<");
    release(&outcome);
}

static void an_arena_that_is_too_small_is_an_error_with_a_sentence(void **state)
{
    static const char stream[] = "{\"headers\":{\"a\":\"1\"}}\0\0\0\0\0\0\0\0";
    struct outcome outcome = {.error = ERROR_NONE};

    (void)state;
    for (unsigned mode = PRELUDE_REQUIRED; mode <= PRELUDE_RAW; mode++) {
        struct view bytes = {stream, sizeof(stream) - 1};

        buffer_init(&outcome.problem, 100);
        arena_init(&outcome.arena, 10);
        prelude_init(&outcome.prelude, (enum prelude_mode)mode);
        assert_int_equal(prelude_feed(&outcome.prelude, &bytes, &outcome.arena, &outcome.problem),
                         ERROR_TOO_BIG);
        assert_int_equal(outcome.prelude.outcome, PRELUDE_REFUSED);
        assert_true(outcome.problem.length > 0);
        release(&outcome);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_case_comes_out_the_same_in_every_split),
        TEST(a_raw_stream_is_all_body),
        TEST(a_raw_stream_has_its_head_before_its_first_byte),
        TEST(nothing_is_decided_by_no_bytes),
        TEST(a_raw_byte_decides_at_once),
        TEST(an_arena_that_is_too_small_is_an_error_with_a_sentence),
    };

    return cmocka_run_group_tests_name("contract/prelude", tests, NULL, NULL);
}
