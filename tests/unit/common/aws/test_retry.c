/* Tests when calls to AWS are made once more, and what that costs. */
#include "common/aws/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void retries_cost_tokens_that_success_gives_back(void **state)
{
    struct retry_budget budget = {RETRY_TOKENS};
    int cost = 0, retries = 0;
    (void)state;
    while (retry_take(&budget, false, &cost))
        retries++;
    assert_int_equal(retries, RETRY_TOKENS / 14);
    assert_int_equal(cost, 14);
    assert_true(retry_take(&budget, true, &cost));
    assert_int_equal(cost, 5);
    assert_int_equal(budget.tokens, RETRY_TOKENS % 14 - 5);
    retry_give_back(&budget, 0);
    assert_int_equal(budget.tokens, RETRY_TOKENS % 14 - 4);
    for (int i = 0; i < RETRY_TOKENS; i++)
        retry_give_back(&budget, 14);
    assert_int_equal(budget.tokens, RETRY_TOKENS);
}

static void delays_double_up_to_their_cap_and_heed_the_hint(void **state)
{
    (void)state;
    assert_int_equal(retry_delay_us(1, false, UINT32_MAX, -1), 50000);
    assert_int_equal(retry_delay_us(2, false, UINT32_MAX, -1), 100000);
    assert_int_equal(retry_delay_us(1, true, UINT32_MAX, -1), 1000000);
    assert_int_equal(retry_delay_us(40, true, UINT32_MAX, -1), 20000000);
    assert_int_equal(retry_delay_us(3, true, 0, -1), 0);
    assert_int_equal(retry_delay_us(1, false, 0, 700), 700000);
    assert_int_equal(retry_delay_us(1, true, UINT32_MAX, 700), 1000000);
    assert_int_equal(retry_delay_us(1, true, UINT32_MAX, 86400000), 6000000);
    assert_true(retry_is_throttle(VIEW("TooManyRequestsException")));
    assert_false(retry_is_throttle(VIEW("ServiceException")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retries_cost_tokens_that_success_gives_back),
        cmocka_unit_test(delays_double_up_to_their_cap_and_heed_the_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
