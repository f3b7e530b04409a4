/* Tests of drift: what differs between what was deployed and what AWS has, and what is planned about it. */
#include "managerd/drift.h"
#include "managerd/health.h"
#include "managerd/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct json *json_of(const char *text)
{
    struct json *json = NULL;
    assert_int_equal(json_parse(view_of(text), 20, &json, NULL), ERROR_NONE);
    return json;
}

#define PICTURE(CODE, MEMORY)                                                                      \
    "{\"code\":\"" CODE "\",\"runtime\":\"nodejs22.x\",\"handler\":\"index.handler\","             \
    "\"architecture\":\"x86_64\",\"memoryMb\":" MEMORY ",\"timeoutSeconds\":30,"                   \
    "\"environment\":{\"names\":[\"A\",\"B\"],\"fingerprint\":\"ff\"}}"
#define VERSION(NUMBER, LIVE, NEEDED, MORE)                                                        \
    "{\"version\":" NUMBER ",\"live\":" LIVE ",\"needed\":" NEEDED ",\"stamp\":\"stamp " NUMBER    \
    "\",\"lambdaVersion\":\"" NUMBER "\"," MORE ",\"picture\":" PICTURE("code" NUMBER, "128") "}"
#define USABLE    "\"usable\":true,\"withdrawn\":false"
#define FAILED    "\"usable\":false,\"withdrawn\":false"
#define WITHDRAWN "\"usable\":false,\"withdrawn\":true"
#define EXPECTED(MORE, VERSIONS)                                                                   \
    "{\"defaultRole\":\"arn:role\",\"adopted\":false" MORE ",\"versions\":[" VERSIONS "]}"
#define THREE                                                                                      \
    VERSION("1", "false", "false", USABLE)                                                         \
    "," VERSION("2", "false", "true", USABLE) "," VERSION("3", "true", "true", USABLE)
#define FUNCTION(STAMP, CODE, MEMORY)                                                              \
    "{\"exists\":true,\"ours\":true,\"description\":\"" STAMP                                      \
    "\",\"picture\":" PICTURE(CODE, MEMORY) "}"
#define SEEN(NUMBER)                                                                               \
    "{\"version\":" NUMBER ",\"exists\":true,\"picture\":" PICTURE("code" NUMBER, "128") "}"
#define MISSED(NUMBER)           "{\"version\":" NUMBER ",\"exists\":false}"
#define OBSERVED(FUNC, VERSIONS) "{\"function\":" FUNC ",\"versions\":[" VERSIONS "]}"
#define ALL_SEEN                 SEEN("1") "," SEEN("2") "," SEEN("3")
#define AS_DEPLOYED              FUNCTION("stamp 3", "code3", "128")
#define NO_FUNCTION              "{\"exists\":false,\"ours\":false}"

static void append(struct buffer *out, const struct json *finding)
{
    buffer_append_format(out, "%s%.*s", out->length ? " " : "",
                         VIEW_FORMAT(text_of(finding, "kind")));
    if (integer_of(finding, "version"))
        buffer_append_format(out, ":%lld", (long long)integer_of(finding, "version"));
    if (text_of(finding, "field").length)
        buffer_append_format(out, ":%.*s", VIEW_FORMAT(text_of(finding, "field")));
}

static void expect(const char *expected_text, const char *observed_text, enum drift_policy policy,
                   const char *findings_wanted, const char *steps_wanted)
{
    struct json *expected = json_of(expected_text), *observed = json_of(observed_text);
    struct json *findings = drift_find(expected, observed);
    struct json *steps = drift_plan(expected, observed, findings, policy);
    struct buffer told, planned;
    buffer_init(&told, 4096);
    buffer_init(&planned, 4096);
    buffer_append_string(&told, "");
    buffer_append_string(&planned, "");
    for (const struct json *one = json_first(findings); one; one = json_next(one))
        append(&told, one);
    for (const struct json *one = json_first(steps); one; one = json_next(one)) {
        buffer_append_format(&planned, "%s%.*s", planned.length ? " " : "",
                             VIEW_FORMAT(text_of(one, "name")));
        if (integer_of(one, "version"))
            buffer_append_format(&planned, ":%lld", (long long)integer_of(one, "version"));
    }
    assert_string_equal(told.data ? told.data : "", findings_wanted);
    assert_string_equal(planned.data ? planned.data : "", steps_wanted);
    buffer_release(&told);
    buffer_release(&planned);
    json_free(expected);
    json_free(observed);
    json_free(findings);
    json_free(steps);
}

static void what_is_as_it_was_deployed_needs_nothing(void **state)
{
    (void)state;
    for (enum drift_policy policy = DRIFT_ALERT; policy <= DRIFT_ACCEPT; policy++) {
        expect(EXPECTED("", THREE), OBSERVED(AS_DEPLOYED, ALL_SEEN), policy, "", "");
        expect(EXPECTED("", ""), OBSERVED(NO_FUNCTION, ""), policy, "", "");
    }
}

