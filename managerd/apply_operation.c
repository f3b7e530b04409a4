/* The operation that makes a document true: one commit for each app and domain, then the routes. */
#include "managerd/apply.h"

#include "common/base/clock.h"
#include "managerd/apply_steps.h"
#include "managerd/operation_told.h"
#include "managerd/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTLED_AT_ONCE 50
#define LOOK_EACH_MS    100

static void step_changes(struct operation *operation);
static void step_publish(struct operation *operation);
static void go_on(struct operation *operation);
static void settle(struct operation *operation);
static void keep_steps(struct operation *operation);
static void keep_failed_steps(struct operation *operation, const struct json *problem);
static void publish_what_was_done(struct operation *operation);

static const struct operation_step apply_steps[] = {{"apply-changes", step_changes, true},
                                                    {"publish-routes", step_publish, false},
                                                    {NULL, NULL, false}};
const struct operation_type apply_type = {"apply",           apply_steps, keep_steps,
                                          keep_failed_steps, NULL,        publish_what_was_done};

static const struct kind {
    const char *name;
    struct key (*key_of)(struct view name);
    void (*run)(struct operation *operation, struct apply_task *task);
    bool waits; /* until all deployments have ended */
} kinds[] = {
    {"create-app", key_app, apply_app, false},
    {"change-app", key_app, apply_app, false},
    {"deploy-app", key_app, apply_deployment, false},
    {"create-domain", key_domain, apply_domain, true},
    {"change-domain", key_domain, apply_domain, true},
    {"delete-domain", key_domain, apply_domain, true},
    {"delete-app", key_app, apply_app_deletion, true},
};

/* A deployment under way: an operation of its own. */
struct child {
    int64_t number; /* of its change */
    char id[ID_SIZE];
};

/* How far the changes are; made from their records whenever the step begins. */
struct progress {
    int64_t number, count; /* the first that waits; of how many */
    struct child *children;
    size_t child_count, child_at; /* those before have ended */
    unsigned failed;
    enum problem_type problem; /* of the first that failed */
    char failures[300];
    bool accepts; /* the last child is in the commit under way */
};

static void free_progress(void *data)
{
    struct progress *progress = data;
    free(progress->children);
    free(progress);
}

static void add_child(struct progress *progress, int64_t number, struct view id)
{
    struct child *child;
    progress->children =
        realloc(progress->children, (progress->child_count + 1) * sizeof *progress->children);
    REQUIRE(progress->children);
    child = &progress->children[progress->child_count++];
    child->number = number;
    snprintf(child->id, sizeof child->id, "%.*s", VIEW_FORMAT(id));
}

static void add_failure(struct progress *progress, struct view app, enum problem_type problem)
{
    size_t length = strlen(progress->failures), room = sizeof progress->failures - length;
    if (progress->failed++ == 0)
        progress->problem = problem;
    /* Names that find no room are counted only. */
    if (app.length + sizeof ", " < room)
        snprintf(progress->failures + length, room, "%s%.*s", length ? ", " : "", VIEW_FORMAT(app));
}

static bool on_change(struct view key, struct view value, uint64_t revision, void *context)
{
    struct progress *progress = context;
    struct json *change = NULL;
    (void)key, (void)revision;
    if (record_parse(value, &change)) {
        progress->count = -1;
        return false;
    }
    struct view state = text_of(change, "state");
    if (view_equal_string(state, "running"))
        add_child(progress, progress->count, text_of(change, "operation"));
    else if (view_equal_string(state, "failed"))
        add_failure(progress, text_of(change, "subject"), PROBLEM_CONFLICT);
    if (!view_equal_string(state, "waiting"))
        progress->number = progress->count + 1;
    progress->count++;
    json_free(change);
    return true;
}

static void step_changes(struct operation *operation)
{
    struct progress *progress = calloc(1, sizeof *progress);
    struct key prefix = key_apply_all(view_of(operation->id));
    REQUIRE(progress);
    operation->step_data = progress;
    operation->free_step_data = free_progress;
    if (state_range(operation->environment->state, view_of(prefix.text), VIEW(""), on_change,
                    progress) ||
        progress->count != integer_of(operation_work(operation), "changes"))
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED, "Its records cannot be read.");
    else
        go_on(operation);
}

/* ---- one change after another ---- */

static const struct kind *kind_of(const struct json *change)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (view_equal_string(text_of(change, "name"), kinds[i].name))
            return &kinds[i];
    return NULL;
}

