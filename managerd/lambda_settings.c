/* Tells of Lambda's own settings what they may be, and says them in AWS's words and in ours. */
#include "managerd/lambda_settings.h"

#include "common/base/arena.h"
#include "managerd/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array)         (sizeof(array) / sizeof(array)[0])
#define GROUP_START          "/aws/lambda/"
#define SNAPSHOT_STORAGE_MB  512
#define PATIENCE_MS          300000
#define VPC_PATIENCE_MS      600000
#define SNAPSHOT_PATIENCE_MS 1560000 /* as long as botocore's waiter */

static const char *const names[] = {LAMBDA_SETTING_NAMES};

/* ---- shapes ---- */

static bool is_made_of(struct view text, const char *more)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !(c && strchr(more, c)))
            return false;
    }
    return text.length > 0;
}

static bool is_number(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return text.length > 0;
}

bool layer_arn_valid(struct view arn)
{
    struct view rest = arn, parts[8], more;
    size_t count = 0;
    while (count < COUNT(parts) && view_split(&rest, ':', &parts[count]))
        count++;
    return arn.length <= 140 && count == COUNT(parts) && !view_split(&rest, ':', &more) &&
           view_equal_string(parts[0], "arn") && is_made_of(parts[1], "-") &&
           view_equal_string(parts[2], "lambda") && is_made_of(parts[3], "-") &&
           parts[4].length == 12 && is_number(parts[4]) && view_equal_string(parts[5], "layer") &&
           is_made_of(parts[6], "-_") && is_number(parts[7]);
}

bool arn_valid(struct view arn)
{
    for (size_t i = 0; i < arn.length; i++)
        if ((unsigned char)arn.data[i] <= ' ' || arn.data[i] == 0x7f)
            return false;
    return view_starts_with(arn, VIEW("arn:")) && arn.length > 4;
}

static bool network_id_valid(struct view text)
{
    return text.length <= 128 && is_made_of(text, "-");
}

static bool log_group_valid(struct view text)
{
    return is_made_of(text, ".-_/#");
}

static const struct shape_field vpc_fields[] = {
    {.name = "subnetIds",
     .kind = SHAPE_LIST,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = 16,
     .check = network_id_valid,
     .wants = "must be the id of a subnet",
     .pattern = "^[A-Za-z0-9-]{1,128}$",
     .description = "Subnets, 1 to 16."},
    {.name = "securityGroupIds",
     .kind = SHAPE_LIST,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = 5,
     .check = network_id_valid,
     .wants = "must be the id of a security group",
     .pattern = "^[A-Za-z0-9-]{1,128}$",
     .description = "Security groups, 1 to 5."},
    {.name = "ipv6",
     .kind = SHAPE_BOOL,
     .default_json = "false",
     .description = "Whether it may call out over IPv6, from dual-stack subnets."},
};
const struct shape vpc_shape = {.name = "Vpc", .fields = vpc_fields, .count = COUNT(vpc_fields)};

static const struct shape_field logging_fields[] = {
    {.name = "format",
     .kind = SHAPE_STRING,
     .choices = "text|json",
     .default_json = "\"text\"",
     .description = "How lines are written: as they come, or as JSON objects."},
    {.name = "applicationLevel",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .choices = "trace|debug|info|warn|error|fatal",
     .default_json = "null",
     .description = "The least level of the function's own lines; json only; null: info."},
    {.name = "systemLevel",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .choices = "debug|info|warn",
     .default_json = "null",
     .description = "The least level of Lambda's lines; json only; null: info."},
    {.name = "group",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .min = 1,
     .max = 512,
     .check = log_group_valid,
     .wants = "must consist of letters, digits and . - _ / #",
     .pattern = "^[A-Za-z0-9._/#-]{1,512}$",
     .default_json = "null",
     .description = "Log group; null: /aws/lambda/ and the function's name."},
};
const struct shape logging_shape = {
    .name = "Logging", .fields = logging_fields, .count = COUNT(logging_fields)};

