/* Adds, removes and lists the tags of functions, which are named by their ARN. */
#include "deploy/lambda-local/server/api.h"

#include "deploy/lambda-local/server/answers.h"
#include "deploy/lambda-local/settings.h"

#include <stdlib.h>

#define MAX_KEYS 50

/* The function that the ARN in the path names; NULL after a refusal. */
static struct function *tagged(struct api_call *call)
{
    if (!view_starts_with(call->labels[0], VIEW("arn:"))) {
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value '%.*s' at 'resource' failed to satisfy "
                   "constraint: Member must satisfy regular expression pattern: "
                   "arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:"
                   "\\d{12}:function:[a-zA-Z0-9-_]+",
                   VIEW_FORMAT(view_slice(call->labels[0], 0, 256)));
        return NULL;
    }
    if (!api_target(call))
        return NULL;
    if (call->target.qualifier[0]) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "Tags on function aliases and versions are not supported. Please specify a "
                   "function ARN.");
        return NULL;
    }
    return api_function(call);
}

/* Takes `tags`; answers. */
static void save(struct api_call *call, struct function *function, struct json *tags)
{
    struct json *former = function->tags;
    enum error error;

    function->tags = tags;
    error = function_store_save(api_options(call)->store, function);
    function->tags = error ? former : tags;
    json_free(error ? tags : former);
    if (!api_failed(call, error, "The tags could not be saved"))
        api_answer_nothing(call, 204);
}

void tags_add(struct api_call *call)
{
    struct function *function = tagged(call);
    const struct json *document = function ? api_document(call) : NULL;
    struct buffer problem;
    struct json *tags;

    if (!document || answer_busy(call, function))
        return;
    tags = json_copy(function->tags);
    buffer_init(&problem, 2048);
    if (answer_settings(call, settings_tags(json_get(document, "Tags"), tags, &problem), &problem))
        json_free(tags);
    else
        save(call, function, tags);
    buffer_release(&problem);
}

void tags_remove(struct api_call *call)
{
    struct function *function = tagged(call);
    struct json *tags;
    struct view key;
    size_t count;

    if (!function)
        return;
    tags = json_copy(function->tags);
    for (count = 0; count < MAX_KEYS && api_query_at(call, "tagKeys", count, &key); count++) {
        char *name = view_duplicate(key);

        json_remove(tags, name);
        free(name);
    }
    if (count == 0) {
        json_free(tags);
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value null at 'tagKeys' failed to satisfy "
                   "constraint: Member must not be null");
        return;
    }
    save(call, function, tags);
}

void tags_list(struct api_call *call)
{
    struct function *function = tagged(call);
    struct json *answer;

    if (!function)
        return;
    answer = json_new_object();
    json_set(answer, "Tags", json_copy(function->tags));
    api_answer(call, 200, answer);
}
