/* Lists, reads, creates, replaces, changes and ends apps. */
#include "managerd/canary.h"
#include "managerd/access.h"
#include "managerd/apps.h"
#include "managerd/authorize.h"
#include "managerd/configure.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/lambda_settings.h"
#include "managerd/plan.h"
#include "managerd/resources.h"
#include "managerd/roster.h"
#include "managerd/traffic.h"

#include "common/base/clock.h"
#include "common/contract/host.h"

#include <string.h>

struct listing {
    struct call *call;
    struct page page;
    struct view label, label_value; /* filter; empty: none */
    enum error error;
    unsigned count;
    struct view last;
    bool more;
};

/* The roster is a commit behind what can be read until its on_done: what has changed since is judged anew. */
static bool still_wanted(const struct listing *listing, const struct json *app)
{
    const struct json *label = json_first(json_get(app, "labels"));
    while (label && !view_equal(json_name(label), listing->label))
        label = json_next(label);
    return !listing->label.length ||
           (label && view_equal(json_string(label), listing->label_value));
}

/* Adds one app to the page, if it is still there; false: the page is full, or cannot be read. */
static bool add_app(struct listing *listing, struct view name)
{
    struct record app;
    struct key key = key_app(name);
    if (!call_may_see(listing->call, name))
        return true;
    if (listing->count == listing->page.limit) {
        listing->more = true;
        return false;
    }
    enum error error = record_read(listing->call->server->state, key.text, &app);
    if (error && error != ERROR_NOT_FOUND)
        listing->error = error;
    if (!error && still_wanted(listing, app.json)) {
        listing->count++;
        listing->last = arena_copy(&listing->call->arena, name);
        listing->more = !call_add_item(listing->call, apps_show_record(listing->call, &app));
    }
    record_release(&app);
    return !listing->more && !listing->error;
}

enum progress app_list(struct call *call)
{
    struct listing listing = {.call = call};
    struct view label;
    if (call_query(call, "label", &label)) {
        size_t colon = view_find(label, ':');
        if (colon == SIZE_MAX || colon == 0)
            fault_parameter(&call->faults, "label", "must be NAME:VALUE");
        listing.label = view_slice(label, 0, colon);
        listing.label_value = view_slice(label, colon + 1, SIZE_MAX);
    }
    if (!call_page(call, &listing.page, app_name_valid))
        return PROGRESS_FAIL;
    const struct roster *roster = call->server->roster;
    struct view name = listing.page.after;
    const char *next = roster_next(roster, name, listing.label, listing.label_value);
    for (; next; next = roster_next(roster, name, listing.label, listing.label_value)) {
        name = view_of(next);
        if (!add_app(&listing, name))
            break;
    }
    if (listing.error)
        return call_fail_error(call, listing.error);
    return call_answer_items(call, listing.more ? listing.last : VIEW(""));
}

enum progress app_get(struct call *call)
{
    struct record app;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict =
        call_answer_tagged(call, 200, apps_show_record(call, &app), app.revision);
    record_release(&app);
    return verdict;
}

/* Saves changed settings of an app that exists: `settings` (complete, consumed) over what is kept. */
static enum progress save_settings(struct call *call, const struct record *app,
                                   struct json *settings)
{
    struct view present = text_of(json_get(app->json, "function"), "name");
    struct key key = key_app(call_app(call));
    if (!view_equal(text_of(json_get(settings, "function"), "name"), present))
        fault_pointer(&call->faults, "/function/name", "cannot change after creation: it is %.*s",
                      VIEW_FORMAT(present));
    if (call->faults.count == 0) {
        access_check(json_get(settings, "access"), &call->faults);
        lambda_settings_agree(settings, &call->faults);
    }
    if (call->faults.count) {
        json_free(settings);
        return call_fail_faults(call);
    }
    json_set(settings, "name", json_new_string(call_app(call)));
    json_set(settings, "createdAt", json_copy(json_get(app->json, "createdAt")));
    set_time(settings, "updatedAt", clock_wall_ms());
    json_set(settings, "internal", json_copy(internal_of(app->json)));
    if (truth_of(settings, "enabled") != truth_of(app->json, "enabled") ||
        truth_of(settings, "previewUrls") != truth_of(app->json, "previewUrls") ||
        truth_of(settings, "versionHeader") != truth_of(app->json, "versionHeader") ||
        truth_of(settings, "respondAsync") != truth_of(app->json, "respondAsync"))
        json_set_integer(object_in(settings, "internal"), "trafficChangedAt", clock_wall_ms());
    configure_mark(settings);
    call_configure(call, app->json, settings);
    change_compare(&call->change, key.text, app->revision);
    change_put(&call->change, key.text, settings);
    struct json *shown = apps_show(call, settings, 0);
    json_free(settings);
    return call_commit(call, 200, shown, true);
}

static enum progress create(struct call *call, struct json *settings)
{
    struct key key = key_app(call_app(call));
    struct json *app = apps_create(call, settings);
    if (!app)
        return PROGRESS_FAIL;
    change_put(&call->change, key.text, app);
    struct json *shown = apps_show(call, app, 0);
    /* There is no route yet, but the keys of the issuer are asked for from now on. */
    bool publish = json_type_of(json_get(json_get(app, "access"), "jwt")) == JSON_OBJECT;
    json_free(app);
    call->location = arena_format(&call->arena, "/v1/apps/%.*s", VIEW_FORMAT(call_app(call)));
    return call_commit(call, 201, shown, publish);
}