static void an_edited_configuration_is_put_back_or_taken_over(void **state)
{
    (void)state;
    static const char observed[] = OBSERVED(FUNCTION("stamp 3", "code3", "512"), ALL_SEEN);
    static const char found[] = "function-changed:memoryMb";
    expect(EXPECTED("", THREE), observed, DRIFT_ALERT, found, "");
    expect(EXPECTED("", THREE), observed, DRIFT_REPAIR, found,
           "update-configuration:3 wait-until-ready:3");
    expect(EXPECTED("", THREE), observed, DRIFT_ACCEPT, found, "accept-configuration");
    /* And is no difference from then on, until that version is no longer what the function is. */
    expect(EXPECTED(",\"accepted\":{\"version\":3,\"picture\":{\"memoryMb\":512}}", THREE),
           observed, DRIFT_REPAIR, "", "");
    expect(EXPECTED(",\"accepted\":{\"version\":2,\"picture\":{\"memoryMb\":512}}", THREE),
           observed, DRIFT_REPAIR, found, "update-configuration:3 wait-until-ready:3");
}

static void edited_code_is_put_back_and_cannot_be_accepted(void **state)
{
    (void)state;
    static const char observed[] = OBSERVED(FUNCTION("stamp 3", "theirs", "128"), ALL_SEEN);
    expect(EXPECTED("", THREE), observed, DRIFT_REPAIR, "function-changed:code",
           "update-code:3 update-configuration:3 wait-until-ready:3");
    expect(EXPECTED("", THREE), observed, DRIFT_ACCEPT, "function-changed:code", "");
}

static void what_is_not_known_is_not_compared(void **state)
{
    (void)state;
    expect(EXPECTED("", THREE),
           OBSERVED("{\"exists\":true,\"ours\":true,\"description\":\"stamp 3\",\"picture\":{}}",
                    ALL_SEEN),
           DRIFT_REPAIR, "", "");
    expect(EXPECTED("", THREE), OBSERVED(AS_DEPLOYED, ""), DRIFT_REPAIR, "", "");
}

static void a_lost_version_that_is_needed_is_published_again(void **state)
{
    (void)state;
    expect(EXPECTED("", THREE), OBSERVED(AS_DEPLOYED, SEEN("1") "," SEEN("2") "," MISSED("3")),
           DRIFT_REPAIR, "version-missing:3",
           "withdraw-versions publish-routes update-code:3 update-configuration:3 "
           "wait-until-ready:3 publish-version:3 save-version:3 publish-routes");
    /* After an older one the function is made again what it was. */
    expect(EXPECTED("", THREE), OBSERVED(AS_DEPLOYED, SEEN("1") "," MISSED("2") "," SEEN("3")),
           DRIFT_REPAIR, "version-missing:2",
           "withdraw-versions publish-routes update-code:2 update-configuration:2 "
           "wait-until-ready:2 publish-version:2 save-version:2 publish-routes "
           "update-code:3 update-configuration:3 wait-until-ready:3");
    expect(EXPECTED("", THREE), OBSERVED(AS_DEPLOYED, MISSED("3")), DRIFT_ACCEPT,
           "version-missing:3", "");
}

static void a_lost_version_that_nobody_needs_is_only_withdrawn(void **state)
{
    (void)state;
    expect(EXPECTED("", THREE), OBSERVED(AS_DEPLOYED, MISSED("1") "," SEEN("2") "," SEEN("3")),
           DRIFT_REPAIR, "version-missing:1", "withdraw-versions publish-routes");
    expect(EXPECTED("", VERSION("1", "false", "false", WITHDRAWN) "," VERSION("3", "true", "true",
                                                                              USABLE)),
           OBSERVED(AS_DEPLOYED, SEEN("3")), DRIFT_REPAIR, "", "");
}

static void a_repair_that_did_not_end_is_gone_on_with(void **state)
{
    (void)state;
    expect(EXPECTED("", VERSION("3", "true", "true", WITHDRAWN)),
           OBSERVED(FUNCTION("stamp 3", "code3", "128"), ""), DRIFT_REPAIR, "version-withdrawn:3",
           "update-code:3 update-configuration:3 wait-until-ready:3 publish-version:3 "
           "save-version:3 publish-routes");
}

static void a_version_with_other_code_is_lost(void **state)
{
    (void)state;
    expect(EXPECTED("", THREE),
           OBSERVED(AS_DEPLOYED, "{\"version\":3,\"exists\":true,\"picture\":{\"code\":\"x\"}}"),
           DRIFT_ALERT, "version-replaced:3:code", "");
}

static void a_function_that_is_gone_is_made_again_with_all_that_is_needed(void **state)
{
    (void)state;
    expect(EXPECTED("", THREE), OBSERVED(NO_FUNCTION, ""), DRIFT_REPAIR,
           "function-missing version-missing:1 version-missing:2 version-missing:3",
           "withdraw-versions publish-routes "
           "update-code:2 update-configuration:2 wait-until-ready:2 publish-version:2 "
           "save-version:2 publish-routes "
           "update-code:3 update-configuration:3 wait-until-ready:3 publish-version:3 "
           "save-version:3 publish-routes");
    expect(EXPECTED("", VERSION("1", "false", "false", USABLE)), OBSERVED(NO_FUNCTION, ""),
           DRIFT_REPAIR, "function-missing version-missing:1",
           "withdraw-versions publish-routes update-code:1 update-configuration:1 "
           "wait-until-ready:1");
}

