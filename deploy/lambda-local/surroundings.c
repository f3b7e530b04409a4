/* Checks and shows what a function has around it: layers, network, logs, traces, snapshots. */
#include "deploy/lambda-local/surroundings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LAYERS          5
#define MAX_LAYER_ARN       140
#define MAX_SUBNETS         16
#define MAX_SECURITY_GROUPS 5
#define MAX_LOG_GROUP       512
#define SNAPSHOT_STORAGE_MB 512

static enum settings_verdict violates(struct buffer *problem, const char *place, struct view value,
                                      const char *constraint)
{
    buffer_append_format(
        problem,
        "1 validation error detected: Value '%.*s' at '%s' failed to satisfy constraint: %s",
        VIEW_FORMAT(view_slice(value, 0, 256)), place, constraint);
    return SETTINGS_INVALID;
}

static enum settings_verdict content(struct buffer *problem, const char *place, const char *type)
{
    buffer_append_format(problem, "Could not parse request body into json: %s must be %s", place,
                         type);
    return SETTINGS_CONTENT;
}

/* A text out of few; absent is fine. */
static enum settings_verdict check_choice(const struct json *object, const char *name,
                                          const char *place, const char *const *choices,
                                          struct buffer *problem)
{
    const struct json *value = json_get(object, name);
    char constraint[200] = "Member must satisfy enum value set: [";

    if (!value || json_type_of(value) == JSON_NULL)
        return SETTINGS_FINE;
    if (json_type_of(value) != JSON_STRING)
        return content(problem, place, "a string");
    for (size_t i = 0; choices[i]; i++) {
        size_t used = strlen(constraint);

        if (view_equal_string(json_string(value), choices[i]))
            return SETTINGS_FINE;
        snprintf(constraint + used, sizeof constraint - used, "%s%s", i ? ", " : "", choices[i]);
    }
    snprintf(constraint + strlen(constraint), sizeof constraint - strlen(constraint), "]");
    return violates(problem, place, json_string(value), constraint);
}

/* -- layers -- */

static bool all_of(struct view text, const char *more)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!plain && !(c && strchr(more, c)))
            return false;
    }
    return text.length > 0;
}

static bool digits(struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    return text.length > 0;
}

/* arn:aws:lambda:REGION:ACCOUNT:layer:NAME:NUMBER; `name` gets what is before the number. */
static bool layer_arn_valid(struct view arn, struct view *name)
{
    struct view rest = arn, parts[8], extra;
    size_t count = 0;

    while (count < 8 && view_split(&rest, ':', &parts[count]))
        count++;
    if (arn.length > MAX_LAYER_ARN || count != 8 || view_split(&rest, ':', &extra))
        return false;
    *name = view_slice(arn, 0, arn.length - parts[7].length);
    return view_equal_string(parts[0], "arn") && all_of(parts[1], "-") &&
           view_equal_string(parts[2], "lambda") && all_of(parts[3], "-") &&
           parts[4].length == 12 && digits(parts[4]) && view_equal_string(parts[5], "layer") &&
           all_of(parts[6], "-_") && digits(parts[7]);
}

static enum settings_verdict check_layers(const struct json *layers, struct buffer *problem)
{
    struct view names[MAX_LAYERS];
    size_t count = 0;

    if (json_count(layers) > MAX_LAYERS) {
        buffer_append_format(problem, "Cannot reference more than %d layers.", MAX_LAYERS);
        return SETTINGS_UNSUPPORTED;
    }
    for (const struct json *each = json_first(layers); each; each = json_next(each), count++) {
        if (json_type_of(each) != JSON_STRING)
            return content(problem, "Layers", "a list of strings");
        if (!layer_arn_valid(json_string(each), &names[count]))
            return violates(problem, "layers", json_string(each),
                            "Member must satisfy regular expression pattern: "
                            "arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:"
                            "[a-zA-Z0-9-_]+:[0-9]+");
        for (size_t i = 0; i < count; i++) {
            if (view_equal(names[i], names[count])) {
                buffer_append_string(problem, "Two different versions of the same layer are not "
                                              "allowed to be referenced in the same function.");
                return SETTINGS_UNSUPPORTED;
            }
        }
    }
    return SETTINGS_FINE;
}

static struct json *show_layers(const struct json *layers)
{
    struct json *shown = json_new_array();

    for (const struct json *each = json_first(layers); each; each = json_next(each)) {
        struct json *layer = json_new_object();

        json_set_string(layer, "Arn", json_string(each));
        json_set_integer(layer, "CodeSize", 0); /* its content is not here */
        json_append(shown, layer);
    }
    return shown;
}

/* -- network -- */

