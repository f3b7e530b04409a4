/* Tests of where each Lambda operation lies: AWS gave every family of them a date of its own. */
#include "managerd/lambda_operation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define ARN "arn:aws:lambda:us-east-1:000000000000:function:hello"

static void lies_at(enum lambda_operation operation, const char *subject, const char *path)
{
    struct buffer out;
    buffer_init(&out, 1024);
    lambda_operation_path(&out, operation, view_of(subject));
    assert_true(view_equal_string(buffer_view(&out), path));
    buffer_release(&out);
}

static void paths_carry_the_date_of_their_family(void **state)
{
    (void)state;
    lies_at(LAMBDA_GET_FUNCTION, "hello", "/2015-03-31/functions/hello");
    lies_at(LAMBDA_CREATE_FUNCTION, "hello", "/2015-03-31/functions");
    lies_at(LAMBDA_LIST_FUNCTIONS, "", "/2015-03-31/functions");
    lies_at(LAMBDA_LIST_ALIASES, "hello", "/2015-03-31/functions/hello/aliases");
    lies_at(LAMBDA_PUT_CONCURRENCY, "hello", "/2017-10-31/functions/hello/concurrency");
    lies_at(LAMBDA_DELETE_CONCURRENCY, "hello", "/2017-10-31/functions/hello/concurrency");
    lies_at(LAMBDA_LIST_PROVISIONED, "hello",
            "/2019-09-30/functions/hello/provisioned-concurrency");
    lies_at(LAMBDA_GET_URL, "hello", "/2021-10-31/functions/hello/url");
    lies_at(LAMBDA_GET_ACCOUNT_SETTINGS, "", "/2016-08-19/account-settings");
    lies_at(LAMBDA_INVOKE_STREAM, "hello",
            "/2021-11-15/functions/hello/response-streaming-invocations");
}

static void arns_are_encoded_as_one_segment(void **state)
{
    (void)state;
    lies_at(LAMBDA_LIST_TAGS, ARN,
            "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Ahello");
}

/* What may have been done although nobody heard of it is never asked for a second time unseen. */
static void only_what_changes_aws_is_said_to(void **state)
{
    (void)state;
    assert_true(lambda_operation_changes(LAMBDA_PUT_PROVISIONED));
    assert_true(lambda_operation_changes(LAMBDA_UNTAG_RESOURCE));
    assert_false(lambda_operation_changes(LAMBDA_GET_POLICY));
    assert_false(lambda_operation_changes(LAMBDA_GET_FUNCTION));
    assert_false(lambda_operation_changes(LAMBDA_INVOKE));
    assert_true(lambda_operation_has_body(LAMBDA_TAG_RESOURCE));
    assert_false(lambda_operation_has_body(LAMBDA_UNTAG_RESOURCE));
}

static void every_operation_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < LAMBDA_OPERATION_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(lambda_operation_name((enum lambda_operation)i),
                                    lambda_operation_name((enum lambda_operation)j));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_carry_the_date_of_their_family),
        cmocka_unit_test(arns_are_encoded_as_one_segment),
        cmocka_unit_test(only_what_changes_aws_is_said_to),
        cmocka_unit_test(every_operation_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
