/* Tests of function names, ARNs, qualifiers and version numbers. */
#include "tests/unit/deploy/lambda-local/check.h"

static void every_form_of_a_name_is_understood(void **state)
{
    static const struct {
        const char *text, *name, *qualifier;
    } rows[] = {
        {"hello", "hello", ""},
        {"hello:live", "hello", "live"},
        {"hello:$LATEST", "hello", "$LATEST"},
        {"hello:12", "hello", "12"},
        {"function:hello", "hello", ""},
        {"000000000000:function:hello", "hello", ""},
        {"000000000000:function:hello:live", "hello", "live"},
        {"arn:aws:lambda:us-east-1:000000000000:function:hello", "hello", ""},
        {"arn:aws:lambda:us-east-1:000000000000:function:hello:7", "hello", "7"},
        {"a-b_C9", "a-b_C9", ""},
    };
    struct function_name name;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(function_name_parse(view_of(rows[i].text), &name), NAME_FINE);
        assert_string_equal(name.name, rows[i].name);
        assert_string_equal(name.qualifier, rows[i].qualifier);
    }
}

static void names_that_are_none_are_malformed(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        "a:",
        ":a",
        "a b",
        "../a",
        "a/b",
        "a.b",
        "a:b:c:d",
        "arn:aws:s3:us-east-1:000000000000:function:a",
        "arn:aws:lambda:us-east-1:000000000000:layer:a",
        "arn:aws:lambda:us-east-1:00000000000x:function:a",
        "arn:aws:lambda:us-east-1:000000000000:function:",
        "arn:aws:lambda:us-east-1:000000000000:function:a:b:c",
        "0123456789012345678901234567890123456789012345678901234567890123x",
    };
    struct function_name name;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(function_name_parse(view_of(bad[i]), &name), NAME_MALFORMED);
}

static void other_regions_and_accounts_are_told_apart(void **state)
{
    struct function_name name;

    (void)state;
    assert_int_equal(
        function_name_parse(VIEW("arn:aws:lambda:eu-west-1:000000000000:function:a"), &name),
        NAME_OTHER_REGION);
    assert_int_equal(
        function_name_parse(VIEW("arn:aws:lambda:us-east-1:111111111111:function:a"), &name),
        NAME_OTHER_ACCOUNT);
    assert_string_equal(name.name, "a");
}

static void version_numbers_have_no_leading_zero_and_end_somewhere(void **state)
{
    int64_t number;

    (void)state;
    assert_true(version_number_parse(VIEW("1"), &number) && number == 1);
    assert_true(version_number_parse(VIEW("999999999999999999"), &number));
    assert_false(version_number_parse(VIEW("0"), &number));
    assert_false(version_number_parse(VIEW("01"), &number));
    assert_false(version_number_parse(VIEW(""), &number));
    assert_false(version_number_parse(VIEW("9999999999999999999"), &number));
    assert_false(version_number_parse(VIEW("1a"), &number));
}

static void aliases_are_words_that_are_no_numbers(void **state)
{
    (void)state;
    assert_true(alias_name_valid(VIEW("live")));
    assert_true(alias_name_valid(VIEW("1a")));
    assert_false(alias_name_valid(VIEW("1")));
    assert_false(alias_name_valid(VIEW("$LATEST")));
    assert_false(alias_name_valid(VIEW("")));
}

static void arns_name_the_qualifier_when_there_is_one(void **state)
{
    char arn[FUNCTION_ARN_SIZE];

    (void)state;
    function_arn(arn, "a", NULL);
    assert_string_equal(arn, "arn:aws:lambda:us-east-1:000000000000:function:a");
    function_arn(arn, "a", "live");
    assert_string_equal(arn, "arn:aws:lambda:us-east-1:000000000000:function:a:live");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_a_name_is_understood),
        cmocka_unit_test(names_that_are_none_are_malformed),
        cmocka_unit_test(other_regions_and_accounts_are_told_apart),
        cmocka_unit_test(version_numbers_have_no_leading_zero_and_end_somewhere),
        cmocka_unit_test(aliases_are_words_that_are_no_numbers),
        cmocka_unit_test(arns_name_the_qualifier_when_there_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