static enum settings_verdict check_names(const struct json *list, const char *place, size_t most,
                                         struct buffer *problem)
{
    if (!list || json_type_of(list) == JSON_NULL)
        return SETTINGS_FINE;
    if (json_type_of(list) != JSON_ARRAY)
        return content(problem, place, "a list of strings");
    for (const struct json *each = json_first(list); each; each = json_next(each)) {
        if (json_type_of(each) != JSON_STRING)
            return content(problem, place, "a list of strings");
    }
    if (json_count(list) <= most)
        return SETTINGS_FINE;
    buffer_append_format(problem,
                         "1 validation error detected: Value at '%s' failed to satisfy constraint: "
                         "Member must have length less than or equal to %zu",
                         place, most);
    return SETTINGS_INVALID;
}

static enum settings_verdict check_network(const struct json *network, struct buffer *problem)
{
    const struct json *subnets = json_get(network, "SubnetIds");
    const struct json *groups = json_get(network, "SecurityGroupIds");
    const struct json *ipv6 = json_get(network, "Ipv6AllowedForDualStack");
    enum settings_verdict verdict =
        check_names(subnets, "vpcConfig.subnetIds", MAX_SUBNETS, problem);

    if (verdict == SETTINGS_FINE)
        verdict = check_names(groups, "vpcConfig.securityGroupIds", MAX_SECURITY_GROUPS, problem);
    if (verdict != SETTINGS_FINE)
        return verdict;
    if (ipv6 && json_type_of(ipv6) != JSON_BOOL && json_type_of(ipv6) != JSON_NULL)
        return content(problem, "VpcConfig.Ipv6AllowedForDualStack", "true or false");
    if ((json_count(subnets) == 0) == (json_count(groups) == 0))
        return SETTINGS_FINE;
    buffer_append_string(problem, "SubnetIds and SecurityIds must coexist or be both empty list.");
    return SETTINGS_UNSUPPORTED;
}

static struct json *show_network(const struct json *network)
{
    static const char *const lists[] = {"SubnetIds", "SecurityGroupIds"};
    struct json *shown = json_new_object();
    bool ipv6 = false;

    for (size_t i = 0; i < 2; i++) {
        const struct json *list = json_get(network, lists[i]);

        json_set(shown, lists[i],
                 json_type_of(list) == JSON_ARRAY ? json_copy(list) : json_new_array());
    }
    json_get_bool(network, "Ipv6AllowedForDualStack", &ipv6);
    json_set_string(shown, "VpcId",
                    json_count(json_get(shown, "SubnetIds")) > 0 ? VIEW("vpc-0123456789abcdef0")
                                                                 : VIEW(""));
    json_set_bool(shown, "Ipv6AllowedForDualStack", ipv6);
    return shown;
}

/* -- logs -- */

static bool is_json_log(const struct json *logging)
{
    struct view format = {0};

    json_get_string(logging, "LogFormat", &format);
    return view_equal_string(format, "JSON");
}

static enum settings_verdict check_logging(const struct json *logging, struct buffer *problem)
{
    static const char *const formats[] = {"JSON", "Text", NULL};
    static const char *const levels[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", NULL};
    static const char *const system_levels[] = {"DEBUG", "INFO", "WARN", NULL};
    struct view group, level;
    enum settings_verdict verdict =
        check_choice(logging, "LogFormat", "loggingConfig.logFormat", formats, problem);

    if (verdict == SETTINGS_FINE)
        verdict = check_choice(logging, "ApplicationLogLevel", "loggingConfig.applicationLogLevel",
                               levels, problem);
    if (verdict == SETTINGS_FINE)
        verdict = check_choice(logging, "SystemLogLevel", "loggingConfig.systemLogLevel",
                               system_levels, problem);
    if (verdict != SETTINGS_FINE)
        return verdict;
    if (json_get_string(logging, "LogGroup", &group) &&
        (group.length > MAX_LOG_GROUP || !all_of(group, ".-_/#")))
        return violates(problem, "loggingConfig.logGroup", group,
                        "Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+");
    if (is_json_log(logging) || (!json_get_string(logging, "ApplicationLogLevel", &level) &&
                                 !json_get_string(logging, "SystemLogLevel", &level)))
        return SETTINGS_FINE;
    buffer_append_string(problem, "To change the log level of your function, set LogFormat to "
                                  "JSON.");
    return SETTINGS_UNSUPPORTED;
}

static struct json *show_logging(const struct json *configuration, const struct json *logging)
{
    static const char *const levels[] = {"ApplicationLogLevel", "SystemLogLevel"};
    struct json *shown = json_new_object();
    struct view name = VIEW(""), group, level;
    char made[300];

