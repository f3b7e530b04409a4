/* The rules agree with the decoder on every reply and prelude of the vectors, and with their page. */
#include "tests/unit/common/contract/vectors.h"

#include "common/base/file.h"
#include "managerd/rules.h"

static unsigned taken, refused;

static void check_format(const char *name, struct view payload, const struct json *expected,
                         const char *format_name, enum event_format format)
{
    const struct json *wanted = json_get(expected, format_name);
    struct arena arena;
    struct rules rules;

    if (!wanted)
        return;
    arena_init(&arena, (size_t)64 * 1024 * 1024);
    rules_begin(&rules, &arena);
    rules_judge_reply(&rules, format, false, payload);
    bool is_good = json_get(wanted, "error") == NULL;
    if (is_good != (rules.results[RULE_DECODED] == RULE_PASSED))
        fail_msg("%s as %s: the decoder and the rules differ", name, format_name);
    if (!is_good && !rules_broken(&rules))
        fail_msg("%s as %s: refused, but no rule is broken", name, format_name);
    if (!is_good && rules.results[RULE_DECODED] == RULE_FAILED)
        fail_msg("%s as %s: refused by no rule of its own: %s", name, format_name,
                 rules.why[RULE_DECODED]);
    for (size_t i = 0; i < RULE_COUNT; i++)
        assert_true((rules.why[i] != NULL) == (rules.results[i] == RULE_FAILED));
    taken += is_good;
    refused += !is_good;
    arena_release(&arena);
}

static void check_reply(const char *name, const char *path)
{
    struct arena arena;

    arena_init(&arena, (size_t)16 * 1024 * 1024);
    struct view payload = vectors_read(&arena, path, "reply.json");
    struct json *expected = vectors_read_json(&arena, path, "expected.json");
    check_format(name, payload, expected, "2.0", EVENT_2_0);
    check_format(name, payload, expected, "1.0", EVENT_1_0);
    check_format(name, payload, expected, "alb", EVENT_ALB);
    json_free(expected);
    arena_release(&arena);
}

static void every_reply_that_is_refused_breaks_a_rule(void **state)
{
    (void)state;
    taken = refused = 0;
    assert_true(vectors_each("replies", check_reply) >= 120);
    assert_true(taken >= 100 && refused >= 60);
}

static void check_stream(const char *name, const char *path)
{
    struct arena arena, judged;
    struct rules rules;

    arena_init(&arena, (size_t)16 * 1024 * 1024);
    arena_init(&judged, (size_t)64 * 1024 * 1024);
    struct view output = vectors_read(&arena, path, "stream");
    struct json *expected = vectors_read_json(&arena, path, "expected.json");
    const struct json *wanted = json_get(expected, "any");
    if (!wanted)
        wanted = json_get(expected, "optional");
    rules_begin(&rules, &judged);
    rules_judge_stream(&rules, PRELUDE_OPTIONAL, EVENT_2_0, false, output);
    if (wanted && json_get(wanted, "error") && !rules_broken(&rules))
        fail_msg("%s: refused, but no rule is broken", name);
    if (wanted && !json_get(wanted, "error") && rules.results[RULE_DECODED] == RULE_FAILED)
        fail_msg("%s: taken, but %s", name, rules.why[RULE_DECODED]);
    json_free(expected);
    arena_release(&arena);
    arena_release(&judged);
}

static void every_stream_that_is_refused_breaks_a_rule(void **state)
{
    (void)state;
    assert_true(vectors_each("preludes", check_stream) >= 40);
}

static void the_page_shows_the_same_rules(void **state)
{
    struct buffer page, row;

    (void)state;
    buffer_init(&page, (size_t)1024 * 1024);
    assert_int_equal(file_read(DOCS_DIR "/http-contract.md", &page), ERROR_NONE);
    for (size_t i = 0; i < RULE_COUNT; i++) {
        buffer_init(&row, 1024);
        buffer_append_format(&row, "| `%s` | %s |\n", rule_name((enum rule)i),
                             rule_text((enum rule)i));
        if (!strstr(page.data, row.data))
            fail_msg("docs/http-contract.md lacks: %s", row.data);
        buffer_release(&row);
    }
    buffer_release(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reply_that_is_refused_breaks_a_rule),
        cmocka_unit_test(every_stream_that_is_refused_breaks_a_rule),
        cmocka_unit_test(the_page_shows_the_same_rules),
    };

    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
