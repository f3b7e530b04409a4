/* Checks settings of functions by a table, in AWS's own words. */
#include "deploy/lambda-local/settings.h"

#include "deploy/lambda-local/runtimes.h"
#include "deploy/lambda-local/surroundings.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ENVIRONMENT_BYTES 4096
#define MAX_TAGS              50

struct setting;
typedef enum settings_verdict (*setting_check)(const struct setting *setting,
                                               const struct json *value, struct buffer *problem);

struct setting {
    const char *name;       /* the member's */
    const char *constraint; /* the name as constraint messages write it */
    enum json_type type;
    int64_t min, max; /* of the number, or of the text's length */
    setting_check check;
};

static enum settings_verdict check_integer(const struct setting *setting, const struct json *value,
                                           struct buffer *problem);
static enum settings_verdict check_text(const struct setting *setting, const struct json *value,
                                        struct buffer *problem);
static enum settings_verdict check_role(const struct setting *setting, const struct json *value,
                                        struct buffer *problem);
static enum settings_verdict check_runtime(const struct setting *setting, const struct json *value,
                                           struct buffer *problem);
static enum settings_verdict check_environment(const struct setting *setting,
                                               const struct json *value, struct buffer *problem);
static enum settings_verdict check_storage(const struct setting *setting, const struct json *value,
                                           struct buffer *problem);
static enum settings_verdict check_absent(const struct setting *setting, const struct json *value,
                                          struct buffer *problem);
static enum settings_verdict check_surroundings(const struct setting *setting,
                                                const struct json *value, struct buffer *problem);

static const struct setting settings[] = {
    {"Runtime", "runtime", JSON_STRING, 1, 64, check_runtime},
    {"Role", "role", JSON_STRING, 1, 2048, check_role},
    {"Handler", "handler", JSON_STRING, 0, 128, check_text},
    {"Description", "description", JSON_STRING, 0, 256, check_text},
    {"Timeout", "timeout", JSON_NUMBER, 1, 900, check_integer},
    {"MemorySize", "memorySize", JSON_NUMBER, 128, 10240, check_integer},
    {"Environment", "environment", JSON_OBJECT, 0, 0, check_environment},
    {"EphemeralStorage", "ephemeralStorage", JSON_OBJECT, 512, 10240, check_storage},
    {"KMSKeyArn", "kMSKeyArn", JSON_STRING, 0, 2048, check_surroundings},
    {"TracingConfig", "tracingConfig", JSON_OBJECT, 0, 0, check_surroundings},
    {"DeadLetterConfig", "deadLetterConfig", JSON_OBJECT, 0, 0, check_surroundings},
    {"LoggingConfig", "loggingConfig", JSON_OBJECT, 0, 0, check_surroundings},
    {"VpcConfig", "vpcConfig", JSON_OBJECT, 0, 0, check_surroundings},
    {"SnapStart", "snapStart", JSON_OBJECT, 0, 0, check_surroundings},
    {"Layers", "layers", JSON_ARRAY, 0, 0, check_surroundings},
    {"FileSystemConfigs", "fileSystemConfigs", JSON_ARRAY, 0, 0, check_absent},
};

static enum settings_verdict violates(const struct setting *setting, struct view value,
                                      struct buffer *problem, const char *constraint)
{
    buffer_append_format(problem,
                         "1 validation error detected: Value '%.*s' at '%s' failed to satisfy "
                         "constraint: %s",
                         VIEW_FORMAT(view_slice(value, 0, 256)), setting->constraint, constraint);
    return SETTINGS_INVALID;
}

static enum settings_verdict check_integer(const struct setting *setting, const struct json *value,
                                           struct buffer *problem)
{
    int64_t number;

    if (!json_integer(value, &number)) {
        buffer_append_format(problem,
                             "Could not parse request body into json: %s must be a whole number",
                             setting->name);
        return SETTINGS_CONTENT;
    }
    if (number >= setting->min && number <= setting->max)
        return SETTINGS_FINE;
    buffer_append_format(problem,
                         "1 validation error detected: Value '%lld' at '%s' failed to satisfy "
                         "constraint: Member must have value %s than or equal to %lld",
                         (long long)number, setting->constraint,
                         number < setting->min ? "greater" : "less",
                         (long long)(number < setting->min ? setting->min : setting->max));
    return SETTINGS_INVALID;
}

static enum settings_verdict check_text(const struct setting *setting, const struct json *value,
                                        struct buffer *problem)
{
    struct view text = json_string(value);

