/* Runs operations step by step, committing each result together with the next intent. */
#include "managerd/operation.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "managerd/ask.h"
#include "managerd/audit.h"
#include "managerd/history.h"
#include "managerd/records.h"

#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_RETRY_MS 1000
#define CANCEL_PAUSE_MS 50

struct operations {
    struct operation_environment environment;
    struct operation *first, **end; /* unfinished, in the order of acceptance */
    unsigned running, resting, queued;
    uint64_t succeeded, failed;
    bool stopping;
    struct event *dispatch;
};

static const struct operation_type *const types[] = {
    &deploy_type, &delete_type, &delete_version_type, &apply_type, &sync_type, &configure_type};

static void dispatch(struct operations *operations);
static struct json *present_step(struct json *document);
static void run_step(struct operation *operation);
static void commit_document(struct operation *operation);
static void end_operation(struct operation *operation, const char *state,
                          const struct json *problem);

static void on_dispatch(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    dispatch(context);
}

struct operations *operations_new(const struct operation_environment *environment)
{
    struct operations *operations = calloc(1, sizeof *operations);
    REQUIRE(operations);
    operations->environment = *environment;
    operations->end = &operations->first;
    operations->dispatch = event_new(environment->base, -1, 0, on_dispatch, operations);
    REQUIRE(operations->dispatch);
    return operations;
}

static void step_release(struct operation *operation)
{
    lambda_cancel(operation->call);
    operation->call = NULL;
    if (operation->stream)
        ask_stream_release(operation->stream);
    free(operation->stream);
    operation->stream = NULL;
    if (operation->step_data)
        operation->free_step_data(operation->step_data);
    operation->step_data = NULL;
    evtimer_del(operation->timer);
    arena_release(&operation->arena);
    arena_init(&operation->arena, 1u << 20);
    change_clear(&operation->change);
    json_free(operation->result);
    operation->result = NULL;
    operation->polls = operation->tries = 0;
    operation->patience_ms = 0;
}

static void operation_free(struct operation *operation)
{
    meter_forget(&operation->meter);
    step_release(operation);
    arena_release(&operation->arena);
    change_release(&operation->change);
    event_free(operation->timer);
    json_free(operation->document);
    json_free(operation->next_document);
    free(operation);
}

void operations_stop(struct operations *operations)
{
    operations->stopping = true;
    event_del(operations->dispatch);
    for (struct operation *one = operations->first; one; one = one->next) {
        lambda_cancel(one->call);
        one->call = NULL;
        evtimer_del(one->timer);
    }
}

void operations_free(struct operations *operations)
{
    if (!operations)
        return;
    while (operations->first) {
        struct operation *next = operations->first->next;
        operation_free(operations->first);
        operations->first = next;
    }
    event_free(operations->dispatch);
    free(operations);
}

bool operation_stopped(const struct operation *operation)
{
    return operation->operations->stopping;
}

struct json *operation_work(struct operation *operation)
{
    return object_in(operation->document, "work");
}

struct json *operation_step(struct operation *operation)
{
    return present_step(operation->document);
}

void operation_rest(struct operation *operation)
{
    if (operation->resting)
        return;
    operation->resting = true;
    operation->operations->running--;
    operation->operations->resting++;
    event_active(operation->operations->dispatch, 0, 0);
}

unsigned operations_running(const struct operations *operations)
{
    return operations->running + operations->resting;
}

unsigned operations_queued(const struct operations *operations)
{
    return operations->queued;
}

uint64_t operations_ended(const struct operations *operations, bool well)
{
    return well ? operations->succeeded : operations->failed;
}

/* Accepting and choosing what runs. */

static const struct operation_type *type_of(struct view name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (view_equal_string(name, types[i]->name))
            return types[i];
    return NULL;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct operation *operation = context;
    (void)fd, (void)what;
    meter_enter(&operation->meter);
    if (operation->cancel && !operation->ending && !operation->noting && operation->started)
        operation_step_problem(operation, PROBLEM_CANCELLED, "It was cancelled.");
    else
        operation->on_timer(operation);
    meter_leave();
}

/* While in doubt it goes on. */
static bool was_cancelled(const struct operation *operation)
{
    struct record record;
    struct key key = key_cancel(view_of(operation->id));
    enum error error = record_read(operation->environment->state, key.text, &record);
    record_release(&record);
    return error == ERROR_NONE;
}

