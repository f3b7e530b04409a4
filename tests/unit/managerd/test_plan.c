/* Tests of plans: which steps, in which order, from which wish. */
#include "managerd/plan.h"
#include "managerd/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct plan_operation plan = {
    {"01890a5d-ac96-774b-bcce-b302099a8057", 36}, {"hello", 5}, {"admin", 5}, 1700000000000};

static void expect_steps(struct json *operation, const char *wanted)
{
    struct buffer names;
    buffer_init(&names, 4096);
    const struct json *step = json_first(json_get(operation, "steps"));
    for (; step; step = json_next(step)) {
        buffer_append_string(&names, names.length ? " " : "");
        buffer_append_view(&names, text_of(step, "name"));
    }
    assert_string_equal(names.data, wanted);
    buffer_release(&names);
    json_free(operation);
}

static void a_first_deployment_creates_the_function(void **state)
{
    (void)state;
    expect_steps(plan_deploy(&plan, 1, PLAN_PROBE, NULL, NULL),
                 "store-package create-function wait-until-ready publish-version probe "
                 "save-version shift-traffic publish-routes");
}

static void a_later_one_updates_code_and_configuration(void **state)
{
    (void)state;
    expect_steps(plan_deploy(&plan, 2, PLAN_KNOWN, NULL, NULL),
                 "store-package update-code update-configuration wait-until-ready publish-version "
                 "save-version shift-traffic publish-routes");
}

static void without_traffic_nothing_is_shifted(void **state)
{
    (void)state;
    struct json *none = json_new_string(VIEW("none"));
    expect_steps(plan_deploy(&plan, 2, PLAN_KNOWN | PLAN_PROBE, none, NULL),
                 "store-package update-code update-configuration wait-until-ready publish-version "
                 "probe save-version publish-routes");
    json_free(none);
}

static void a_canary_shifts_and_watches_each_share(void **state)
{
    (void)state;
    struct json *canary = NULL;
    assert_int_equal(json_parse(VIEW("{\"steps\":[10,100]}"), 5, &canary, NULL), ERROR_NONE);
    struct json *operation = plan_deploy(&plan, 2, PLAN_KNOWN, NULL, canary);
    const struct json *step = json_first(json_get(operation, "steps"));
    double percent = 0;
    while (!view_equal_string(text_of(step, "name"), "watch-canary"))
        step = json_next(step);
    assert_true(json_get_number(step, "percent", &percent) && percent == 10);
    assert_int_equal(json_type_of(json_get(step, "figures")), JSON_NULL);
    expect_steps(operation,
                 "store-package update-code update-configuration wait-until-ready publish-version "
                 "save-version shift-canary watch-canary shift-canary watch-canary publish-routes");
    json_free(canary);
}

static void the_package_is_stored_before_the_plan_is_made(void **state)
{
    (void)state;
    struct json *operation = plan_deploy(&plan, 7, PLAN_PROBE | PLAN_ADOPT, NULL, NULL);
    const struct json *first = json_first(json_get(operation, "steps"));
    assert_true(view_equal_string(text_of(first, "state"), "done"));
    assert_true(view_equal_string(text_of(json_next(first), "state"), "waiting"));
    assert_true(view_equal_string(text_of(operation, "state"), "queued"));
    assert_int_equal(integer_of(json_get(operation, "work"), "version"), 7);
    assert_true(truth_of(json_get(operation, "work"), "adopt"));
    struct json *shown = operation_public(operation);
    assert_null(json_get(shown, "work"));
    assert_false(operation_finished(shown));
    json_free(shown);
    json_free(operation);
}

static void an_end_takes_the_routes_first_and_the_function_only_when_it_is_ours(void **state)
{
    (void)state;
    expect_steps(plan_delete(&plan, true),
                 "remove-routes wait-for-requests delete-function remove-app");
    expect_steps(plan_delete(&plan, false), "remove-routes remove-app");
    expect_steps(plan_delete_version(&plan, 3),
                 "wait-for-requests delete-lambda-version remove-version");
}

static void what_acts_at_once_has_steps_of_its_own(void **state)
{
    (void)state;
    expect_steps(plan_deploy(&plan, 2, PLAN_KNOWN | PLAN_CONFIGURE | PLAN_PROVIDE, NULL, NULL),
                 "store-package update-code update-configuration wait-until-ready "
                 "configure-function publish-version save-version provide-concurrency "
                 "shift-traffic publish-routes");
    struct json *none = json_new_string(VIEW("none"));
    expect_steps(plan_deploy(&plan, 2, PLAN_KNOWN | PLAN_PROVIDE, none, NULL),
                 "store-package update-code update-configuration wait-until-ready "
                 "publish-version save-version publish-routes");
    json_free(none);
    expect_steps(plan_configure(&plan, true, false), "configure-function");
    expect_steps(plan_configure(&plan, false, true), "provide-concurrency release-concurrency");
    expect_steps(plan_configure(&plan, true, true),
                 "lower-concurrency configure-function provide-concurrency release-concurrency");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_deployment_creates_the_function),
        cmocka_unit_test(a_later_one_updates_code_and_configuration),
        cmocka_unit_test(what_acts_at_once_has_steps_of_its_own),
        cmocka_unit_test(without_traffic_nothing_is_shifted),
        cmocka_unit_test(a_canary_shifts_and_watches_each_share),
        cmocka_unit_test(the_package_is_stored_before_the_plan_is_made),
        cmocka_unit_test(an_end_takes_the_routes_first_and_the_function_only_when_it_is_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
