/* The operation that makes a declaration true: one commit for each app and domain, then the routes. */
#include "managerd/apply.h"

#include "common/base/clock.h"
#include "managerd/canary.h"
#include "managerd/difference.h"
#include "managerd/domains.h"
#include "managerd/history.h"
#include "managerd/operation.h"
#include "managerd/plan.h"
#include "managerd/publish.h"
#include "managerd/roster.h"
#include "managerd/traffic.h"

#include <stdlib.h>
#include <string.h>

static void step_app(struct operation *operation);
static void step_delete_app(struct operation *operation);
static void step_domain(struct operation *operation);
static void step_publish(struct operation *operation);
static void forget_wishes(struct operation *operation);
static void forget_after_failure(struct operation *operation, const struct json *problem);
static void publish_what_was_done(struct operation *operation);

static const struct operation_step apply_steps[] = {
    {"create-app", step_app, true},          {"change-app", step_app, true},
    {"create-domain", step_domain, true},    {"change-domain", step_domain, true},
    {"delete-domain", step_domain, true},    {"delete-app", step_delete_app, true},
    {"publish-routes", step_publish, false}, {NULL, NULL, false},
};
const struct operation_type apply_type = {
    "apply", apply_steps, forget_wishes, forget_after_failure, NULL, publish_what_was_done};

/* The step under way: what it is about, and what it shall make. */
struct task {
    struct view name;
    struct record wish, present;
};

static const struct json *step_at(const struct operation *operation, int64_t *number)
{
    const struct json *step = json_first(json_get(operation->document, "steps"));
    for (*number = 0; step && view_equal_string(text_of(step, "state"), "done"); ++*number)
        step = json_next(step);
    return step;
}

static void release(struct task *task)
{
    record_release(&task->wish);
    record_release(&task->present);
}

/* False: the step has failed. What is there may be nothing. */
static bool begin(struct operation *operation, struct key (*key_of)(struct view name),
                  struct task *task)
{
    struct state *state = operation->environment->state;
    int64_t number;
    *task = (struct task){.name = text_of(step_at(operation, &number), "subject")};
    struct key wish = key_apply(view_of(operation->id), number), key = key_of(task->name);
    enum error error = record_read(state, wish.text, &task->wish);
    if (!error)
        error = record_read(state, key.text, &task->present);
    if (!error || (error == ERROR_NOT_FOUND && task->wish.json))
        return true;
    release(task);
    operation_step_problem(operation, PROBLEM_STORAGE_FAILED, "Its record cannot be read.");
    return false;
}

static bool is_going(const struct json *app)
{
    return json_type_of(json_get(internal_of(app), "deleting")) == JSON_STRING;
}

/* ---- apps ---- */

