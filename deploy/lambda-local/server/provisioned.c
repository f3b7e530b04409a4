/* Sets, shows, lists and removes provisioned concurrency of versions and aliases. */
#include "deploy/lambda-local/server/api.h"

#include "deploy/lambda-local/provisioned.h"

#include <string.h>

/* The published version that the call names, by its number or an alias; NULL after a refusal. */
static struct version *provisionable(struct api_call *call, struct function **function)
{
    struct view apply_on = VIEW("");
    struct version *version;

    if (!api_target(call))
        return NULL;
    if (!call->target.qualifier[0]) {
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value null at 'qualifier' failed to satisfy "
                   "constraint: Member must not be null");
        return NULL;
    }
    if (strcmp(call->target.qualifier, "$LATEST") == 0) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "Provisioned Concurrency Configs cannot be applied to unpublished function "
                   "versions.");
        return NULL;
    }
    version = api_version(call, function, NULL);
    if (!version)
        return NULL;
    json_get_string(json_get(version->configuration, "SnapStart"), "ApplyOn", &apply_on);
    if (strcmp(call->operation->method, "PUT") == 0 &&
        view_equal_string(apply_on, "PublishedVersions")) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "Provisioned Concurrency is not supported for SnapStart enabled functions.");
        return NULL;
    }
    return version;
}

static bool save(struct api_call *call, struct function *function, struct json *former)
{
    enum error error = function_store_save(api_options(call)->store, function);

    if (error) {
        json_free(function->provisioned);
        function->provisioned = former;
    } else {
        json_free(former);
    }
    return !api_failed(call, error, "The provisioned concurrency could not be saved");
}

static bool affordable(struct api_call *call, const struct function *function, int64_t wanted)
{
    int64_t others = provisioned_sum(function, call->target.qualifier);
    const struct api_options *options = api_options(call);
    bool reserves = function->reserved_concurrency >= 0;
    int64_t most = reserves ? function->reserved_concurrency : options->config->concurrency;

    if (others + wanted <= most)
        return true;
    api_refuse(call, REFUSAL_INVALID_PARAMETER,
               reserves ? "Requested Provisioned Concurrency should not be greater than the "
                          "reservedConcurrentExecution for function"
                        : "Specified ConcurrentExecutions for function is greater than account's "
                          "unreserved concurrency.");
    return false;
}

void provisioned_put(struct api_call *call)
{
    struct function *function;
    struct version *version = provisionable(call, &function);
    struct json *former;
    int64_t wanted;

    if (!version || !api_document(call))
        return;
    if (!json_get_integer(call->document, "ProvisionedConcurrentExecutions", &wanted) ||
        wanted < 1) {
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value at 'provisionedConcurrentExecutions' failed "
                   "to satisfy constraint: Member must have value greater than or equal to 1");
        return;
    }
    if (version_state(version) == VERSION_PENDING) {
        api_refuse(call, REFUSAL_CONFLICT,
                   "The operation cannot be performed at this time. The function is currently in "
                   "the following state: Pending");
        return;
    }
    if (!affordable(call, function, wanted))
        return;
    former = json_copy(function->provisioned);
    provisioned_set(function, call->target.qualifier, wanted);
    if (save(call, function, former))
        api_answer(call, 202,
                   provisioned_show(function, call->target.qualifier,
                                    api_options(call)->config->ready_delay_ms));
}

static void list(struct api_call *call)
{
    struct function *function = api_function(call);
    struct json *answer;

    if (!function)
        return;
    answer = json_new_object();
    json_set(answer, "ProvisionedConcurrencyConfigs",
             provisioned_list(function, api_options(call)->config->ready_delay_ms));
    api_answer(call, 200, answer);
}

void provisioned_get(struct api_call *call)
{
    struct function *function;
    struct json *shown;
    struct view all;

    if (api_query(call, "List", &all) && view_equal_string(all, "ALL")) {
        list(call);
        return;
    }
    if (!provisionable(call, &function))
        return;
    shown = provisioned_show(function, call->target.qualifier,
                             api_options(call)->config->ready_delay_ms);
    if (shown)
        api_answer(call, 200, shown);
    else
        api_refuse(call, REFUSAL_NOT_PROVISIONED,
                   "No Provisioned Concurrency Config found for this function");
}

/* What is not there is as good as removed: the model knows no such error of this call. */
void provisioned_delete(struct api_call *call)
{
    struct function *function;
    struct json *former;

    if (!provisionable(call, &function))
        return;
    former = json_copy(function->provisioned);
    provisioned_remove(function, call->target.qualifier);
    if (save(call, function, former))
        api_answer_nothing(call, 204);
}
