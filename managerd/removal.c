/* The operations that end an app or a version: routes first, AWS when nobody is served any more. */
#include "managerd/deploy.h"

#include "common/base/clock.h"
#include "managerd/package_sweep.h"
#include "managerd/publish.h"
#include "managerd/records.h"
#include "managerd/traffic.h"

#include <string.h>

#define MAX_DEADLINE_SLACK_MS 1000

static void step_remove_routes(struct operation *operation);
static void step_wait_for_requests(struct operation *operation);
static void step_delete_function(struct operation *operation);
static void step_remove_app(struct operation *operation);
static void step_delete_lambda_version(struct operation *operation);
static void step_remove_version(struct operation *operation);
static void nothing_more(struct operation *operation);
static void give_app_back(struct operation *operation, const struct json *problem);
static void give_version_back(struct operation *operation, const struct json *problem);
static void sweep_packages(struct operation *operation);
static void publish_again(struct operation *operation);

static const struct operation_step delete_steps[] = {
    {"remove-routes", step_remove_routes, false},
    {"wait-for-requests", step_wait_for_requests, false},
    {"delete-function", step_delete_function, false},
    {"remove-app", step_remove_app, false},
    {NULL, NULL, false},
};
const struct operation_type delete_type = {"delete",      delete_steps,   nothing_more,
                                           give_app_back, sweep_packages, publish_again};

static const struct operation_step delete_version_steps[] = {
    {"wait-for-requests", step_wait_for_requests, false},
    {"delete-lambda-version", step_delete_lambda_version, false},
    {"remove-version", step_remove_version, false},
    {NULL, NULL, false},
};
const struct operation_type delete_version_type = {"delete-version", delete_version_steps,
                                                   nothing_more,     give_version_back,
                                                   sweep_packages,   publish_again};

static void nothing_more(struct operation *operation)
{
    (void)operation;
}

static bool read_app(struct operation *operation, struct record *app)
{
    struct key key = key_app(view_of(operation->app));
    if (!record_read(operation->environment->state, key.text, app))
        return true;
    operation_step_problem(operation, PROBLEM_STORAGE_FAILED, "The app cannot be read.");
    return false;
}

static void on_routes_removed(enum error error, void *context)
{
    struct operation *operation = context;
    if (operation_stopped(operation))
        return;
    meter_add(&operation->meter, publish_times(operation->environment->publisher));
    if (error)
        operation_poll(operation, step_remove_routes, "The routes could not be written.");
    else
        operation_step_done(operation, "%s", "");
}

static void step_remove_routes(struct operation *operation)
{
    publish_app(operation->environment->publisher, view_of(operation->app), on_routes_removed,
                operation);
}

/* wait-for-requests: what was let in before the route left may run until its deadline. */

static bool longest_timeout(struct view key, struct view value, uint64_t revision, void *context)
{
    int64_t *longest_s = context;
    struct json *version = NULL;
    (void)key, (void)revision;
    if (!record_parse(value, &version) && integer_of(version, "timeoutSeconds") > *longest_s)
        *longest_s = integer_of(version, "timeoutSeconds");
    json_free(version);
    return true;
}

static void requests_are_over(struct operation *operation)
{
    operation_step_done(operation, "%s", "");
}

int64_t removal_wait_ms(struct state *state, int64_t drain_ms, struct view name,
                        const struct json *app)
{
    int64_t longest_s = 0;
    struct key versions = key_versions(name);
    if (drain_ms < 0) {
        drain_ms = integer_of(json_get(app, "limits"), "deadlineMs");
        if (state_range(state, view_of(versions.text), VIEW(""), longest_timeout, &longest_s))
            longest_s = 900;
        if (drain_ms < 1000 * longest_s)
            drain_ms = 1000 * longest_s;
        drain_ms += MAX_DEADLINE_SLACK_MS;
    }
    int64_t since_ms = clock_wall_ms() - integer_of(internal_of(app), "trafficChangedAt");
    return drain_ms - (since_ms > 0 ? since_ms : 0);
}

static void step_wait_for_requests(struct operation *operation)
{
    struct record app;
    if (!read_app(operation, &app))
        return;
    int64_t left_ms =
        removal_wait_ms(operation->environment->state, operation->environment->drain_ms,
                        view_of(operation->app), app.json);
    record_release(&app);
    if (left_ms > 0)
        operation_after(operation, left_ms, requests_are_over);
    else
        requests_are_over(operation);
}

/* delete-function: only what carries our tags, or was taken over by us. */

static void on_function_deleted(struct operation *operation, const struct lambda_answer *answer)
{
    if (answer->outcome == LAMBDA_CONFLICT)
        operation_poll(operation, step_delete_function, "The function stays busy.");
    else if (answer->outcome != LAMBDA_OK && answer->outcome != LAMBDA_NOT_FOUND)
        operation_step_refused(operation, answer, "The function could not be deleted");
    else
        operation_step_done(operation, "%s", "");
}

