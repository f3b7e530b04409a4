/* Creates apps and accepts deployments: everything in one commit. */
#include "managerd/apps.h"

#include "common/base/clock.h"
#include "managerd/access.h"
#include "managerd/configure.h"
#include "managerd/lambda_settings.h"
#include "managerd/proxies.h"
#include "managerd/resources.h"
#include "managerd/roster.h"
#include "managerd/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FUNCTION_NAME 64

struct json *apps_show_record(const struct call *call, struct record *app)
{
    const struct config *config = call->server->config;
    struct json *taken = app->json;
    app->json = NULL;
    return app_show(taken, app->revision, view_of(config->public_url),
                    view_of(config->base_domain_count ? config->base_domains[0] : ""));
}

struct json *apps_show(const struct call *call, const struct json *app, uint64_t revision)
{
    const struct config *config = call->server->config;
    return app_public(app, revision, view_of(config->public_url),
                      view_of(config->base_domain_count ? config->base_domains[0] : ""));
}

bool apps_complete_function(struct call *call, struct json *settings)
{
    struct json *function = object_in(settings, "function");
    struct view name = VIEW("");
    char made[256];
    if (!json_get_string(function, "name", &name)) {
        snprintf(made, sizeof made, "%s%.*s", call->server->config->function_prefix,
                 VIEW_FORMAT(call_app(call)));
        json_set_string(function, "name", view_of(made));
        if (strlen(made) > MAX_FUNCTION_NAME)
            fault_pointer(&call->faults, "/function/name",
                          "must be given: %s is longer than %d characters", made,
                          MAX_FUNCTION_NAME);
    }
    if (!json_get(function, "role"))
        json_set_null(function, "role");
    return call->faults.count == 0;
}

struct json *apps_create(struct call *call, struct json *settings)
{
    struct server *server = call->server;
    struct record owner;
    struct view name = call_app(call);
    shape_fill(&app_shape, settings);
    access_check(json_get(settings, "access"), &call->faults);
    lambda_settings_agree(settings, &call->faults);
    if (!apps_complete_function(call, settings)) {
        call_fail_faults(call);
        goto fail;
    }
    struct key function = key_function(text_of(json_get(settings, "function"), "name"));
    enum error error = record_read(server->state, function.text, &owner);
    if (!error) {
        call_fail(call, PROBLEM_CONFLICT, "The function %s belongs to the app %.*s.",
                  function.text + sizeof "functions/" - 1, VIEW_FORMAT(text_of(owner.json, "app")));
        record_release(&owner);
        goto fail;
    }
    if (error != ERROR_NOT_FOUND) {
        call_fail_error(call, error);
        goto fail;
    }
    uint32_t slot = roster_offer_slot(server->roster);
    struct json *app = app_new(name, settings, slot, clock_wall_ms());
    configure_mark(app);
    struct json *note = json_new_object();
    struct key key = key_app(name), slot_key = key_slot(slot), removed = key_removed(name);
    json_set_string(note, "app", name);
    change_compare(&call->change, key.text, 0);
    change_compare(&call->change, function.text, 0);
    change_compare(&call->change, slot_key.text, 0);
    change_put(&call->change, function.text, note);
    change_put(&call->change, slot_key.text, note);
    change_remove(&call->change, removed.text);
    json_free(note);
    return app;
fail:
    json_free(settings);
    return NULL;
}

/* The wish's settings become the app's. */
static void apply_settings(struct call *call, struct json *app, const struct json *wish)
{
    const struct json *environment = json_get(wish, "environment");
    for (size_t i = 0; versioned_members[i]; i++) {
        const struct json *member = json_get(wish, versioned_members[i]);
        const struct shape_field *field = shape_field(&app_shape, view_of(versioned_members[i]));
        if (!member)
            continue;
        struct json *patch = json_new_object();
        json_set(patch, field->name, json_copy(member));
        shape_merge(&app_shape, app, patch);
        json_free(patch);
    }
    records_fill_versioned(app);
    if (environment)
        json_set(object_in(app, "internal"), "environment",
                 secrets_seal(call->server->secrets, call_app(call), environment));
}

static bool has_role(const struct call *call, const struct json *app)
{
    return call->server->default_role || text_of(json_get(app, "function"), "role").length > 0;
}

static bool is_none(const struct json *traffic)
{
    return json_type_of(traffic) == JSON_STRING && view_equal_string(json_string(traffic), "none");
}

