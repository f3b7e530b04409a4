/* The operation that compares an app with what AWS has, and repairs or accepts what differs. */
#include "managerd/deploy.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "managerd/configure.h"
#include "managerd/drift.h"
#include "managerd/expectation.h"
#include "managerd/lambda_settings.h"
#include "managerd/observe.h"
#include "managerd/observer.h"
#include "managerd/picture.h"
#include "managerd/plan.h"
#include "managerd/publish.h"
#include "managerd/records.h"
#include "managerd/resources.h"
#include "managerd/secrets.h"

#include <stdlib.h>

#define MAX_LOOKS     6
#define LOOK_AGAIN_MS 500

static void step_compare(struct operation *operation);
static void step_accept(struct operation *operation);
static void step_withdraw(struct operation *operation);
static void step_save(struct operation *operation);
static void nothing_more(struct operation *operation);
static void nothing_but_the_problem(struct operation *operation, const struct json *problem);
static void look_again(struct operation *operation);

static const struct operation_step sync_steps[] = {
    {"compare", step_compare, true},
    {"accept-configuration", step_accept, true},
    {"withdraw-versions", step_withdraw, true},
    {"update-code", step_code, true},
    {"update-configuration", step_configuration, true},
    {"wait-until-ready", step_ready, true},
    {"lower-concurrency", step_lower_concurrency, true},
    {"configure-function", step_configure_function, true},
    {"provide-concurrency", step_provide_concurrency, true},
    {"publish-version", step_publish_version, true},
    {"save-version", step_save, true},
    {"publish-routes", step_publish_routes, false},
    {NULL, NULL, false},
};
const struct operation_type sync_type = {
    "sync", sync_steps, nothing_more, nothing_but_the_problem, look_again, look_again};

static void nothing_more(struct operation *operation)
{
    (void)operation;
}

/* Versions that were withdrawn stay so, and are needed still: the next sync makes them again. */
static void nothing_but_the_problem(struct operation *operation, const struct json *problem)
{
    (void)operation, (void)problem;
}

static void look_again(struct operation *operation)
{
    observer_forget(operation->environment->observer, view_of(operation->app));
}

static bool read_app(struct operation *operation, struct record *app)
{
    struct key key = key_app(view_of(operation->app));
    if (!record_read(operation->environment->state, key.text, app))
        return true;
    operation_step_problem(operation, PROBLEM_STORAGE_FAILED, "The app cannot be read.");
    return false;
}

/* ---- compare ---- */

struct comparison {
    struct operation *operation;
    struct observe *look;
    struct json *expected;
    struct record app;
};

static void free_comparison(void *data)
{
    struct comparison *comparison = data;
    observe_free(comparison->look);
    json_free(comparison->expected);
    record_release(&comparison->app);
    free(comparison);
}

static enum drift_policy policy_of(struct operation *operation, const struct json *app)
{
    enum drift_policy policy = DRIFT_ALERT;
    struct view name = text_of(operation_work(operation), "policy");
    if (!name.length)
        name = text_of(json_get(app, "drift"), "policy");
    drift_policy_of(name, &policy);
    return policy;
}

/* What later steps need to know of the findings. */
static void note_findings(struct operation *operation, const struct json *expected,
                          const struct json *observed, const struct json *findings)
{
    struct json *work = operation_work(operation);
    struct json *lost = json_new_array(), *changed = json_new_array();
    const struct json *one = json_first(json_get(expected, "versions"));
    for (; one; one = json_next(one))
        if (drift_lost(findings, integer_of(one, "version")))
            json_append(lost, json_new_integer(integer_of(one, "version")));
    for (one = json_first(findings); one; one = json_next(one))
        if (view_equal_string(text_of(one, "kind"), "function-changed"))
            json_append(changed, json_new_string(text_of(one, "field")));
    int64_t applied = drift_applied(expected, observed);
    json_set(work, "lost", lost);
    json_set(work, "changed", changed);
    json_set_integer(work, "applied", applied);
    /* A version that is published anew gets what it was deployed with, not what was accepted since. */
    bool anew = drift_lost(findings, applied);
    json_set_integer(work, "accepted", anew ? 0 : applied);
    json_set_bool(work, "exact", true);
}

static void keep_observed(struct operation *operation, uint64_t revision,
                          const struct json *observed, const struct json *findings)
{
    struct key key = key_observed(view_of(operation->app));
    struct json *record = json_new_object();
    json_set_integer(record, "checkedAt", clock_wall_ms());
    json_set_integer(record, "revision", (int64_t)revision);
    json_set(record, "observed", json_copy(observed));
    json_set(record, "findings", json_copy(findings));
    change_put(&operation->change, key.text, record);
    json_free(record);
}

