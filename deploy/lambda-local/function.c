/* Holds functions, their versions, aliases and code together, and lets them go. */
#include "deploy/lambda-local/function.h"

#include "common/base/escape.h"
#include "common/base/file.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "deploy/lambda-local/function_log.h"
#include "deploy/lambda-local/package.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *make(size_t size)
{
    void *made = calloc(1, size);

    REQUIRE(made);
    return made;
}

struct function *function_new(const char *name, char *folder)
{
    struct function *function = make(sizeof *function);

    function->references = 1;
    snprintf(function->name, sizeof function->name, "%s", name);
    function->folder = folder;
    function->tags = json_new_object();
    function->reserved_concurrency = -1;
    function->provisioned = json_new_object();
    function->next_version = 1;
    return function;
}

struct function *function_hold(struct function *function)
{
    function->references++;
    return function;
}

static void function_free(struct function *function)
{
    struct code *code, *next;

    for (size_t i = 0; i < function->alias_count; i++)
        alias_free(function->aliases[i]);
    for (code = function->codes; code; code = next) {
        next = code->next;
        free(code->folder);
        free(code->zip);
        free(code);
    }
    function_log_free(function->log);
    if (function->deleted && package_remove(function->folder) != ERROR_NONE)
        log_write(LOG_WARN, "function-not-removed", LOG_STRING("folder", function->folder));
    free(function->aliases);
    free(function->versions);
    json_free(function->tags);
    json_free(function->provisioned);
    free(function->folder);
    free(function);
}

void function_release(struct function *function)
{
    if (function && --function->references == 0)
        function_free(function);
}

static char *setting(const struct json *configuration, const char *name)
{
    struct view text = {0};

    json_get_string(configuration, name, &text);
    return view_duplicate(text.data ? text : VIEW(""));
}

struct version *version_new(struct function *function, struct code *code,
                            struct json *configuration, int64_t number)
{
    struct version *version = make(sizeof *version);

    version->references = 1;
    version->function = function_hold(function);
    version->code = code;
    code->references++;
    version->configuration = configuration;
    version->number = number;
    version->runtime = setting(configuration, "Runtime");
    version->handler = setting(configuration, "Handler");
    version->timeout_s = 3;
    version->memory_mb = 128;
    json_get_integer(configuration, "Timeout", &version->timeout_s);
    json_get_integer(configuration, "MemorySize", &version->memory_mb);
    return version;
}

struct version *version_hold(struct version *version)
{
    version->references++;
    return version;
}

void version_release(struct version *version)
{
    if (!version || --version->references > 0)
        return;
    if (version->ready_timer)
        event_free(version->ready_timer);
    version->code->references--;
    json_free(version->configuration);
    free(version->runtime);
    free(version->handler);
    function_release(version->function);
    free(version);
}