static void on_function_seen(struct operation *operation, const struct lambda_answer *answer)
{
    struct record app;
    if (answer->outcome == LAMBDA_NOT_FOUND) {
        operation_step_done(operation, "There was no function.");
        return;
    }
    if (answer->outcome != LAMBDA_OK) {
        operation_step_refused(operation, answer, "The function could not be looked at");
        return;
    }
    if (!read_app(operation, &app))
        return;
    struct lambda_request request = {.operation = LAMBDA_DELETE_FUNCTION,
                                     .function = text_of(json_get(app.json, "function"), "name")};
    if (function_is_ours(answer->json, operation->environment->installation, operation->app) ||
        truth_of(internal_of(app.json), "adopted"))
        operation_send(operation, &request, on_function_deleted);
    else
        operation_step_done(operation, "Left alone: the function is not ours.");
    record_release(&app);
}

static void step_delete_function(struct operation *operation)
{
    struct record app;
    if (!read_app(operation, &app))
        return;
    struct lambda_request request = {.operation = LAMBDA_GET_FUNCTION,
                                     .function = text_of(json_get(app.json, "function"), "name")};
    operation_send(operation, &request, on_function_seen);
    record_release(&app);
}

/* remove-app: every record of it, in one commit. */

static bool remove_key(struct view key, struct view value, uint64_t revision, void *context)
{
    struct change *change = context;
    char text[KEY_SIZE];
    (void)value, (void)revision;
    if (key.length >= sizeof text)
        return true;
    memcpy(text, key.data, key.length);
    text[key.length] = 0;
    change_remove(change, text);
    return true;
}

static void step_remove_app(struct operation *operation)
{
    struct record app;
    struct change *change = &operation->change;
    struct view name = view_of(operation->app);
    if (!read_app(operation, &app))
        return;
    struct key key = key_app(name), versions = key_versions(name), latest = key_latest(name);
    struct key slot = key_slot((uint32_t)integer_of(internal_of(app.json), "slot"));
    struct key function = key_function(text_of(json_get(app.json, "function"), "name"));
    struct key removed = key_removed(name), observed = key_observed(name);
    struct json *note = json_new_object();
    set_time(note, "removedAt", clock_wall_ms());
    change_compare(change, key.text, app.revision);
    change_remove(change, key.text);
    change_remove(change, latest.text);
    change_remove(change, observed.text);
    change_remove(change, slot.text);
    change_remove(change, function.text);
    change_put(change, removed.text, note);
    enum error error = state_keys(operation->environment->state, view_of(versions.text), VIEW(""),
                                  remove_key, change);
    json_free(note);
    record_release(&app);
    if (error)
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The app's versions cannot be read.");
    else
        operation_step_done(operation, "%s", "");
}

/* A removal that was cancelled leaves the app as it was. One that failed leaves it out of service:
 * its function may be gone. Deleting it again goes on. */
static void give_app_back(struct operation *operation, const struct json *problem)
{
    struct record app;
    struct key key = key_app(view_of(operation->app));
    bool cancelled = view_equal_string(text_of(problem, "type"), "/problems/cancelled");
    if (record_read(operation->environment->state, key.text, &app))
        return;
    struct json *internal = object_in(app.json, "internal");
    json_set_null(internal, "deleting");
    if (!cancelled)
        json_set_bool(app.json, "enabled", false);
    change_compare(&operation->change, key.text, app.revision);
    change_put(&operation->change, key.text, app.json);
    record_release(&app);
}

static void on_published_again(enum error error, void *context)
{
    (void)error, (void)context; /* the publisher itself tries again */
}

/* Its route went when the removal was accepted. */
static void publish_again(struct operation *operation)
{
    publish_app(operation->environment->publisher, view_of(operation->app), on_published_again,
                NULL);
}

/* delete-version */

static void on_version_deleted(struct operation *operation, const struct lambda_answer *answer)
{
    if (answer->outcome == LAMBDA_CONFLICT)
        operation_poll(operation, step_delete_lambda_version, "The function stays busy.");
    else if (answer->outcome != LAMBDA_OK && answer->outcome != LAMBDA_NOT_FOUND)
        operation_step_refused(operation, answer, "The Lambda version could not be deleted");
    else
        operation_step_done(operation, "%s", "");
}

/* Whether another version of the app runs as this one's Lambda version. */

struct sharing {
    int64_t version;
    struct view function, lambda_version;
    int64_t other; /* 0: none */
};

static bool on_other_version(struct view key, struct view value, uint64_t revision, void *context)
{
    struct sharing *sharing = context;
    struct json *other = NULL;
    (void)key, (void)revision;
    if (record_parse(value, &other))
        return true;
    if (integer_of(other, "version") != sharing->version &&
        view_equal(text_of(other, "lambdaVersion"), sharing->lambda_version) &&
        view_equal(text_of(json_get(other, "function"), "name"), sharing->function))
        sharing->other = integer_of(other, "version");
    json_free(other);
    return sharing->other == 0;
}