/* A new app's own records; false: the step has failed. */
static bool create(struct operation *operation, struct task *task)
{
    const struct json *settings = json_get(json_get(task->wish.json, "wish"), "settings");
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
static bool hold_versions(struct operation *operation, const struct task *task,
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
static void save_app(struct operation *operation, struct task *task, const struct json *before,
                     const struct json *image)
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
    history_into_app(app, image);
    set_time(app, "updatedAt", now);
    change_compare(&operation->change, key.text, task->present.revision);
    change_put(&operation->change, key.text, app);
    operation_step_done(operation, "%s", "");
}

static void step_app(struct operation *operation)
{
    struct task task;
    if (!begin(operation, key_app, &task))
        return;
    if (is_going(task.present.json)) {
        operation_step_problem(operation, PROBLEM_CONFLICT, "The app is being deleted.");
    } else if (task.present.json || create(operation, &task)) {
        struct json *before = history_of_app(task.present.json);
        struct json *image = apply_wish_app(task.present.json, json_get(task.wish.json, "wish"));
        if (task.present.revision && json_equal(image, before))
            operation_step_done(operation, "It was so already.");
        else
            save_app(operation, &task, before, image);
        json_free(before);
        json_free(image);
    }
    release(&task);
}

/* Its deletion is an operation of its own, which waits for requests under way. */
static void step_delete_app(struct operation *operation)
{
    struct task task;
    char id[ID_SIZE];
    if (!begin(operation, key_app, &task))
        return;
    struct json *app = task.present.json, *internal = app ? object_in(app, "internal") : NULL;
    if (!app || is_going(app)) {
        operation_step_done(operation, "It was so already.");
    } else if (json_count(json_get(internal, "domains"))) {
        operation_step_problem(operation, PROBLEM_APP_HAS_DOMAINS, "Change or remove them first.");
    } else {
        struct plan_operation plan = {.app = task.name,
                                      .created_by = text_of(operation->document, "createdBy"),
                                      .now_ms = clock_wall_ms()};
        id_make(id);
        plan.id = view_of(id);
        bool keep = truth_of(internal, "adopted") || !truth_of(internal, "functionClaimed");
        struct json *deletion = plan_delete(&plan, !keep), *mark = json_new_object();
        struct key key = key_app(task.name), record = key_operation(plan.id);
        struct key queue = key_queue(task.name, plan.id);
        canary_undo(internal, plan.now_ms);
        if (truth_of(app, "enabled") && traffic_any(json_get(internal, "traffic")))
            json_set_integer(internal, "trafficChangedAt", plan.now_ms);
        json_set_string(internal, "deleting", plan.id);
        json_set_integer(internal, "noTrafficThrough", integer_of(internal, "lastVersion"));
        change_compare(&operation->change, key.text, task.present.revision);
        change_put(&operation->change, key.text, app);
        change_put(&operation->change, record.text, deletion);
        change_put(&operation->change, queue.text, mark);
        json_free(deletion);
        json_free(mark);
        operation_step_done(operation, "Operation %s.", id);
    }
    release(&task);
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

static struct json *domain_of(const struct task *task)
{
    const struct json *paths = json_get(json_get(task->wish.json, "wish"), "paths");
    const struct json *created = json_get(task->present.json, "createdAt");
    const struct json *tls = json_get(task->present.json, "tls");
    struct json *domain = json_new_object();
    if (!paths) {
        json_free(domain);
        return NULL;
    }
    json_set_string(domain, "host", task->name);
    json_set(domain, "paths", json_copy(paths));
    set_time(domain, "updatedAt", clock_wall_ms());
    json_set(domain, "createdAt", json_copy(created ? created : json_get(domain, "updatedAt")));
    if (tls)
        json_set(domain, "tls", json_copy(tls));
    return domain;
}

static void step_domain(struct operation *operation)
{
    struct task task;
    if (!begin(operation, key_domain, &task))
        return;
    struct json *domain = domain_of(&task), *present = task.present.json;
    struct key key = key_domain(task.name), certificate = key_certificate(task.name);
    bool same = domain ? present && !differs(domain, present, "paths") : !present;
    if (same) {
        operation_step_done(operation, "It was so already.");
    } else if (set_hosts(operation, task.name, domain, present, true) &&
               set_hosts(operation, task.name, present, domain, false)) {
        change_compare(&operation->change, key.text, task.present.revision);
        if (domain) {
            change_put(&operation->change, key.text, domain);
        } else {
            change_remove(&operation->change, key.text);
            change_remove(&operation->change, certificate.text);
        }
        operation_step_done(operation, "%s", "");
    }
    json_free(domain);
    release(&task);
}

/* ---- routes ---- */

/* Deletions that were committed, and that nobody has begun: this process, or the one before, ended
 * in between, or has just committed them. */
static void start_deletion(struct operation *operation, struct view name)
{
    struct record app, deletion;
    struct key key = key_app(name);
    if (record_read(operation->environment->state, key.text, &app))
        return;
    struct view id = text_of(internal_of(app.json), "deleting");
    if (id.length && !operations_find(operation->operations, name, "delete")) {
        struct key record = key_operation(id);
        if (!record_read(operation->environment->state, record.text, &deletion)) {
            if (!operation_finished(deletion.json))
                operations_accept(operation->operations, deletion.json, deletion.revision);
            record_release(&deletion);
        }
    }
    record_release(&app);
}

/* Publishes what each step that is done has changed; how many. */
static size_t publish_done(struct operation *operation,
                           void (*on_done)(enum error error, void *context), void *context)
{
    const struct json *step = json_first(json_get(operation->document, "steps"));
    size_t count = 0;
    for (; step; step = json_next(step)) {
        struct view subject = text_of(step, "subject");
        if (!subject.length || !view_equal_string(text_of(step, "state"), "done"))
            continue;
        if (view_ends_with(text_of(step, "name"), VIEW("-domain")))
            publish_domain(operation->environment->publisher, subject, on_done, context);
        else
            publish_app(operation->environment->publisher, subject, on_done, context);
        if (view_equal_string(text_of(step, "name"), "delete-app"))
            start_deletion(operation, subject);
        count++;
    }
    return count;
}

struct publication {
    struct operation *operation;
    size_t left;
    bool failed;
};

static struct json *count_result(const struct operation *operation)
{
    static const char *const actions[][2] = {
        {"created", "create-"}, {"changed", "change-"}, {"deleted", "delete-"}};
    struct json *result = json_new_object();
    for (int i = 0; i < 3; i++) {
        int64_t count = 0;
        const struct json *step = json_first(json_get(operation->document, "steps"));
        for (; step; step = json_next(step))
            count += view_starts_with(text_of(step, "name"), view_of(actions[i][1]));
        json_set_integer(result, actions[i][0], count);
    }
    return result;
}

static void finish(struct operation *operation, bool failed)
{
    if (failed) {
        operation_poll(operation, step_publish, "The routes could not be written.");
        return;
    }
    json_free(operation->result);
    operation->result = count_result(operation);
    operation_step_done(operation, "%s", "");
}

static void on_one_published(enum error error, void *context)
{
    struct publication *publication = context;
    struct operation *operation = publication->operation;
    publication->failed |= error != ERROR_NONE;
    if (--publication->left > 0)
        return;
    bool failed = publication->failed;
    free(publication);
    if (!operation_stopped(operation))
        finish(operation, failed);
}

static void step_publish(struct operation *operation)
{
    struct publication *publication = calloc(1, sizeof *publication);
    REQUIRE(publication);
    publication->operation = operation;
    publication->left = 1; /* ours: they are told from the loop, never from here */
    publication->left += publish_done(operation, on_one_published, publication);
    on_one_published(ERROR_NONE, publication);
}

static void on_published_anyhow(enum error error, void *context)
{
    (void)error, (void)context; /* the publisher itself tries again */
}

/* What was done before it failed is in force, too. */
static void publish_what_was_done(struct operation *operation)
{
    publish_done(operation, on_published_anyhow, NULL);
}

/* ---- the end ---- */

static void forget_wishes(struct operation *operation)
{
    const struct json *step = json_first(json_get(operation->document, "steps"));
    for (int64_t number = 0; step; step = json_next(step), number++) {
        struct key key = key_apply(view_of(operation->id), number);
        change_remove(&operation->change, key.text);
    }
}

static void forget_after_failure(struct operation *operation, const struct json *problem)
{
    (void)problem;
    forget_wishes(operation);
}
