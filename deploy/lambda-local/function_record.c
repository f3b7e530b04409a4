/* Writes a function's record, and believes nothing when it reads one. */
#include "deploy/lambda-local/function_record.h"

#include "common/base/escape.h"
#include "deploy/lambda-local/package.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_alias(struct json_writer *w, const struct alias *alias)
{
    json_open_object(w, NULL);
    json_write_string(w, "name", view_of(alias->name));
    json_write_integer(w, "version", alias->version);
    json_write_integer(w, "additional", alias->additional);
    json_write_number(w, "weight", alias->weight);
    json_write_string(w, "description", view_of(alias->description));
    json_write_string(w, "revision", view_of(alias->revision));
    json_close_object(w);
}

void function_record_write(const struct function *function, struct buffer *out)
{
    struct json_writer w;

    json_begin(&w, out);
    json_open_object(&w, NULL);
    json_write_string(&w, "name", view_of(function->name));
    json_write_integer(&w, "nextVersion", function->next_version);
    json_write_integer(&w, "publishedVersion", function->published_version);
    json_write_string(&w, "publishedFingerprint", view_of(function->published_fingerprint));
    json_write_integer(&w, "reservedConcurrency", function->reserved_concurrency);
    json_write_tree(&w, "provisioned", function->provisioned);
    json_write_tree(&w, "tags", function->tags);
    json_open_array(&w, "aliases");
    for (size_t i = 0; i < function->alias_count; i++)
        write_alias(&w, function->aliases[i]);
    json_close_array(&w);
    json_write_tree(&w, "latest", function->latest->configuration);
    json_close_object(&w);
}

static bool copy_text(const struct json *object, const char *name, char *out, size_t size)
{
    struct view text;

    if (!json_get_string(object, name, &text) || text.length >= size)
        return false;
    memcpy(out, text.data, text.length);
    out[text.length] = '\0';
    return true;
}

static enum error read_alias(struct function *function, const struct json *value)
{
    struct alias *alias = calloc(1, sizeof *alias);
    struct view description;

    REQUIRE(alias);
    if (!copy_text(value, "name", alias->name, sizeof alias->name) ||
        !alias_name_valid(view_of(alias->name)) || function_alias(function, view_of(alias->name)) ||
        !json_get_integer(value, "version", &alias->version) ||
        !json_get_integer(value, "additional", &alias->additional) ||
        !json_get_number(value, "weight", &alias->weight) ||
        !json_get_string(value, "description", &description) ||
        !copy_text(value, "revision", alias->revision, sizeof alias->revision)) {
        free(alias);
        return ERROR_INVALID;
    }
    alias->description = view_duplicate(description);
    function_add_alias(function, alias);
    return ERROR_NONE;
}

/* The hash that clients see is base64, the folder's name is hex. */
static enum error code_of(struct function *function, const struct json *configuration,
                          struct code **code)
{
    struct buffer digest;
    char hex[2 * SHA256_BYTES + 1];
    struct view text;
    enum error error = ERROR_INVALID;

    buffer_init(&digest, 64);
    if (json_get_string(configuration, "CodeSha256", &text) &&
        base64_decode(&digest, text) == ERROR_NONE && digest.length == SHA256_BYTES) {
        hex_write(hex, digest.data, SHA256_BYTES);
        hex[sizeof hex - 1] = '\0';
        *code = function_code(function, hex);
        error = ERROR_NONE;
    }
    buffer_release(&digest);
    return error;
}

enum error function_record_version(struct function *function, struct json *configuration,
                                   int64_t number, struct version **version)
{
    struct code *code;
    enum error error = ERROR_INVALID;
    int64_t timeout_s, memory_mb;

    if (json_get_integer(configuration, "Timeout", &timeout_s) && timeout_s > 0 &&
        json_get_integer(configuration, "MemorySize", &memory_mb) && memory_mb > 0)
        error = code_of(function, configuration, &code);
    if (error) {
        json_free(configuration);
        return error;
    }
    *version = version_new(function, code, configuration, number);
    return ERROR_NONE;
}

static enum error read_members(struct function *function, const struct json *record)
{
    const struct json *latest = json_get(record, "latest"), *tags = json_get(record, "tags");
    const struct json *aliases = json_get(record, "aliases");
    const struct json *provisioned = json_get(record, "provisioned");
    char name[FUNCTION_NAME_SIZE];
    enum error error;

    if (!copy_text(record, "name", name, sizeof name) || strcmp(name, function->name) != 0 ||
        !json_get_integer(record, "nextVersion", &function->next_version) ||
        !json_get_integer(record, "publishedVersion", &function->published_version) ||
        !json_get_integer(record, "reservedConcurrency", &function->reserved_concurrency) ||
        !copy_text(record, "publishedFingerprint", function->published_fingerprint,
                   sizeof function->published_fingerprint) ||
        !latest || json_type_of(latest) != JSON_OBJECT || !tags ||
        json_type_of(tags) != JSON_OBJECT)
        return ERROR_INVALID;
    json_free(function->tags);
    function->tags = json_copy(tags);
    if (json_type_of(provisioned) == JSON_OBJECT) { /* absent: of an older release */
        json_free(function->provisioned);
        function->provisioned = json_copy(provisioned);
    }
    for (const struct json *each = json_first(aliases); each; each = json_next(each)) {
        if ((error = read_alias(function, each)))
            return error;
    }
    return function_record_version(function, json_copy(latest), 0, &function->latest);
}

enum error function_record_read(struct function *function, struct view text)
{
    struct json *record;
    enum error error = json_parse(text, 32, &record, NULL);

    if (error)
        return error;
    error = read_members(function, record);
    json_free(record);
    if (!error)
        function->serving = version_hold(function->latest);
    return error;
}