static const struct shape_field concurrency_fields[] = {
    {.name = "reserved",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_NULLABLE,
     .max = 1000000,
     .default_json = "null",
     .description = "Kept for this function of what the account has, and its limit; 0: it does not "
                    "run; null: it shares what nobody reserved."},
    {.name = "provisioned",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_NULLABLE,
     .min = 1,
     .max = 1000000,
     .default_json = "null",
     .description = "Kept ready, for each version that has traffic; null: none."},
};
const struct shape concurrency_shape = {
    .name = "Concurrency", .fields = concurrency_fields, .count = COUNT(concurrency_fields)};

bool tag_name_valid(struct view name)
{
    return name.length <= 128 && is_made_of(name, " _.:/=+@-") &&
           !view_starts_with(name, VIEW("aws:")) &&
           !view_starts_with(name, VIEW("app-orchestrator:"));
}

static bool is_json(const struct json *logging)
{
    return view_equal_string(text_of(logging, "format"), "json");
}

/* What names a layer without its version. */
static struct view layer_of(struct view arn)
{
    while (arn.length && arn.data[arn.length - 1] != ':')
        arn.length--;
    return arn;
}

static void check_layers(const struct json *layers, struct faults *faults)
{
    size_t index = 0;
    for (const struct json *one = json_first(layers); one; one = json_next(one), index++)
        for (const struct json *other = json_first(layers); other != one; other = json_next(other))
            if (view_equal(layer_of(json_string(one)), layer_of(json_string(other)))) {
                char pointer[40];
                snprintf(pointer, sizeof pointer, "/layers/%zu", index);
                fault_pointer(faults, pointer, "names the same layer as one before it");
                break;
            }
}

void lambda_settings_agree(const struct json *settings, struct faults *faults)
{
    static const char *const levels[] = {"applicationLevel", "systemLevel"};
    const struct json *logging = json_get(settings, "logging");
    check_layers(json_get(settings, "layers"), faults);
    for (size_t i = 0; i < COUNT(levels) && !is_json(logging); i++)
        if (json_type_of(json_get(logging, levels[i])) == JSON_STRING) {
            char pointer[40];
            snprintf(pointer, sizeof pointer, "/logging/%s", levels[i]);
            fault_pointer(faults, pointer, "needs the format json");
        }
    if (truth_of(settings, "snapStart") &&
        integer_of(settings, "ephemeralStorageMb") > SNAPSHOT_STORAGE_MB)
        fault_pointer(faults, "/snapStart", "needs ephemeralStorageMb to be %d",
                      SNAPSHOT_STORAGE_MB);
    const struct json *concurrency = json_get(settings, "concurrency");
    int64_t reserved, provisioned = integer_of(concurrency, "provisioned");
    if (json_get_integer(concurrency, "reserved", &reserved) && provisioned > reserved)
        fault_pointer(faults, "/concurrency/provisioned", "must not be above what is reserved");
    if (truth_of(settings, "snapStart") && provisioned > 0)
        fault_pointer(faults, "/snapStart", "cannot be together with provisioned concurrency");
}

/* ---- into AWS's words ---- */

/* Ours are AWS's in another case. */
static void write_word(struct json_writer *w, const char *name, struct view text, bool upper)
{
    char word[16];
    size_t length = text.length < sizeof word ? text.length : 0;
    for (size_t i = 0; i < length; i++) {
        bool letter = text.data[i] >= 'a' && text.data[i] <= 'z';
        word[i] = (char)(upper && letter ? text.data[i] - 'a' + 'A' : text.data[i]);
    }
    json_write_string(w, name, view_from(word, length));
}

static void write_list(struct json_writer *w, const char *name, const struct json *list)
{
    json_open_array(w, name);
    for (const struct json *one = json_first(list); one; one = json_next(one))
        json_write_string(w, NULL, json_string(one));
    json_close_array(w);
}

static void write_vpc(struct json_writer *w, const struct json *vpc)
{
    json_open_object(w, "VpcConfig");
    write_list(w, "SubnetIds", json_get(vpc, "subnetIds"));
    write_list(w, "SecurityGroupIds", json_get(vpc, "securityGroupIds"));
    if (json_type_of(vpc) == JSON_OBJECT)
        json_write_bool(w, "Ipv6AllowedForDualStack", truth_of(vpc, "ipv6"));
    json_close_object(w);
}

