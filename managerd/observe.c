/* Asks AWS what an app's function and its Lambda versions are now. */
#include "managerd/observe.h"

#include "common/base/arena.h"
#include "managerd/deploy.h"
#include "managerd/picture.h"
#include "managerd/records.h"

#include <stdlib.h>

#define MAX_TEXT 1000 /* of what AWS says; it is shown and kept */

struct observe {
    struct observe_source source;
    struct arena arena;
    struct view app, function;
    struct json *expected, *observed;
    bool all, failed;
    const struct json *version; /* of `expected`: the next to be looked at */
    struct lambda_call *call;
    struct observe_failure failure;
    void (*on_done)(struct observe *observe, void *context);
    void *context;
};

/* AWS's name of a member, and ours. */
static void copy_texts(struct json *to, const struct json *configuration)
{
    static const char *const names[][2] = {
        {"state", "State"},
        {"stateReason", "StateReason"},
        {"stateReasonCode", "StateReasonCode"},
        {"lastUpdateStatus", "LastUpdateStatus"},
        {"lastUpdateStatusReason", "LastUpdateStatusReason"},
        {"lastUpdateStatusReasonCode", "LastUpdateStatusReasonCode"},
        {"lastModified", "LastModified"},
        {"description", "Description"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct view text = text_of(configuration, names[i][1]);
        if (text.length)
            json_set_string(to, names[i][0], view_slice(text, 0, MAX_TEXT));
    }
}

static struct json *describe(const struct observe *observe, const struct json *configuration)
{
    struct json *shown = json_new_object();
    json_set_bool(shown, "exists", configuration != NULL);
    if (configuration) {
        copy_texts(shown, configuration);
        json_set(shown, "picture",
                 picture_of_configuration(observe->source.secrets, observe->app, configuration));
    }
    return shown;
}

static void fail(struct observe *observe, const struct lambda_answer *answer)
{
    observe->failed = true;
    observe->failure.outcome = answer->outcome;
    observe->failure.code = arena_copy(&observe->arena, view_slice(answer->code, 0, MAX_TEXT));
    observe->failure.message =
        arena_copy(&observe->arena, view_slice(answer->message, 0, MAX_TEXT));
    observe->failure.request_id =
        arena_copy(&observe->arena, view_slice(answer->request_id, 0, MAX_TEXT));
    observe->on_done(observe, observe->context);
}

static bool is_wanted(const struct observe *observe, const struct json *version)
{
    return truth_of(version, "usable") && (observe->all || truth_of(version, "needed"));
}

static void on_version_seen(const struct lambda_answer *answer, void *context);

static void look_at_next(struct observe *observe)
{
    while (observe->version && !is_wanted(observe, observe->version))
        observe->version = json_next(observe->version);
    if (!observe->version) {
        observe->on_done(observe, observe->context);
        return;
    }
    struct lambda_request request = {.operation = LAMBDA_GET_FUNCTION,
                                     .function = observe->function,
                                     .qualifier = text_of(observe->version, "lambdaVersion")};
    observe->call = lambda_send(observe->source.control, &request, on_version_seen, observe);
}

static bool is_answer(const struct lambda_answer *answer)
{
    return answer->outcome == LAMBDA_NOT_FOUND ||
           (answer->outcome == LAMBDA_OK &&
            json_type_of(json_get(answer->json, "Configuration")) == JSON_OBJECT);
}

static void on_version_seen(const struct lambda_answer *answer, void *context)
{
    struct observe *observe = context;
    observe->call = NULL;
    if (!is_answer(answer)) {
        fail(observe, answer);
        return;
    }
    struct json *shown = describe(observe, json_get(answer->json, "Configuration"));
    json_set_integer(shown, "version", integer_of(observe->version, "version"));
    json_set_string(shown, "lambdaVersion", text_of(observe->version, "lambdaVersion"));
    json_append((struct json *)(uintptr_t)json_get(observe->observed, "versions"), shown);
    observe->version = json_next(observe->version);
    look_at_next(observe);
}

static void on_function_seen(const struct lambda_answer *answer, void *context)
{
    struct observe *observe = context;
    observe->call = NULL;
    if (!is_answer(answer)) {
        fail(observe, answer);
        return;
    }
    struct json *shown = describe(observe, json_get(answer->json, "Configuration"));
    char *app = arena_string(&observe->arena, observe->app);
    json_set_bool(shown, "ours",
                  app && function_is_ours(answer->json, observe->source.installation, app));
    json_set(observe->observed, "function", shown);
    if (answer->outcome == LAMBDA_OK)
        observe->version = json_first(json_get(observe->expected, "versions"));
    look_at_next(observe);
}

struct observe *observe_start(const struct observe_source *source, struct view app,
                              struct view function, const struct json *expected, bool all,
                              void (*on_done)(struct observe *observe, void *context),
                              void *context)
{
    struct observe *observe = calloc(1, sizeof *observe);
    REQUIRE(observe);
    observe->source = *source;
    arena_init(&observe->arena, 65536);
    observe->app = arena_copy(&observe->arena, app);
    observe->function = arena_copy(&observe->arena, function);
    observe->expected = json_copy(expected);
    observe->observed = json_new_object();
    json_set(observe->observed, "versions", json_new_array());
    observe->all = all;
    observe->on_done = on_done;
    observe->context = context;
    struct lambda_request request = {.operation = LAMBDA_GET_FUNCTION,
                                     .function = observe->function};
    observe->call = lambda_send(source->control, &request, on_function_seen, observe);
    return observe;
}

struct json *observe_take(struct observe *observe)
{
    REQUIRE(!observe->failed && observe->observed);
    struct json *observed = observe->observed;
    observe->observed = NULL;
    return observed;
}

const struct observe_failure *observe_failure_of(const struct observe *observe)
{
    return observe->failed ? &observe->failure : NULL;
}

void observe_free(struct observe *observe)
{
    if (!observe)
        return;
    lambda_cancel(observe->call);
    json_free(observe->expected);
    json_free(observe->observed);
    arena_release(&observe->arena);
    free(observe);
}
