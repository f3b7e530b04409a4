/* Tells what is observed of an app, and begins its comparison with AWS. */
#include "managerd/call.h"
#include "managerd/canary.h"
#include "managerd/drift.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/health.h"
#include "managerd/issuers.h"
#include "managerd/observer.h"
#include "managerd/plan.h"
#include "managerd/traffic.h"

#include "common/base/clock.h"

#include <stdlib.h>

/* The app may have changed during a look: then there is one more, if the first was quick. */
#define MAX_ROUNDS 2
#define QUICK_US   (1ull * 1000000)

struct waiting {
    struct observer_wait *wait; /* NULL: it is over */
    unsigned rounds;
};

static void free_waiting(void *data)
{
    struct waiting *waiting = data;
    if (waiting->wait)
        observer_leave(waiting->wait);
    free(waiting);
}

/* ---- what state knows ---- */

static bool on_queued(struct view key, struct view value, uint64_t revision, void *context)
{
    (void)value, (void)revision;
    if (key.length >= ID_SIZE)
        json_append(context, json_new_string(view_slice(key, key.length - ID_SIZE + 1, SIZE_MAX)));
    return true;
}

static const char *word_of(const struct json *app)
{
    const struct json *internal = internal_of(app);
    if (json_type_of(json_get(internal, "deleting")) == JSON_STRING)
        return "deleting";
    if (!traffic_any(json_get(internal, "traffic")))
        return "empty";
    return truth_of(app, "enabled") ? "serving" : "inactive";
}

static void show_state(struct call *call, const struct json *app, struct json *status)
{
    struct record last;
    const struct json *internal = internal_of(app);
    struct key latest = key_latest(call_app(call));
    int64_t number = integer_of(internal, "lastVersion");
    json_set_string(status, "app", call_app(call));
    json_set_string(status, "status", view_of(word_of(app)));
    json_set(status, "traffic", json_copy(json_get(internal, "traffic")));
    json_set(status, "canary",
             canary_runs(internal)
                 ? json_new_string(text_of(json_get(internal, "canary"), "operation"))
                 : json_new_null());
    json_set(status, "latestVersion", number ? json_new_integer(number) : json_new_null());
    struct json *tokens = issuers_show(call->server->issuers, call_app(call));
    json_set(status, "jwt", tokens ? tokens : json_new_null());
    if (record_read(call->server->state, latest.text, &last) == ERROR_NONE)
        json_set(status, "lastDeployment", json_copy(last.json));
    else
        json_set_null(status, "lastDeployment");
    record_release(&last);
}

/* ---- what is observed ---- */

static void copy_or_null(struct json *to, const char *name, const struct json *from)
{
    const struct json *member = json_get(from, name);
    json_set(to, name, member ? json_copy(member) : json_new_null());
}

static void set_time_or_null(struct json *to, const char *name, int64_t wall_ms)
{
    if (wall_ms)
        set_time(to, name, wall_ms);
    else
        json_set_null(to, name);
}

static struct json *show_function(const struct json *app, const struct observer_view *view)
{
    static const char *const members[] = {"exists",
                                          "ours",
                                          "state",
                                          "stateReason",
                                          "stateReasonCode",
                                          "lastUpdateStatus",
                                          "lastUpdateStatusReason",
                                          "lastUpdateStatusReasonCode",
                                          "lastModified"};
    const struct json *internal = internal_of(app);
    struct json *function = json_new_object();
    json_set_string(function, "name", text_of(json_get(app, "function"), "name"));
    json_set_bool(function, "claimed", truth_of(internal, "functionClaimed"));
    json_set_bool(function, "adopted", truth_of(internal, "adopted"));
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        copy_or_null(function, members[i], json_get(view->observed, "function"));
    return function;
}

static const struct json *of_version(const struct json *list, int64_t version)
{
    const struct json *one = json_first(list);
    while (one && integer_of(one, "version") != version)
        one = json_next(one);
    return one;
}

/* A version that has traffic: as it was deployed, as AWS has it, and what the proxies saw of it. */
static struct json *show_version(struct call *call, const struct json *share,
                                 const struct observer_view *view)
{
    int64_t number = integer_of(share, "version");
    struct record record;
    struct key key = key_version(call_app(call), number);
    struct json *shown = json_new_object();
    const struct json *seen = of_version(view->seen, number);
    const struct json *observed = of_version(json_get(view->observed, "versions"), number);
    bool known = record_read(call->server->state, key.text, &record) == ERROR_NONE;
    /* What was observed may be about the Lambda version before. */
    if (observed &&
        !view_equal(text_of(observed, "lambdaVersion"), text_of(record.json, "lambdaVersion")))
        observed = NULL;
    struct view code = text_of(json_get(observed, "picture"), "code");
    json_set_integer(shown, "version", number);
    json_set(shown, "percent", json_copy(json_get(share, "percent")));
    copy_or_null(shown, "lambdaVersion", record.json);
    copy_or_null(shown, "codeSha256", record.json);
    json_set(shown, "observedCodeSha256", code.length ? json_new_string(code) : json_new_null());
    json_set(shown, "codeMatches",
             code.length && known
                 ? json_new_bool(view_equal(code, text_of(record.json, "codeSha256")))
                 : json_new_null());
    copy_or_null(shown, "exists", observed);
    copy_or_null(shown, "state", observed);
    copy_or_null(shown, "stateReason", observed);
    copy_or_null(shown, "stateReasonCode", observed);
    json_set(shown, "seen",
             json_get(seen, "figures") ? json_copy(json_get(seen, "figures")) : json_new_null());
    json_set_string(
        shown, "health",
        view_of(health_name(health_of_version(
            view->findings, number, truth_of(record.json, "withdrawn"), observed, seen))));
    record_release(&record);
    return shown;
}

