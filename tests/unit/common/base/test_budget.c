/* What is held is counted once, and nothing is left when all have let go. */
#include "common/base/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void holders_tell_what_they_hold_now(void **state)
{
    struct budget budget = {.most = 100};
    size_t first = 0, second = 0;

    (void)state;
    budget_hold(&budget, &first, 60);
    assert_true(budget_has_room(&budget, 40));
    assert_false(budget_has_room(&budget, 41));
    assert_false(budget_has_room(&budget, UINT64_MAX));
    budget_hold(&budget, &second, 70); /* what is under way goes on */
    assert_int_equal(budget_used(&budget), 130);
    assert_false(budget_has_room(&budget, 0));
    budget_hold(&budget, &first, 10);
    assert_int_equal(budget_used(&budget), 80);
    budget_hold(&budget, &first, 0);
    budget_hold(&budget, &second, 0);
    budget_hold(&budget, &second, 0);
    assert_int_equal(budget_used(&budget), 0);
    assert_true(budget_has_room(&budget, 100));
}

static void without_a_budget_there_is_always_room(void **state)
{
    size_t held = 0;

    (void)state;
    budget_hold(NULL, &held, 5);
    assert_int_equal(held, 0);
    assert_int_equal(budget_used(NULL), 0);
    assert_true(budget_has_room(NULL, UINT64_MAX));
}

static void the_machine_has_some_memory(void **state)
{
    (void)state;
    assert_in_range(budget_machine_bytes(), 16 * 1024 * 1024, UINT64_C(1) << 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holders_tell_what_they_hold_now),
        cmocka_unit_test(without_a_budget_there_is_always_room),
        cmocka_unit_test(the_machine_has_some_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