static void conclude(struct operation *operation, struct comparison *comparison,
                     const struct json *observed)
{
    const struct json *app = comparison->app.json;
    struct key key = key_app(view_of(operation->app));
    struct json *findings = drift_find(comparison->expected, observed);
    enum drift_policy policy = policy_of(operation, app);
    struct json *steps = drift_plan(comparison->expected, observed, findings, policy);
    size_t count = json_count(findings);
    plan_follow(operation->document, steps);
    note_findings(operation, comparison->expected, observed, findings);
    operation->result = json_new_object();
    json_set_string(operation->result, "policy", view_of(drift_policy_name(policy)));
    json_set(operation->result, "drift", json_copy(findings));
    json_set(operation->result, "left", drift_left(findings, policy));
    keep_observed(operation, comparison->app.revision, observed, findings);
    change_compare(&operation->change, key.text, comparison->app.revision);
    if (count)
        log_write(LOG_WARN, "drift-found", LOG_STRING("app", operation->app),
                  LOG_STRING("operation", operation->id), LOG_INTEGER("findings", (int64_t)count),
                  LOG_STRING("policy", drift_policy_name(policy)));
    json_free(steps);
    json_free(findings);
    if (count)
        operation_step_done(operation, "%zu differences.", count);
    else
        operation_step_done(operation, "AWS has what was deployed.");
}

static void on_looked(struct observe *look, void *context)
{
    struct comparison *comparison = context;
    struct operation *operation = comparison->operation;
    const struct observe_failure *failure = observe_failure_of(look);
    if (operation_stopped(operation) || operation->ending)
        return;
    if (failure && failure->outcome == LAMBDA_UNAVAILABLE && operation->repeats < MAX_LOOKS) {
        operation_repeat(operation, (int64_t)LOOK_AGAIN_MS << operation->repeats);
    } else if (failure) {
        struct lambda_answer answer = {.outcome = failure->outcome,
                                       .code = failure->code,
                                       .message = failure->message,
                                       .request_id = failure->request_id};
        operation_step_refused(operation, &answer, "The function could not be looked at");
    } else {
        struct json *observed = observe_take(look);
        conclude(operation, comparison, observed);
        json_free(observed);
    }
}

static void step_compare(struct operation *operation)
{
    const struct operation_environment *environment = operation->environment;
    struct comparison *comparison;
    struct record app;
    if (!read_app(operation, &app))
        return;
    const struct expectation_source expects = {.state = environment->state,
                                               .secrets = environment->secrets,
                                               .installation = environment->installation,
                                               .default_role = environment->default_role};
    const struct observe_source looks = {.control = environment->control,
                                         .secrets = environment->secrets,
                                         .installation = environment->installation};
    comparison = calloc(1, sizeof *comparison);
    REQUIRE(comparison);
    comparison->operation = operation;
    comparison->app = app;
    operation->step_data = comparison;
    operation->free_step_data = free_comparison;
    if (expectation_read(&expects, app.json, &comparison->expected)) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The app's versions cannot be read.");
        return;
    }
    comparison->look = observe_start(&looks, view_of(operation->app),
                                     text_of(json_get(app.json, "function"), "name"),
                                     comparison->expected, true, on_looked, comparison);
}

/* ---- accept-configuration: only what differs, so that settings which wait for a deployment stay ---- */

