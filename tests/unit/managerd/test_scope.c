/* Tests of which apps a token reaches. */
#include "managerd/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct json *scope(const char *text)
{
    struct json *value = NULL;
    assert_int_equal(json_parse(view_of(text), 3, &value, NULL), ERROR_NONE);
    return value;
}

static void patterns_are_names_and_beginnings_of_names(void **state)
{
    (void)state;
    static const char *const good[] = {"shop", "team-*", "team*", "t*", "a-b-c*"};
    static const char *const bad[] = {"",        "*",       "-*",  "Team-*", "te*am",
                                      "team-**", "team--*", "a b", "1*"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(scope_pattern_valid(view_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(scope_pattern_valid(view_of(bad[i])));
}

static void a_scope_holds_what_it_names_and_nothing_else(void **state)
{
    (void)state;
    struct json *some = scope("[\"shop\",\"team-*\"]"), *none = scope("[]"), *all = scope("null");
    assert_true(scope_holds(some, VIEW("shop")));
    assert_true(scope_holds(some, VIEW("team-a")));
    assert_false(scope_holds(some, VIEW("shops")));
    assert_false(scope_holds(some, VIEW("team")));
    assert_false(scope_holds(some, VIEW("xteam-a")));
    assert_false(scope_holds(some, VIEW("")));
    assert_false(scope_holds(none, VIEW("shop")));
    assert_true(scope_holds(all, VIEW("shop")));
    assert_true(scope_holds(NULL, VIEW("shop")));
    json_free(some);
    json_free(none);
    json_free(all);
}

static void a_scope_covers_what_is_narrower(void **state)
{
    static const struct {
        const char *outer, *inner;
        bool covers;
    } rows[] = {
        {"null", "null", true},
        {"null", "[\"a\"]", true},
        {"[\"a\"]", "null", false},
        {"[\"team-*\"]", "[\"team-a\",\"team-b*\"]", true},
        {"[\"team-*\"]", "[\"team-a\",\"other\"]", false},
        {"[\"team-a\"]", "[\"team-*\"]", false},
        {"[\"team-a*\"]", "[\"team-*\"]", false},
        {"[\"team-*\"]", "[\"team-*\"]", true},
        {"[\"team-*\"]", "[\"team*\"]", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json *outer = scope(rows[i].outer), *inner = scope(rows[i].inner);
        assert_int_equal(scope_covers(outer, inner), rows[i].covers);
        json_free(outer);
        json_free(inner);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_are_names_and_beginnings_of_names),
        cmocka_unit_test(a_scope_holds_what_it_names_and_nothing_else),
        cmocka_unit_test(a_scope_covers_what_is_narrower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
