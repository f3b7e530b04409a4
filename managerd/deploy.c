/* The operation that turns a package into a version and, by default, into live traffic. */
#include "managerd/deploy.h"

#include "common/base/clock.h"
#include "managerd/canary.h"
#include "managerd/configure.h"
#include "managerd/lambda_settings.h"
#include "managerd/prune.h"
#include "managerd/publish.h"
#include "managerd/records.h"
#include "managerd/traffic.h"

#define LATE "The new version did not become ready in time."

static void step_save_version(struct operation *operation);
static void step_shift_traffic(struct operation *operation);
static void on_success(struct operation *operation);
static void on_failure(struct operation *operation, const struct json *problem);
static void after_success(struct operation *operation);
static void after_failure(struct operation *operation);

static const struct operation_step deploy_steps[] = {
    {"create-function", step_code, true},
    {"update-code", step_code, true},
    {"update-configuration", step_configuration, true},
    {"wait-until-ready", step_ready, true},
    {"configure-function", step_configure_function, true},
    {"publish-version", step_publish_version, true},
    {"probe", step_probe, true},
    {"save-version", step_save_version, true},
    {"provide-concurrency", step_provide_concurrency, true},
    {"shift-traffic", step_shift_traffic, false},
    {"shift-canary", step_shift_canary, true},
    {"watch-canary", step_watch_canary, true},
    {"publish-routes", step_publish_routes, false},
    {NULL, NULL, false},
};

const struct operation_type deploy_type = {"deploy",   deploy_steps,  on_success,
                                           on_failure, after_success, after_failure};

int64_t deploy_version_of(struct operation *operation)
{
    int64_t version = integer_of(operation_step(operation), "version");
    return version ? version : integer_of(operation_work(operation), "version");
}

static int64_t version_of(struct operation *operation)
{
    return deploy_version_of(operation);
}

static bool read_version(struct operation *operation, struct record *version)
{
    struct key key = key_version(view_of(operation->app), version_of(operation));
    if (!record_read(operation->environment->state, key.text, version))
        return true;
    operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                           "The version's record cannot be read.");
    return false;
}

/* publish-version: PublishVersion gives the same version again while nothing has changed, so a call
 * whose answer was lost in a crash is simply made once more. */

static void publish_now(struct operation *operation);
static void look_at_published(struct operation *operation);

static bool is_active(const struct json *configuration)
{
    struct view state = text_of(configuration, "State");
    return !state.length || view_equal_string(state, "Active");
}

static void on_published_seen(struct operation *operation, const struct lambda_answer *answer)
{
    const struct json *configuration = json_get(answer->json, "Configuration");
    if (answer->outcome != LAMBDA_OK)
        operation_step_refused(operation, answer, "The new version could not be looked at");
    else if (is_active(configuration))
        operation_step_done(operation, "Lambda version %.*s.",
                            VIEW_FORMAT(text_of(operation_work(operation), "lambdaVersion")));
    else if (view_equal_string(text_of(configuration, "State"), "Failed"))
        operation_step_problem(operation, PROBLEM_AWS_FAILED,
                               "The new version did not become ready: %.*s",
                               VIEW_FORMAT(text_of(configuration, "StateReason")));
    else
        operation_poll(operation, look_at_published, LATE);
}

static void look_at_published(struct operation *operation)
{
    struct record version;
    if (!read_version(operation, &version))
        return;
    struct lambda_request request = {
        .operation = LAMBDA_GET_FUNCTION,
        .function = text_of(json_get(version.json, "function"), "name"),
        .qualifier = text_of(operation_work(operation), "lambdaVersion")};
    operation_have_patience(operation, lambda_settings_patience_ms(version.json));
    operation_send(operation, &request, on_published_seen);
    record_release(&version);
}

