/* Shifts traffic, rolls back, switches apps on and off: one commit each, in force when answered. */
#include "managerd/apps.h"
#include "managerd/canary.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/resources.h"
#include "managerd/traffic.h"

#include "common/base/clock.h"

#include <stdio.h>

static struct json *show(const struct json *app)
{
    struct json *shown = json_copy(json_get(internal_of(app), "traffic"));
    json_set_string(shown, "revision", VIEW("0"));
    return shown;
}

enum progress traffic_get(struct call *call)
{
    struct record app;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict = call_answer_tagged(call, 200, show(app.json), app.revision);
    record_release(&app);
    return verdict;
}

/* Puts the app's record (changed already) and answers with what `shown` holds. */
static enum progress save(struct call *call, struct record *app, struct json *shown)
{
    struct key key = key_app(call_app(call));
    set_time(app->json, "updatedAt", clock_wall_ms());
    call_configure(call, NULL, app->json);
    change_compare(&call->change, key.text, app->revision);
    change_put(&call->change, key.text, app->json);
    return call_commit(call, 200, shown, true);
}

/* Nothing changes: what is there is made sure to be in force, and its revision stays. */
static enum progress leave(struct call *call, const struct record *app, struct json *shown)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)app->revision);
    json_set_string(shown, "revision", view_of(text));
    call->unchanged = app->revision;
    enum progress verdict = call_commit(call, 200, shown, true);
    call->tagged = true;
    return verdict;
}

/* Whether the version can serve, which the commit then holds it to: it must not begin to be deleted
 * between this look and our commit. */
static bool version_is_ready(struct call *call, int64_t number)
{
    struct record version;
    struct key key = key_version(call_app(call), number);
    if (record_read(call->server->state, key.text, &version))
        return false;
    bool ready = view_equal_string(text_of(version.json, "state"), "ready");
    if (ready)
        change_compare(&call->change, key.text, version.revision);
    record_release(&version);
    return ready;
}

void apps_hold_versions(struct call *call, const struct json *traffic, const char *format)
{
    unsigned index = 0;
    const struct json *share = json_first(json_get(traffic, "versions"));
    for (; share; share = json_next(share), index++) {
        char pointer[64];
        snprintf(pointer, sizeof pointer, "%s/%u/version", format, index);
        if (!version_is_ready(call, integer_of(share, "version")))
            fault_pointer(&call->faults, pointer, "version %lld is not there or not ready",
                          (long long)integer_of(share, "version"));
    }
}

static void set_traffic(struct json *app, struct json *traffic)
{
    struct json *internal = object_in(app, "internal");
    json_set(internal, "traffic", traffic);
    json_set_integer(internal, "trafficChangedAt", clock_wall_ms());
    canary_forget(internal);
}

enum progress traffic_put(struct call *call)
{
    struct record app;
    struct json *traffic = json_copy(call->body);
    enum progress verdict = PROGRESS_FAIL;
    shape_drop_read_only(&traffic_shape, traffic);
    shape_fill(&traffic_shape, traffic);
    if (!call_read_app(call, &app)) {
        json_free(traffic);
        return PROGRESS_FAIL;
    }
    traffic_check(traffic, &call->faults);
    apps_hold_versions(call, traffic, "/versions");
    if (call->faults.count) {
        verdict = call_fail_faults(call);
        json_free(traffic);
    } else if (call_refuse_deleting(call, app.json) || !call_precondition(call, app.revision)) {
        json_free(traffic);
    } else {
        set_traffic(app.json, traffic_without_zeros(traffic));
        json_free(traffic);
        verdict = save(call, &app, show(app.json));
    }
    record_release(&app);
    return verdict;
}

/* Where a rollback leads; NULL: the answer is set. */
static struct json *rollback_target(struct call *call, const struct json *app)
{
    const struct json *internal = internal_of(app);
    const struct json *previous = json_get(internal, "previousTraffic");
    int64_t version = integer_of(call->body, "version");
    if (version) {
        if (version_is_ready(call, version))
            return traffic_all(version, text_of(json_get(internal, "traffic"), "sticky"));
        fault_pointer(&call->faults, "/version", "version %lld is not there or not ready",
                      (long long)version);
        call_fail_faults(call);
        return NULL;
    }
    if (json_type_of(previous) != JSON_OBJECT) {
        call_fail(call, PROBLEM_CONFLICT,
                  "Nothing served before the latest deployment: there is nothing to go back to.");
        return NULL;
    }
    apps_hold_versions(call, previous, "");
    if (call->faults.count) {
        call->faults.count = 0;
        call_fail(call, PROBLEM_CONFLICT,
                  "A version that served before is gone. Name one: {\"version\": n}.");
        return NULL;
    }
    return json_copy(previous);
}

enum progress rollback_post(struct call *call)
{
    struct record app;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict = PROGRESS_FAIL;
    struct json *target = NULL;
    if (!call_refuse_deleting(call, app.json) && call_precondition(call, app.revision) &&
        (target = rollback_target(call, app.json))) {
        struct json *internal = object_in(app.json, "internal");
        int64_t last = integer_of(internal, "lastVersion");
        bool same = traffic_equal(target, json_get(internal, "traffic"));
        if (same && !canary_runs(internal) && integer_of(internal, "noTrafficThrough") == last) {
            json_free(target);
            verdict = leave(call, &app, show(app.json));
        } else {
            if (same)
                json_free(target);
            else
                set_traffic(app.json, target);
            canary_forget(internal);
            /* Deployments that are queued or running finish without traffic. */
            json_set_integer(internal, "noTrafficThrough", last);
            verdict = save(call, &app, show(app.json));
        }
    }
    record_release(&app);
    return verdict;
}

static enum progress set_enabled(struct call *call, bool enabled)
{
    struct record app;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict = PROGRESS_FAIL;
    if (call_refuse_deleting(call, app.json) || !call_precondition(call, app.revision)) {
        verdict = PROGRESS_FAIL;
    } else if (truth_of(app.json, "enabled") == enabled) {
        verdict = leave(call, &app, apps_show(call, app.json, app.revision));
    } else {
        json_set_bool(app.json, "enabled", enabled);
        json_set_integer(object_in(app.json, "internal"), "trafficChangedAt", clock_wall_ms());
        verdict = save(call, &app, apps_show(call, app.json, 0));
    }
    record_release(&app);
    return verdict;
}

enum progress activate_post(struct call *call)
{
    return set_enabled(call, true);
}

enum progress deactivate_post(struct call *call)
{
    return set_enabled(call, false);
}
