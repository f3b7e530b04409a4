/* The first service's API: thin, synchronous forms of the same actions. */
#include "managerd/apps.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/packages.h"
#include "managerd/publish.h"
#include "managerd/resources.h"
#include "managerd/traffic.h"

#include "common/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json *status_document(struct view name, const char *status)
{
    struct json *document = json_new_object();
    json_set_string(document, "name", name);
    json_set_string(document, "status", view_of(status));
    return document;
}

/* DEPLOYED: there is code, but nothing serves; ERROR: the latest deployment failed before any
 * worked. */
static const char *status_of(struct call *call, const struct json *app)
{
    const struct json *internal = internal_of(app);
    struct record latest;
    struct key key = key_latest(call_app(call));
    if (json_type_of(json_get(internal, "deleting")) == JSON_STRING)
        return "REMOVED";
    if (traffic_any(json_get(internal, "traffic")))
        return truth_of(app, "enabled") ? "ACTIVE" : "INACTIVE";
    if (record_read(call->server->state, key.text, &latest))
        return "INACTIVE";
    bool failed = view_equal(text_of(latest.json, "state"), VIEW("failed"));
    record_release(&latest);
    return failed ? "ERROR" : "DEPLOYED";
}

enum progress compatibility_status(struct call *call)
{
    struct record app, removed;
    struct key key = key_app(call_app(call)), gone = key_removed(call_app(call));
    enum error error = record_read(call->server->state, key.text, &app);
    if (!error) {
        const char *status = status_of(call, app.json);
        record_release(&app);
        return call_answer(call, 200, status_document(call_app(call), status));
    }
    if (error == ERROR_NOT_FOUND)
        error = record_read(call->server->state, gone.text, &removed);
    if (error == ERROR_NOT_FOUND)
        return call_fail(call, PROBLEM_APP_NOT_FOUND, "There is no app %.*s.",
                         VIEW_FORMAT(call_app(call)));
    if (error)
        return call_fail_error(call, error);
    record_release(&removed);
    return call_answer(call, 200, status_document(call_app(call), "REMOVED"));
}

static enum progress switch_app(struct call *call, bool enabled)
{
    struct record app;
    struct key key = key_app(call_app(call));
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    if (json_type_of(json_get(internal_of(app.json), "deleting")) == JSON_STRING) {
        record_release(&app);
        return call_fail(call, PROBLEM_APP_NOT_FOUND, "The app is removed.");
    }
    if (!call_precondition(call, app.revision)) {
        record_release(&app);
        return PROGRESS_FAIL;
    }
    if (truth_of(app.json, "enabled") != enabled) {
        json_set_bool(app.json, "enabled", enabled);
        json_set_integer(object_in(app.json, "internal"), "trafficChangedAt", clock_wall_ms());
        set_time(app.json, "updatedAt", clock_wall_ms());
        change_compare(&call->change, key.text, app.revision);
        change_put(&call->change, key.text, app.json);
    }
    struct json *document = status_document(call_app(call), status_of(call, app.json));
    record_release(&app);
    return call_commit(call, 200, document, true);
}

enum progress compatibility_activate(struct call *call)
{
    return switch_app(call, true);
}

enum progress compatibility_deactivate(struct call *call)
{
    return switch_app(call, false);
}

/* remove: it answers when the app is served no more; its function goes when the last request that
 * was let in can be over. */

static enum progress removed(struct call *call)
{
    json_free(call->operation);
    call->operation = NULL;
    return call_answer(call, 200, status_document(call_app(call), "REMOVED"));
}

static void on_unpublished(enum error error, void *context)
{
    struct call *call = context;
    if (error)
        call_resume(call, call_fail(call, PROBLEM_UNPUBLISHED,
                                    "The app is removed, and will be out of service soon."));
    else
        call_resume(call, removed(call));
}

static enum progress unpublish(struct call *call)
{
    publish_app(call->server->publisher, call_app(call), on_unpublished, call);
    return PROGRESS_WAIT;
}

/* Whether an app of that name was removed, and is gone. */
static bool was_removed(struct call *call)
{
    struct record marker;
    struct key key = key_removed(call_app(call));
    if (record_read(call->server->state, key.text, &marker))
        return false;
    record_release(&marker);
    return true;
}

/* Removing it once more changes nothing, whether its removal still runs or has ended. */
static enum progress removed_before(struct call *call)
{
    struct json *document = status_document(call_app(call), "REMOVED");
    call->problem = (struct problem){0};
    return call->idempotency_key[0] ? call_commit(call, 200, document, false)
                                    : call_answer(call, 200, document);
}

enum progress compatibility_remove(struct call *call)
{
    enum progress verdict = app_delete(call);
    if (verdict == PROGRESS_FAIL && call->problem.type == PROBLEM_APP_NOT_FOUND &&
        was_removed(call))
        return removed_before(call);
    if (verdict == PROGRESS_FAIL && call->problem.type == PROBLEM_CONFLICT) {
        /* It is being removed already: the same answer again. */
        call->problem = (struct problem){0};
        return unpublish(call);
    }
    call->on_committed = removed;
    return verdict;
}