/* A canary needs figures, and says itself what traffic there is. */
static void check_canary(struct call *call, const struct json *wish)
{
    const char *fault = NULL;
    const struct json *traffic = json_get(wish, "traffic");
    if (json_type_of(json_get(wish, "canary")) != JSON_OBJECT)
        return;
    if (is_none(traffic) || json_type_of(traffic) == JSON_OBJECT)
        fault = "goes by steps of its own: leave traffic out";
    else if (proxies_count(call->server->proxies) == 0)
        fault = "needs what the proxies measure: MANAGERD_PROXIES names none";
    if (fault && call->body)
        fault_pointer(&call->faults, "/canary", "%s", fault);
    else if (fault)
        fault_parameter(&call->faults, "canary", "%s", fault);
}

/* The wish for a canary with every default; NULL: none. */
static struct json *complete_canary(const struct json *wish)
{
    if (json_type_of(json_get(wish, "canary")) != JSON_OBJECT)
        return NULL;
    struct json *canary = json_copy(json_get(wish, "canary"));
    shape_fill(&canary_shape, canary);
    return canary;
}

static enum progress accept_deployment(struct call *call, struct json *app, uint64_t revision,
                                       const struct json *wish,
                                       const struct acceptance_package *package)
{
    char id[ID_SIZE];
    bool canary_ended = false;
    struct plan_operation plan = {.app = call_app(call),
                                  .created_by = view_of(call->principal.label),
                                  .now_ms = clock_wall_ms()};
    id_make(id);
    plan.id = view_of(id);
    struct json *canary = complete_canary(wish);
    struct acceptance acceptance = {.operation = &plan,
                                    .package = package,
                                    .description = text_of(wish, "description"),
                                    .adopt = truth_of(wish, "adopt"),
                                    .traffic = json_get(wish, "traffic"),
                                    .canary = canary};
    struct json *operation =
        acceptance_make(&call->change, app, revision, &acceptance, &canary_ended);
    json_free(canary);
    if (canary_ended)
        call->publish = true;
    if (call->dry_run) {
        struct json *shown = operation_public(operation);
        json_free(operation);
        return call_answer(call, 200, shown);
    }
    return call_start_operation(call, operation);
}

/* A deployment by query has parameters in place of members. */
static bool settings_agree(struct call *call, const struct json *app)
{
    struct faults *faults = calloc(1, sizeof *faults);
    REQUIRE(faults);
    faults_init(faults, &call->arena);
    lambda_settings_agree(app, faults);
    for (size_t i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->list[i];
        struct view name = view_slice(view_of(fault->pointer), 1, SIZE_MAX);
        name = view_slice(name, 0, view_find(name, '/'));
        if (call->body)
            fault_pointer(&call->faults, fault->pointer, "%s", fault->detail);
        else
            fault_parameter(&call->faults, arena_string(&call->arena, name), "%s", fault->detail);
    }
    bool agree = faults->count == 0;
    free(faults);
    return agree;
}

enum progress apps_deploy(struct call *call, const struct json *wish,
                          const struct acceptance_package *package, bool enable)
{
    struct record app;
    struct key key = key_app(call_app(call));
    enum error error = record_read(call->server->state, key.text, &app);
    if (error && error != ERROR_NOT_FOUND)
        return call_fail_error(call, error);
    if (!call_precondition(call, app.revision)) {
        record_release(&app);
        return PROGRESS_FAIL;
    }
    if (error == ERROR_NOT_FOUND)
        app.json = apps_create(call, json_new_object());
    if (!app.json)
        return PROGRESS_FAIL;
    enum progress verdict;
    if (call_refuse_deleting(call, app.json)) {
        verdict = PROGRESS_FAIL;
    } else if (!has_role(call, app.json)) {
        fault_pointer(&call->faults, "/function/role",
                      "is needed: set AWS_LAMBDA_ROLE_ARN for managerd, or give the app a role");
        verdict = call_fail_faults(call);
    } else if (check_canary(call, wish), call->faults.count) {
        verdict = call_fail_faults(call);
    } else {
        if (enable)
            json_set_bool(app.json, "enabled", true);
        apply_settings(call, app.json, wish);
        verdict = settings_agree(call, app.json)
                      ? accept_deployment(call, app.json, app.revision, wish, package)
                      : call_fail_faults(call);
    }
    record_release(&app);
    return verdict;
}