static void show_versions(struct call *call, const struct json *app,
                          const struct observer_view *view, struct json *status)
{
    struct json *versions = json_new_array();
    const struct json *traffic = json_get(internal_of(app), "traffic");
    const struct json *share = json_first(json_get(traffic, "versions"));
    for (; share; share = json_next(share))
        if (traffic_share(traffic, integer_of(share, "version")) > 0)
            json_append(versions, show_version(call, share, view));
    json_set(status, "health",
             json_count(versions) ? json_new_string(view_of(health_name(health_of_app(versions))))
                                  : json_new_null());
    json_set(status, "versions", versions);
}

static struct json *show_drift(const struct json *app, const struct observer_view *view, bool busy)
{
    struct json *drift = json_new_object();
    struct view policy = text_of(json_get(app, "drift"), "policy");
    const char *state = !view->findings              ? "unknown"
                        : busy                       ? "changing"
                        : json_count(view->findings) ? "drifted"
                                                     : "none";
    json_set_string(drift, "policy", policy.length ? policy : VIEW("alert"));
    json_set_string(drift, "state", view_of(state));
    json_set(drift, "items", view->findings ? json_copy(view->findings) : json_new_array());
    return drift;
}

static void show_age(const struct observer_view *view, struct json *status)
{
    int64_t now_ms = clock_wall_ms();
    struct json *failure = NULL;
    set_time_or_null(status, "lastCheckedAt", view->checked_ms);
    if (view->checked_ms)
        json_set_integer(status, "ageSeconds",
                         now_ms > view->checked_ms ? (now_ms - view->checked_ms) / 1000 : 0);
    else
        json_set_null(status, "ageSeconds");
    json_set_bool(status, "checking", view->looking);
    set_time_or_null(status, "trafficSeenAt", view->seen_ms);
    if (view->failed_ms) {
        failure = json_new_object();
        set_time(failure, "at", view->failed_ms);
        json_set_string(failure, "code", view_of(view->code));
        json_set_string(failure, "message", view_of(view->message));
    }
    json_set(status, "checkFailure", failure ? failure : json_new_null());
}

static enum progress answer(struct call *call, const struct json *app)
{
    struct observer_view view;
    struct json *status = json_new_object(), *queued = json_new_array();
    struct key queue = key_queue(call_app(call), VIEW(""));
    enum error error =
        state_keys(call->server->state, view_of(queue.text), VIEW(""), on_queued, queued);
    observer_show(call->server->observer, call_app(call), &view);
    show_state(call, app, status);
    json_set(status, "function", show_function(app, &view));
    show_versions(call, app, &view, status);
    json_set(status, "drift", show_drift(app, &view, json_count(queued) > 0));
    show_age(&view, status);
    json_set(status, "operations", queued);
    if (error) {
        json_free(status);
        return call_fail_error(call, error);
    }
    return call_answer(call, 200, status);
}

static void on_observed(void *context)
{
    struct call *call = context;
    struct waiting *waiting = call->data;
    waiting->wait = NULL;
    enum progress verdict = app_status(call);
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
}

enum progress app_status(struct call *call)
{
    struct record app;
    struct waiting *waiting = call->data;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    if (!waiting) {
        waiting = calloc(1, sizeof *waiting);
        REQUIRE(waiting);
        call->data = waiting;
        call->free_data = free_waiting;
    }
    /* What was never deployed has nothing to be observed. */
    bool quick = clock_monotonic_us() - call->started_us < QUICK_US;
    if (truth_of(internal_of(app.json), "functionClaimed") && waiting->rounds++ < MAX_ROUNDS &&
        quick && !call->server->draining)
        waiting->wait =
            observer_ask(call->server->observer, app.json, app.revision, on_observed, call);
    enum progress verdict = waiting->wait ? PROGRESS_WAIT : answer(call, app.json);
    record_release(&app);
    return verdict;
}

/* ---- sync ---- */

enum progress app_sync(struct call *call)
{
    struct record app;
    char id[ID_SIZE];
    struct view policy = call_choice(call, "policy", "alert|repair|accept");
    if (call->faults.count)
        return call_fail_faults(call);
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict = PROGRESS_FAIL;
    if (!call_refuse_deleting(call, app.json) && call_precondition(call, app.revision)) {
        struct key key = key_app(call_app(call));
        struct plan_operation plan = {.app = call_app(call),
                                      .created_by = view_of(call->principal.label),
                                      .now_ms = clock_wall_ms()};
        id_make(id);
        plan.id = view_of(id);
        change_compare(&call->change, key.text, app.revision);
        verdict = call_start_operation(call, plan_sync(&plan, policy));
    }
    record_release(&app);
    return verdict;
}