static struct view level_of(const struct json *logging, const char *name)
{
    struct view level = text_of(logging, name);
    return level.length ? level : VIEW("info");
}

static void write_logging(struct json_writer *w, const struct json *logging, struct view function)
{
    struct view group = text_of(logging, "group");
    char made[300];
    snprintf(made, sizeof made, GROUP_START "%.*s", VIEW_FORMAT(view_slice(function, 0, 200)));
    json_open_object(w, "LoggingConfig");
    json_write_string(w, "LogFormat", is_json(logging) ? VIEW("JSON") : VIEW("Text"));
    if (is_json(logging)) {
        write_word(w, "ApplicationLogLevel", level_of(logging, "applicationLevel"), true);
        write_word(w, "SystemLogLevel", level_of(logging, "systemLevel"), true);
    }
    json_write_string(w, "LogGroup", group.length ? group : view_of(made));
    json_close_object(w);
}

static void write_member(struct json_writer *w, const char *name, const char *member,
                         struct view text)
{
    json_open_object(w, name);
    json_write_string(w, member, text);
    json_close_object(w);
}

void lambda_settings_write(struct json_writer *w, const struct json *version, struct view function)
{
    int64_t storage_mb = integer_of(version, "ephemeralStorageMb");
    bool active = view_equal_string(text_of(version, "tracing"), "active");
    write_list(w, "Layers", json_get(version, "layers"));
    write_vpc(w, json_get(version, "vpc"));
    json_open_object(w, "EphemeralStorage");
    json_write_integer(w, "Size", storage_mb ? storage_mb : 512);
    json_close_object(w);
    write_member(w, "TracingConfig", "Mode", active ? VIEW("Active") : VIEW("PassThrough"));
    write_logging(w, json_get(version, "logging"), function);
    write_member(w, "SnapStart", "ApplyOn",
                 truth_of(version, "snapStart") ? VIEW("PublishedVersions") : VIEW("None"));
    json_write_string(w, "KMSKeyArn", text_of(version, "kmsKeyArn"));
    write_member(w, "DeadLetterConfig", "TargetArn", text_of(version, "deadLetterArn"));
}

/* ---- pictures: one form for both sides ---- */

static int by_text(const void *a, const void *b)
{
    return view_compare(*(const struct view *)a, *(const struct view *)b);
}

/* AWS gives them back in an order of its own. */
static struct json *sorted(const struct json *list)
{
    struct view texts[32];
    size_t count = 0;
    struct json *made = json_new_array();
    for (const struct json *one = json_first(list); one && count < COUNT(texts);
         one = json_next(one))
        texts[count++] = json_string(one);
    if (count > 1)
        qsort(texts, count, sizeof *texts, by_text);
    for (size_t i = 0; i < count; i++)
        json_append(made, json_new_string(texts[i]));
    return made;
}

static struct json *picture_vpc(const struct json *subnets, const struct json *groups, bool ipv6)
{
    if (json_count(subnets) == 0)
        return json_new_null();
    struct json *vpc = json_new_object();
    json_set(vpc, "subnetIds", sorted(subnets));
    json_set(vpc, "securityGroupIds", sorted(groups));
    json_set_bool(vpc, "ipv6", ipv6);
    return vpc;
}

static struct json *text_or_null(struct view text)
{
    return text.length ? json_new_string(text) : json_new_null();
}

static struct json *picture_logging(bool json, struct view application, struct view system,
                                    struct view group, struct view function)
{
    struct json *logging = json_new_object();
    bool usual = view_starts_with(group, VIEW(GROUP_START)) &&
                 view_equal(view_slice(group, sizeof GROUP_START - 1, SIZE_MAX), function);
    json_set_string(logging, "format", json ? VIEW("json") : VIEW("text"));
    json_set(logging, "applicationLevel", text_or_null(json ? application : VIEW("")));
    json_set(logging, "systemLevel", text_or_null(json ? system : VIEW("")));
    json_set(logging, "group", text_or_null(usual ? VIEW("") : group));
    return logging;
}

