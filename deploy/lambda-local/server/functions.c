/* Creates, shows, lists and deletes functions. */
#include "deploy/lambda-local/server/api.h"

#include "common/base/clock.h"
#include "common/base/escape.h"
#include "common/base/file.h"
#include "deploy/lambda-local/function_state.h"
#include "deploy/lambda-local/package.h"
#include "deploy/lambda-local/server/answers.h"
#include "deploy/lambda-local/server/code.h"
#include "deploy/lambda-local/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCATION_LIFE_MS (10 * 60 * 1000)
#define MAX_PER_PAGE     50
#define MAX_FUNCTIONS    10000

/* -- CreateFunction -- */

static bool read_name(struct api_call *call, const struct json *document)
{
    struct view name = {0};

    json_get_string(document, "FunctionName", &name);
    if (function_name_parse(name, &call->target) == NAME_FINE && !call->target.qualifier[0])
        return true;
    api_refuse(call, REFUSAL_VALIDATION,
               "1 validation error detected: Value '%.*s' at 'functionName' failed to satisfy "
               "constraint: Member must satisfy regular expression pattern: "
               "(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?"
               "(function:)?([a-zA-Z0-9-_]+)",
               VIEW_FORMAT(view_slice(name, 0, 256)));
    return false;
}

static void describe(struct json *configuration, const char *name)
{
    struct json *logging = json_new_object();
    char arn[FUNCTION_ARN_SIZE], group[128];

    function_arn(arn, name, NULL);
    snprintf(group, sizeof group, "/aws/lambda/%s", name);
    json_set_string(configuration, "FunctionName", view_of(name));
    json_set_string(configuration, "FunctionArn", view_of(arn));
    json_set_string(configuration, "Version", VIEW("$LATEST"));
    json_set_string(logging, "LogFormat", VIEW("Text"));
    json_set_string(logging, "LogGroup", view_of(group));
    json_set(configuration, "LoggingConfig", logging);
    settings_defaults(configuration);
    function_state_modified(configuration);
}

static bool required(struct api_call *call, const struct json *configuration, const char *name,
                     const char *constraint)
{
    struct view text;

    if (json_get_string(configuration, name, &text) && text.length > 0)
        return true;
    if (strcmp(name, "Role") == 0)
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value null at '%s' failed to satisfy constraint: "
                   "Member must not be null",
                   constraint);
    else
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "Runtime and Handler are mandatory parameters for functions created with "
                   "deployment packages.");
    return false;
}

/* Settings of the request, on top of the defaults; false after a refusal. */
static bool configure(struct api_call *call, const struct json *document,
                      struct json *configuration, struct json *tags)
{
    struct view package_type;
    struct buffer problem;
    bool answered;

    if (json_get_string(document, "PackageType", &package_type) &&
        !view_equal_string(package_type, "Zip")) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "lambda-local runs functions of PackageType Zip only.");
        return false;
    }
    buffer_init(&problem, 4096);
    answered =
        answer_settings(call, settings_apply(document, configuration, &problem), &problem) ||
        answer_settings(call, settings_tags(json_get(document, "Tags"), tags, &problem),
                        &problem) ||
        answer_settings(call, settings_architectures(json_get(document, "Architectures"), &problem),
                        &problem);
    buffer_release(&problem);
    if (answered || !required(call, configuration, "Role", "role") ||
        !required(call, configuration, "Runtime", "runtime") ||
        !required(call, configuration, "Handler", "handler"))
        return false;
    if (json_get(document, "Architectures"))
        json_set(configuration, "Architectures", json_copy(json_get(document, "Architectures")));
    return true;
}

/* Takes configuration and tags. */
static void create(struct api_call *call, struct json *configuration, struct json *tags,
                   struct view zip, bool publish)
{
    struct function_store *store = api_options(call)->store;
    struct function *function;
    struct version *version;
    struct code *code;
    enum error error = function_store_prepare(store, call->target.name, &function);

    if (api_failed(call, error, "The function's folder could not be made")) {
        json_free(configuration);
        json_free(tags);
        return;
    }
    json_free(function->tags);
    function->tags = tags;
    if (!code_store(call, function, zip, &code)) {
        json_free(configuration);
        function_store_discard(store, function);
        return;
    }
    code_describe(configuration, zip);
    function->latest = version = version_new(function, code, configuration, 0);
    error = function_store_add(store, function);
    if (api_failed(call, error, "The function could not be saved")) {
        function_store_discard(store, function);
        return;
    }
    if (publish) {
        error = function_store_publish(store, function, NULL, &version);
        if (api_failed(call, error, "The version could not be saved"))
            return;
    }
    api_answer(call, 201, answer_configuration(version, publish ? "1" : ""));
}

