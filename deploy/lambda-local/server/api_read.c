/* What the handlers read of a call: parameters, the JSON body, which function is meant. */
#include "deploy/lambda-local/server/api.h"

#include "common/base/escape.h"

#include <stdio.h>
#include <string.h>

static struct view decode(struct api_call *call, struct view text)
{
    struct buffer decoded;
    struct view result = {0};

    buffer_init(&decoded, 16384);
    if (percent_decode(&decoded, text, true, false) == ERROR_NONE && decoded.error == ERROR_NONE)
        result = arena_copy(&call->arena, buffer_view(&decoded));
    buffer_release(&decoded);
    return result.data ? result : VIEW("");
}

bool api_query_at(struct api_call *call, const char *name, size_t index, struct view *value)
{
    struct view rest = call->query, pair;

    while (rest.data && view_split(&rest, '&', &pair)) {
        size_t equals = view_find(pair, '=');
        struct view key = decode(call, view_slice(pair, 0, equals));

        if (!view_equal_string(key, name) || index-- > 0)
            continue;
        *value =
            equals == SIZE_MAX ? VIEW("") : decode(call, view_slice(pair, equals + 1, SIZE_MAX));
        return true;
    }
    return false;
}

bool api_query(struct api_call *call, const char *name, struct view *value)
{
    return api_query_at(call, name, 0, value);
}

const struct json *api_document(struct api_call *call)
{
    struct view body = buffer_view(&call->body);
    size_t offset = 0;

    if (call->document)
        return call->document;
    if (body.length == 0) {
        call->document = json_new_object();
    } else if (json_parse(body, 32, &call->document, &offset) != ERROR_NONE) {
        call->document = NULL;
        api_refuse(call, REFUSAL_INVALID_CONTENT,
                   "Could not parse request body into json: not well-formed near byte %zu", offset);
    } else if (json_type_of(call->document) != JSON_OBJECT) {
        json_free(call->document);
        call->document = NULL;
        api_refuse(call, REFUSAL_INVALID_CONTENT,
                   "Could not parse request body into json: an object is expected");
    }
    return call->document;
}

static bool join_qualifier(struct api_call *call)
{
    struct function_name *target = &call->target;
    struct view qualifier;

    if (!api_query(call, "Qualifier", &qualifier) || qualifier.length == 0)
        return true;
    if (!qualifier_valid(qualifier)) {
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value '%.*s' at 'qualifier' failed to satisfy "
                   "constraint: Member must satisfy regular expression pattern: "
                   "(|[a-zA-Z0-9$_-]+)",
                   VIEW_FORMAT(qualifier));
        return false;
    }
    if (target->qualifier[0] && !view_equal_string(qualifier, target->qualifier)) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "The derived qualifier from the function name does not match the specified "
                   "qualifier.");
        return false;
    }
    snprintf(target->qualifier, sizeof target->qualifier, "%.*s", VIEW_FORMAT(qualifier));
    return true;
}

bool api_target(struct api_call *call)
{
    switch (function_name_parse(call->labels[0], &call->target)) {
    case NAME_FINE:
        return join_qualifier(call);
    case NAME_MALFORMED:
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value '%.*s' at 'functionName' failed to satisfy "
                   "constraint: Member must satisfy regular expression pattern: "
                   "(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?"
                   "(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?",
                   VIEW_FORMAT(view_slice(call->labels[0], 0, 256)));
        return false;
    case NAME_OTHER_REGION:
        api_refuse(call, REFUSAL_NOT_FOUND,
                   "Functions of another region are not reachable in this region ('" CONFIG_REGION
                   "')");
        return false;
    case NAME_OTHER_ACCOUNT:
        api_refuse(call, REFUSAL_ACCESS_DENIED,
                   "User: arn:aws:iam::" CONFIG_ACCOUNT
                   ":user/local is not authorized to perform: lambda:%s on resource: %.*s",
                   call->operation->name, VIEW_FORMAT(call->labels[0]));
        return false;
    }
    return false;
}

struct function *api_function(struct api_call *call)
{
    struct function *function;
    char arn[FUNCTION_ARN_SIZE];

    if (!api_target(call))
        return NULL;
    function = function_store_find(api_options(call)->store, view_of(call->target.name));
    if (!function) {
        function_arn(arn, call->target.name, call->target.qualifier);
        api_refuse(call, REFUSAL_NOT_FOUND, "Function not found: %s", arn);
    }
    return function;
}

struct version *api_version(struct api_call *call, struct function **function,
                            const struct alias **alias)
{
    const struct alias *found = NULL;
    struct version *version;
    int64_t number = 0;

    *function = api_function(call);
    if (!*function)
        return NULL;
    if (call->target.qualifier[0] &&
        !version_label_parse(view_of(call->target.qualifier), &number)) {
        found = function_alias(*function, view_of(call->target.qualifier));
        number = found ? found->version : -1;
    }
    if (alias)
        *alias = found;
    version = number == 0 ? (*function)->latest : function_version(*function, number);
    if (!version) {
        char arn[FUNCTION_ARN_SIZE];

        function_arn(arn, call->target.name, call->target.qualifier);
        api_refuse(call, REFUSAL_NOT_FOUND, "Function not found: %s", arn);
    }
    return version;
}

/* A marker is the place to go on at, in hex so that nobody takes it for more. */
bool api_page(struct api_call *call, int64_t ceiling, struct view *marker, int64_t *items)
{
    struct view text;
    uint64_t number;

    *items = ceiling;
    *marker = (struct view){0};
    if (api_query(call, "MaxItems", &text)) {
        if (view_to_u64(text, 10000, &number) != ERROR_NONE || number == 0) {
            api_refuse(call, REFUSAL_VALIDATION,
                       "1 validation error detected: Value '%.*s' at 'maxItems' failed to satisfy "
                       "constraint: Member must have value between 1 and 10000",
                       VIEW_FORMAT(view_slice(text, 0, 40)));
            return false;
        }
        *items = (int64_t)number < ceiling ? (int64_t)number : ceiling;
    }
    if (api_query(call, "Marker", &text) && text.length > 0) {
        struct buffer decoded;

        buffer_init(&decoded, 512);
        if (hex_decode(&decoded, text) == ERROR_NONE && decoded.error == ERROR_NONE)
            *marker = arena_copy(&call->arena, buffer_view(&decoded));
        buffer_release(&decoded);
        if (!marker->data) {
            api_refuse(call, REFUSAL_INVALID_PARAMETER, "Invalid pagination marker");
            return false;
        }
    }
    return true;
}

bool api_revision(struct api_call *call, struct view current)
{
    struct view wanted;

    if (!json_get_string(call->document, "RevisionId", &wanted) &&
        !api_query(call, "RevisionId", &wanted))
        return true;
    if (view_equal(wanted, current))
        return true;
    api_refuse(call, REFUSAL_PRECONDITION,
               "The Revision Id provided does not match the latest Revision Id. Call the "
               "GetFunction/GetAlias API to retrieve the latest Revision Id");
    return false;
}