static void on_published(struct operation *operation, const struct lambda_answer *answer)
{
    struct json *work = operation_work(operation);
    if (answer->outcome == LAMBDA_CONFLICT) {
        operation_poll(operation, publish_now, LATE);
        return;
    }
    if (answer->outcome != LAMBDA_OK) {
        operation_step_refused(operation, answer, "The version could not be published");
        return;
    }
    struct record version;
    if (!read_version(operation, &version))
        return;
    const char *stamp = function_stamp(&operation->arena, operation->environment->installation,
                                       view_of(operation->app), version.json);
    record_release(&version);
    if (!view_equal_string(text_of(answer->json, "Description"), stamp)) {
        operation_step_problem(operation, PROBLEM_AWS_FAILED,
                               "Somebody else changed the function during the deployment.");
        return;
    }
    json_set_string(work, "lambdaVersion", text_of(answer->json, "Version"));
    json_set_string(work, "codeSha256", text_of(answer->json, "CodeSha256"));
    if (is_active(answer->json))
        operation_step_done(operation, "Lambda version %.*s.",
                            VIEW_FORMAT(text_of(work, "lambdaVersion")));
    else
        look_at_published(operation);
}

static void publish_now(struct operation *operation)
{
    struct record version;
    struct buffer body;
    if (!read_version(operation, &version))
        return;
    buffer_init(&body, 64);
    buffer_append_string(&body, "{}");
    struct lambda_request request = {.operation = LAMBDA_PUBLISH_VERSION,
                                     .function =
                                         text_of(json_get(version.json, "function"), "name"),
                                     .body = &body};
    operation_send(operation, &request, on_published);
    buffer_release(&body);
    record_release(&version);
}

void step_publish_version(struct operation *operation)
{
    publish_now(operation);
}

/* save-version: from here on the version can serve. */

static void step_save_version(struct operation *operation)
{
    struct record version;
    const struct json *work = operation_work(operation);
    struct key key = key_version(view_of(operation->app), version_of(operation));
    if (!read_version(operation, &version))
        return;
    json_set_string(version.json, "state", VIEW("ready"));
    json_set_string(version.json, "lambdaVersion", text_of(work, "lambdaVersion"));
    json_set_string(version.json, "codeSha256", text_of(work, "codeSha256"));
    change_compare(&operation->change, key.text, version.revision);
    change_put(&operation->change, key.text, version.json);
    operation->result = json_new_object();
    json_set_integer(operation->result, "version", version_of(operation));
    record_release(&version);
    operation_step_done(operation, "%s", "");
}

/* shift-traffic */

/* Since it was saved the version may have been asked to go: then it must not get traffic, now or
 * while this step commits. */
bool deploy_hold_version(struct operation *operation)
{
    struct record version;
    struct key key = key_version(view_of(operation->app), version_of(operation));
    if (!read_version(operation, &version))
        return false;
    bool ready = view_equal_string(text_of(version.json, "state"), "ready");
    change_compare(&operation->change, key.text, version.revision);
    record_release(&version);
    if (!ready)
        operation_step_problem(operation, PROBLEM_CONFLICT,
                               "The version was deleted before it got traffic.");
    return ready;
}

static void step_shift_traffic(struct operation *operation)
{
    struct record app;
    struct key key = key_app(view_of(operation->app));
    int64_t version = version_of(operation), now = clock_wall_ms();
    if (record_read(operation->environment->state, key.text, &app)) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED, "The app cannot be read.");
        return;
    }
    struct json *internal = object_in(app.json, "internal");
    double percent = 100;
    json_get_number(json_get(operation_work(operation), "traffic"), "percent", &percent);
    if (percent == 0) {
        record_release(&app);
        operation_step_done(operation, "No traffic was asked for.");
        return;
    }
    if (version <= integer_of(internal, "noTrafficThrough")) {
        record_release(&app);
        operation_step_done(operation, "No traffic: the app was rolled back meanwhile.");
        return;
    }
    if (!deploy_hold_version(operation)) {
        record_release(&app);
        return;
    }
    struct json *present = json_copy(json_get(internal, "traffic"));
    struct json *traffic = traffic_split(present, version, percent);
    if (!traffic_equal(traffic, present)) {
        json_set(internal, "traffic", traffic);
        json_set(internal, "previousTraffic",
                 traffic_any(present) ? json_copy(present) : json_new_null());
        json_set_integer(internal, "trafficChangedAt", now);
        set_time(app.json, "updatedAt", now);
        change_compare(&operation->change, key.text, app.revision);
        change_put(&operation->change, key.text, app.json);
    } else {
        json_free(traffic); /* begun again after its commit: nothing is left to do */
    }
    json_free(present);
    record_release(&app);
    operation_step_done(operation, "%s", "");
}

