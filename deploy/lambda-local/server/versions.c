/* Publishes and lists versions. */
#include "deploy/lambda-local/server/api.h"

#include "deploy/lambda-local/server/answers.h"

#include <stdio.h>

#define MAX_PER_PAGE 50

/* CodeSha256, when given, must be that of $LATEST; false after a refusal. */
static bool code_matches(struct api_call *call, const struct function *function)
{
    struct view wanted, current = {0};

    if (!json_get_string(call->document, "CodeSha256", &wanted) || wanted.length == 0)
        return true;
    json_get_string(function->latest->configuration, "CodeSha256", &current);
    if (view_equal(wanted, current))
        return true;
    api_refuse(call, REFUSAL_INVALID_PARAMETER,
               "CodeSHA256 (%.*s) is different from current CodeSHA256 in $LATEST (%.*s). Please "
               "try again with the CodeSHA256 in $LATEST.",
               VIEW_FORMAT(view_slice(wanted, 0, 128)), VIEW_FORMAT(current));
    return false;
}

void versions_publish(struct api_call *call)
{
    struct function *function = api_function(call);
    struct view revision = {0}, description;
    struct version *version;
    char label[24];
    bool described;
    enum error error;

    if (!function || !api_document(call))
        return;
    json_get_string(function->latest->configuration, "RevisionId", &revision);
    if (answer_busy(call, function) || !api_revision(call, revision) ||
        !code_matches(call, function))
        return;
    described =
        json_get_string(call->document, "Description", &description) && description.length > 0;
    if (described && description.length > 256) {
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value at 'description' failed to satisfy "
                   "constraint: Member must have length less than or equal to 256");
        return;
    }
    error = function_store_publish(api_options(call)->store, function,
                                   described ? &description : NULL, &version);
    if (api_failed(call, error, "The version could not be saved"))
        return;
    version_label(version->number, label);
    api_answer(call, 201, answer_configuration(version, label));
}

void versions_list(struct api_call *call)
{
    struct function *function = api_function(call);
    struct json *answer, *items;
    struct view marker;
    int64_t left, from = 0;

    if (!function || !api_page(call, MAX_PER_PAGE, &marker, &left))
        return;
    if (marker.length > 0 && !version_label_parse(marker, &from)) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER, "Invalid pagination marker");
        return;
    }
    answer = json_new_object();
    items = json_new_array();
    for (size_t i = 0; i <= function->version_count; i++) {
        const struct version *version = i == 0 ? function->latest : function->versions[i - 1];
        char label[24];

        version_label(version->number, label);
        if (version->number < from)
            continue;
        if (left-- <= 0) {
            answer_next_marker(answer, view_of(label));
            break;
        }
        json_append(items, answer_configuration(version, label));
    }
    json_set(answer, "Versions", items);
    api_answer(call, 200, answer);
}
