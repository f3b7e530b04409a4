/* Changes a function's code or configuration: what is $LATEST from then on. */
#include "deploy/lambda-local/server/api.h"

#include "deploy/lambda-local/function_state.h"
#include "deploy/lambda-local/server/answers.h"
#include "deploy/lambda-local/server/code.h"
#include "deploy/lambda-local/settings.h"

#include <stdio.h>

/* The function, ready to be changed by this call's document; NULL after a refusal. */
static struct function *changeable(struct api_call *call)
{
    struct function *function = api_function(call);
    struct view revision = {0};

    if (!function || !api_document(call))
        return NULL;
    if (call->target.qualifier[0] && !view_equal_string(VIEW("$LATEST"), call->target.qualifier)) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "This operation is only supported on $LATEST version of the function, not on "
                   "a qualified one.");
        return NULL;
    }
    json_get_string(function->latest->configuration, "RevisionId", &revision);
    if (answer_busy(call, function) || !api_revision(call, revision))
        return NULL;
    return function;
}

/* Takes `configuration`; answers. */
static void update(struct api_call *call, struct function *function, struct code *code,
                   struct json *configuration, bool publish)
{
    struct function_store *store = api_options(call)->store;
    struct version *version;
    char label[24] = "";
    enum error error;

    function_state_modified(configuration);
    error = function_store_update(store, function, version_new(function, code, configuration, 0));
    if (api_failed(call, error, "The function could not be saved"))
        return;
    version = function->latest;
    if (publish) {
        error = function_store_publish(store, function, NULL, &version);
        if (api_failed(call, error, "The version could not be saved"))
            return;
        version_label(version->number, label);
    }
    api_answer(call, 200, answer_configuration(version, label));
}

static void update_code(struct api_call *call, struct function *function, struct view zip)
{
    const struct json *architectures = json_get(call->document, "Architectures");
    struct json *configuration;
    struct code *code;
    bool publish = false;

    json_get_bool(call->document, "Publish", &publish);
    if (!code_store(call, function, zip, &code))
        return;
    configuration = json_copy(function->latest->configuration);
    code_describe(configuration, zip);
    if (architectures && json_type_of(architectures) == JSON_ARRAY)
        json_set(configuration, "Architectures", json_copy(architectures));
    update(call, function, code, configuration, publish);
}

/* DryRun answers what would be, and changes nothing. */
static void update_code_dry(struct api_call *call, const struct function *function, struct view zip)
{
    struct json *answer;

    if (!code_check(call, zip))
        return;
    answer = answer_configuration(function->latest, "");
    code_describe(answer, zip);
    api_answer(call, 200, answer);
}

void functions_update_code(struct api_call *call)
{
    struct function *function = changeable(call);
    struct buffer zip, problem;
    bool dry_run = false, answered;

    if (!function)
        return;
    buffer_init(&problem, 1024);
    answered = answer_settings(
        call, settings_architectures(json_get(call->document, "Architectures"), &problem),
        &problem);
    buffer_release(&problem);
    if (answered)
        return;
    json_get_bool(call->document, "DryRun", &dry_run);
    if (code_read(call, call->document, &zip)) {
        if (dry_run)
            update_code_dry(call, function, buffer_view(&zip));
        else
            update_code(call, function, buffer_view(&zip));
    }
    buffer_release(&zip);
}

void functions_update_configuration(struct api_call *call)
{
    struct function *function = changeable(call);
    struct json *configuration;
    struct buffer problem;
    bool answered;

    if (!function)
        return;
    configuration = json_copy(function->latest->configuration);
    buffer_init(&problem, 4096);
    answered =
        answer_settings(call, settings_apply(call->document, configuration, &problem), &problem);
    buffer_release(&problem);
    if (answered)
        json_free(configuration);
    else
        update(call, function, function->latest->code, configuration, false);
}
