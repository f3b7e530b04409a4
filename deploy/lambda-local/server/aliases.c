/* Creates, changes, lists and deletes aliases, with a second version for part of the calls. */
#include "deploy/lambda-local/server/api.h"

#include "deploy/lambda-local/provisioned.h"
#include "deploy/lambda-local/server/answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PER_PAGE 50
#define MAX_ALIASES  10000

/* FunctionVersion of the document; absent leaves it alone. False after a refusal. */
static bool read_version(struct api_call *call, const struct function *function, bool needed,
                         int64_t *number)
{
    struct view text;
    char arn[FUNCTION_ARN_SIZE];

    if (!json_get_string(call->document, "FunctionVersion", &text)) {
        if (needed)
            api_refuse(call, REFUSAL_VALIDATION,
                       "1 validation error detected: Value null at 'functionVersion' failed to "
                       "satisfy constraint: Member must not be null");
        return !needed;
    }
    if (!version_label_parse(text, number)) {
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value '%.*s' at 'functionVersion' failed to "
                   "satisfy constraint: Member must satisfy regular expression pattern: "
                   "(\\$LATEST|[0-9]+)",
                   VIEW_FORMAT(view_slice(text, 0, 128)));
        return false;
    }
    if (*number == 0 || function_version(function, *number))
        return true;
    function_arn(arn, function->name, NULL);
    api_refuse(call, REFUSAL_NOT_FOUND, "Function not found: %s:%.*s", arn, VIEW_FORMAT(text));
    return false;
}

/* The one additional version and its weight. False after a refusal. */
static bool read_weight(struct api_call *call, const struct function *function,
                        const struct json *entry, int64_t main_version, int64_t *additional,
                        double *weight)
{
    *weight = json_type_of(entry) == JSON_NUMBER ? json_number(entry) : -1;
    if (!(*weight >= 0 && *weight <= 1)) {
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value at "
                   "'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map "
                   "values must be between 0.0 and 1.0");
        return false;
    }
    if (!version_number_parse(json_name(entry), additional)) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "The alias's additional version must be a published one, not '%.*s'",
                   VIEW_FORMAT(view_slice(json_name(entry), 0, 64)));
        return false;
    }
    if (main_version == 0) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "$LATEST is not supported for an alias pointing to more than 1 version");
        return false;
    }
    if (*additional == main_version) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "Invalid function version %lld. Function version %lld is already included in "
                   "routing configuration.",
                   (long long)*additional, (long long)*additional);
        return false;
    }
    if (!function_version(function, *additional)) {
        char arn[FUNCTION_ARN_SIZE];

        function_arn(arn, function->name, NULL);
        api_refuse(call, REFUSAL_NOT_FOUND, "Function not found: %s:%lld", arn,
                   (long long)*additional);
        return false;
    }
    return true;
}

static bool read_routing(struct api_call *call, const struct function *function,
                         int64_t main_version, int64_t *additional, double *weight)
{
    const struct json *routing = json_get(call->document, "RoutingConfig");
    const struct json *weights = json_get(routing, "AdditionalVersionWeights");

    if (!routing || json_type_of(routing) == JSON_NULL)
        return true;
    *additional = 0;
    *weight = 0;
    if (json_count(weights) > 1) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "Number of items in AdditionalVersionWeights cannot be greater than 1");
        return false;
    }
    return json_count(weights) == 0 ||
           read_weight(call, function, json_first(weights), main_version, additional, weight);
}

static bool read_description(struct api_call *call, struct view *description)
{
    if (!json_get_string(call->document, "Description", description) || description->length <= 256)
        return true;
    api_refuse(call, REFUSAL_VALIDATION,
               "1 validation error detected: Value at 'description' failed to satisfy constraint: "
               "Member must have length less than or equal to 256");
    return false;
}

static void touch(struct alias *alias)
{
    id_make(alias->revision);
}

/* The alias that the path names; NULL after a refusal. */
static struct alias *named_alias(struct api_call *call, struct function **function)
{
    struct alias *alias;
    char arn[FUNCTION_ARN_SIZE];

    *function = api_function(call);
    if (!*function)
        return NULL;
    alias = function_alias(*function, call->labels[1]);
    if (!alias) {
        function_arn(arn, (*function)->name, NULL);
        api_refuse(call, REFUSAL_NOT_FOUND, "Cannot find alias arn: %s:%.*s", arn,
                   VIEW_FORMAT(view_slice(call->labels[1], 0, 128)));
    }
    return alias;
}