void operations_accept(struct operations *operations, const struct json *document,
                       uint64_t revision)
{
    struct operation *operation = calloc(1, sizeof *operation);
    REQUIRE(operation);
    operation->operations = operations;
    operation->environment = &operations->environment;
    operation->document = json_copy(document);
    operation->revision = revision;
    operation->type = type_of(text_of(document, "type"));
    snprintf(operation->id, sizeof operation->id, "%.*s", VIEW_FORMAT(text_of(document, "id")));
    snprintf(operation->app, sizeof operation->app, "%.*s", VIEW_FORMAT(text_of(document, "app")));
    arena_init(&operation->arena, 1u << 20);
    change_init(&operation->change);
    operation->timer = evtimer_new(operations->environment.base, on_timer, operation);
    REQUIRE(operation->timer);
    operation->cancel = was_cancelled(operation);
    if (!operation->type) {
        /* Written by a release that knows more: left for it. */
        log_write(LOG_ERROR, "operation-of-unknown-type", LOG_STRING("id", operation->id));
        operation_free(operation);
        return;
    }
    *operations->end = operation;
    operations->end = &operation->next;
    operations->queued++;
    event_active(operations->dispatch, 0, 0);
}

const struct operation_environment *operations_environment(const struct operations *operations)
{
    return &operations->environment;
}

const char *operations_find(const struct operations *operations, struct view app, const char *type)
{
    for (const struct operation *one = operations->first; one; one = one->next)
        if (view_equal_string(app, one->app) && strcmp(one->type->name, type) == 0)
            return one->id;
    return NULL;
}

bool operations_busy(const struct operations *operations, struct view app)
{
    const struct operation *one = operations->first;
    while (one && !view_equal_string(app, one->app))
        one = one->next;
    return one != NULL;
}

bool operation_is_awaited(const struct operation *operation)
{
    const struct operation *one = operation->next;
    while (one && strcmp(one->app, operation->app) != 0)
        one = one->next;
    return one != NULL;
}

/* Whether an earlier operation of the same app is unfinished. */
static bool must_wait(const struct operations *operations, const struct operation *operation)
{
    for (const struct operation *one = operations->first; one != operation; one = one->next)
        if (strcmp(one->app, operation->app) == 0)
            return true;
    return false;
}

static struct json *present_step(struct json *document)
{
    const struct json *step = json_first(json_get(document, "steps"));
    while (step && (view_equal_string(text_of(step, "state"), "done") ||
                    view_equal_string(text_of(step, "state"), "skipped")))
        step = json_next(step);
    return (struct json *)(uintptr_t)step;
}

static void mark_running(struct json *step)
{
    json_set_string(step, "state", VIEW("running"));
    json_set_integer(step, "attempts", integer_of(step, "attempts") + 1);
    set_time(step, "startedAt", clock_wall_ms());
}

/* Cancelled before a crash, and before it had begun. */
static bool was_wished_away(const struct operation *operation)
{
    return operation->cancel && view_equal_string(text_of(operation->document, "state"), "queued");
}

static void begin_operation(struct operation *operation)
{
    struct operations *operations = operation->operations;
    if (was_wished_away(operation)) {
        operation_step_problem(operation, PROBLEM_CANCELLED, "It was cancelled.");
        return;
    }
    operation->started = true;
    operations->running++;
    operations->queued--;
    if (view_equal_string(text_of(operation->document, "state"), "running")) {
        /* Resumed: its intent is on record already; that it is one more attempt is noted with the
         * result. */
        struct json *step = present_step(operation->document);
        if (step)
            json_set_integer(step, "attempts", integer_of(step, "attempts") + 1);
        run_step(operation);
        return;
    }
    operation->next_document = json_copy(operation->document);
    json_set_string(operation->next_document, "state", VIEW("running"));
    mark_running(present_step(operation->next_document));
    commit_document(operation);
}

static void dispatch(struct operations *operations)
{
    struct operation *one = operations->first;
    while (one && !operations->stopping &&
           operations->running < operations->environment.max_running) {
        if (!one->started && !one->ending &&
            (was_wished_away(one) || !must_wait(operations, one))) {
            meter_enter(&one->meter);
            begin_operation(one);
            meter_leave();
        }
        one = one->next;
    }
}

/* Steps. */

static const struct operation_step *find_step(const struct operation *operation)
{
    struct json *present = present_step(operation->document);
    const struct operation_step *step = operation->type->steps;
    for (; present && step->name; step++)
        if (view_equal_string(text_of(present, "name"), step->name))
            return step;
    return NULL;
}