static void a_function_of_somebody_else_is_told_unless_it_was_adopted(void **state)
{
    (void)state;
    static const char observed[] =
        OBSERVED("{\"exists\":true,\"ours\":false,\"description\":\"\",\"picture\":" PICTURE(
                     "code3", "128") "}",
                 SEEN("3"));
    struct json *adopted = json_of(EXPECTED("", THREE)), *seen = json_of(observed);
    expect(EXPECTED("", THREE), observed, DRIFT_ALERT, "function-foreign", "");
    json_set_bool(adopted, "adopted", true);
    struct json *findings = drift_find(adopted, seen);
    assert_int_equal(json_count(findings), 0);
    json_free(findings);
    json_free(adopted);
    json_free(seen);
}

static void what_a_failed_deployment_left_behind_is_no_drift(void **state)
{
    (void)state;
    /* Its code, while the configuration is the one before; or all of it. */
    expect(EXPECTED(
               "", VERSION("3", "true", "true", USABLE) "," VERSION("4", "false", "false", FAILED)),
           OBSERVED(FUNCTION("stamp 3", "code4", "128"), SEEN("3")), DRIFT_REPAIR, "", "");
    expect(EXPECTED(
               "", VERSION("3", "true", "true", USABLE) "," VERSION("4", "false", "false", FAILED)),
           OBSERVED(FUNCTION("stamp 4", "code4", "128"), SEEN("3")), DRIFT_REPAIR, "", "");
}

static void the_role_is_the_default_unless_the_version_names_one(void **state)
{
    (void)state;
    struct json *expected = json_of(EXPECTED("", THREE));
    struct json *picture = drift_latest(expected, 3);
    assert_true(view_equal_string(text_of(picture, "role"), "arn:role"));
    json_free(picture);
    json_free(expected);
}

static void health_is_the_worst_of_what_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *observed, *seen;
        enum health wanted;
    } rows[] = {
        {NULL, NULL, HEALTH_UNKNOWN},
        {"{\"exists\":true,\"state\":\"Active\"}", NULL, HEALTH_HEALTHY},
        {"{\"exists\":true,\"state\":\"Inactive\"}", NULL, HEALTH_HEALTHY},
        {"{\"exists\":true,\"state\":\"Pending\"}", NULL, HEALTH_DEGRADED},
        {"{\"exists\":true,\"state\":\"Failed\"}", NULL, HEALTH_FAILING},
        {"{\"exists\":false}", NULL, HEALTH_FAILING},
        {NULL, "{\"recentCalls\":100,\"recentErrors\":2}", HEALTH_HEALTHY},
        {NULL, "{\"recentCalls\":100,\"recentErrors\":3}", HEALTH_DEGRADED},
        {NULL, "{\"recentCalls\":100,\"recentErrors\":51}", HEALTH_FAILING},
        {NULL, "{\"recentCalls\":4,\"recentErrors\":4}", HEALTH_DEGRADED},
        {NULL, "{\"recentCalls\":0,\"recentErrors\":0}", HEALTH_UNKNOWN},
        {"{\"exists\":true}", "{\"recentCalls\":9,\"recentErrors\":9}", HEALTH_FAILING},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json *observed = rows[i].observed ? json_of(rows[i].observed) : NULL;
        struct json *seen = rows[i].seen ? json_of(rows[i].seen) : NULL;
        assert_int_equal(health_of_version(NULL, 1, false, observed, seen), rows[i].wanted);
        assert_int_equal(health_of_version(NULL, 1, true, observed, seen), HEALTH_FAILING);
        json_free(observed);
        json_free(seen);
    }
    struct json *versions = json_of("[{\"health\":\"healthy\"},{\"health\":\"degraded\"}]");
    assert_int_equal(health_of_app(versions), HEALTH_DEGRADED);
    json_free(versions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_as_it_was_deployed_needs_nothing),
        cmocka_unit_test(an_edited_configuration_is_put_back_or_taken_over),
        cmocka_unit_test(edited_code_is_put_back_and_cannot_be_accepted),
        cmocka_unit_test(what_is_not_known_is_not_compared),
        cmocka_unit_test(a_lost_version_that_is_needed_is_published_again),
        cmocka_unit_test(a_lost_version_that_nobody_needs_is_only_withdrawn),
        cmocka_unit_test(a_repair_that_did_not_end_is_gone_on_with),
        cmocka_unit_test(a_version_with_other_code_is_lost),
        cmocka_unit_test(a_function_that_is_gone_is_made_again_with_all_that_is_needed),
        cmocka_unit_test(a_function_of_somebody_else_is_told_unless_it_was_adopted),
        cmocka_unit_test(what_a_failed_deployment_left_behind_is_no_drift),
        cmocka_unit_test(the_role_is_the_default_unless_the_version_names_one),
        cmocka_unit_test(health_is_the_worst_of_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