    json_get_string(configuration, "FunctionName", &name);
    snprintf(made, sizeof made, "/aws/lambda/%.*s", VIEW_FORMAT(view_slice(name, 0, 200)));
    json_set_string(shown, "LogFormat", is_json_log(logging) ? VIEW("JSON") : VIEW("Text"));
    for (size_t i = 0; i < 2 && is_json_log(logging); i++)
        json_set_string(shown, levels[i],
                        json_get_string(logging, levels[i], &level) ? level : VIEW("INFO"));
    json_set_string(shown, "LogGroup",
                    json_get_string(logging, "LogGroup", &group) ? group : view_of(made));
    return shown;
}

/* -- snapshots -- */

static bool makes_snapshots(const struct json *configuration)
{
    struct view apply_on = {0};

    json_get_string(json_get(configuration, "SnapStart"), "ApplyOn", &apply_on);
    return view_equal_string(apply_on, "PublishedVersions");
}

static bool can_make_snapshots(struct view runtime)
{
    static const char *const cannot[] = {"nodejs",     "ruby",      "provided",  "go",
                                         "java8",      "python3.8", "python3.9", "python3.10",
                                         "python3.11", "dotnet6"};

    for (size_t i = 0; i < sizeof cannot / sizeof cannot[0]; i++) {
        if (view_starts_with(runtime, view_of(cannot[i])))
            return false;
    }
    return true;
}

enum settings_verdict surroundings_agree(const struct json *configuration, struct buffer *problem)
{
    struct view runtime = VIEW("");
    int64_t storage_mb = SNAPSHOT_STORAGE_MB;

    json_get_string(configuration, "Runtime", &runtime);
    json_get_integer(json_get(configuration, "EphemeralStorage"), "Size", &storage_mb);
    if (!makes_snapshots(configuration))
        return SETTINGS_FINE;
    if (!can_make_snapshots(runtime)) {
        buffer_append_format(problem, "%.*s is not supported for SnapStart enabled functions.",
                             VIEW_FORMAT(view_slice(runtime, 0, 64)));
        return SETTINGS_UNSUPPORTED;
    }
    if (storage_mb <= SNAPSHOT_STORAGE_MB)
        return SETTINGS_FINE;
    buffer_append_string(problem, "SnapStart is not supported with EphemeralStorage greater than "
                                  "512 MB.");
    return SETTINGS_UNSUPPORTED;
}

void surroundings_published(struct json *configuration)
{
    struct json *snapshots = (struct json *)(uintptr_t)json_get(configuration, "SnapStart");

    if (makes_snapshots(configuration))
        json_set_string(snapshots, "OptimizationStatus", VIEW("On"));
}

static struct json *show_snapshots(const struct json *value)
{
    struct json *shown = json_new_object();
    struct view apply_on;

    json_set_string(shown, "ApplyOn",
                    json_get_string(value, "ApplyOn", &apply_on) ? apply_on : VIEW("None"));
    json_set_string(shown, "OptimizationStatus", VIEW("Off"));
    return shown;
}

/* -- each by its name -- */

static enum settings_verdict check_arn(struct view arn, const char *place, struct buffer *problem)
{
    if (arn.length == 0 || view_starts_with(arn, VIEW("arn:")))
        return SETTINGS_FINE;
    return violates(problem, place, arn,
                    "Member must satisfy regular expression pattern: "
                    "(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()");
}

enum settings_verdict surroundings_check(const char *member, const struct json *value,
                                         struct buffer *problem)
{
    static const char *const modes[] = {"Active", "PassThrough", NULL};
    static const char *const snapshots[] = {"PublishedVersions", "None", NULL};
    struct view target = VIEW("");

    if (strcmp(member, "Layers") == 0)
        return check_layers(value, problem);
    if (strcmp(member, "VpcConfig") == 0)
        return check_network(value, problem);
    if (strcmp(member, "LoggingConfig") == 0)
        return check_logging(value, problem);
    if (strcmp(member, "TracingConfig") == 0)
        return check_choice(value, "Mode", "tracingConfig.mode", modes, problem);
    if (strcmp(member, "SnapStart") == 0)
        return check_choice(value, "ApplyOn", "snapStart.applyOn", snapshots, problem);
    if (strcmp(member, "KMSKeyArn") == 0)
        return check_arn(json_string(value), "kMSKeyArn", problem);
    REQUIRE(strcmp(member, "DeadLetterConfig") == 0);
    json_get_string(value, "TargetArn", &target);
    return check_arn(target, "deadLetterConfig.targetArn", problem);
}

/* Whether the member is one that is not shown while it is empty. */
static bool is_nothing(const char *member, const struct json *value)
{
    struct view target = VIEW("");

    if (strcmp(member, "Layers") == 0)
        return json_count(value) == 0;
    if (strcmp(member, "KMSKeyArn") == 0)
        return json_string(value).length == 0;
    json_get_string(value, "TargetArn", &target);
    return strcmp(member, "DeadLetterConfig") == 0 && target.length == 0;
}

void surroundings_set(struct json *configuration, const char *member, const struct json *value)
{
    if (is_nothing(member, value))
        json_remove(configuration, member);
    else if (strcmp(member, "Layers") == 0)
        json_set(configuration, member, show_layers(value));
    else if (strcmp(member, "VpcConfig") == 0)
        json_set(configuration, member, show_network(value));
    else if (strcmp(member, "LoggingConfig") == 0)
        json_set(configuration, member, show_logging(configuration, value));
    else if (strcmp(member, "SnapStart") == 0)
        json_set(configuration, member, show_snapshots(value));
    else
        json_set(configuration, member, json_copy(value));
}