static void run_step(struct operation *operation)
{
    if (operation_stopped(operation))
        return;
    step_release(operation);
    operation->step_began_us = clock_monotonic_us();
    const struct operation_step *step = find_step(operation);
    if (!step) {
        operation_step_problem(operation, PROBLEM_INTERNAL, "The plan has an unknown step.");
        return;
    }
    if (operation->cancel) { /* accepted before anything took effect */
        operation_step_problem(operation, PROBLEM_CANCELLED, "It was cancelled.");
        return;
    }
    if (step->cancellable && operation_gives_way(operation, run_step))
        return;
    log_write(LOG_DEBUG, "step", LOG_STRING("operation", operation->id),
              LOG_STRING("app", operation->app), LOG_STRING("step", step->name));
    step->run(operation);
}

static void repeat_step(struct operation *operation)
{
    struct json *step = present_step(operation->document);
    if (step)
        json_set_integer(step, "attempts", integer_of(step, "attempts") + 1);
    run_step(operation);
}

void operation_repeat(struct operation *operation, int64_t delay_ms)
{
    operation->repeats++;
    operation_after(operation, delay_ms, repeat_step);
}

void operation_step_done(struct operation *operation, const char *format, ...)
{
    char detail[400];
    va_list arguments;
    if (operation_stopped(operation))
        return;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    meter_enter(&operation->meter);
    struct json *next = json_copy(operation->document);
    struct json *step = present_step(next);
    json_set_string(step, "state", VIEW("done"));
    set_time(step, "finishedAt", clock_wall_ms());
    if (detail[0])
        json_set_string(step, "detail", view_of(detail));
    if (operation->result)
        json_set(next, "result", json_copy(operation->result));
    operation->next_document = next;
    struct json *following = present_step(next);
    if (following) {
        mark_running(following);
        commit_document(operation);
    } else {
        end_operation(operation, "succeeded", NULL);
    }
    meter_leave();
}

void operation_step_failed(struct operation *operation, const struct problem *problem)
{
    if (operation_stopped(operation))
        return;
    struct json *document = problem_document(problem, NULL, operation->id);
    json_free(operation->next_document);
    operation->next_document = json_copy(operation->document);
    struct json *step = present_step(operation->next_document);
    bool cancelled = problem->type == PROBLEM_CANCELLED;
    if (step && operation->started) {
        json_set_string(step, "state", VIEW("failed"));
        set_time(step, "finishedAt", clock_wall_ms());
        json_set_string(step, "detail", view_of(problem->detail));
    }
    /* What the step meant to write is not written. */
    change_clear(&operation->change);
    end_operation(operation, cancelled ? "cancelled" : "failed", document);
    json_free(document);
}

/* Committing and ending. */

static void retire(struct operation *operation)
{
    struct operations *operations = operation->operations;
    struct operation **link = &operations->first;
    while (*link != operation)
        link = &(*link)->next;
    *link = operation->next;
    if (operations->end == &operation->next)
        operations->end = link;
    if (operation->resting)
        operations->resting--;
    else if (operation->started)
        operations->running--;
    else
        operations->queued--;
    bool well = view_equal_string(text_of(operation->document, "state"), "succeeded");
    operations->succeeded += well;
    operations->failed += !well;
    log_write(well ? LOG_INFO : LOG_WARN, "operation-ended", LOG_STRING("id", operation->id),
              LOG_STRING("type", operation->type->name), LOG_STRING("app", operation->app),
              LOG_VIEW("state", text_of(operation->document, "state")),
              LOG_VIEW("detail", text_of(json_get(operation->document, "problem"), "detail")),
              LOG_INTEGER("ownUs", (int64_t)meter_own_us(&operation->meter)),
              LOG_INTEGER("syncUs", (int64_t)operation->meter.sync_us),
              LOG_INTEGER("awsUs", (int64_t)operation->meter.aws_us));
    void (*after)(struct operation * operation) =
        well ? operation->type->after_success : operation->type->after_failure;
    if (after)
        after(operation);
    operation_free(operation);
    if (!operations->stopping)
        event_active(operations->dispatch, 0, 0);
}

/* A compare did not hold: somebody changed the app meanwhile. The step (or the hook that ends the
 * operation) is done over, on what is there now. */
