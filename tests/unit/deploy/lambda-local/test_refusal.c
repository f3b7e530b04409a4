/* Tests of the bodies of refusals. */
#include "tests/unit/deploy/lambda-local/check.h"

#include "deploy/lambda-local/server/refusal.h"

static void check_body(enum refusal refusal, const char *reason, int status, const char *expected)
{
    struct buffer body;

    buffer_init(&body, 1000);
    refusal_body(refusal, reason, VIEW("why \"so\""), &body);
    assert_string_equal(body.data, expected);
    assert_int_equal(refusal_status(refusal), status);
    buffer_release(&body);
}

static void bodies_are_worded_as_aws_words_them(void **state)
{
    (void)state;
    check_body(REFUSAL_NOT_FOUND, NULL, 404, "{\"Type\":\"User\",\"Message\":\"why \\\"so\\\"\"}");
    check_body(REFUSAL_INVALID_PARAMETER, NULL, 400,
               "{\"Type\":\"User\",\"message\":\"why \\\"so\\\"\"}");
    check_body(REFUSAL_MISSING_TOKEN, NULL, 403, "{\"message\":\"why \\\"so\\\"\"}");
    check_body(REFUSAL_TOO_MANY, "ConcurrentInvocationLimitExceeded", 429,
               "{\"Reason\":\"ConcurrentInvocationLimitExceeded\",\"Type\":\"User\","
               "\"message\":\"why \\\"so\\\"\"}");
    check_body(REFUSAL_SERVICE, NULL, 500, "{\"Type\":\"Service\",\"Message\":\"why \\\"so\\\"\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_worded_as_aws_words_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
