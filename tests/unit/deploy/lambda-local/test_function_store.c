/* Tests of functions on disk: made, published, removed, found again. */
#include "tests/unit/deploy/lambda-local/check.h"

#include "common/base/file.h"
#include "deploy/lambda-local/function_store.h"

#include <event2/event.h>
#include <unistd.h>

static char folder[64];
static struct event_base *base;
static struct function_store *store;
static unsigned retired;

static void on_retired(struct version *version, void *context)
{
    (void)version;
    (void)context;
    retired++;
}

static void open_store(void)
{
    struct function_store_options options = {.folder = folder, .on_retired = on_retired};
    struct buffer problem;

    buffer_init(&problem, 1000);
    assert_int_equal(function_store_open(base, &options, &store, &problem), ERROR_NONE);
    buffer_release(&problem);
}

static int fresh_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/function-store.XXXXXX");
    assert_non_null(mkdtemp(folder));
    base = event_base_new();
    retired = 0;
    open_store();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    function_store_close(store);
    event_base_free(base);
    return folder_remove(folder) == ERROR_NONE ? 0 : 1;
}

static struct json *configuration(const char *description)
{
    struct json *value = tree("{\"Timeout\":3,\"MemorySize\":128,\"CodeSha256\":\"" HASH_A "\"}");

    json_set_string(value, "Description", view_of(description));
    return value;
}

static struct function *add(const char *name)
{
    struct function *function;

    assert_int_equal(function_store_prepare(store, name, &function), ERROR_NONE);
    function->latest = version_new(
        function,
        function_code(function, "c7b9ad8cb88183b6c697ec8e185f4cc78fa1bcec68d89fa631438d036659f08a"),
        configuration("first"), 0);
    assert_int_equal(function_store_add(store, function), ERROR_NONE);
    return function;
}

static void functions_are_found_by_name_also_after_a_restart(void **state)
{
    (void)state;
    add("b");
    add("a");
    add("c");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(function_store_count(store), 3);
        assert_string_equal(function_store_at(store, 0)->name, "a");
        assert_string_equal(function_store_at(store, 2)->name, "c");
        assert_null(function_store_at(store, 3));
        assert_string_equal(function_store_find(store, VIEW("b"))->name, "b");
        assert_null(function_store_find(store, VIEW("bb")));
        function_store_close(store);
        open_store();
    }
}

static void an_unchanged_function_is_published_once(void **state)
{
    struct function *function = add("f");
    struct version *one, *again, *two;
    struct view description = VIEW("told"), text;

    (void)state;
    assert_int_equal(function_store_publish(store, function, &description, &one), ERROR_NONE);
    assert_int_equal(function_store_publish(store, function, NULL, &again), ERROR_NONE);
    assert_ptr_equal(one, again);
    assert_true(json_get_string(one->configuration, "Description", &text) &&
                view_equal_string(text, "told"));
    assert_int_equal(function_store_update(
                         store, function,
                         version_new(function, function->latest->code, configuration("new"), 0)),
                     ERROR_NONE);
    assert_int_equal(retired, 1); /* the former $LATEST is served no more */
    assert_int_equal(function_store_publish(store, function, NULL, &two), ERROR_NONE);
    assert_int_equal(two->number, 2);
}

static void version_numbers_are_not_used_twice_also_after_a_restart(void **state)
{
    struct function *function = add("f");
    struct version *version;

    (void)state;
    assert_int_equal(function_store_publish(store, function, NULL, &version), ERROR_NONE);
    assert_int_equal(function_store_remove_version(store, function, 1), ERROR_NONE);
    assert_null(function_version(function, 1));
    function_store_close(store);
    open_store();
    function = function_store_find(store, VIEW("f"));
    assert_int_equal(function_store_publish(store, function, NULL, &version), ERROR_NONE);
    assert_int_equal(version->number, 2);
}

static void a_removed_function_lives_until_nobody_holds_it(void **state)
{
    struct function *function = add("f");
    struct version *version = version_hold(function->latest);
    char *former;

    (void)state;
    former = view_duplicate(view_of(function->folder));
    assert_int_equal(function_store_remove(store, function), ERROR_NONE);
    assert_null(function_store_find(store, VIEW("f")));
    assert_false(file_exists(former));
    assert_true(file_exists(version->function->folder)); /* in the trash */
    free(former);
    former = view_duplicate(view_of(version->function->folder));
    version_release(version);
    assert_false(file_exists(former));
    free(former);
}

static void a_folder_in_use_is_not_opened_twice(void **state)
{
    struct function_store_options options = {.folder = folder};
    struct function_store *second = NULL;
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 1000);
    assert_int_equal(function_store_open(base, &options, &second, &problem), ERROR_BUSY);
    assert_non_null(strstr(problem.data, folder));
    buffer_release(&problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(functions_are_found_by_name_also_after_a_restart,
                                        fresh_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_unchanged_function_is_published_once, fresh_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(version_numbers_are_not_used_twice_also_after_a_restart,
                                        fresh_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_removed_function_lives_until_nobody_holds_it,
                                        fresh_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_in_use_is_not_opened_twice, fresh_folder,
                                        remove_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
