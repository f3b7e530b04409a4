/* Brings a function to have the tags and the reserved concurrency that its app says, at once. */
#include "managerd/configure.h"

#include "common/base/clock.h"
#include "managerd/acceptance.h"
#include "managerd/deploy.h"
#include "managerd/observer.h"
#include "managerd/records.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TAGGED  200 /* the latest; older names are nobody's then */
#define MAX_CHANGES 10  /* of one step: who needs more works against somebody */
#define LATE        "The function did not take its tags and concurrency in time."

static void nothing_more(struct operation *operation);
static void nothing_but_the_problem(struct operation *operation, const struct json *problem);
static void after_end(struct operation *operation);

static const struct operation_step configure_steps[] = {
    {"lower-concurrency", step_lower_concurrency, true},
    {"configure-function", step_configure_function, true},
    {"provide-concurrency", step_provide_concurrency, true},
    {"release-concurrency", step_release_concurrency, true},
    {NULL, NULL, false},
};
const struct operation_type configure_type = {
    "configure", configure_steps, nothing_more, nothing_but_the_problem, after_end, after_end};

/* ---- what is wished ---- */

static int64_t number_in(const struct json *object, const char *name)
{
    int64_t number = -1;
    json_get_integer(object, name, &number);
    return number;
}

int64_t configure_reserved(const struct json *app)
{
    return number_in(json_get(app, "concurrency"), "reserved");
}

int64_t configure_provisioned(const struct json *app)
{
    return number_in(json_get(app, "concurrency"), "provisioned");
}

static bool holds(const struct json *list, struct view text)
{
    const struct json *one = json_first(list);
    while (one && !view_equal(json_string(one), text))
        one = json_next(one);
    return one != NULL;
}

static void mark_tags(struct json *internal, const struct json *tags)
{
    struct json *tagged = json_new_array();
    const struct json *former = json_get(internal, "tagged");
    size_t total = json_count(former) + json_count(tags);
    for (const struct json *one = json_first(former); one; one = json_next(one), total--)
        if (total <= MAX_TAGGED)
            json_append(tagged, json_copy(one));
    for (const struct json *one = json_first(tags); one; one = json_next(one))
        if (!holds(tagged, json_name(one)))
            json_append(tagged, json_new_string(json_name(one)));
    json_set(internal, "tagged", tagged);
}

void configure_mark(struct json *app)
{
    struct json *internal = object_in(app, "internal");
    const struct json *tags = json_get(app, "tags");
    if (configure_reserved(app) >= 0)
        json_set_bool(internal, "reserves", true);
    if (configure_provisioned(app) >= 0)
        json_set_bool(internal, "provisions", true);
    if (json_count(tags))
        mark_tags(internal, tags);
}

/* An absent member is the default of an older record. */
static bool differ(const struct json *before, const struct json *after)
{
    const struct json *a = json_get(before, "tags"), *b = json_get(after, "tags");
    bool tags = (json_count(a) || json_count(b)) && !json_equal(a, b);
    return tags || configure_reserved(before) != configure_reserved(after) ||
           configure_provisioned(before) != configure_provisioned(after);
}

struct json *configure_after(const struct json *before, const struct json *app,
                             struct view created_by)
{
    const struct json *internal = internal_of(app);
    bool settings = before && differ(before, app);
    bool provisions = truth_of(internal, "provisions");
    char id[ID_SIZE];
    bool moved = !before || !json_equal(json_get(internal_of(before), "traffic"),
                                        json_get(internal, "traffic"));
    if (!truth_of(internal, "functionClaimed") || !(settings || (moved && provisions)))
        return NULL;
    id_make(id);
    struct plan_operation plan = {.id = view_of(id),
                                  .app = text_of(app, "name"),
                                  .created_by = created_by,
                                  .now_ms = clock_wall_ms()};
    return plan_configure(&plan, settings, provisions);
}

/* ---- what follows other operations ---- */

void configure_follow(struct operation *operation)
{
    struct record app;
    struct key key = key_app(view_of(operation->app));
    if (record_read(operation->environment->state, key.text, &app))
        return;
    struct json *next = configure_after(NULL, app.json, text_of(operation->document, "createdBy"));
    if (next) {
        acceptance_queue(&operation->change, next);
        json_set(object_in(operation->next_document, "work"), "follows", next);
    }
    record_release(&app);
}

void configure_accept_follow(struct operation *operation)
{
    const struct json *next = json_get(operation_work(operation), "follows");
    if (json_type_of(next) == JSON_OBJECT)
        operations_accept(operation->operations, next, operation->revision);
}

static void nothing_more(struct operation *operation)
{
    /* It gave way to another: what is left is done behind that one. */
    if (truth_of(operation_work(operation), "givesWay"))
        configure_follow(operation);
}

/* What is wished stays so; a sync tells that AWS has something else. */
static void nothing_but_the_problem(struct operation *operation, const struct json *problem)
{
    (void)operation, (void)problem;
}

static void after_end(struct operation *operation)
{
    observer_forget(operation->environment->observer, view_of(operation->app));
    configure_accept_follow(operation);
}

/* ---- configure-function ---- */

static void look(struct operation *operation);

