/* Tests of the table of settings: what is copied, what is refused, in which words. */
#include "tests/unit/deploy/lambda-local/check.h"

#include "deploy/lambda-local/settings.h"

static enum settings_verdict apply(const char *text, struct json *configuration,
                                   struct buffer *problem)
{
    struct json *document = tree(text);
    enum settings_verdict verdict = settings_apply(document, configuration, problem);

    json_free(document);
    return verdict;
}

static void settings_are_copied_and_others_stay(void **state)
{
    struct json *configuration = tree("{\"Timeout\":3,\"MemorySize\":128}");
    struct json *expected = tree("{\"Timeout\":900,\"MemorySize\":128,\"Handler\":\"a.b\","
                                 "\"Environment\":{\"Variables\":{\"AB\":\"c\"}}}");
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 4096);
    assert_int_equal(apply("{\"Timeout\":900,\"Handler\":\"a.b\",\"Unknown\":1,\"Role\":null,"
                           "\"Environment\":{\"Variables\":{\"AB\":\"c\"}}}",
                           configuration, &problem),
                     SETTINGS_FINE);
    assert_true(json_equal(configuration, expected));
    json_free(expected);
    /* An empty environment is none. */
    assert_int_equal(apply("{\"Environment\":{\"Variables\":{}}}", configuration, &problem),
                     SETTINGS_FINE);
    assert_null(json_get(configuration, "Environment"));
    json_free(configuration);
    buffer_release(&problem);
}

static void wrong_settings_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        enum settings_verdict verdict;
        const char *words;
    } rows[] = {
        {"{\"Timeout\":0}", SETTINGS_INVALID, "greater than or equal to 1"},
        {"{\"Timeout\":901}", SETTINGS_INVALID, "less than or equal to 900"},
        {"{\"Timeout\":1.5}", SETTINGS_CONTENT, "whole number"},
        {"{\"Timeout\":\"3\"}", SETTINGS_CONTENT, "type number"},
        {"{\"MemorySize\":10241}", SETTINGS_INVALID, "'memorySize'"},
        {"{\"Runtime\":\"ruby3.4\"}", SETTINGS_UNSUPPORTED, "enum value set"},
        {"{\"Role\":\"arn:aws:iam::12345678901x:role/a\"}", SETTINGS_INVALID, "'role'"},
        {"{\"Role\":\"arn:aws:iam::123456789012:role/\"}", SETTINGS_INVALID, "'role'"},
        {"{\"Handler\":\"a\\tb\"}", SETTINGS_INVALID, "'handler'"},
        {"{\"Environment\":{\"Variables\":{\"A\":\"x\"}}}", SETTINGS_INVALID, "Map keys"},
        {"{\"Environment\":{\"Variables\":{\"_X\":\"x\"}}}", SETTINGS_INVALID, "Map keys"},
        {"{\"Environment\":{\"Variables\":{\"AB\":1}}}", SETTINGS_CONTENT, "must be a string"},
        {"{\"Environment\":{\"Variables\":{\"LAMBDA_TASK_ROOT\":\"x\"}}}", SETTINGS_UNSUPPORTED,
         "reserved keys"},
        {"{\"Environment\":{\"Variables\":5}}", SETTINGS_CONTENT, "must be an object"},
        {"{\"EphemeralStorage\":{}}", SETTINGS_CONTENT, "EphemeralStorage.Size"},
        {"{\"Layers\":[\"a\"]}", SETTINGS_INVALID, "'layers'"},
        {"{\"Layers\":[1]}", SETTINGS_CONTENT, "list of strings"},
        {"{\"VpcConfig\":{\"SubnetIds\":7}}", SETTINGS_CONTENT, "list of strings"},
        {"{\"TracingConfig\":{\"Mode\":7}}", SETTINGS_CONTENT, "a string"},
        {"{\"FileSystemConfigs\":[{}]}", SETTINGS_UNSUPPORTED, "FileSystemConfigs"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json *configuration = json_new_object();
        struct buffer problem;

        buffer_init(&problem, 4096);
        assert_int_equal(apply(rows[i].text, configuration, &problem), rows[i].verdict);
        assert_non_null(strstr(problem.data, rows[i].words));
        buffer_release(&problem);
        json_free(configuration);
    }
}

static void tags_are_merged_up_to_fifty(void **state)
{
    struct json *tags = tree("{\"a\":\"1\"}"), *more = tree("{\"a\":\"2\",\"b\":\"\"}");
    struct json *expected = tree("{\"a\":\"2\",\"b\":\"\"}"), *many = json_new_object();
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 4096);
    assert_int_equal(settings_tags(more, tags, &problem), SETTINGS_FINE);
    assert_true(json_equal(tags, expected));
    for (int i = 0; i < 50; i++) {
        char name[8];

        snprintf(name, sizeof name, "t%d", i);
        json_set_string(many, name, VIEW("x"));
    }
    assert_int_equal(settings_tags(many, tags, &problem), SETTINGS_UNSUPPORTED);
    json_free(tags);
    json_free(more);
    json_free(expected);
    json_free(many);
    buffer_release(&problem);
}

static void one_architecture_of_two_is_right(void **state)
{
    static const struct {
        const char *text;
        enum settings_verdict verdict;
    } rows[] = {{"[\"x86_64\"]", SETTINGS_FINE},
                {"[\"arm64\"]", SETTINGS_FINE},
                {"null", SETTINGS_FINE},
                {"[]", SETTINGS_INVALID},
                {"[\"x86_64\",\"arm64\"]", SETTINGS_INVALID},
                {"[\"mips\"]", SETTINGS_INVALID},
                {"[5]", SETTINGS_INVALID},
                {"\"arm64\"", SETTINGS_INVALID}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json *value = tree(rows[i].text);
        struct buffer problem;

        buffer_init(&problem, 4096);
        assert_int_equal(settings_architectures(value, &problem), rows[i].verdict);
        buffer_release(&problem);
        json_free(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_copied_and_others_stay),
        cmocka_unit_test(wrong_settings_are_told_apart),
        cmocka_unit_test(tags_are_merged_up_to_fifty),
        cmocka_unit_test(one_architecture_of_two_is_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
