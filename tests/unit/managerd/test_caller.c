/* Tests of who managerd is for AWS: reading what STS says. */
#include "managerd/caller.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define RESULT(INSIDE)                                                                             \
    "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n"            \
    "  <GetCallerIdentityResult>" INSIDE "</GetCallerIdentityResult>\n"                            \
    "  <ResponseMetadata><RequestId>01234567</RequestId></ResponseMetadata>\n"                     \
    "</GetCallerIdentityResponse>"
#define ARN "arn:aws:sts::123456789012:assumed-role/managerd/i-0123"

static void the_identity_is_read_whatever_the_order_and_blanks(void **state)
{
    (void)state;
    static const char *const texts[] = {
        RESULT("<Arn>" ARN "</Arn><UserId>AROA:i</UserId><Account>123456789012</Account>"),
        RESULT("\n <Account> 123456789012 </Account>\n <UserId>AROA:i</UserId>\n <Arn>" ARN
               "</Arn>\n"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct caller_identity identity;
        assert_true(caller_read(view_of(texts[i]), &identity));
        assert_true(view_equal_string(identity.account, "123456789012"));
        assert_true(view_equal_string(identity.arn, ARN));
        assert_true(view_equal_string(identity.user, "AROA:i"));
    }
}

static void what_is_no_identity_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{}",
        "<GetCallerIdentityResult>",
        RESULT(""),
        RESULT("<Arn>" ARN "</Arn><UserId>AROA:i</UserId>"),
        RESULT("<Arn></Arn><UserId>AROA:i</UserId><Account>1</Account>"),
        RESULT("<Arn>a b</Arn><UserId>AROA:i</UserId><Account>1</Account>"),
        RESULT("<Arn>&lt;</Arn><UserId>AROA:i</UserId><Account>1</Account>"),
        "<Error><Arn>a</Arn><UserId>b</UserId><Account>1</Account></Error>",
        "<GetCallerIdentityResult><Account>1</Account><UserId>b</UserId><Arn>a",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct caller_identity identity;
        assert_false(caller_read(view_of(texts[i]), &identity));
    }
}

static void a_stand_in_is_told_from_aws(void **state)
{
    (void)state;
    assert_true(endpoint_is_aws("https://lambda.us-east-1.amazonaws.com"));
    assert_true(endpoint_is_aws("https://lambda.cn-north-1.amazonaws.com.cn"));
    assert_true(endpoint_is_aws("https://lambda.us-east-1.api.aws"));
    assert_true(endpoint_is_aws("https://lambda.cn-north-1.api.amazonwebservices.com.cn"));
    assert_false(endpoint_is_aws("http://127.0.0.1:9001"));
    assert_false(endpoint_is_aws("https://lambda.example.com"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_identity_is_read_whatever_the_order_and_blanks),
        cmocka_unit_test(what_is_no_identity_is_refused),
        cmocka_unit_test(a_stand_in_is_told_from_aws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