static bool read_new_name(struct api_call *call, const struct function *function, struct view *name)
{
    char arn[FUNCTION_ARN_SIZE];

    *name = VIEW("");
    json_get_string(call->document, "Name", name);
    if (!alias_name_valid(*name)) {
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value '%.*s' at 'name' failed to satisfy "
                   "constraint: Member must satisfy regular expression pattern: "
                   "(?!^[0-9]+$)([a-zA-Z0-9-_]+)",
                   VIEW_FORMAT(view_slice(*name, 0, 128)));
        return false;
    }
    if (!function_alias(function, *name) && function->alias_count < MAX_ALIASES)
        return true;
    function_arn(arn, function->name, NULL);
    api_refuse(call, REFUSAL_CONFLICT, "Alias already exists: %s:%.*s", arn, VIEW_FORMAT(*name));
    return false;
}

void aliases_create(struct api_call *call)
{
    struct function *function = api_function(call);
    struct view name, description = VIEW("");
    int64_t version = 0, additional = 0;
    double weight = 0;
    struct alias *alias;
    enum error error;

    if (!function || !api_document(call) || !read_new_name(call, function, &name) ||
        !read_version(call, function, true, &version) ||
        !read_routing(call, function, version, &additional, &weight) ||
        !read_description(call, &description))
        return;
    alias = calloc(1, sizeof *alias);
    REQUIRE(alias);
    snprintf(alias->name, sizeof alias->name, "%.*s", VIEW_FORMAT(name));
    alias->version = version;
    alias->additional = additional;
    alias->weight = weight;
    alias->description = view_duplicate(description);
    touch(alias);
    function_add_alias(function, alias);
    error = function_store_save(api_options(call)->store, function);
    if (error) {
        function_remove_alias(function, alias);
        api_failed(call, error, "The alias could not be saved");
        return;
    }
    api_answer(call, 201, answer_alias(function, alias));
}

void aliases_get(struct api_call *call)
{
    struct function *function;
    struct alias *alias = named_alias(call, &function);

    if (alias)
        api_answer(call, 200, answer_alias(function, alias));
}

/* Changes the alias; what it was comes back when it cannot be saved. */
static enum error change(struct api_call *call, struct function *function, struct alias *alias,
                         const struct alias *wanted)
{
    struct alias former = *alias;
    enum error error;

    *alias = *wanted;
    touch(alias);
    error = function_store_save(api_options(call)->store, function);
    if (error)
        *alias = former;
    else if (former.description != alias->description)
        free(former.description);
    return error;
}

void aliases_update(struct api_call *call)
{
    struct function *function;
    struct alias *alias = named_alias(call, &function), wanted;
    struct view description;
    enum error error;

    if (!alias || !api_document(call) || !api_revision(call, view_of(alias->revision)))
        return;
    wanted = *alias;
    description = view_of(alias->description);
    if (!read_version(call, function, false, &wanted.version) ||
        !read_routing(call, function, wanted.version, &wanted.additional, &wanted.weight) ||
        !read_description(call, &description))
        return;
    if (wanted.additional && (wanted.additional == wanted.version || wanted.version == 0)) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "Invalid function version %lld. Function version %lld is already included in "
                   "routing configuration.",
                   (long long)wanted.version, (long long)wanted.version);
        return;
    }
    wanted.description = view_duplicate(description);
    error = change(call, function, alias, &wanted);
    if (error)
        free(wanted.description);
    if (!api_failed(call, error, "The alias could not be saved"))
        api_answer(call, 200, answer_alias(function, alias));
}

/* As on AWS, an alias that is not there is as good as deleted. */
void aliases_delete(struct api_call *call)
{
    struct function *function = api_function(call);
    struct alias *alias;

    if (!function)
        return;
    alias = function_alias(function, call->labels[1]);
    if (alias) {
        provisioned_remove(function, alias->name);
        function_remove_alias(function, alias);
        if (api_failed(call, function_store_save(api_options(call)->store, function),
                       "The function could not be saved"))
            return;
    }
    api_answer_nothing(call, 204);
}

void aliases_list(struct api_call *call)
{
    struct function *function = api_function(call);
    struct json *answer, *items;
    struct view marker, text;
    int64_t left, only = -1;

    if (!function || !api_page(call, MAX_PER_PAGE, &marker, &left))
        return;
    if (api_query(call, "FunctionVersion", &text) && !version_label_parse(text, &only)) {
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value '%.*s' at 'functionVersion' failed to "
                   "satisfy constraint: Member must satisfy regular expression pattern: "
                   "(\\$LATEST|[0-9]+)",
                   VIEW_FORMAT(view_slice(text, 0, 128)));
        return;
    }
    answer = json_new_object();
    items = json_new_array();
    for (size_t i = 0; i < function->alias_count; i++) {
        const struct alias *alias = function->aliases[i];

        if (view_compare(view_of(alias->name), marker) < 0 ||
            (only >= 0 && alias->version != only && (!only || alias->additional != only)))
            continue;
        if (left-- <= 0) {
            answer_next_marker(answer, view_of(alias->name));
            break;
        }
        json_append(items, answer_alias(function, alias));
    }
    json_set(answer, "Aliases", items);
    api_answer(call, 200, answer);
}
