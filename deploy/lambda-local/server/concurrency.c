/* Reserves concurrency for functions, and tells the account's limits. */
#include "deploy/lambda-local/server/api.h"

#include "deploy/lambda-local/package.h"
#include "deploy/lambda-local/provisioned.h"

/* What must stay for functions that reserve nothing. */
#define LEAST_UNRESERVED 100

static void answer_reserved(struct api_call *call, const struct function *function)
{
    struct json *answer = json_new_object();

    if (function->reserved_concurrency >= 0)
        json_set_integer(answer, "ReservedConcurrentExecutions", function->reserved_concurrency);
    api_answer(call, 200, answer);
}

static bool save(struct api_call *call, struct function *function, int64_t reserved)
{
    int64_t former = function->reserved_concurrency;
    enum error error;

    function->reserved_concurrency = reserved;
    error = function_store_save(api_options(call)->store, function);
    if (error)
        function->reserved_concurrency = former;
    return !api_failed(call, error, "The concurrency could not be saved");
}

/* Reserving nothing at all (0) takes nothing from the others, so it is always allowed. */
static bool affordable(struct api_call *call, const struct function *function, int64_t wanted)
{
    const struct api_options *options = api_options(call);
    int64_t least = options->config->concurrency < LEAST_UNRESERVED ? 0 : LEAST_UNRESERVED;

    return wanted == 0 || function_store_reserved(options->store, function) + wanted <=
                              options->config->concurrency - least;
}

void concurrency_put(struct api_call *call)
{
    struct function *function = api_function(call);
    int64_t wanted;

    if (!function || !api_document(call))
        return;
    if (!json_get_integer(call->document, "ReservedConcurrentExecutions", &wanted) || wanted < 0) {
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value at 'reservedConcurrentExecutions' failed "
                   "to satisfy constraint: Member must be a whole number greater than or equal to "
                   "0");
        return;
    }
    if (wanted < provisioned_sum(function, NULL)) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "ReservedConcurrentExecutions %lld should not be lower than function's total "
                   "provisioned concurrency [%lld].",
                   (long long)wanted, (long long)provisioned_sum(function, NULL));
        return;
    }
    if (!affordable(call, function, wanted)) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "Specified ReservedConcurrentExecutions for function decreases account's "
                   "UnreservedConcurrentExecution below its minimum value of [%d].",
                   LEAST_UNRESERVED);
        return;
    }
    if (save(call, function, wanted))
        answer_reserved(call, function);
}

void concurrency_get(struct api_call *call)
{
    struct function *function = api_function(call);

    if (function)
        answer_reserved(call, function);
}

void concurrency_delete(struct api_call *call)
{
    struct function *function = api_function(call);

    if (function && save(call, function, -1))
        api_answer_nothing(call, 204);
}

void functions_account_settings(struct api_call *call)
{
    const struct api_options *options = api_options(call);
    struct json *answer = json_new_object(), *limit = json_new_object(), *usage = json_new_object();

    json_set_integer(limit, "TotalCodeSize", INT64_C(80530636800));
    json_set_integer(limit, "CodeSizeUnzipped", 262144000);
    json_set_integer(limit, "CodeSizeZipped", PACKAGE_MAX_BYTES);
    json_set_integer(limit, "ConcurrentExecutions", options->config->concurrency);
    json_set_integer(limit, "UnreservedConcurrentExecutions",
                     options->config->concurrency - function_store_reserved(options->store, NULL));
    json_set_integer(usage, "TotalCodeSize", function_store_code_bytes(options->store));
    json_set_integer(usage, "FunctionCount", (int64_t)function_store_count(options->store));
    json_set(answer, "AccountLimit", limit);
    json_set(answer, "AccountUsage", usage);
    api_answer(call, 200, answer);
}