/* False: no key opens, or seals, what there is. */
static void accept_field(struct operation *operation, struct view field, const struct json *picture,
                         const struct json *variables, struct json *app, struct json *accepted)
{
    static const char *const plain[] = {"runtime", "handler", "memoryMb", "timeoutSeconds"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (view_equal_string(field, plain[i]) && json_get(picture, plain[i])) {
            json_set(app, plain[i], json_copy(json_get(picture, plain[i])));
            json_set(accepted, plain[i], json_copy(json_get(picture, plain[i])));
        }
    if (lambda_settings_have(field)) {
        char *name = view_duplicate(field);
        json_set(app, name, json_copy(json_get(picture, name)));
        json_set(accepted, name, json_copy(json_get(picture, name)));
        free(name);
    }
    if (view_equal_string(field, "role") && json_get(picture, "role")) {
        json_set(object_in(app, "function"), "role", json_copy(json_get(picture, "role")));
        json_set(object_in(accepted, "function"), "role", json_copy(json_get(picture, "role")));
    }
    if (view_equal_string(field, "environment") && json_get(picture, "environment")) {
        struct json *none = json_new_object();
        struct json *sealed = secrets_seal(operation->environment->secrets, view_of(operation->app),
                                           variables ? variables : none);
        json_set(object_in(app, "internal"), "environment", json_copy(sealed));
        json_set(accepted, "environment", sealed);
        json_free(none);
    }
}

/* What AWS takes, and the API would not: false, and the step has failed. */
static bool check_settings(struct operation *operation, const struct json *app)
{
    struct faults faults;
    struct json *settings = json_copy(app);
    json_remove(settings, "internal");
    faults_init(&faults, &operation->arena);
    shape_check(&app_shape, settings, "", &faults);
    json_free(settings);
    if (faults.count)
        operation_step_problem(operation, PROBLEM_CONFLICT,
                               "What AWS has cannot be the app's setting: %s %s.",
                               faults.list[0].pointer, faults.list[0].detail);
    return faults.count == 0;
}

static void on_configuration_seen(struct operation *operation, const struct lambda_answer *answer)
{
    const struct json *configuration = json_get(answer->json, "Configuration");
    const struct json *work = operation_work(operation), *field;
    struct record app;
    struct key key = key_app(view_of(operation->app));
    if (answer->outcome != LAMBDA_OK) {
        operation_step_refused(operation, answer, "The function could not be looked at");
        return;
    }
    if (!read_app(operation, &app))
        return;
    struct json *internal = object_in(app.json, "internal");
    struct json *picture = picture_of_configuration(operation->environment->secrets,
                                                    view_of(operation->app), configuration);
    struct json *accepted = object_in(internal, "accepted");
    if (integer_of(accepted, "version") != integer_of(work, "applied")) {
        accepted = json_new_object();
        json_set_integer(accepted, "version", integer_of(work, "applied"));
        json_set(internal, "accepted", accepted);
    }
    for (field = json_first(json_get(work, "changed")); field; field = json_next(field))
        accept_field(operation, json_string(field), picture,
                     json_get(json_get(configuration, "Environment"), "Variables"), app.json,
                     accepted);
    set_time(app.json, "updatedAt", clock_wall_ms());
    if (check_settings(operation, app.json)) {
        change_compare(&operation->change, key.text, app.revision);
        change_put(&operation->change, key.text, app.json);
        operation_step_done(operation, "The app's settings are as AWS has them.");
    }
    json_free(picture);
    record_release(&app);
}

static void step_accept(struct operation *operation)
{
    struct record app;
    if (!read_app(operation, &app))
        return;
    struct lambda_request request = {.operation = LAMBDA_GET_FUNCTION,
                                     .function = text_of(json_get(app.json, "function"), "name")};
    operation_send(operation, &request, on_configuration_seen);
    record_release(&app);
}

/* ---- withdraw-versions: no route names them from the next step on ---- */

static void withdraw(struct operation *operation, int64_t number)
{
    struct record version;
    struct key key = key_version(view_of(operation->app), number);
    const struct problem lost = {.type = PROBLEM_VERSION_LOST,
                                 .detail = "Its Lambda version was deleted, or is no longer what "
                                           "was deployed."};
    if (record_read(operation->environment->state, key.text, &version))
        return;
    int64_t publication = integer_of(version.json, "publication");
    if (view_equal_string(text_of(version.json, "state"), "ready")) {
        json_set_string(version.json, "state", VIEW("failed"));
        json_set(version.json, "failure", problem_document(&lost, NULL, operation->id));
        json_set_bool(version.json, "withdrawn", true);
        json_set_null(version.json, "lambdaVersion");
        json_set_integer(version.json, "publication", (publication ? publication : 1) + 1);
        change_compare(&operation->change, key.text, version.revision);
        change_put(&operation->change, key.text, version.json);
    }
    record_release(&version);
}

static void step_withdraw(struct operation *operation)
{
    const struct json *lost = json_get(operation_work(operation), "lost");
    for (const struct json *one = json_first(lost); one; one = json_next(one)) {
        int64_t number = 0;
        json_integer(one, &number);
        withdraw(operation, number);
    }
    operation_step_done(operation, "%s", "");
}

/* ---- save-version: it is what was deployed, under another number ---- */

/* What was accepted since it was deployed went when it was published anew. */
static void forget_accepted(struct operation *operation)
{
    struct record app;
    struct key key = key_app(view_of(operation->app));
    if (record_read(operation->environment->state, key.text, &app))
        return;
    struct json *internal = object_in(app.json, "internal");
    if (integer_of(json_get(internal, "accepted"), "version") == deploy_version_of(operation)) {
        json_remove(internal, "accepted");
        change_compare(&operation->change, key.text, app.revision);
        change_put(&operation->change, key.text, app.json);
    }
    record_release(&app);
}

static void step_save(struct operation *operation)
{
    struct record version;
    const struct json *work = operation_work(operation);
    struct key key = key_version(view_of(operation->app), deploy_version_of(operation));
    if (record_read(operation->environment->state, key.text, &version)) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The version's record cannot be read.");
        return;
    }
    struct view code = text_of(version.json, "codeSha256");
    if (code.length && !view_equal(code, text_of(work, "codeSha256"))) {
        operation_step_problem(operation, PROBLEM_AWS_FAILED,
                               "The Lambda version has other code than was deployed.");
        record_release(&version);
        return;
    }
    json_set_string(version.json, "lambdaVersion", text_of(work, "lambdaVersion"));
    json_set_string(version.json, "codeSha256", text_of(work, "codeSha256"));
    if (truth_of(version.json, "withdrawn") &&
        view_equal_string(text_of(version.json, "state"), "failed")) {
        json_set_string(version.json, "state", VIEW("ready"));
        json_set_null(version.json, "failure");
    }
    json_remove(version.json, "withdrawn");
    change_compare(&operation->change, key.text, version.revision);
    change_put(&operation->change, key.text, version.json);
    record_release(&version);
    forget_accepted(operation);
    operation_step_done(operation, "Lambda version %.*s.",
                        VIEW_FORMAT(text_of(work, "lambdaVersion")));
}
