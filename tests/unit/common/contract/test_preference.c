/* Tests of the Prefer header: which preferences are asked for, however they are written. */
#include "tests/unit/common/base/check.h"

#include "common/contract/preference.h"

static void a_preference_is_found_wherever_it_stands(void **state)
{
    static const char *const values[] = {
        "respond-async",
        "Respond-ASYNC",
        " respond-async ",
        "wait=5, respond-async",
        "respond-async, wait=5",
        "respond-async;a=b",
        "respond-async ; a",
        "respond-async=",
        "respond-async=\"\"",
        ",,respond-async,",
        "a=\"x, y\",respond-async",
        "a=\"\\\"\", respond-async",
        "return=minimal;respond-async;x, respond-async",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
        if (!preference_asked(view_of(values[i]), "respond-async"))
            fail_msg("not found in: %s", values[i]);
}

static void what_only_looks_like_it_is_not(void **state)
{
    static const char *const values[] = {
        "",
        "respond",
        "respond-asynchronously",
        "respond-async=1",
        "respond-async=\"no\"",
        "a=respond-async",
        "a;respond-async",
        "a=\"x, respond-async\"",
        "a=\"x, respond-async",
        "a=\"\\\", respond-async",
        "respond-async wait",
        "\"respond-async\"",
        "a=\"\\",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
        if (preference_asked(view_of(values[i]), "respond-async"))
            fail_msg("found in: %s", values[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_preference_is_found_wherever_it_stands),
        cmocka_unit_test(what_only_looks_like_it_is_not),
    };

    return cmocka_run_group_tests_name("preference", tests, NULL, NULL);
}