    if (text.length < (size_t)setting->min || text.length > (size_t)setting->max) {
        buffer_append_format(problem,
                             "1 validation error detected: Value '%.*s' at '%s' failed to satisfy "
                             "constraint: Member must have length less than or equal to %lld",
                             VIEW_FORMAT(view_slice(text, 0, 256)), setting->constraint,
                             (long long)setting->max);
        return SETTINGS_INVALID;
    }
    for (size_t i = 0; strcmp(setting->name, "Handler") == 0 && i < text.length; i++) {
        if ((unsigned char)text.data[i] <= ' ' || text.data[i] == 0x7f)
            return violates(setting, text, problem,
                            "Member must satisfy regular expression pattern: [^\\s]+");
    }
    return SETTINGS_FINE;
}

static enum settings_verdict check_role(const struct setting *setting, const struct json *value,
                                        struct buffer *problem)
{
    struct view text = json_string(value), rest = text, part;
    size_t account = 0;
    bool good = view_split(&rest, ':', &part) && view_equal_string(part, "arn") &&
                view_split(&rest, ':', &part) && view_starts_with(part, VIEW("aws")) &&
                view_split(&rest, ':', &part) && view_equal_string(part, "iam") &&
                view_split(&rest, ':', &part) && part.length == 0 &&
                view_split(&rest, ':', &part) && part.length == 12;

    while (good && account < part.length) {
        good = part.data[account] >= '0' && part.data[account] <= '9';
        account++;
    }
    if (good && view_starts_with(rest, VIEW("role/")) && rest.length > strlen("role/"))
        return SETTINGS_FINE;
    return violates(setting, text, problem,
                    "Member must satisfy regular expression pattern: "
                    "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+");
}

static enum settings_verdict check_runtime(const struct setting *setting, const struct json *value,
                                           struct buffer *problem)
{
    if (runtime_known(json_string(value)))
        return SETTINGS_FINE;
    buffer_append_format(problem,
                         "Value %.*s at '%s' failed to satisfy constraint: Member must satisfy "
                         "enum value set: [%s] or be a valid ARN",
                         VIEW_FORMAT(view_slice(json_string(value), 0, 128)), setting->constraint,
                         runtime_names);
    return SETTINGS_UNSUPPORTED;
}

static bool variable_name_valid(struct view name)
{
    if (name.length < 2)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '_')))
            return false;
    }
    return true;
}

static enum settings_verdict check_variable(const struct json *variable, struct buffer *problem)
{
    struct view name = json_name(variable);

    if (json_type_of(variable) != JSON_STRING) {
        buffer_append_format(problem,
                             "Could not parse request body into json: the variable %.*s must be a "
                             "string",
                             VIEW_FORMAT(view_slice(name, 0, 128)));
        return SETTINGS_CONTENT;
    }
    if (!variable_name_valid(name)) {
        buffer_append_format(problem,
                             "1 validation error detected: Value at 'environment.variables' failed "
                             "to satisfy constraint: Map keys must satisfy constraint: [Member "
                             "must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]");
        return SETTINGS_INVALID;
    }
    if (runtime_variable_reserved(name)) {
        buffer_append_format(
            problem,
            "Lambda was unable to configure your environment variables because the environment "
            "variables you have provided contains reserved keys that are currently not supported "
            "for modification. Reserved keys used in this request: %.*s",
            VIEW_FORMAT(name));
        return SETTINGS_UNSUPPORTED;
    }
    return SETTINGS_FINE;
}

static enum settings_verdict check_environment(const struct setting *setting,
                                               const struct json *value, struct buffer *problem)
{
    const struct json *variables = json_get(value, "Variables");
    size_t bytes = 2;

    if (variables && json_type_of(variables) != JSON_OBJECT &&
        json_type_of(variables) != JSON_NULL) {
        buffer_append_format(problem,
                             "Could not parse request body into json: %s.Variables must be an "
                             "object",
                             setting->name);
        return SETTINGS_CONTENT;
    }
    for (const struct json *each = json_first(variables); each; each = json_next(each)) {
        enum settings_verdict verdict = check_variable(each, problem);

        if (verdict != SETTINGS_FINE)
            return verdict;
        bytes += json_name(each).length + json_string(each).length + 6;
    }
    if (bytes <= MAX_ENVIRONMENT_BYTES)
        return SETTINGS_FINE;
    buffer_append_string(problem, "Lambda was unable to configure your environment variables "
                                  "because the environment variables you have provided exceeded "
                                  "the 4KB limit.");
    return SETTINGS_UNSUPPORTED;
}

static enum settings_verdict check_storage(const struct setting *setting, const struct json *value,
                                           struct buffer *problem)
{
    static const struct setting size = {
        "EphemeralStorage.Size", "ephemeralStorage.size", JSON_NUMBER, 512, 10240, check_integer};
    const struct json *number = json_get(value, "Size");

    (void)setting;
    if (!number || json_type_of(number) != JSON_NUMBER) {
        buffer_append_string(problem, "Could not parse request body into json: "
                                      "EphemeralStorage.Size must be a whole number");
        return SETTINGS_CONTENT;
    }
    return check_integer(&size, number, problem);
}

