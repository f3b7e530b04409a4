/* Makes the changes of a document: what each of them writes. */
#include "managerd/apply_steps.h"

#include "common/base/clock.h"
#include "managerd/acceptance.h"
#include "managerd/apply.h"
#include "managerd/canary.h"
#include "managerd/configure.h"
#include "managerd/domains.h"
#include "managerd/history.h"
#include "managerd/plan.h"
#include "managerd/roster.h"
#include "managerd/traffic.h"

#include <stdio.h>
#include <string.h>

#define SO_ALREADY "It was so already."

static bool is_going(const struct json *app)
{
    return json_type_of(json_get(internal_of(app), "deleting")) == JSON_STRING;
}

/* ---- apps ---- */

/* A new app's own records; false: the step has failed. */
static bool create(struct operation *operation, struct apply_task *task)
{
    const struct json *settings = json_get(json_get(task->change.json, "wish"), "settings");
    struct state *state = operation->environment->state;
    struct key function = key_function(text_of(json_get(settings, "function"), "name"));
    struct key removed = key_removed(task->name);
    struct record owner;
    uint32_t slot = roster_offer_slot(operation->environment->roster);
    if (!record_read(state, function.text, &owner)) {
        operation_step_problem(operation, PROBLEM_CONFLICT, "Its function belongs to the app %.*s.",
                               VIEW_FORMAT(text_of(owner.json, "app")));
        record_release(&owner);
        return false;
    }
    struct key slot_key = key_slot(slot);
    struct json *note = json_new_object();
    json_set_string(note, "app", task->name);
    change_compare(&operation->change, function.text, 0);
    change_compare(&operation->change, slot_key.text, 0);
    change_put(&operation->change, function.text, note);
    change_put(&operation->change, slot_key.text, note);
    change_remove(&operation->change, removed.text);
    json_free(note);
    task->present.json = app_new(task->name, json_copy(settings), slot, clock_wall_ms());
    return true;
}

/* Versions that get traffic must be there until the commit; false: the step has failed. */
static bool hold_versions(struct operation *operation, const struct apply_task *task,
                          const struct json *traffic)
{
    const struct json *share = json_first(json_get(traffic, "versions"));
    for (; share; share = json_next(share)) {
        struct record version;
        struct key key = key_version(task->name, integer_of(share, "version"));
        bool ready = !record_read(operation->environment->state, key.text, &version) &&
                     view_equal_string(text_of(version.json, "state"), "ready");
        change_compare(&operation->change, key.text, version.revision);
        record_release(&version);
        if (!ready) {
            operation_step_problem(operation, PROBLEM_CONFLICT,
                                   "Version %lld is not there or not ready.",
                                   (long long)integer_of(share, "version"));
            return false;
        }
    }
    return true;
}

static bool differs(const struct json *a, const struct json *b, const char *member)
{
    return !json_equal(json_get(a, member), json_get(b, member));
}

/* Puts the app as the image wants it. */
static void save_app(struct operation *operation, struct apply_task *task,
                     const struct json *before, const struct json *image)
{
    static const char *const routed[] = {"traffic", "enabled", "previewUrls", "versionHeader",
                                         "respondAsync"};
    struct json *app = task->present.json, *internal = object_in(app, "internal");
    struct key key = key_app(task->name);
    int64_t now = clock_wall_ms();
    if (differs(image, before, "traffic")) {
        if (!hold_versions(operation, task, json_get(image, "traffic")))
            return;
        canary_forget(internal);
    }
    for (size_t i = 0; i < sizeof routed / sizeof routed[0]; i++)
        if (differs(image, before, routed[i]))
            json_set_integer(internal, "trafficChangedAt", now);
    struct json *former = json_copy(app);
    history_into_app(app, image);
    configure_mark(app);
    set_time(app, "updatedAt", now);
    change_compare(&operation->change, key.text, task->present.revision);
    change_put(&operation->change, key.text, app);
    struct json *next = configure_after(former, app, text_of(operation->document, "createdBy"));
    if (next) {
        acceptance_queue(&operation->change, next);
        apply_change_started(operation, task, text_of(next, "id"));
    } else {
        apply_change_done(operation, task, "");
    }
    json_free(next);
    json_free(former);
}

void apply_app(struct operation *operation, struct apply_task *task)
{
    if (is_going(task->present.json)) {
        operation_step_problem(operation, PROBLEM_CONFLICT, "The app is being deleted.");
    } else if (task->present.json || create(operation, task)) {
        struct json *before = history_of_app(task->present.json);
        struct json *image =
            apply_wish_app(task->present.json, json_get(task->change.json, "wish"));
        if (task->present.revision && json_equal(image, before))
            apply_change_done(operation, task, SO_ALREADY);
        else
            save_app(operation, task, before, image);
        json_free(before);
        json_free(image);
    }
}

/* The settings become the app's with the deployment, as when it is deployed by itself: whoever is
 * interrupted finds both or neither. */
