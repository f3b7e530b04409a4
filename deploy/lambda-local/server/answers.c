/* Makes the JSON objects of functions, versions and aliases that clients get to see. */
#include "deploy/lambda-local/server/answers.h"

#include "common/base/escape.h"
#include "deploy/lambda-local/settings.h"

#include <string.h>

struct json *answer_configuration(const struct version *version, const char *qualifier)
{
    struct json *answer = json_copy(version->configuration);
    char arn[FUNCTION_ARN_SIZE];

    function_arn(arn, version->function->name, qualifier);
    json_set_string(answer, "FunctionArn", view_of(arn));
    return answer;
}

struct json *answer_list_item(const struct version *version, const char *qualifier)
{
    static const char *const left_out[] = {"State",
                                           "StateReason",
                                           "StateReasonCode",
                                           "LastUpdateStatus",
                                           "LastUpdateStatusReason",
                                           "LastUpdateStatusReasonCode",
                                           "RuntimeVersionConfig"};
    struct json *answer = answer_configuration(version, qualifier);

    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
        json_remove(answer, left_out[i]);
    return answer;
}

struct json *answer_alias(const struct function *function, const struct alias *alias)
{
    struct json *answer = json_new_object();
    char arn[FUNCTION_ARN_SIZE], label[24];

    function_arn(arn, function->name, alias->name);
    version_label(alias->version, label);
    json_set_string(answer, "AliasArn", view_of(arn));
    json_set_string(answer, "Name", view_of(alias->name));
    json_set_string(answer, "FunctionVersion", view_of(label));
    json_set_string(answer, "Description", view_of(alias->description));
    json_set_string(answer, "RevisionId", view_of(alias->revision));
    if (alias->additional) {
        struct json *routing = json_new_object(), *weights = json_new_object();

        version_label(alias->additional, label);
        json_set(weights, label, json_new_number(alias->weight));
        json_set(routing, "AdditionalVersionWeights", weights);
        json_set(answer, "RoutingConfig", routing);
    }
    return answer;
}

void answer_next_marker(struct json *answer, struct view name)
{
    struct buffer marker;

    buffer_init(&marker, 1024);
    hex_encode(&marker, name.data, name.length);
    json_set_string(answer, "NextMarker", buffer_view(&marker));
    buffer_release(&marker);
}

bool answer_busy(struct api_call *call, const struct function *function)
{
    char arn[FUNCTION_ARN_SIZE];

    function_arn(arn, function->name, NULL);
    if (version_state(function->latest) == VERSION_PENDING) {
        api_refuse(call, REFUSAL_CONFLICT,
                   "The operation cannot be performed at this time. The function is currently in "
                   "the following state: Pending");
        return true;
    }
    if (version_updating(function->latest)) {
        api_refuse(call, REFUSAL_CONFLICT,
                   "The operation cannot be performed at this time. An update is in progress for "
                   "resource: %s",
                   arn);
        return true;
    }
    return false;
}

bool answer_settings(struct api_call *call, int verdict, const struct buffer *problem)
{
    enum refusal refusal = REFUSAL_VALIDATION;

    switch ((enum settings_verdict)verdict) {
    case SETTINGS_FINE:
        return false;
    case SETTINGS_INVALID:
        break;
    case SETTINGS_CONTENT:
        refusal = REFUSAL_INVALID_CONTENT;
        break;
    case SETTINGS_UNSUPPORTED:
        refusal = REFUSAL_INVALID_PARAMETER;
        break;
    }
    api_refuse(call, refusal, "%.*s", VIEW_FORMAT(buffer_view(problem)));
    return true;
}