static void on_conflict(struct operation *operation)
{
    const struct json *problem = json_get(operation->next_document, "problem");
    if (operation->ending && json_type_of(problem) == JSON_OBJECT) {
        change_clear(&operation->change);
        operation->type->on_failure(operation, problem);
        commit_document(operation);
        return;
    }
    operation->ending = operation->noting = false;
    json_free(operation->next_document);
    operation->next_document = NULL;
    run_step(operation);
}

static void go_on_after_commit(struct operation *operation, enum error error, uint64_t revision)
{
    if (error == ERROR_CONFLICT) {
        on_conflict(operation);
        return;
    }
    if (error) {
        if (operation->commit_failures++ % 60 == 0)
            log_write(LOG_ERROR, "operation-not-saved", LOG_STRING("id", operation->id),
                      LOG_STRING("error", error_name(error)));
        operation_after(operation, COMMIT_RETRY_MS, commit_document);
        return;
    }
    operation->commit_failures = 0;
    json_free(operation->document);
    operation->document = operation->next_document;
    operation->next_document = NULL;
    operation->revision = revision;
    operation->repeats = 0;
    if (operation->ending) {
        retire(operation);
    } else if (operation->noting) {
        operation->noting = false;
        change_clear(&operation->change);
        operation->after_note(operation);
    } else {
        run_step(operation);
    }
}

static void on_committed(enum error error, uint64_t revision, void *context)
{
    struct operation *operation = context;
    if (operation_stopped(operation))
        return;
    meter_enter(&operation->meter);
    meter_add(&operation->meter, state_times(operation->environment->state));
    go_on_after_commit(operation, error, revision);
    meter_leave();
}

static void commit_document(struct operation *operation)
{
    struct change change;
    struct key key = key_operation(view_of(operation->id));
    set_time(operation->next_document, "updatedAt", clock_wall_ms());
    change_init(&change);
    change_append(&change, &operation->change);
    change.urgent = true; /* what has begun must come to its end */
    history_note_operation(operation->environment->state, &change, operation->document);
    change_put(&change, key.text, operation->next_document);
    if (operation->ending) {
        struct key queue = key_queue(view_of(operation->app), view_of(operation->id));
        struct key cancel = key_cancel(view_of(operation->id));
        change_remove(&change, queue.text);
        change_remove(&change, cancel.text);
    }
    audit_operation(operation->environment->state, operation->next_document, &change);
    state_commit(operation->environment->state, &change, on_committed, operation);
    change_release(&change);
}

void operation_note(struct operation *operation, void (*next)(struct operation *operation))
{
    if (operation_stopped(operation))
        return;
    operation->noting = true;
    operation->after_note = next;
    operation->next_document = json_copy(operation->document);
    commit_document(operation);
}

static void end_operation(struct operation *operation, const char *state,
                          const struct json *problem)
{
    struct json *next = operation->next_document;
    operation->ending = true;
    json_set_string(next, "state", view_of(state));
    if (problem) {
        json_set(next, "problem", json_copy(problem));
        operation->type->on_failure(operation, problem);
    } else {
        operation->type->on_success(operation);
    }
    commit_document(operation);
}

static struct operation *find_operation(const struct operations *operations, struct view id)
{
    struct operation *operation = operations->first;
    while (operation && !view_equal_string(id, operation->id))
        operation = operation->next;
    return operation;
}

enum error operations_may_cancel(const struct operations *operations, struct view id)
{
    const struct operation *operation = find_operation(operations, id);
    if (!operation)
        return ERROR_NOT_FOUND;
    const struct operation_step *step = operation->started ? find_step(operation) : NULL;
    bool may = !operation->ending && (!operation->started || (step && step->cancellable));
    return may ? ERROR_NONE : ERROR_CONFLICT;
}

bool operation_gives_way(struct operation *operation, void (*next)(struct operation *operation))
{
    if (clock_monotonic_us() >= operation->paused_until_us)
        return false;
    operation_after(operation, CANCEL_PAUSE_MS, next);
    return true;
}

void operations_pause(struct operations *operations, struct view id)
{
    struct operation *operation = find_operation(operations, id);
    if (operation)
        operation->paused_until_us = clock_monotonic_us() + CANCEL_PAUSE_MS * 1000;
}

enum error operations_cancel(struct operations *operations, struct view id)
{
    struct operation *operation = find_operation(operations, id);
    enum error error = operations_may_cancel(operations, id);
    if (error)
        return error;
    operation->cancel = true;
    if (!operation->started)
        operation_step_problem(operation, PROBLEM_CANCELLED, "It was cancelled.");
    return ERROR_NONE;
}