/* publish-routes */

static void on_routes_published(enum error error, void *context)
{
    struct operation *operation = context;
    if (operation_stopped(operation))
        return;
    meter_add(&operation->meter, publish_times(operation->environment->publisher));
    if (error)
        operation_poll(operation, step_publish_routes, "The routes could not be written.");
    else
        operation_step_done(operation, "%s", "");
}

void step_publish_routes(struct operation *operation)
{
    publish_app(operation->environment->publisher, view_of(operation->app), on_routes_published,
                operation);
}

/* The end. */

static void note_last_deployment(struct operation *operation, const char *state)
{
    struct key key = key_latest(view_of(operation->app));
    struct json *last = json_new_object();
    json_set_string(last, "operation", view_of(operation->id));
    json_set_string(last, "state", view_of(state));
    json_set_integer(last, "version", version_of(operation));
    change_put(&operation->change, key.text, last);
    json_free(last);
}

static void on_success(struct operation *operation)
{
    struct record app;
    struct key key = key_app(view_of(operation->app));
    bool adopted = truth_of(operation_work(operation), "adopted");
    note_last_deployment(operation, "succeeded");
    configure_follow(operation);
    if (record_read(operation->environment->state, key.text, &app))
        return;
    struct json *internal = object_in(app.json, "internal");
    bool settles = canary_settle(operation, internal);
    if (adopted)
        json_set_bool(internal, "adopted", true);
    if (adopted || settles) {
        change_compare(&operation->change, key.text, app.revision);
        change_put(&operation->change, key.text, app.json);
    }
    record_release(&app);
}

static void on_failure(struct operation *operation, const struct json *problem)
{
    struct record version;
    struct view published = text_of(operation_work(operation), "lambdaVersion");
    struct key key = key_version(view_of(operation->app), version_of(operation));
    if (!record_read(operation->environment->state, key.text, &version)) {
        if (view_equal_string(text_of(version.json, "state"), "pending")) {
            json_set_string(version.json, "state", VIEW("failed"));
            json_set(version.json, "failure", json_copy(problem));
            /* What was published already is known to whoever deletes the version. */
            if (published.length)
                json_set_string(version.json, "lambdaVersion", published);
            change_compare(&operation->change, key.text, version.revision);
            change_put(&operation->change, key.text, version.json);
        }
        record_release(&version);
    }
    bool cancelled = view_equal_string(text_of(problem, "type"), "/problems/cancelled");
    note_last_deployment(operation, cancelled ? "cancelled" : "failed");
    canary_go_back(operation);
    configure_follow(operation);
}

/* There is one version more. */
static void after_success(struct operation *operation)
{
    prune_due(operation->environment->prune, view_of(operation->app));
    configure_accept_follow(operation);
}

static void on_published_again(enum error error, void *context)
{
    (void)error, (void)context; /* the publisher itself tries again */
}

/* What a canary gave back is served again. */
static void after_failure(struct operation *operation)
{
    if (json_type_of(json_get(operation_work(operation), "canary")) == JSON_OBJECT)
        publish_app(operation->environment->publisher, view_of(operation->app), on_published_again,
                    NULL);
    prune_due(operation->environment->prune, view_of(operation->app));
    configure_accept_follow(operation);
}
