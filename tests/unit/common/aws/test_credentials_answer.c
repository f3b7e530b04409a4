/* Reads what providers of credentials answer, whole or not at all, and shows no key in a problem. */
#include "common/aws/credentials_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define KEYS    "\"AccessKeyId\": \"AKID\", \"SecretAccessKey\": \"hidden/secret\""
#define EXPIRES "\"Expiration\": \"2036-01-02T03:04:05Z\""

static void expect_json(const char *text, enum credentials_form form, const char *token,
                        int64_t expires_at_ms)
{
    struct credentials *credentials = NULL;
    struct buffer problem;

    buffer_init(&problem, 1024);
    assert_int_equal(credentials_from_json(view_of(text), form, &credentials, &problem),
                     ERROR_NONE);
    assert_true(view_equal_string(credentials->access_key_id, "AKID"));
    assert_true(view_equal_string(credentials->secret_access_key, "hidden/secret"));
    assert_true(view_equal_string(credentials->session_token, token));
    assert_true(credentials->expires_at_ms == expires_at_ms);
    credentials_release(credentials);
    buffer_release(&problem);
}

static void expect_problem(const char *text, enum credentials_form form, const char *sentence)
{
    struct credentials *credentials = NULL;
    struct buffer problem;

    buffer_init(&problem, 1024);
    assert_int_equal(credentials_from_json(view_of(text), form, &credentials, &problem),
                     ERROR_INVALID);
    assert_string_equal(problem.data, sentence);
    assert_null(strstr(problem.data, "hidden"));
    buffer_release(&problem);
}

static void each_form_has_its_own_names(void **state)
{
    (void)state;
    expect_json("{" KEYS ", \"Token\": \"t\", " EXPIRES "}", CREDENTIALS_CONTAINER, "t",
                2082855845000);
    expect_json("{\"Code\": \"Success\", " KEYS ", \"Token\": \"t\", " EXPIRES "}",
                CREDENTIALS_INSTANCE, "t", 2082855845000);
    expect_json("{\"Version\": 1, " KEYS ", \"SessionToken\": \"t\", " EXPIRES "}",
                CREDENTIALS_PROCESS, "t", 2082855845000);
    expect_json("{\"Version\": 1, " KEYS "}", CREDENTIALS_PROCESS, "", INT64_MAX);
}

static void what_is_missing_or_wrong_is_told_without_a_key(void **state)
{
    (void)state;
    expect_problem("<html>hidden</html>", CREDENTIALS_CONTAINER, "gave no JSON");
    expect_problem("[]", CREDENTIALS_CONTAINER, "gave no AccessKeyId or no SecretAccessKey");
    expect_problem("{" KEYS "}", CREDENTIALS_CONTAINER, "gave no Expiration");
    expect_problem("{" KEYS ", \"Expiration\": \"soon\"}", CREDENTIALS_INSTANCE,
                   "gave an Expiration that is no time as RFC 3339 has it");
    expect_problem("{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"hidden\\r\\nX: y\", " EXPIRES
                   "}",
                   CREDENTIALS_CONTAINER, "gave a key with a byte that no key has");
    expect_problem("{" KEYS "}", CREDENTIALS_PROCESS, "gave no \"Version\": 1");
    expect_problem("{\"Version\": 2, " KEYS "}", CREDENTIALS_PROCESS, "gave no \"Version\": 1");
}

static void a_provider_that_tells_its_failure_is_quoted(void **state)
{
    (void)state;
    expect_problem(
        "{\"Code\": \"AssumeRoleUnauthorizedAccess\", \"Message\": \"EC2 cannot assume\"}",
        CREDENTIALS_INSTANCE, "says AssumeRoleUnauthorizedAccess: EC2 cannot assume");
    expect_problem("{\"code\": \"x\", \"Code\": \"Denied\"}", CREDENTIALS_CONTAINER, "says Denied");
}

static void the_answers_of_STS_are_read_by_their_paths(void **state)
{
    struct credentials *credentials;
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 1024);
    assert_int_equal(
        credentials_from_sts(
            VIEW("<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
                 "<AssumeRoleResult><AssumedRoleUser><Arn>a</Arn></AssumedRoleUser><Credentials>"
                 "<AccessKeyId>AKID</AccessKeyId><SecretAccessKey>hidden</SecretAccessKey>"
                 "<SessionToken>t&amp;t</SessionToken><Expiration>2036-01-02T03:04:05.678Z</"
                 "Expiration>"
                 "</Credentials></AssumeRoleResult></AssumeRoleResponse>"),
            &credentials, &problem),
        ERROR_NONE);
    assert_true(view_equal_string(credentials->session_token, "t&t"));
    assert_true(credentials->expires_at_ms == 2082855845678);
    credentials_release(credentials);
    assert_int_equal(credentials_from_sts(VIEW("{}"), &credentials, &problem), ERROR_INVALID);
    assert_string_equal(problem.data, "gave no XML");
    buffer_clear(&problem);
    assert_int_equal(credentials_from_sts(VIEW("<R><Credentials/></R>"), &credentials, &problem),
                     ERROR_INVALID);
    assert_string_equal(problem.data, "gave no AccessKeyId or no SecretAccessKey");
    buffer_release(&problem);
}

static void failures_of_AWS_are_read(void **state)
{
    struct aws_failure failure;
    struct arena arena;

    (void)state;
    arena_init(&arena, 65536);
    aws_failure_read(VIEW("<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
                          "<Message>no &lt;role&gt;</Message></Error></ErrorResponse>"),
                     &arena, &failure);
    assert_true(view_equal_string(failure.code, "AccessDenied"));
    assert_true(view_equal_string(failure.message, "no <role>"));
    aws_failure_read(VIEW("nonsense"), &arena, &failure);
    assert_int_equal(failure.code.length + failure.message.length, 0);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_has_its_own_names),
        cmocka_unit_test(what_is_missing_or_wrong_is_told_without_a_key),
        cmocka_unit_test(a_provider_that_tells_its_failure_is_quoted),
        cmocka_unit_test(the_answers_of_STS_are_read_by_their_paths),
        cmocka_unit_test(failures_of_AWS_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
