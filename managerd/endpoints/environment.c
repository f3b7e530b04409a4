/* Names and sets environment variables; their values never come back. */
#include "managerd/call.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/resources.h"
#include "managerd/secrets.h"

#include "common/base/clock.h"

#include <stdlib.h>

static struct json *show(const struct json *app)
{
    struct json *shown = json_new_object();
    const struct json *names = json_get(json_get(internal_of(app), "environment"), "names");
    json_set(shown, "names", names ? json_copy(names) : json_new_array());
    json_set_string(shown, "revision", VIEW("0"));
    return shown;
}

enum progress environment_get(struct call *call)
{
    struct record app;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict = call_answer_tagged(call, 200, show(app.json), app.revision);
    record_release(&app);
    return verdict;
}

static enum progress save(struct call *call, struct record *app, const struct json *variables)
{
    struct key key = key_app(call_app(call));
    if (call_refuse_deleting(call, app->json) || !call_precondition(call, app->revision))
        return PROGRESS_FAIL;
    json_set(object_in(app->json, "internal"), "environment",
             secrets_seal(call->server->secrets, call_app(call), variables));
    set_time(app->json, "updatedAt", clock_wall_ms());
    change_compare(&call->change, key.text, app->revision);
    change_put(&call->change, key.text, app->json);
    return call_commit(call, 200, show(app->json), false);
}

enum progress environment_put(struct call *call)
{
    struct record app;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict = save(call, &app, json_get(call->body, "variables"));
    record_release(&app);
    return verdict;
}

enum progress environment_patch(struct call *call)
{
    struct record app;
    struct json *variables = NULL;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict;
    if (secrets_unseal(call->server->secrets, call_app(call),
                       json_get(internal_of(app.json), "environment"), &variables)) {
        verdict = call_fail(call, PROBLEM_STORAGE_FAILED,
                            "The environment variables cannot be decrypted with this key.");
    } else {
        struct json *whole = json_new_object();
        json_set(whole, "variables", variables);
        shape_merge(&environment_shape, whole, call->body);
        shape_check(&environment_shape, whole, "", &call->faults);
        verdict = call->faults.count ? call_fail_faults(call)
                                     : save(call, &app, json_get(whole, "variables"));
        json_free(whole);
    }
    record_release(&app);
    return verdict;
}
