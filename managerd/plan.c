/* Writes the plan of each kind of operation: its steps, in order, and what they need to know. */
#include "managerd/plan.h"

#include "managerd/records.h"

#include <stdio.h>

static void add_step(struct json *steps, const char *name)
{
    struct json *step = json_new_object();
    json_set_string(step, "name", view_of(name));
    json_set_string(step, "state", VIEW("waiting"));
    json_set_integer(step, "attempts", 0);
    json_set_null(step, "startedAt");
    json_set_null(step, "finishedAt");
    json_set_null(step, "detail");
    json_append(steps, step);
}

static struct json *last_of(struct json *steps)
{
    const struct json *step = json_first(steps), *next;
    while ((next = json_next(step)))
        step = next;
    return (struct json *)(uintptr_t)step;
}

static struct json *begin(const struct plan_operation *plan, const char *type, struct json *steps,
                          struct json *work)
{
    struct json *operation = json_new_object();
    json_set_string(operation, "id", plan->id);
    json_set_string(operation, "type", view_of(type));
    json_set_string(operation, "app", plan->app);
    json_set_string(operation, "state", VIEW("queued"));
    json_set(operation, "steps", steps);
    json_set_null(operation, "result");
    json_set_null(operation, "problem");
    json_set_string(operation, "createdBy", plan->created_by);
    set_time(operation, "createdAt", plan->now_ms);
    set_time(operation, "updatedAt", plan->now_ms);
    json_set(operation, "work", work);
    return operation;
}

/* Each share is taken in one commit, and then watched. */
static void add_canary_steps(struct json *steps, const struct json *canary)
{
    const struct json *percent = json_first(json_get(canary, "steps"));
    for (; percent; percent = json_next(percent)) {
        add_step(steps, "shift-canary");
        json_set(last_of(steps), "percent", json_copy(percent));
        add_step(steps, "watch-canary");
        json_set(last_of(steps), "percent", json_copy(percent));
        json_set_null(last_of(steps), "figures");
    }
}

struct json *plan_deploy(const struct plan_operation *plan, int64_t version, unsigned parts,
                         const struct json *traffic, const struct json *canary)
{
    struct json *steps = json_new_array(), *work = json_new_object();
    bool serves =
        !(json_type_of(traffic) == JSON_STRING && view_equal_string(json_string(traffic), "none"));
    json_set_integer(work, "version", version);
    json_set_bool(work, "adopt", parts & PLAN_ADOPT);
    if (canary)
        json_set(work, "canary", json_copy(canary));
    json_set(work, "traffic", traffic ? json_copy(traffic) : json_new_string(VIEW("all")));
    add_step(steps, "store-package");
    if (parts & (PLAN_KNOWN | PLAN_ADOPT)) {
        add_step(steps, "update-code");
        add_step(steps, "update-configuration");
    } else {
        add_step(steps, "create-function");
    }
    add_step(steps, "wait-until-ready");
    if (parts & PLAN_CONFIGURE)
        add_step(steps, "configure-function");
    add_step(steps, "publish-version");
    if (parts & PLAN_PROBE)
        add_step(steps, "probe");
    add_step(steps, "save-version");
    if (serves && parts & PLAN_PROVIDE)
        add_step(steps, "provide-concurrency");
    if (canary)
        add_canary_steps(steps, canary);
    else if (serves)
        add_step(steps, "shift-traffic");
    add_step(steps, "publish-routes"); /* previews reach it, whether or not it has traffic */
    struct json *operation = begin(plan, "deploy", steps, work);
    /* The package was stored before the plan was made: no version names a package that is not. */
    struct json *stored = (struct json *)(uintptr_t)json_first(json_get(operation, "steps"));
    json_set_string(stored, "state", VIEW("done"));
    json_set_integer(stored, "attempts", 1);
    set_time(stored, "startedAt", plan->now_ms);
    set_time(stored, "finishedAt", plan->now_ms);
    return operation;
}

struct json *plan_delete(const struct plan_operation *plan, bool delete_function)
{
    struct json *steps = json_new_array();
    add_step(steps, "remove-routes");
    if (delete_function) {
        add_step(steps, "wait-for-requests");
        add_step(steps, "delete-function");
    }
    add_step(steps, "remove-app");
    return begin(plan, "delete", steps, json_new_object());
}

struct json *plan_delete_version(const struct plan_operation *plan, int64_t version)
{
    struct json *steps = json_new_array(), *work = json_new_object();
    json_set_integer(work, "version", version);
    add_step(steps, "wait-for-requests");
    add_step(steps, "delete-lambda-version");
    add_step(steps, "remove-version");
    return begin(plan, "delete-version", steps, work);
}

struct json *plan_configure(const struct plan_operation *plan, bool settings, bool provisions)
{
    struct json *steps = json_new_array();
    if (settings && provisions)
        add_step(steps, "lower-concurrency");
    if (settings)
        add_step(steps, "configure-function");
    if (provisions) {
        add_step(steps, "provide-concurrency");
        add_step(steps, "release-concurrency");
    }
    return begin(plan, "configure", steps, json_new_object());
}

struct json *plan_sync(const struct plan_operation *plan, struct view policy)
{
    struct json *steps = json_new_array(), *work = json_new_object();
    if (policy.length)
        json_set_string(work, "policy", policy);
    add_step(steps, "compare");
    return begin(plan, "sync", steps, work);
}

void plan_follow(struct json *operation, const struct json *steps)
{
    struct json *list = json_new_array();
    const struct json *one = json_first(json_get(operation, "steps"));
    for (; one; one = json_next(one)) {
        json_append(list, json_copy(one));
        if (!view_equal_string(text_of(one, "state"), "done"))
            break;
    }
    for (one = json_first(steps); one; one = json_next(one)) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", VIEW_FORMAT(text_of(one, "name")));
        add_step(list, name);
        if (json_get(one, "version"))
            json_set(last_of(list), "version", json_copy(json_get(one, "version")));
    }
    json_set(operation, "steps", list);
}

struct json *plan_change(const struct json *change)
{
    struct json *steps = json_new_array();
    char name[64];
    snprintf(name, sizeof name, "%.*s-%.*s", VIEW_FORMAT(text_of(change, "action")),
             VIEW_FORMAT(text_of(change, "kind")));
    add_step(steps, name);
    struct json *step = json_copy(json_first(steps));
    json_set_string(step, "subject", text_of(change, "name"));
    json_free(steps);
    return step;
}

struct json *plan_apply(const struct plan_operation *plan, size_t changes)
{
    struct json *steps = json_new_array(), *work = json_new_object();
    json_set_integer(work, "changes", (int64_t)changes);
    json_set_integer(work, "done", 0);
    add_step(steps, "apply-changes");
    add_step(steps, "publish-routes");
    return begin(plan, "apply", steps, work);
}