void functions_create(struct api_call *call)
{
    const struct json *document = api_document(call);
    struct json *configuration, *tags;
    struct buffer zip;
    bool publish = false;

    if (!document || !read_name(call, document))
        return;
    if (function_store_find(api_options(call)->store, view_of(call->target.name))) {
        api_refuse(call, REFUSAL_CONFLICT, "Function already exist: %s", call->target.name);
        return;
    }
    if (function_store_count(api_options(call)->store) >= MAX_FUNCTIONS) {
        api_refuse(call, REFUSAL_CODE_TOO_LARGE, "lambda-local keeps at most %d functions.",
                   MAX_FUNCTIONS);
        return;
    }
    json_get_bool(document, "Publish", &publish);
    configuration = json_new_object();
    tags = json_new_object();
    describe(configuration, call->target.name);
    buffer_init(&zip, 0);
    if (configure(call, document, configuration, tags) &&
        code_read(call, json_get(document, "Code"), &zip)) {
        create(call, configuration, tags, buffer_view(&zip), publish);
    } else {
        json_free(configuration);
        json_free(tags);
    }
    buffer_release(&zip);
}

/* -- GetFunction and GetFunctionConfiguration -- */

/* What proves that an address of a package came from here: its function, hash and end of life. */
static void location_signature(const struct api_call *call, const char *name, const char *sha256,
                               int64_t expires_ms, char out[2 * SHA256_BYTES + 1])
{
    char text[256];

    snprintf(text, sizeof text, "%s\n%s\n%lld", name, sha256, (long long)expires_ms);
    api_sign(call, view_of(text), out);
}

static struct json *code_location(struct api_call *call, const struct version *version)
{
    int64_t expires_ms = clock_wall_ms() + LOCATION_LIFE_MS;
    char signature[2 * SHA256_BYTES + 1];
    struct json *code = json_new_object();
    struct view host = VIEW("localhost");
    char url[1024];

    front_header(call->exchange, "host", &host);
    location_signature(call, version->function->name, version->code->sha256_hex, expires_ms,
                       signature);
    snprintf(url, sizeof url,
             "http://%.*s/lambda-local/functions/%s/code?Sha256=%s&Expires=%lld&Signature=%s",
             VIEW_FORMAT(view_slice(host, 0, 300)), version->function->name,
             version->code->sha256_hex, (long long)expires_ms, signature);
    json_set_string(code, "RepositoryType", VIEW("S3"));
    json_set_string(code, "Location", view_of(url));
    return code;
}

void functions_get(struct api_call *call)
{
    struct function *function;
    struct version *version = api_version(call, &function, NULL);
    struct json *answer;

    if (!version)
        return;
    answer = json_new_object();
    json_set(answer, "Configuration", answer_configuration(version, call->target.qualifier));
    json_set(answer, "Code", code_location(call, version));
    if (json_count(function->tags) > 0)
        json_set(answer, "Tags", json_copy(function->tags));
    if (function->reserved_concurrency >= 0) {
        struct json *concurrency = json_new_object();

        json_set_integer(concurrency, "ReservedConcurrentExecutions",
                         function->reserved_concurrency);
        json_set(answer, "Concurrency", concurrency);
    }
    api_answer(call, 200, answer);
}

void functions_get_configuration(struct api_call *call)
{
    struct function *function;
    struct version *version = api_version(call, &function, NULL);

    if (version)
        api_answer(call, 200, answer_configuration(version, call->target.qualifier));
}

static bool location_valid(struct api_call *call, struct view sha256_hex)
{
    char expected[2 * SHA256_BYTES + 1], hash[2 * SHA256_BYTES + 1];
    struct view expires, signature;
    uint64_t expires_ms;

    if (!api_query(call, "Expires", &expires) || !api_query(call, "Signature", &signature) ||
        view_to_u64(expires, INT64_MAX, &expires_ms) != ERROR_NONE ||
        sha256_hex.length != sizeof hash - 1)
        return false;
    snprintf(hash, sizeof hash, "%.*s", VIEW_FORMAT(sha256_hex));
    location_signature(call, call->target.name, hash, (int64_t)expires_ms, expected);
    return constant_time_equal(view_of(expected), signature) &&
           clock_wall_ms() < (int64_t)expires_ms;
}