void lambda_settings_of_version(struct json *picture, const struct json *version)
{
    const struct json *vpc = json_get(version, "vpc"), *logging = json_get(version, "logging");
    for (size_t i = 0; i < COUNT(names); i++)
        if (json_get(version, names[i]))
            json_set(picture, names[i], json_copy(json_get(version, names[i])));
    if (vpc)
        json_set(picture, "vpc",
                 picture_vpc(json_get(vpc, "subnetIds"), json_get(vpc, "securityGroupIds"),
                             truth_of(vpc, "ipv6")));
    if (logging)
        json_set(picture, "logging",
                 picture_logging(is_json(logging), level_of(logging, "applicationLevel"),
                                 level_of(logging, "systemLevel"), text_of(logging, "group"),
                                 text_of(json_get(version, "function"), "name")));
}

/* A level as we write it. */
static struct view lower(struct view text, char out[16])
{
    size_t length = text.length < 16 ? text.length : 0;
    for (size_t i = 0; i < length; i++)
        out[i] = (char)(text.data[i] >= 'A' && text.data[i] <= 'Z' ? text.data[i] - 'A' + 'a'
                                                                   : text.data[i]);
    return view_from(out, length);
}

static struct json *logging_of(const struct json *configuration)
{
    char application[16], system[16];
    const struct json *logging = json_get(configuration, "LoggingConfig");
    return picture_logging(view_equal_string(text_of(logging, "LogFormat"), "JSON"),
                           lower(text_of(logging, "ApplicationLogLevel"), application),
                           lower(text_of(logging, "SystemLogLevel"), system),
                           text_of(logging, "LogGroup"), text_of(configuration, "FunctionName"));
}

static struct json *layers_of(const struct json *configuration)
{
    struct json *layers = json_new_array();
    const struct json *one = json_first(json_get(configuration, "Layers"));
    for (; one; one = json_next(one))
        json_append(layers, json_new_string(text_of(one, "Arn")));
    return layers;
}

/* AWS leaves out layers, a network, keys and dead letters when there are none. */
void lambda_settings_of_configuration(struct json *picture, const struct json *configuration)
{
    const struct json *vpc = json_get(configuration, "VpcConfig");
    struct view mode = text_of(json_get(configuration, "TracingConfig"), "Mode");
    struct view apply_on = text_of(json_get(configuration, "SnapStart"), "ApplyOn");
    int64_t storage_mb = integer_of(json_get(configuration, "EphemeralStorage"), "Size");
    json_set(picture, "layers", layers_of(configuration));
    json_set(picture, "vpc",
             picture_vpc(json_get(vpc, "SubnetIds"), json_get(vpc, "SecurityGroupIds"),
                         truth_of(vpc, "Ipv6AllowedForDualStack")));
    if (storage_mb)
        json_set_integer(picture, "ephemeralStorageMb", storage_mb);
    if (mode.length)
        json_set_string(picture, "tracing",
                        view_equal_string(mode, "Active") ? VIEW("active") : VIEW("pass-through"));
    if (json_get(configuration, "LoggingConfig"))
        json_set(picture, "logging", logging_of(configuration));
    if (apply_on.length)
        json_set_bool(picture, "snapStart", view_equal_string(apply_on, "PublishedVersions"));
    json_set(picture, "kmsKeyArn", text_or_null(text_of(configuration, "KMSKeyArn")));
    json_set(picture, "deadLetterArn",
             text_or_null(text_of(json_get(configuration, "DeadLetterConfig"), "TargetArn")));
}

bool lambda_settings_have(struct view field)
{
    for (size_t i = 0; i < COUNT(names); i++)
        if (view_equal_string(field, names[i]))
            return true;
    return false;
}

int64_t lambda_settings_patience_ms(const struct json *version)
{
    if (truth_of(version, "snapStart"))
        return SNAPSHOT_PATIENCE_MS;
    return json_type_of(json_get(version, "vpc")) == JSON_OBJECT ? VPC_PATIENCE_MS : PATIENCE_MS;
}