static void on_changed(struct operation *operation, const struct lambda_answer *answer)
{
    if (answer->outcome == LAMBDA_OK)
        operation->tries++;
    if (answer->outcome != LAMBDA_OK && answer->outcome != LAMBDA_CONFLICT)
        operation_step_refused(operation, answer,
                               "The function's tags or concurrency were not accepted");
    else
        operation_poll(operation, look, LATE);
}

static void send(struct operation *operation, struct lambda_request *request, struct buffer *body)
{
    request->body = body;
    operation_send(operation, request, on_changed);
}

/* Whether a change of what is reserved is under way now. */
static bool reserve(struct operation *operation, const struct json *app, const struct json *answer)
{
    int64_t wanted = configure_reserved(app);
    int64_t present = number_in(json_get(answer, "Concurrency"), "ReservedConcurrentExecutions");
    bool repairs = operation->type == &sync_type;
    struct view function = text_of(json_get(app, "function"), "name");
    struct lambda_request request = {.operation = LAMBDA_DELETE_CONCURRENCY, .function = function};
    struct buffer body;
    if (wanted == present || (wanted < 0 && !repairs && !truth_of(internal_of(app), "reserves")))
        return false;
    if (wanted < 0) {
        send(operation, &request, NULL);
        return true;
    }
    buffer_init(&body, 100);
    buffer_append_format(&body, "{\"ReservedConcurrentExecutions\":%lld}", (long long)wanted);
    request.operation = LAMBDA_PUT_CONCURRENCY;
    send(operation, &request, &body);
    buffer_release(&body);
    return true;
}

/* Whether tags are being removed: those that the app had once, and has no more. */
static bool untag(struct operation *operation, const struct json *app, const struct json *answer)
{
    struct view keys[50];
    size_t count = 0;
    const struct json *one = json_first(json_get(internal_of(app), "tagged"));
    for (; one && count < sizeof keys / sizeof keys[0]; one = json_next(one)) {
        char *name = view_duplicate(json_string(one));
        if (!json_get(json_get(app, "tags"), name) && json_get(json_get(answer, "Tags"), name))
            keys[count++] = json_string(one);
        free(name);
    }
    if (!count)
        return false;
    struct lambda_request request = {.operation = LAMBDA_UNTAG_RESOURCE,
                                     .function =
                                         text_of(json_get(answer, "Configuration"), "FunctionArn"),
                                     .tag_keys = keys,
                                     .tag_key_count = count};
    send(operation, &request, NULL);
    return true;
}

static bool tag(struct operation *operation, const struct json *app, const struct json *answer)
{
    struct json *missing = json_new_object();
    const struct json *one = json_first(json_get(app, "tags"));
    for (; one; one = json_next(one)) {
        char *name = view_duplicate(json_name(one));
        if (!json_equal(one, json_get(json_get(answer, "Tags"), name)))
            json_set(missing, name, json_copy(one));
        free(name);
    }
    size_t count = json_count(missing);
    if (count) {
        struct buffer body;
        struct json_writer w;
        buffer_init(&body, 1u << 20);
        json_begin(&w, &body);
        json_open_object(&w, NULL);
        json_write_tree(&w, "Tags", missing);
        json_close_object(&w);
        struct lambda_request request = {
            .operation = LAMBDA_TAG_RESOURCE,
            .function = text_of(json_get(answer, "Configuration"), "FunctionArn")};
        send(operation, &request, &body);
        buffer_release(&body);
    }
    json_free(missing);
    return count > 0;
}

/* One difference after another; done when there is none. */
static void bring_nearer(struct operation *operation, const struct json *app,
                         const struct json *answer)
{
    bool told = json_type_of(json_get(answer, "TagsError")) != JSON_OBJECT;
    bool ours = truth_of(internal_of(app), "adopted") ||
                function_is_ours(answer, operation->environment->installation, operation->app);
    if (!ours)
        operation_step_problem(operation, PROBLEM_FUNCTION_EXISTS,
                               "The function was not made for this app.");
    else if (operation->tries >= MAX_CHANGES)
        operation_step_problem(operation, PROBLEM_AWS_FAILED,
                               "Somebody else changes the function's tags or concurrency.");
    else if (reserve(operation, app, answer) ||
             (told && (untag(operation, app, answer) || tag(operation, app, answer))))
        return;
    else
        operation_step_done(operation, "%s",
                            told ? "" : "AWS does not let us see the function's tags.");
}

static void on_seen(struct operation *operation, const struct lambda_answer *answer)
{
    struct record app;
    struct key key = key_app(view_of(operation->app));
    if (answer->outcome == LAMBDA_NOT_FOUND) {
        operation_step_done(operation, "There is no function yet.");
    } else if (answer->outcome != LAMBDA_OK) {
        operation_step_refused(operation, answer, "The function could not be looked at");
    } else if (record_read(operation->environment->state, key.text, &app)) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED, "The app cannot be read.");
    } else {
        bring_nearer(operation, app.json, answer->json);
        record_release(&app);
    }
}

static void look(struct operation *operation)
{
    struct record app;
    struct key key = key_app(view_of(operation->app));
    if (record_read(operation->environment->state, key.text, &app)) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED, "The app cannot be read.");
        return;
    }
    struct lambda_request request = {.operation = LAMBDA_GET_FUNCTION,
                                     .function = text_of(json_get(app.json, "function"), "name")};
    operation_send(operation, &request, on_seen);
    record_release(&app);
}

void step_configure_function(struct operation *operation)
{
    look(operation);
}