void apply_deployment(struct operation *operation, struct apply_task *task)
{
    const struct json *wish = json_get(task->change.json, "wish");
    const struct json *package = json_get(wish, "package");
    struct json *app = task->present.json;
    char id[ID_SIZE];
    bool canary_ended;
    if (!app || is_going(app)) {
        operation_step_problem(operation, PROBLEM_CONFLICT, "The app is not there any more.");
        return;
    }
    struct plan_operation plan = {.app = task->name,
                                  .created_by = text_of(operation->document, "createdBy"),
                                  .now_ms = clock_wall_ms()};
    id_make(id);
    plan.id = view_of(id);
    struct acceptance_package stored = {.sha256 = text_of(package, "sha256"),
                                        .bytes = (uint64_t)integer_of(package, "bytes"),
                                        .source = text_of(package, "source")};
    struct acceptance acceptance = {
        .operation = &plan, .package = &stored, .description = VIEW("")};
    struct json *image = apply_wish_app(app, wish);
    history_into_app(app, image);
    struct json *deployment = acceptance_make(&operation->change, app, task->present.revision,
                                              &acceptance, &canary_ended);
    acceptance_queue(&operation->change, deployment);
    apply_change_started(operation, task, plan.id);
    json_free(deployment);
    json_free(image);
}

/* Its deletion is an operation of its own, which waits for requests under way. */
void apply_app_deletion(struct operation *operation, struct apply_task *task)
{
    char id[ID_SIZE], detail[ID_SIZE + 16];
    struct json *app = task->present.json, *internal = app ? object_in(app, "internal") : NULL;
    if (!app || is_going(app)) {
        apply_change_done(operation, task, SO_ALREADY);
    } else if (json_count(json_get(internal, "domains"))) {
        operation_step_problem(operation, PROBLEM_APP_HAS_DOMAINS, "Change or remove them first.");
    } else {
        struct plan_operation plan = {.app = task->name,
                                      .created_by = text_of(operation->document, "createdBy"),
                                      .now_ms = clock_wall_ms()};
        id_make(id);
        plan.id = view_of(id);
        bool keep = truth_of(internal, "adopted") || !truth_of(internal, "functionClaimed");
        struct json *deletion = plan_delete(&plan, !keep);
        struct key key = key_app(task->name);
        canary_undo(internal, plan.now_ms);
        if (truth_of(app, "enabled") && traffic_any(json_get(internal, "traffic")))
            json_set_integer(internal, "trafficChangedAt", plan.now_ms);
        json_set_string(internal, "deleting", plan.id);
        json_set_integer(internal, "noTrafficThrough", integer_of(internal, "lastVersion"));
        change_compare(&operation->change, key.text, task->present.revision);
        change_put(&operation->change, key.text, app);
        acceptance_queue(&operation->change, deletion);
        json_free(deletion);
        snprintf(detail, sizeof detail, "Operation %s.", id);
        apply_change_done(operation, task, detail);
    }
}

/* ---- domains ---- */

/* The apps that `from` leads to and `to` does not gain or lose the host; false: the step has failed. */
static bool set_hosts(struct operation *operation, struct view host, const struct json *from,
                      const struct json *to, bool present)
{
    const struct json *path = json_first(json_get(from, "paths"));
    for (; path; path = json_next(path)) {
        struct view name = text_of(path, "app");
        struct key key = key_app(name);
        struct record app;
        if (domain_names(to, name) || change_writes(&operation->change, key.text))
            continue;
        enum error error = record_read(operation->environment->state, key.text, &app);
        const struct json *hosts = json_get(internal_of(app.json), "domains");
        bool full = present && json_count(hosts) >= DOMAIN_HOSTS_PER_APP;
        if (present && (error || is_going(app.json) || full)) {
            operation_step_problem(operation, PROBLEM_CONFLICT, "The app %.*s %s.",
                                   VIEW_FORMAT(name),
                                   full ? "has too many domains" : "is not there");
            record_release(&app);
            return false;
        }
        if (!error) {
            json_set(object_in(app.json, "internal"), "domains",
                     domain_hosts_set(hosts, host, present));
            change_compare(&operation->change, key.text, app.revision);
            change_put(&operation->change, key.text, app.json);
        }
        record_release(&app);
    }
    return true;
}

static struct json *domain_of(const struct apply_task *task, struct view by)
{
    const struct json *paths = json_get(json_get(task->change.json, "wish"), "paths");
    const struct json *tls = json_get(task->present.json, "tls");
    struct json *domain = json_new_object();
    if (!paths) {
        json_free(domain);
        return NULL;
    }
    json_set_string(domain, "host", task->name);
    json_set(domain, "paths", json_copy(paths));
    domain_sign(domain, task->present.json, by, clock_wall_ms());
    if (tls)
        json_set(domain, "tls", json_copy(tls));
    return domain;
}

void apply_domain(struct operation *operation, struct apply_task *task)
{
    struct json *domain = domain_of(task, text_of(operation->document, "createdBy"));
    struct json *present = task->present.json;
    struct key key = key_domain(task->name), certificate = key_certificate(task->name);
    bool same = domain ? present && !differs(domain, present, "paths") : !present;
    if (same) {
        apply_change_done(operation, task, SO_ALREADY);
    } else if (set_hosts(operation, task->name, domain, present, true) &&
               set_hosts(operation, task->name, present, domain, false)) {
        change_compare(&operation->change, key.text, task->present.revision);
        if (domain) {
            change_put(&operation->change, key.text, domain);
        } else {
            change_remove(&operation->change, key.text);
            change_remove(&operation->change, certificate.text);
        }
        apply_change_done(operation, task, "");
    }
    json_free(domain);
}