struct version *function_version(const struct function *function, int64_t number)
{
    size_t low = 0, high = function->version_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (function->versions[middle]->number == number)
            return function->versions[middle];
        if (function->versions[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void function_add_version(struct function *function, struct version *version)
{
    size_t count = function->version_count;

    REQUIRE(count == 0 || function->versions[count - 1]->number < version->number);
    function->versions = realloc(function->versions, (count + 1) * sizeof *function->versions);
    REQUIRE(function->versions);
    function->versions[count] = version;
    function->version_count = count + 1;
}

void function_remove_version(struct function *function, int64_t number)
{
    for (size_t i = 0; i < function->version_count; i++) {
        struct version *version = function->versions[i];

        if (version->number != number)
            continue;
        memmove(&function->versions[i], &function->versions[i + 1],
                (function->version_count - i - 1) * sizeof *function->versions);
        function->version_count--;
        version_release(version);
        return;
    }
}

struct alias *function_alias(const struct function *function, struct view name)
{
    for (size_t i = 0; i < function->alias_count; i++) {
        if (view_equal_string(name, function->aliases[i]->name))
            return function->aliases[i];
    }
    return NULL;
}

void function_add_alias(struct function *function, struct alias *alias)
{
    size_t at = function->alias_count;

    function->aliases = realloc(function->aliases, (at + 1) * sizeof *function->aliases);
    REQUIRE(function->aliases);
    while (at > 0 && strcmp(function->aliases[at - 1]->name, alias->name) > 0) {
        function->aliases[at] = function->aliases[at - 1];
        at--;
    }
    function->aliases[at] = alias;
    function->alias_count++;
}

void function_remove_alias(struct function *function, struct alias *alias)
{
    size_t at = 0;

    while (at < function->alias_count && function->aliases[at] != alias)
        at++;
    REQUIRE(at < function->alias_count);
    memmove(&function->aliases[at], &function->aliases[at + 1],
            (function->alias_count - at - 1) * sizeof *function->aliases);
    function->alias_count--;
    alias_free(alias);
}

void alias_free(struct alias *alias)
{
    free(alias->description);
    free(alias);
}

const struct alias *function_alias_of(const struct function *function, int64_t version)
{
    for (size_t i = 0; i < function->alias_count; i++) {
        const struct alias *alias = function->aliases[i];

        if (alias->version == version || (alias->additional && alias->additional == version))
            return alias;
    }
    return NULL;
}

struct code *function_code(struct function *function, const char *sha256_hex)
{
    struct buffer path;
    struct code *code;

    for (code = function->codes; code; code = code->next) {
        if (strcmp(code->sha256_hex, sha256_hex) == 0)
            return code;
    }
    code = make(sizeof *code);
    snprintf(code->sha256_hex, sizeof code->sha256_hex, "%s", sha256_hex);
    buffer_init(&path, 8192);
    buffer_append_format(&path, "%s/code/%s", function->folder, sha256_hex);
    code->folder = view_duplicate(buffer_view(&path));
    buffer_append_string(&path, ".zip");
    code->zip = view_duplicate(buffer_view(&path));
    REQUIRE(path.error == ERROR_NONE);
    buffer_release(&path);
    code->next = function->codes;
    function->codes = code;
    return code;
}

void function_sweep_code(struct function *function)
{
    struct code **link = &function->codes, *code;

    while ((code = *link)) {
        if (code->references > 0) {
            link = &code->next;
            continue;
        }
        *link = code->next;
        remove(code->zip);
        if (!function->deleted && package_remove(code->folder) != ERROR_NONE)
            log_write(LOG_WARN, "code-not-removed", LOG_STRING("folder", code->folder));
        free(code->folder);
        free(code->zip);
        free(code);
    }
}

void version_fingerprint(const struct version *version, char out[2 * SHA256_BYTES + 1])
{
    static const char *const changing[] = {"FunctionArn",
                                           "Version",
                                           "RevisionId",
                                           "LastModified",
                                           "State",
                                           "StateReason",
                                           "StateReasonCode",
                                           "LastUpdateStatus",
                                           "LastUpdateStatusReason",
                                           "LastUpdateStatusReasonCode"};
    struct json *copy = json_copy(version->configuration);
    uint8_t digest[SHA256_BYTES];
    struct buffer text;

    for (size_t i = 0; i < sizeof changing / sizeof changing[0]; i++)
        json_remove(copy, changing[i]);
    buffer_init(&text, 1 << 20);
    json_print(&text, copy);
    REQUIRE(text.error == ERROR_NONE);
    sha256(buffer_view(&text), digest);
    hex_write(out, digest, sizeof digest);
    out[2 * SHA256_BYTES] = '\0';
    buffer_release(&text);
    json_free(copy);
}

void version_label(int64_t number, char out[24])
{
    if (number == 0)
        snprintf(out, 24, "$LATEST");
    else
        snprintf(out, 24, "%lld", (long long)number);
}

bool version_label_parse(struct view text, int64_t *number)
{
    if (view_equal_string(text, "$LATEST")) {
        *number = 0;
        return true;
    }
    return version_number_parse(text, number);
}

void version_touch(struct version *version)
{
    char id[ID_SIZE];

    id_make(id);
    json_set_string(version->configuration, "RevisionId", view_of(id));
}

enum version_state version_state(const struct version *version)
{
    struct view state = {0};

    json_get_string(version->configuration, "State", &state);
    return view_equal_string(state, "Pending") ? VERSION_PENDING : VERSION_ACTIVE;
}

bool version_updating(const struct version *version)
{
    struct view status = {0};

    json_get_string(version->configuration, "LastUpdateStatus", &status);
    return view_equal_string(status, "InProgress");
}