static void run_change(struct operation *operation, const struct kind *kind,
                       struct apply_task *task)
{
    struct key key = kind->key_of(task->name);
    enum error error = record_read(operation->environment->state, key.text, &task->present);
    if (error && error != ERROR_NOT_FOUND)
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED, "Its record cannot be read.");
    else
        kind->run(operation, task);
    record_release(&task->present);
}

static bool all_have_ended(const struct progress *progress)
{
    return progress->child_at == progress->child_count && progress->failed == 0;
}

static void go_on(struct operation *operation)
{
    struct progress *progress = operation->step_data;
    struct apply_task task = {.number = progress->number, .began_ms = clock_wall_ms()};
    struct key key = key_apply(view_of(operation->id), task.number);
    if (operation->cancel) {
        operation_step_problem(operation, PROBLEM_CANCELLED, "It was cancelled.");
        return;
    }
    if (operation_gives_way(operation, go_on))
        return;
    if (task.number == progress->count) {
        if (all_have_ended(progress))
            operation_step_done(operation, "%s", "");
        else
            settle(operation);
        return;
    }
    enum error error = record_read(operation->environment->state, key.text, &task.change);
    const struct kind *kind = error ? NULL : kind_of(task.change.json);
    task.name = text_of(task.change.json, "subject");
    if (!kind)
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED, "Its record cannot be read.");
    else if (kind->waits && !all_have_ended(progress))
        settle(operation);
    else
        run_change(operation, kind, &task);
    record_release(&task.change);
}

/* Tells the operation's own process of a deployment that has just been committed. */
static void accept_child(struct operation *operation, struct progress *progress)
{
    struct record record;
    struct key key = key_operation(view_of(progress->children[progress->child_count - 1].id));
    progress->accepts = false;
    if (record_read(operation->environment->state, key.text, &record))
        return; /* the next start finds it */
    operations_accept(operation->operations, record.json, record.revision);
    record_release(&record);
}

static void after_change(struct operation *operation)
{
    struct progress *progress = operation->step_data;
    if (progress->accepts)
        accept_child(operation, progress);
    go_on(operation);
}

static void save_change(struct operation *operation, const struct apply_task *task,
                        const char *state, struct view detail, struct view child)
{
    struct progress *progress = operation->step_data;
    struct json *change = json_copy(task->change.json);
    struct key key = key_apply(view_of(operation->id), task->number);
    json_remove(change, "wish");
    json_set_string(change, "state", view_of(state));
    json_set_integer(change, "attempts", integer_of(change, "attempts") + 1);
    set_time(change, "startedAt", task->began_ms);
    if (child.length)
        json_set_string(change, "operation", child);
    else
        set_time(change, "finishedAt", clock_wall_ms());
    if (detail.length)
        json_set_string(change, "detail", detail);
    change_put(&operation->change, key.text, change);
    json_free(change);
    progress->number++;
    json_set_integer(operation_work(operation), "done", progress->number);
    operation_note(operation, after_change);
}

void apply_change_done(struct operation *operation, const struct apply_task *task,
                       const char *detail)
{
    save_change(operation, task, "done", view_of(detail), VIEW(""));
}

void apply_change_started(struct operation *operation, const struct apply_task *task,
                          struct view id)
{
    struct progress *progress = operation->step_data;
    add_child(progress, task->number, id);
    progress->accepts = true;
    save_change(operation, task, "running", VIEW(""), id);
}

/* ---- deployments ---- */

/* Notes how a deployment has ended; false: it has not. */
static bool settle_child(struct operation *operation, struct progress *progress)
{
    const struct child *child = &progress->children[progress->child_at];
    struct state *state = operation->environment->state;
    struct key key = key_apply(view_of(operation->id), child->number);
    struct key child_key = key_operation(view_of(child->id));
    struct record change = {0}, ended;
    char detail[300];
    enum error error = record_read(state, child_key.text, &ended);
    if (error || record_read(state, key.text, &change) || !operation_finished(ended.json)) {
        record_release(&change);
        record_release(&ended);
        return false;
    }
    const struct json *problem = json_get(ended.json, "problem");
    bool well = view_equal_string(text_of(ended.json, "state"), "succeeded");
    snprintf(
        detail, sizeof detail, "Operation %s%s%.*s", child->id, well ? "." : ": ",
        (int)(text_of(problem, "detail").length < 200 ? text_of(problem, "detail").length : 200),
        well ? "" : text_of(problem, "detail").data);
    json_set_string(change.json, "state", well ? VIEW("done") : VIEW("failed"));
    json_set_string(change.json, "detail", view_of(detail));
    set_time(change.json, "finishedAt", clock_wall_ms());
    change_put(&operation->change, key.text, change.json);
    if (!well) {
        struct view slug = text_of(problem, "type");
        enum problem_type type = problem_find(view_slice(slug, sizeof "/problems/" - 1, SIZE_MAX));
        bool own = type == PROBLEM_COUNT || type == PROBLEM_CANCELLED;
        add_failure(progress, text_of(change.json, "subject"), own ? PROBLEM_CONFLICT : type);
    }
    progress->child_at++;
    record_release(&change);
    record_release(&ended);
    return true;
}