void functions_code_location(struct api_call *call)
{
    struct incoming_header type = {VIEW("Content-Type"), VIEW("application/zip")};
    struct function *function;
    struct view sha256_hex = VIEW("");
    const struct code *code;
    struct buffer zip;

    api_query(call, "Sha256", &sha256_hex);
    if (!api_target(call))
        return;
    if (!location_valid(call, sha256_hex)) {
        api_refuse(call, REFUSAL_ACCESS_DENIED, "Request has expired or was not signed here");
        return;
    }
    function = function_store_find(api_options(call)->store, view_of(call->target.name));
    code = function ? function->codes : NULL;
    while (code && !view_equal_string(sha256_hex, code->sha256_hex))
        code = code->next;
    buffer_init(&zip, PACKAGE_MAX_BYTES);
    if (!code || file_read(code->zip, &zip) != ERROR_NONE)
        api_refuse(call, REFUSAL_NOT_FOUND, "The package is not there any more.");
    else
        api_answer_bytes(call, 200, &type, 1, buffer_view(&zip));
    buffer_release(&zip);
}

/* -- ListFunctions -- */

struct page {
    struct json *items;
    int64_t left;
    bool full; /* there is more than fits */
};

static void list_item(struct page *page, const struct version *version, const char *qualifier)
{
    json_append(page->items, answer_list_item(version, qualifier));
    page->left--;
}

/* Functions from the marker's on; with `all`, each with all of its versions (pages end between
 * functions). */
void functions_list(struct api_call *call)
{
    struct function_store *store = api_options(call)->store;
    struct page page = {.items = NULL};
    struct view marker, wish = VIEW("");
    struct function *function;
    struct json *answer;
    bool all;

    if (!api_page(call, MAX_PER_PAGE, &marker, &page.left))
        return;
    api_query(call, "FunctionVersion", &wish);
    all = view_equal_string(wish, "ALL");
    if (wish.length > 0 && !all) {
        api_refuse(call, REFUSAL_VALIDATION,
                   "1 validation error detected: Value '%.*s' at 'functionVersion' failed to "
                   "satisfy constraint: Member must satisfy enum value set: [ALL]",
                   VIEW_FORMAT(view_slice(wish, 0, 64)));
        return;
    }
    answer = json_new_object();
    page.items = json_new_array();
    for (size_t i = 0; (function = function_store_at(store, i)); i++) {
        if (view_compare(view_of(function->name), marker) < 0)
            continue;
        if (page.left <= 0) {
            answer_next_marker(answer, view_of(function->name));
            break;
        }
        list_item(&page, function->latest, all ? "$LATEST" : "");
        for (size_t j = 0; all && j < function->version_count; j++) {
            char label[24];

            version_label(function->versions[j]->number, label);
            list_item(&page, function->versions[j], label);
        }
    }
    json_set(answer, "Functions", page.items);
    api_answer(call, 200, answer);
}

/* -- DeleteFunction -- */

static void delete_version(struct api_call *call, struct function *function, int64_t number)
{
    const struct alias *alias = function_alias_of(function, number);
    enum error error;

    if (alias) {
        api_refuse(call, REFUSAL_CONFLICT,
                   "Unable to delete version because the following aliases reference it: [%s]",
                   alias->name);
        return;
    }
    error = function_store_remove_version(api_options(call)->store, function, number);
    if (!api_failed(call, error, "The version could not be deleted"))
        api_answer_nothing(call, 204);
}

void functions_delete(struct api_call *call)
{
    struct function *function = api_function(call);
    const char *qualifier = call->target.qualifier;
    int64_t number;
    enum error error;

    if (!function)
        return;
    if (!qualifier[0]) {
        error = function_store_remove(api_options(call)->store, function);
        if (!api_failed(call, error, "The function could not be deleted"))
            api_answer_nothing(call, 204);
    } else if (!version_label_parse(view_of(qualifier), &number)) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "Deletion of aliases is not currently supported.");
    } else if (number == 0) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "$LATEST version cannot be deleted without deleting the function.");
    } else if (!function_version(function, number)) {
        char arn[FUNCTION_ARN_SIZE];

        function_arn(arn, function->name, qualifier);
        api_refuse(call, REFUSAL_NOT_FOUND, "Function not found: %s", arn);
    } else {
        delete_version(call, function, number);
    }
}
