/* Lists, reads and ends versions. */
#include "managerd/call.h"
#include "managerd/canary.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/plan.h"
#include "managerd/traffic.h"

#include "common/base/clock.h"
#include "common/base/escape.h"

struct listing {
    struct call *call;
    struct page page;
    struct view state; /* filter; empty: none */
    struct json *items;
    struct view last;
    bool more;
};

static bool on_version(struct view key, struct view value, uint64_t revision, void *context)
{
    struct listing *listing = context;
    struct json *version = NULL;
    if (view_equal(key, listing->page.after) || record_parse(value, &version))
        return true;
    if (listing->state.length && !view_equal(text_of(version, "state"), listing->state)) {
        json_free(version);
        return true;
    }
    if (json_count(listing->items) == listing->page.limit) {
        listing->more = true;
    } else {
        json_append(listing->items, version_public(version, revision));
        listing->last = arena_copy(&listing->call->arena, key);
    }
    json_free(version);
    return !listing->more;
}

static bool is_version_key(struct view key)
{
    return view_starts_with(key, VIEW("versions/")) && utf8_valid(key);
}

enum progress version_list(struct call *call)
{
    struct listing listing = {.call = call, .state = VIEW("")};
    struct record app;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    record_release(&app);
    listing.state = call_choice(call, "state", "pending|ready|failed|deleting");
    if (!call_page(call, &listing.page, is_version_key))
        return PROGRESS_FAIL;
    struct key prefix = key_versions(call_app(call));
    struct view first = listing.page.after;
    listing.items = json_new_array();
    if (first.length && !view_starts_with(first, view_of(prefix.text))) {
        json_free(listing.items);
        fault_parameter(&call->faults, "cursor", "belongs to the list of another app");
        return call_fail_faults(call);
    }
    enum error error =
        state_range(call->server->state, view_of(prefix.text), first, on_version, &listing);
    if (error) {
        json_free(listing.items);
        return call_fail_error(call, error);
    }
    return call_answer_page(call, listing.items, listing.more ? listing.last : VIEW(""));
}

/* The version that the path names; false: answered. */
static bool read_version(struct call *call, int64_t *number, struct record *version)
{
    struct record app;
    uint64_t parsed = 0;
    if (view_to_u64(call->parameters.values[1], 1000000000, &parsed) || parsed == 0) {
        fault_parameter(&call->faults, "version", "must be a number from 1");
        call_fail_faults(call);
        return false;
    }
    if (!call_read_app(call, &app))
        return false;
    record_release(&app);
    *number = (int64_t)parsed;
    struct key key = key_version(call_app(call), *number);
    enum error error = record_read(call->server->state, key.text, version);
    if (error == ERROR_NOT_FOUND)
        call_fail(call, PROBLEM_VERSION_NOT_FOUND, "The app %.*s has no version %lld.",
                  VIEW_FORMAT(call_app(call)), (long long)*number);
    else if (error)
        call_fail_error(call, error);
    return error == ERROR_NONE;
}

enum progress version_get(struct call *call)
{
    struct record version;
    int64_t number;
    if (!read_version(call, &number, &version))
        return PROGRESS_FAIL;
    enum progress verdict = call_answer_tagged(
        call, 200, version_public(version.json, version.revision), version.revision);
    record_release(&version);
    return verdict;
}

static enum progress end_version(struct call *call, int64_t number, struct record *version,
                                 const struct record *app)
{
    char id[ID_SIZE];
    struct plan_operation plan = {.app = call_app(call),
                                  .created_by = view_of(call->principal.label),
                                  .now_ms = clock_wall_ms()};
    struct view state = text_of(version->json, "state");
    if (call_refuse_deleting(call, app->json))
        return PROGRESS_FAIL;
    if (traffic_share(json_get(internal_of(app->json), "traffic"), number) > 0)
        return call_fail(call, PROBLEM_CONFLICT,
                         "Version %lld has traffic: move the traffic to others first.",
                         (long long)number);
    if (canary_needs(internal_of(app->json), number))
        return call_fail(call, PROBLEM_CONFLICT, "The running canary may go back to version %lld.",
                         (long long)number);
    if (view_equal(state, VIEW("pending")) || view_equal(state, VIEW("deleting")))
        return call_fail(call, PROBLEM_CONFLICT, "Version %lld is %.*s.", (long long)number,
                         VIEW_FORMAT(state));
    if (!call_precondition(call, version->revision))
        return PROGRESS_FAIL;
    id_make(id);
    plan.id = view_of(id);
    struct key key = key_version(plan.app, number), app_key = key_app(plan.app);
    json_set_string(version->json, "state", VIEW("deleting"));
    change_compare(&call->change, key.text, version->revision);
    change_compare(&call->change, app_key.text, app->revision);
    change_put(&call->change, key.text, version->json);
    if (truth_of(app->json, "previewUrls") || truth_of(app->json, "versionHeader")) {
        /* It was reachable until now: what came in may run until its deadline. */
        json_set_integer(object_in(app->json, "internal"), "trafficChangedAt", plan.now_ms);
        change_put(&call->change, app_key.text, app->json);
        call->publish = true;
    }
    return call_start_operation(call, plan_delete_version(&plan, number));
}

enum progress version_delete(struct call *call)
{
    struct record version, app;
    int64_t number;
    if (!read_version(call, &number, &version))
        return PROGRESS_FAIL;
    enum progress verdict = PROGRESS_FAIL;
    if (call_read_app(call, &app)) {
        verdict = end_version(call, number, &version, &app);
        record_release(&app);
    }
    record_release(&version);
    return verdict;
}

bool call_read_asked_version(struct call *call, const struct json *app, struct record *version)
{
    int64_t number = integer_of(call->body, "version");
    if (!number)
        number = traffic_largest(json_get(internal_of(app), "traffic"));
    if (!number) {
        call_fail(call, PROBLEM_CONFLICT, "No version has traffic. Name one: {\"version\": n}.");
        return false;
    }
    struct key key = key_version(call_app(call), number);
    enum error error = record_read(call->server->state, key.text, version);
    if (error == ERROR_NOT_FOUND) {
        call_fail(call, PROBLEM_VERSION_NOT_FOUND, "The app %.*s has no version %lld.",
                  VIEW_FORMAT(call_app(call)), (long long)number);
    } else if (error) {
        call_fail_error(call, error);
    } else if (!view_equal_string(text_of(version->json, "state"), "ready")) {
        call_fail(call, PROBLEM_CONFLICT, "Version %lld is not ready: it is %.*s.",
                  (long long)number, VIEW_FORMAT(text_of(version->json, "state")));
        record_release(version);
        error = ERROR_CONFLICT;
    }
    return error == ERROR_NONE;
}