/* Waits for all of them, and notes how each has ended. Its own place is free for them meanwhile. */
static void settle(struct operation *operation)
{
    struct progress *progress = operation->step_data;
    unsigned settled = 0;
    operation_rest(operation);
    while (settled < SETTLED_AT_ONCE && progress->child_at < progress->child_count &&
           settle_child(operation, progress))
        settled++;
    if (settled)
        operation_note(operation, settle);
    else if (progress->child_at < progress->child_count)
        operation_after(operation, LOOK_EACH_MS, settle);
    else if (progress->failed)
        operation_step_problem(
            operation, progress->problem,
            "Of the deployments %u failed: %s. What is done stays; the steps say more.",
            progress->failed, progress->failures);
    else
        go_on(operation);
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
    struct json *steps = apply_told_steps(operation->environment->state, operation->document);
    const struct json *step = json_first(steps);
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
    json_free(steps);
    return count;
}

struct publication {
    struct operation *operation;
    size_t left;
    bool failed;
};

static struct json *count_result(const struct operation *operation)
{
    static const char *const actions[][2] = {{"created", "create-"},
                                             {"changed", "change-"},
                                             {"deployed", "deploy-"},
                                             {"deleted", "delete-"}};
    struct json *result = json_new_object();
    struct json *steps = apply_told_steps(operation->environment->state, operation->document);
    for (int i = 0; i < 4; i++) {
        int64_t count = 0;
        const struct json *step = json_first(steps);
        for (; step; step = json_next(step))
            count += view_starts_with(text_of(step, "name"), view_of(actions[i][1]));
        json_set_integer(result, actions[i][0], count);
    }
    json_free(steps);
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

static bool on_key(struct view key, struct view value, uint64_t revision, void *context)
{
    char text[KEY_SIZE];
    (void)value, (void)revision;
    snprintf(text, sizeof text, "%.*s", VIEW_FORMAT(key));
    change_remove(context, text);
    return true;
}

/* Folds the records of the changes into the operation's own, whose steps they become. */
static void fold(struct operation *operation, const struct json *failure)
{
    struct state *state = operation->environment->state;
    struct json *ended = operation->next_document, *work = object_in(ended, "work");
    struct key prefix = key_apply_all(view_of(operation->id));
    if (!json_get(work, "changes"))
        return;
    struct json *steps = apply_told_steps(state, ended);
    const struct json *step = json_first(steps);
    while (step && !view_equal_string(text_of(step, "state"), "waiting"))
        step = json_next(step);
    if (failure && step) {
        struct json *failed = (struct json *)(uintptr_t)step;
        json_set_string(failed, "state", VIEW("failed"));
        set_time(failed, "finishedAt", clock_wall_ms());
        json_set_string(failed, "detail", text_of(failure, "detail"));
    }
    json_set(ended, "steps", steps);
    json_remove(work, "changes");
    json_remove(work, "done");
    if (state_range(state, view_of(prefix.text), VIEW(""), on_key, &operation->change))
        return; /* what stays does no harm */
}

static void keep_steps(struct operation *operation)
{
    fold(operation, NULL);
}

/* The change under way has failed, unless it was a deployment before, or nothing but a wish to stop. */
static void keep_failed_steps(struct operation *operation, const struct json *problem)
{
    const struct progress *progress = operation->step_data;
    const struct json *all = json_first(json_get(operation->next_document, "steps"));
    bool cancelled = view_equal_string(text_of(problem, "type"), "/problems/cancelled");
    bool by_change = view_equal_string(text_of(all, "state"), "failed") && !cancelled &&
                     !(progress && progress->failed);
    fold(operation, by_change ? problem : NULL);
}
