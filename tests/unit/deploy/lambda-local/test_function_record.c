/* Tests of function.json: written and read back, and damaged in every way. */
#include "tests/unit/deploy/lambda-local/check.h"

#include "deploy/lambda-local/function_record.h"

#define LATEST                                                                                     \
    "{\"FunctionName\":\"f\",\"Timeout\":3,\"MemorySize\":128,\"CodeSha256\":\"" HASH_A "\"}"
#define ALIAS                                                                                      \
    "{\"name\":\"live\",\"version\":1,\"additional\":2,\"weight\":0.25,\"description\":\"d\","     \
    "\"revision\":\"r\"}"
#define RECORD(name, aliases, latest)                                                              \
    "{\"name\":\"" name "\",\"nextVersion\":3,\"publishedVersion\":2,"                             \
    "\"publishedFingerprint\":\"ab\",\"reservedConcurrency\":-1,"                                  \
    "\"provisioned\":{\"1\":{\"requested\":2,\"sinceMs\":5}},\"tags\":{\"a\":\"b\"},"              \
    "\"aliases\":[" aliases "],\"latest\":" latest "}"

static enum error read_record(const char *text, struct function **function)
{
    *function = function_new("f", view_duplicate(VIEW("/nowhere/f")));
    return function_record_read(*function, view_of(text));
}

static void forget(struct function *function)
{
    version_release(function->latest);
    version_release(function->serving);
    function_release(function);
}

static void a_record_comes_back_as_it_was(void **state)
{
    struct function *function;
    struct buffer text;

    (void)state;
    assert_int_equal(read_record(RECORD("f", ALIAS, LATEST), &function), ERROR_NONE);
    assert_int_equal(function->next_version, 3);
    assert_int_equal(function->reserved_concurrency, -1);
    assert_int_equal(function->alias_count, 1);
    assert_int_equal(function->aliases[0]->additional, 2);
    assert_true(function->aliases[0]->weight == 0.25);
    assert_string_equal(function->latest->code->sha256_hex,
                        "c7b9ad8cb88183b6c697ec8e185f4cc78fa1bcec68d89fa631438d036659f08a");
    buffer_init(&text, 100000);
    function_record_write(function, &text);
    assert_string_equal(text.data, RECORD("f", ALIAS, LATEST));
    buffer_release(&text);
    forget(function);
}

static void records_that_lack_something_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        RECORD("g", ALIAS, LATEST),
        RECORD("f", ALIAS "," ALIAS, LATEST),
        RECORD("f", "{}", LATEST),
        RECORD("f", ALIAS, "5"),
        RECORD("f", ALIAS, "{}"),
        RECORD("f", ALIAS, "{\"Timeout\":3,\"MemorySize\":128,\"CodeSha256\":\"short\"}"),
        RECORD("f", ALIAS, "{\"Timeout\":0,\"MemorySize\":128,\"CodeSha256\":\"" HASH_A "\"}"),
    };
    struct function *function;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(read_record(bad[i], &function), ERROR_INVALID);
        forget(function);
    }
}

static void a_record_that_was_cut_anywhere_is_refused(void **state)
{
    static const char whole[] = RECORD("f", ALIAS, LATEST);
    struct function *function;

    (void)state;
    for (size_t length = 0; length < sizeof whole - 1; length++) {
        function = function_new("f", view_duplicate(VIEW("/nowhere/f")));
        assert_int_not_equal(function_record_read(function, view_from(whole, length)), ERROR_NONE);
        forget(function);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_as_it_was),
        cmocka_unit_test(records_that_lack_something_are_refused),
        cmocka_unit_test(a_record_that_was_cut_anywhere_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