static bool check_name(struct call *call)
{
    struct view name;
    if (json_get_string(call->body, "name", &name) && !view_equal(name, call_app(call)))
        fault_pointer(&call->faults, "/name", "must be the name in the path, or absent");
    if (call->faults.count)
        call_fail_faults(call);
    return call->faults.count == 0;
}

enum progress app_put(struct call *call)
{
    struct record app;
    struct key key = key_app(call_app(call));
    if (!check_name(call))
        return PROGRESS_FAIL;
    enum error error = record_read(call->server->state, key.text, &app);
    if (error && error != ERROR_NOT_FOUND)
        return call_fail_error(call, error);
    enum progress verdict = PROGRESS_FAIL;
    if (!call_refuse_deleting(call, app.json) && call_precondition(call, app.revision)) {
        struct json *settings = json_copy(call->body);
        shape_drop_read_only(&app_shape, settings);
        if (app.json) {
            struct json *function = object_in(settings, "function");
            if (!json_get(function, "name"))
                json_set_string(function, "name", text_of(json_get(app.json, "function"), "name"));
            if (!json_get(function, "role"))
                json_set_null(function, "role");
            shape_fill(&app_shape, settings);
            verdict = save_settings(call, &app, settings);
        } else {
            verdict = create(call, settings);
        }
    }
    record_release(&app);
    return verdict;
}

/* A patch that takes `function` back leaves the name, which cannot change. */
static void keep_function_name(struct json *settings, const struct json *app)
{
    struct json *function = object_in(settings, "function");
    if (!json_get(function, "name"))
        json_set(function, "name", json_copy(json_get(json_get(app, "function"), "name")));
    if (!json_get(function, "role"))
        json_set_null(function, "role");
}

enum progress app_patch(struct call *call)
{
    struct record app;
    if (!check_name(call) || !call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict = PROGRESS_FAIL;
    if (!call_refuse_deleting(call, app.json) && call_precondition(call, app.revision)) {
        struct json *settings = json_copy(app.json);
        json_remove(settings, "internal");
        shape_merge(&app_shape, settings, call->body);
        shape_fill(&app_shape, settings);
        shape_check(&app_shape, settings, "", &call->faults);
        if (call->faults.count) {
            json_free(settings);
            verdict = call_fail_faults(call);
        } else {
            keep_function_name(settings, app.json);
            shape_drop_read_only(&app_shape, settings);
            verdict = save_settings(call, &app, settings);
        }
    }
    record_release(&app);
    return verdict;
}

static bool keeps_function(struct call *call, const struct json *app)
{
    struct view keep;
    if (!call_query(call, "keepFunction", &keep))
        return truth_of(internal_of(app), "adopted");
    if (!view_equal(keep, VIEW("true")) && !view_equal(keep, VIEW("false")))
        fault_parameter(&call->faults, "keepFunction", "must be true or false");
    return view_equal(keep, VIEW("true"));
}

/* True: a domain leads to it, which would be left without an app; 409 is set. */
static bool refuse_pointed_at(struct call *call, const struct json *app)
{
    const struct json *hosts = json_get(internal_of(app), "domains");
    struct buffer names;
    if (json_count(hosts) == 0)
        return false;
    buffer_init(&names, 512);
    for (const struct json *host = json_first(hosts); host && !names.error; host = json_next(host))
        buffer_append_format(&names, "%s%.*s", names.length ? ", " : "",
                             VIEW_FORMAT(json_string(host)));
    call_fail(call, PROBLEM_APP_HAS_DOMAINS, "Change or remove first: %.*s%s.",
              VIEW_FORMAT(buffer_view(&names)), names.error ? " …" : "");
    buffer_release(&names);
    return true;
}

enum progress app_delete(struct call *call)
{
    struct record app;
    char id[ID_SIZE];
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict = PROGRESS_FAIL;
    struct json *internal = object_in(app.json, "internal");
    bool keep = keeps_function(call, app.json);
    if (call->faults.count) {
        verdict = call_fail_faults(call);
    } else if (json_type_of(json_get(internal, "deleting")) == JSON_STRING) {
        verdict = call_fail(call, PROBLEM_CONFLICT, "It is being deleted already (operation %.*s).",
                            VIEW_FORMAT(text_of(internal, "deleting")));
    } else if (!refuse_pointed_at(call, app.json) && call_precondition(call, app.revision)) {
        struct key key = key_app(call_app(call));
        struct plan_operation plan = {.app = call_app(call),
                                      .created_by = view_of(call->principal.label),
                                      .now_ms = clock_wall_ms()};
        id_make(id);
        plan.id = view_of(id);
        if (truth_of(app.json, "enabled") && traffic_any(json_get(internal, "traffic")))
            json_set_integer(internal, "trafficChangedAt", plan.now_ms);
        canary_undo(internal, plan.now_ms);
        json_set_string(internal, "deleting", plan.id);
        json_set_integer(internal, "noTrafficThrough", integer_of(internal, "lastVersion"));
        change_compare(&call->change, key.text, app.revision);
        change_put(&call->change, key.text, app.json);
        /* It is served no more when this is answered, whatever its queue still holds. */
        call->publish = true;
        verdict = call_start_operation(
            call, plan_delete(&plan, !keep && truth_of(internal, "functionClaimed")));
    }
    record_release(&app);
    return verdict;
}