/* The last of those that share a Lambda version takes it along; while in doubt it stays. */
static bool is_shared(struct operation *operation, const struct json *version)
{
    struct key prefix = key_versions(view_of(operation->app));
    struct sharing sharing = {.version = integer_of(version, "version"),
                              .function = text_of(json_get(version, "function"), "name"),
                              .lambda_version = text_of(version, "lambdaVersion")};
    if (state_range(operation->environment->state, view_of(prefix.text), VIEW(""), on_other_version,
                    &sharing)) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The app's versions cannot be read.");
        return true;
    }
    if (sharing.other)
        operation_step_done(operation, "Kept: version %lld is the same Lambda version.",
                            (long long)sharing.other);
    return sharing.other != 0;
}

/* A version whose publishing was never answered may be a Lambda version all the same: its mark tells. */

static void list_versions(struct operation *operation, const struct json *version,
                          struct view marker);

static bool read_version(struct operation *operation, struct record *version)
{
    struct key key =
        key_version(view_of(operation->app), integer_of(operation_work(operation), "version"));
    if (!record_read(operation->environment->state, key.text, version))
        return true;
    operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                           "The version's record cannot be read.");
    return false;
}

static struct view find_marked(const struct json *versions, const char *stamp)
{
    const struct json *one = json_first(versions);
    for (; one; one = json_next(one))
        if (view_equal_string(text_of(one, "Description"), stamp) &&
            !view_equal_string(text_of(one, "Version"), "$LATEST"))
            return text_of(one, "Version");
    return VIEW("");
}

static void on_versions_listed(struct operation *operation, const struct lambda_answer *answer)
{
    struct view marker = text_of(answer->json, "NextMarker");
    struct record version;
    if (!read_version(operation, &version))
        return;
    const char *stamp = function_stamp(&operation->arena, operation->environment->installation,
                                       view_of(operation->app), version.json);
    struct lambda_request request = {
        .operation = LAMBDA_DELETE_FUNCTION,
        .function = text_of(json_get(version.json, "function"), "name"),
        .qualifier = find_marked(json_get(answer->json, "Versions"), stamp)};
    if (answer->outcome == LAMBDA_NOT_FOUND)
        operation_step_done(operation, "There was no function.");
    else if (answer->outcome == LAMBDA_DENIED)
        operation_step_done(operation, "It is not known as a Lambda version.");
    else if (answer->outcome != LAMBDA_OK)
        operation_step_refused(operation, answer, "The Lambda versions could not be listed");
    else if (request.qualifier.length) /* without one the call would delete the whole function */
        operation_send(operation, &request, on_version_deleted);
    else if (marker.length)
        list_versions(operation, version.json, marker);
    else
        operation_step_done(operation, "It never was a Lambda version.");
    record_release(&version);
}

static void list_versions(struct operation *operation, const struct json *version,
                          struct view marker)
{
    struct lambda_request request = {.operation = LAMBDA_LIST_VERSIONS,
                                     .function = text_of(json_get(version, "function"), "name"),
                                     .marker = marker};
    operation_send(operation, &request, on_versions_listed);
}

static void step_delete_lambda_version(struct operation *operation)
{
    struct record version;
    if (!read_version(operation, &version))
        return;
    struct lambda_request request = {.operation = LAMBDA_DELETE_FUNCTION,
                                     .function =
                                         text_of(json_get(version.json, "function"), "name"),
                                     .qualifier = text_of(version.json, "lambdaVersion")};
    /* Without a qualifier the call would delete the whole function. */
    if (request.qualifier.length && is_shared(operation, version.json))
        ;
    else if (request.qualifier.length)
        operation_send(operation, &request, on_version_deleted);
    else
        list_versions(operation, version.json, VIEW(""));
    record_release(&version);
}

static void step_remove_version(struct operation *operation)
{
    struct key key =
        key_version(view_of(operation->app), integer_of(operation_work(operation), "version"));
    change_remove(&operation->change, key.text);
    operation_step_done(operation, "%s", "");
}

static void give_version_back(struct operation *operation, const struct json *problem)
{
    struct record version;
    struct key key =
        key_version(view_of(operation->app), integer_of(operation_work(operation), "version"));
    (void)problem;
    if (record_read(operation->environment->state, key.text, &version))
        return;
    bool was_ready = json_type_of(json_get(version.json, "failure")) != JSON_OBJECT;
    json_set_string(version.json, "state", was_ready ? VIEW("ready") : VIEW("failed"));
    change_compare(&operation->change, key.text, version.revision);
    change_put(&operation->change, key.text, version.json);
    record_release(&version);
}

/* Packages that no version names any more. */

static void sweep_packages(struct operation *operation)
{
    package_sweep_soon(operation->environment->package_sweep);
}