static enum settings_verdict check_absent(const struct setting *setting, const struct json *value,
                                          struct buffer *problem)
{
    if (json_count(value) == 0)
        return SETTINGS_FINE;
    buffer_append_format(problem, "%s is not supported by lambda-local.", setting->name);
    return SETTINGS_UNSUPPORTED;
}

static enum settings_verdict check_surroundings(const struct setting *setting,
                                                const struct json *value, struct buffer *problem)
{
    return surroundings_check(setting->name, value, problem);
}

static void store(struct json *configuration, const struct setting *setting,
                  const struct json *value)
{
    if (setting->check == check_surroundings)
        surroundings_set(configuration, setting->name, value);
    else if ((setting->check == check_environment &&
              json_count(json_get(value, "Variables")) == 0) ||
             setting->check == check_absent)
        json_remove(configuration, setting->name);
    else
        json_set(configuration, setting->name, json_copy(value));
}

enum settings_verdict settings_apply(const struct json *document, struct json *configuration,
                                     struct buffer *problem)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        const struct json *value = json_get(document, settings[i].name);
        enum settings_verdict verdict;

        if (!value || json_type_of(value) == JSON_NULL)
            continue;
        if (json_type_of(value) != settings[i].type) {
            buffer_append_format(problem,
                                 "Could not parse request body into json: %s must be of type %s",
                                 settings[i].name, json_type_name(settings[i].type));
            return SETTINGS_CONTENT;
        }
        verdict = settings[i].check(&settings[i], value, problem);
        if (verdict != SETTINGS_FINE)
            return verdict;
        store(configuration, &settings[i], value);
    }
    return surroundings_agree(configuration, problem);
}

static void set_object(struct json *configuration, const char *member, const char *name,
                       struct json *value)
{
    struct json *object = json_new_object();

    json_set(object, name, value);
    json_set(configuration, member, object);
}

void settings_defaults(struct json *configuration)
{
    struct json *architectures = json_new_array();
    struct json *snap_start = json_new_object();

    json_append(architectures, json_new_string(VIEW("x86_64")));
    json_set_string(configuration, "Description", VIEW(""));
    json_set_integer(configuration, "Timeout", 3);
    json_set_integer(configuration, "MemorySize", 128);
    json_set_string(configuration, "PackageType", VIEW("Zip"));
    json_set(configuration, "Architectures", architectures);
    set_object(configuration, "TracingConfig", "Mode", json_new_string(VIEW("PassThrough")));
    set_object(configuration, "EphemeralStorage", "Size", json_new_integer(512));
    json_set_string(snap_start, "ApplyOn", VIEW("None"));
    json_set_string(snap_start, "OptimizationStatus", VIEW("Off"));
    json_set(configuration, "SnapStart", snap_start);
}

enum settings_verdict settings_architectures(const struct json *value, struct buffer *problem)
{
    struct view name;

    if (!value || json_type_of(value) == JSON_NULL)
        return SETTINGS_FINE;
    if (json_type_of(value) == JSON_ARRAY && json_count(value) == 1 &&
        json_type_of(json_first(value)) == JSON_STRING) {
        name = json_string(json_first(value));
        if (view_equal_string(name, "x86_64") || view_equal_string(name, "arm64"))
            return SETTINGS_FINE;
    }
    buffer_append_string(problem, "1 validation error detected: Value at 'architectures' failed to "
                                  "satisfy constraint: Member must be one of [x86_64, arm64]");
    return SETTINGS_INVALID;
}

enum settings_verdict settings_tags(const struct json *value, struct json *tags,
                                    struct buffer *problem)
{
    if (!value || json_type_of(value) == JSON_NULL)
        return SETTINGS_FINE;
    if (json_type_of(value) != JSON_OBJECT) {
        buffer_append_string(problem, "Could not parse request body into json: Tags must be an "
                                      "object");
        return SETTINGS_CONTENT;
    }
    for (const struct json *each = json_first(value); each; each = json_next(each)) {
        struct view key = json_name(each), text = json_string(each);

        if (json_type_of(each) != JSON_STRING || key.length == 0 || key.length > 128 ||
            text.length > 256 || view_starts_with(key, VIEW("aws:"))) {
            buffer_append_string(problem, "1 validation error detected: Value at 'tags' failed to "
                                          "satisfy constraint: keys are 1 to 128 characters and do "
                                          "not start with aws:, values at most 256 characters");
            return SETTINGS_INVALID;
        }
    }
    for (const struct json *each = json_first(value); each; each = json_next(each)) {
        char *key = view_duplicate(json_name(each));

        json_set_string(tags, key, json_string(each));
        free(key);
    }
    if (json_count(tags) <= MAX_TAGS)
        return SETTINGS_FINE;
    buffer_append_format(problem, "Tag limit exceeded: a function has at most %d tags.", MAX_TAGS);
    return SETTINGS_UNSUPPORTED;
}