/* deploy */

struct first_deployment {
    struct packages *packages;
    struct json *wish;
    char sha256[65];
    uint64_t bytes;
    bool stored;
};

static void free_deployment(void *data)
{
    struct first_deployment *deployment = data;
    if (deployment->stored)
        packages_unpin(deployment->packages, view_of(deployment->sha256));
    json_free(deployment->wish);
    free(deployment);
}

static enum progress deployed(struct call *call)
{
    const struct json *problem = json_get(call->operation, "problem");
    if (!operation_finished(call->operation))
        return call_fail(call, PROBLEM_UNPUBLISHED,
                         "managerd is stopping; the deployment goes on "
                         "when it starts again.");
    if (json_type_of(problem) == JSON_OBJECT)
        return call_answer(call, (int)integer_of(problem, "status"), json_copy(problem));
    return call_answer(call, 200, status_document(call_app(call), "ACTIVE"));
}

static enum progress deploy_now(struct call *call);

static enum progress after_removal(struct call *call)
{
    json_free(call->operation);
    call->operation = NULL;
    return deploy_now(call);
}

/* An app that is being removed comes back when its removal has ended. */
static enum progress wait_for_removal(struct call *call, const char *id)
{
    struct record record;
    struct key key = key_operation(view_of(id));
    if (record_read(call->server->state, key.text, &record))
        return call_fail(call, PROBLEM_CONFLICT, "The app is being removed.");
    call->operation = record.json;
    call->on_operation = after_removal;
    call->wait_for_end = true;
    return call_wait_operation(call);
}

static enum progress deploy_now(struct call *call)
{
    struct first_deployment *deployment = call->data;
    struct operations *operations = call->server->operations;
    struct acceptance_package package = {.sha256 = view_of(deployment->sha256),
                                         .bytes = deployment->bytes,
                                         .source = VIEW("upload")};
    const char *removal = operations_find(operations, call_app(call), "delete");
    if (operations_find(operations, call_app(call), "deploy"))
        return call_fail(call, PROBLEM_DEPLOYMENT_RUNNING, "Another deployment of %.*s is running.",
                         VIEW_FORMAT(call_app(call)));
    if (removal && !call->server->draining)
        return wait_for_removal(call, removal);
    call->on_operation = deployed;
    call->wait_for_end = true;
    return apps_deploy(call, deployment->wish, &package, true);
}

static void on_stored(const struct package_stored *stored, void *context)
{
    struct call *call = context;
    struct first_deployment *deployment = call->data;
    enum progress verdict;
    if (stored->error == ERROR_INVALID) {
        call->problem.status = 400;
        verdict = call_fail(call, PROBLEM_PACKAGE_INVALID, "%.*s", VIEW_FORMAT(stored->detail));
    } else if (stored->error == ERROR_TOO_BIG) {
        verdict = call_fail(call, PROBLEM_TOO_LARGE, "%.*s", VIEW_FORMAT(stored->detail));
    } else if (stored->error) {
        verdict = call_fail_error(call, stored->error);
    } else {
        memcpy(deployment->sha256, stored->sha256, sizeof deployment->sha256);
        deployment->bytes = stored->bytes;
        deployment->stored = true;
        verdict = deploy_now(call);
    }
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
}

/* The original knew one kind of app: Node.js, answering 1.0 events, served as it comes. */
static struct json *original_settings(void)
{
    struct json *wish = NULL;
    static const char text[] = "{\"runtime\":\"nodejs22.x\",\"handler\":\"index.handler\","
                               "\"http\":{\"payloadFormat\":\"1.0\"},\"probe\":null}";
    REQUIRE(!json_parse(view_of(text), 5, &wish, NULL));
    return wish;
}

enum progress compatibility_deploy(struct call *call)
{
    struct first_deployment *deployment = call->data;
    struct view name = VIEW("");
    if (deployment && deployment->stored)
        return deploy_now(call); /* once more, after a conflict */
    json_get_string(call->body, "name", &name);
    call->parameters.values[0] = name;
    call->parameters.count = 1;
    call->data = deployment = calloc(1, sizeof *deployment);
    REQUIRE(deployment);
    call->free_data = free_deployment;
    deployment->packages = call->server->packages;
    deployment->wish = original_settings();
    struct package_source source = call_package_in(call, text_of(call->body, "archive"));
    packages_store(call->server->packages, &source, on_stored, call);
    return PROGRESS_WAIT;
}

enum progress compatibility_replay(struct call *call)
{
    if (view_equal(text_of(call->operation, "type"), VIEW("delete")))
        return removed(call);
    call->parameters.values[0] = arena_copy(&call->arena, text_of(call->operation, "app"));
    call->parameters.count = 1;
    call->on_operation = deployed;
    call->wait_for_end = true;
    return call_wait_operation(call);
}
