/* Tests that differences name each member that differs, and that taking them back gives what was before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "managerd/difference.h"

static struct json *parse(const char *text)
{
    struct json *value = NULL;
    assert_int_equal(json_parse(view_of(text), 20, &value, NULL), ERROR_NONE);
    return value;
}

static const char *const whole[] = {"/whole", NULL};

static const struct {
    const char *before, *after, *list;
} cases[] = {
    {"{}", "{}", "[]"},
    {"{\"a\":1}", "{\"a\":1}", "[]"},
    {"{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"c\":2,\"b\":1}}", "[]"},
    {"{\"a\":1}", "{\"a\":2}", "[{\"pointer\":\"/a\",\"before\":1,\"after\":2}]"},
    {"{}", "{\"a\":null}", "[{\"pointer\":\"/a\",\"after\":null}]"},
    {"{\"a\":{\"x\":1}}", "{}", "[{\"pointer\":\"/a\",\"before\":{\"x\":1}}]"},
    {"{\"a\":{\"x\":1,\"y\":2}}", "{\"a\":{\"y\":3}}",
     "[{\"pointer\":\"/a/y\",\"before\":2,\"after\":3},{\"pointer\":\"/a/x\",\"before\":1}]"},
    {"{\"a\":[1,2]}", "{\"a\":[2,1]}", "[{\"pointer\":\"/a\",\"before\":[1,2],\"after\":[2,1]}]"},
    {"{\"a\":{\"x\":1}}", "{\"a\":null}",
     "[{\"pointer\":\"/a\",\"before\":{\"x\":1},\"after\":null}]"},
    {"{\"whole\":{\"x\":1}}", "{\"whole\":{\"x\":2}}",
     "[{\"pointer\":\"/whole\",\"before\":{\"x\":1},\"after\":{\"x\":2}}]"},
    {"{\"m\":{\"a/b~c\":\"1\"}}", "{\"m\":{\"a/b~c\":\"2\",\"~1\":\"x\",\"\":\"y\"}}",
     "[{\"pointer\":\"/m/a~1b~0c\",\"before\":\"1\",\"after\":\"2\"},"
     "{\"pointer\":\"/m/~01\",\"after\":\"x\"},{\"pointer\":\"/m/\",\"after\":\"y\"}]"},
};

static void differences_are_found_and_taken_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json *before = parse(cases[i].before), *after = parse(cases[i].after);
        struct json *wanted = parse(cases[i].list);
        struct json *list = difference_list(before, after, whole);
        struct faults faults;
        struct arena arena;
        arena_init(&arena, 65536);
        faults_init(&faults, &arena);
        assert_true(json_equal(list, wanted));
        difference_revert(after, list, &faults);
        assert_int_equal(faults.count, 0);
        assert_true(json_equal(after, before));
        difference_revert(after, list, &faults); /* twice is once */
        assert_int_equal(faults.count, 0);
        assert_true(json_equal(after, before));
        arena_release(&arena);
        json_free(list);
        json_free(wanted);
        json_free(before);
        json_free(after);
    }
}

static void what_changed_again_is_told_and_what_did_not_differ_stays(void **state)
{
    (void)state;
    static const struct {
        const char *present, *fault; /* NULL: there is none */
    } later[] = {
        {"{\"a\":2,\"m\":{\"k\":\"2\",\"new\":\"x\"},\"more\":1}", NULL},
        {"{\"a\":3,\"m\":{\"k\":\"2\"}}", "/a"},
        {"{\"a\":2,\"m\":null}", "/m/k"},
        {"{\"a\":2,\"m\":{}}", "/m/k"},
        {"{\"m\":{\"k\":\"2\"}}", "/a"},
    };
    struct json *before = parse("{\"a\":1,\"m\":{\"k\":\"1\"}}");
    struct json *after = parse("{\"a\":2,\"m\":{\"k\":\"2\"}}");
    struct json *list = difference_list(before, after, NULL);
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        struct json *present = parse(later[i].present);
        struct faults faults;
        struct arena arena;
        arena_init(&arena, 65536);
        faults_init(&faults, &arena);
        difference_revert(present, list, &faults);
        assert_int_equal(faults.count, later[i].fault != NULL);
        if (later[i].fault) {
            assert_string_equal(faults.list[0].pointer, later[i].fault);
        } else {
            struct json *wanted = parse("{\"a\":1,\"m\":{\"k\":\"1\",\"new\":\"x\"},\"more\":1}");
            assert_true(json_equal(present, wanted));
            json_free(wanted);
        }
        arena_release(&arena);
        json_free(present);
    }
    json_free(list);
    json_free(before);
    json_free(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences_are_found_and_taken_back),
        cmocka_unit_test(what_changed_again_is_told_and_what_did_not_differ_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
