/* The tables of what an app, its deployments and its versions hold. */
#include "managerd/resources.h"

#include "common/contract/host.h"
#include "managerd/access.h"
#include "managerd/apply.h"
#include "managerd/apply_package.h"
#include "managerd/lambda_settings.h"
#include "managerd/traffic.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const char *const versioned_members[] = {
    "runtime", "handler", "architecture",       "memoryMb", "timeoutSeconds",
    "http",    "probe",   LAMBDA_SETTING_NAMES, NULL};

static bool is_token(struct view text, const char *more)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        bool alphanumeric =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alphanumeric && !(c && strchr(more, c)))
            return false;
    }
    return text.length > 0;
}

static bool function_name_valid(struct view text)
{
    return is_token(text, "-_");
}

static bool runtime_valid(struct view text)
{
    return is_token(text, ".-_");
}

/* AWS: [^\s]+ */
static bool handler_valid(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] <= ' ' || text.data[i] == 0x7f)
            return false;
    return true;
}

static bool role_valid(struct view text)
{
    return view_starts_with(text, VIEW("arn:")) && handler_valid(text);
}

static bool label_name_valid(struct view text)
{
    return text.length <= 63 && is_token(text, "-_./");
}

static bool probe_path_valid(struct view text)
{
    return view_starts_with(text, VIEW("/")) && handler_valid(text) &&
           view_find(text, '#') == SIZE_MAX;
}

bool environment_name_valid(struct view name)
{
    static const char *const reserved[] = {
        "_HANDLER",          "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION",
        "AWS_EXECUTION_ENV", "AWS_ACCESS_KEY",   "AWS_ACCESS_KEY_ID",  "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "TZ"};
    for (size_t i = 0; i < COUNT(reserved); i++)
        if (view_equal_string(name, reserved[i]))
            return false;
    if (view_starts_with(name, VIEW("AWS_LAMBDA_")))
        return false;
    bool letter = name.length && ((name.data[0] >= 'a' && name.data[0] <= 'z') ||
                                  (name.data[0] >= 'A' && name.data[0] <= 'Z'));
    return letter && name.length >= 2 && is_token(name, "_");
}

static const struct shape_field function_fields[] = {
    {.name = "name",
     .kind = SHAPE_STRING,
     .min = 1,
     .max = 64,
     .check = function_name_valid,
     .wants = "must consist of letters, digits, - and _",
     .pattern = "^[A-Za-z0-9_-]{1,64}$",
     .description = "Name of the Lambda function; can be chosen at creation only."},
    {.name = "role",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .min = 1,
     .max = 256,
     .check = role_valid,
     .wants = "must be the ARN of a role",
     .pattern = "^arn:[^\\u0000-\\u0020\\u007f]*$",
     .description = "ARN of the role that the function runs with; null: AWS_LAMBDA_ROLE_ARN."},
};
static const struct shape function_shape = {
    .name = "Function", .fields = function_fields, .count = COUNT(function_fields)};

static const struct shape_field http_fields[] = {
    {.name = "payloadFormat",
     .kind = SHAPE_STRING,
     .choices = "2.0|1.0|alb",
     .default_json = "\"2.0\"",
     .description = "How requests look to the function."},
    {.name = "responseMode",
     .kind = SHAPE_STRING,
     .choices = "buffered|stream|auto",
     .default_json = "\"buffered\"",
     .description = "How its answers are passed on."},
    {.name = "multiValueHeaders",
     .kind = SHAPE_BOOL,
     .default_json = "false",
     .description = "For alb only: repeated headers and parameters as lists."},
};
static const struct shape http_shape = {
    .name = "Http", .fields = http_fields, .count = COUNT(http_fields)};

static const struct shape_field probe_fields[] = {
    {.name = "path",
     .kind = SHAPE_STRING,
     .min = 1,
     .max = 1024,
     .check = probe_path_valid,
     .wants = "must begin with / and hold no space or #",
     .pattern = "^/[^\\u0000-\\u0020\\u007f#]*$",
     .default_json = "\"/\"",
     .description = "Asked by GET before traffic moves; below 500 passes."},
};
static const struct shape probe_shape = {
    .name = "Probe", .fields = probe_fields, .count = COUNT(probe_fields)};

static const struct shape_field limits_fields[] = {
    {.name = "maxInFlight",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_NULLABLE,
     .min = 1,
     .max = 100000,
     .default_json = "100",
     .description = "Requests at once, per proxyd process; who comes beyond waits a little. null: "
                    "the daemon's default."},
    {.name = "requestsPerSecond",
     .kind = SHAPE_NUMBER,
     .flags = SHAPE_NULLABLE,
     .min = 0,
     .max = 1000000,
     .default_json = "null",
     .description = "null: no limit."},
    {.name = "burst",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_NULLABLE,
     .min = 1,
     .max = 1000000,
     .default_json = "null",
     .description = "Requests above the rate that may come at once."},
    {.name = "deadlineMs",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_NULLABLE,
     .min = 1,
     .max = 905000,
     .default_json = "null",
     .description = "From the moment at which the request is there, waiting included; null: the "
                    "version's timeout and one second, from the invocation on."},
    {.name = "maxBodyBytes",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_NULLABLE,
     .min = 1,
     .max = 1073741824,
     .default_json = "null",
     .description = "null: the daemon's default."},
};
static const struct shape limits_shape = {
    .name = "Limits", .fields = limits_fields, .count = COUNT(limits_fields)};

#define VERSIONED_FIELDS(DEFAULTS)                                                                 \
    {.name = "runtime",                                                                            \
     .kind = SHAPE_STRING,                                                                         \
     .min = 1,                                                                                     \
     .max = 64,                                                                                    \
     .check = runtime_valid,                                                                       \
     .wants = "must be the name of a runtime, such as nodejs22.x",                                 \
     .pattern = "^[A-Za-z0-9._-]+$",                                                               \
     .default_json = DEFAULTS("\"nodejs22.x\""),                                                   \
     .description = "Lambda runtime."},                                                            \
        {.name = "handler",                                                                        \
         .kind = SHAPE_STRING,                                                                     \
         .min = 1,                                                                                 \
         .max = 128,                                                                               \
         .check = handler_valid,                                                                   \
         .wants = "must hold no space",                                                            \
         .pattern = "^[^\\u0000-\\u0020\\u007f]+$",                                                \
         .default_json = DEFAULTS("\"index.handler\""),                                            \
         .description = "What the runtime calls."},                                                \
        {.name = "architecture",                                                                   \
         .kind = SHAPE_STRING,                                                                     \
         .choices = "x86_64|arm64",                                                                \
         .default_json = DEFAULTS("\"x86_64\""),                                                   \
         .description = "Processor of the function."},                                             \
        {.name = "memoryMb",                                                                       \
         .kind = SHAPE_INTEGER,                                                                    \
         .min = 128,                                                                               \
         .max = 10240,                                                                             \
         .default_json = DEFAULTS("128"),                                                          \
         .description = "Memory in MiB."},                                                         \
        {.name = "timeoutSeconds",                                                                 \
         .kind = SHAPE_INTEGER,                                                                    \
         .min = 1,                                                                                 \
         .max = 900,                                                                               \
         .default_json = DEFAULTS("30"),                                                           \
         .description = "The function's own timeout."},                                            \
        {.name = "http",                                                                           \
         .kind = SHAPE_OBJECT,                                                                     \
         .of = &http_shape,                                                                        \
         .default_json = DEFAULTS("{}"),                                                           \
         .description = "HTTP behaviour."},                                                        \
        {.name = "probe",                                                                          \
         .kind = SHAPE_OBJECT,                                                                     \
         .flags = SHAPE_NULLABLE,                                                                  \
         .of = &probe_shape,                                                                       \
         .default_json = DEFAULTS("{\"path\":\"/\"}"),                                             \
         .description = "null: no probe."},                                                        \
        LAMBDA_SETTINGS(DEFAULTS)
#define KEEP(text) text
#define NONE(text) NULL

#define READ_ONLY_STRING(NAME, TEXT)                                                               \
    {                                                                                              \
        .name = NAME, .kind = SHAPE_STRING, .flags = SHAPE_READ_ONLY, .description = TEXT          \
    }

static const struct shape_field drift_fields[] = {
    {.name = "policy",
     .kind = SHAPE_STRING,
     .choices = "alert|repair|accept",
     .default_json = "\"alert\"",
     .description = "alert: it is told; repair: what was deployed is put back; accept: the "
                    "function's configuration becomes the app's settings."},
};
static const struct shape drift_shape = {
    .name = "DriftPolicy", .fields = drift_fields, .count = COUNT(drift_fields)};

/* Everything but the name: of an app, and of an app in a document that is applied. */
#define APP_FIELDS(READ)                                                                           \
    {.name = "description",                                                                        \
     .kind = SHAPE_STRING,                                                                         \
     .max = 1024,                                                                                  \
     .default_json = "\"\"",                                                                       \
     .description = "Free text."},                                                                 \
        {.name = "enabled",                                                                        \
         .kind = SHAPE_BOOL,                                                                       \
         .default_json = "true",                                                                   \
         .description = "Whether it is served; else 404."},                                        \
        {.name = "labels",                                                                         \
         .kind = SHAPE_MAP,                                                                        \
         .max = 50,                                                                                \
         .max_bytes = 8192,                                                                        \
         .check = label_name_valid,                                                                \
         .wants = "must be a name of letters, digits, - _ . / and at most 63 bytes",               \
         .pattern = "^[A-Za-z0-9_./-]{1,63}$",                                                     \
         .default_json = "{}",                                                                     \
         .description = "Free names and values, to filter by."},                                   \
        {.name = "function",                                                                       \
         .kind = SHAPE_OBJECT,                                                                     \
         .of = &function_shape,                                                                    \
         .default_json = "{}",                                                                     \
         .description = "The Lambda function behind it."},                                         \
        VERSIONED_FIELDS(KEEP), LAMBDA_SETTINGS_AT_ONCE,                                           \
        {.name = "limits",                                                                         \
         .kind = SHAPE_OBJECT,                                                                     \
         .of = &limits_shape,                                                                      \
         .default_json = "{}",                                                                     \
         .description = "Limits that act at once."},                                               \
        {.name = "keepVersions",                                                                   \
         .kind = SHAPE_INTEGER,                                                                    \
         .flags = SHAPE_NULLABLE,                                                                  \
         .min = 1,                                                                                 \
         .max = 10000,                                                                             \
         .default_json = "null",                                                                   \
         .description = "Newest versions that are kept when older ones go; null: as "              \
                        "MANAGERD_KEEP_VERSIONS says."},                                           \
        {.name = "previewUrls",                                                                    \
         .kind = SHAPE_BOOL,                                                                       \
         .default_json = "false",                                                                  \
         .description = "Whether v{n}--{app}.BASE_DOMAIN reaches version n. Acts at once."},       \
        {.name = "versionHeader",                                                                  \
         .kind = SHAPE_BOOL,                                                                       \
         .default_json = "false",                                                                  \
         .description =                                                                            \
             "Whether clients may ask for a version by X-Orchestrator-Version. Acts at once."},    \
        {.name = "respondAsync",                                                                   \
         .kind = SHAPE_BOOL,                                                                       \
         .default_json = "false",                                                                  \
         .description =                                                                            \
             "Whether Prefer: respond-async is granted: 202 at once, the function runs "           \
             "later. Acts at once."},                                                              \
        {.name = "drift",                                                                          \
         .kind = SHAPE_OBJECT,                                                                     \
         .of = &drift_shape,                                                                       \
         .default_json = "{}",                                                                     \
         .description = "What a sync does when AWS has something else than was deployed."},        \
        {.name = "access",                                                                         \
         .kind = SHAPE_OBJECT,                                                                     \
         .of = &access_shape,                                                                      \
         .default_json = "{}",                                                                     \
         .description = "Who may call. Acts at once."},                                            \
        {.name = "domains",                                                                        \
         .kind = SHAPE_LIST,                                                                       \
         .flags = SHAPE_READ_ONLY | (READ),                                                        \
         .description = "Host names whose paths lead here."},                                      \
        {.name = "urls",                                                                           \
         .kind = SHAPE_LIST,                                                                       \
         .flags = SHAPE_READ_ONLY | (READ),                                                        \
         .description = "Where it is served."},                                                    \
        {.name = "createdAt",                                                                      \
         .kind = SHAPE_STRING,                                                                     \
         .flags = SHAPE_READ_ONLY | (READ),                                                        \
         .description = "RFC 3339."},                                                              \
        {.name = "updatedAt",                                                                      \
         .kind = SHAPE_STRING,                                                                     \
         .flags = SHAPE_READ_ONLY | (READ),                                                        \
         .description = "RFC 3339."},                                                              \
    {                                                                                              \
        .name = "revision", .kind = SHAPE_STRING, .flags = SHAPE_READ_ONLY | (READ),               \
        .description = "The strong ETag, without quotes."                                          \
    }

static const struct shape_field app_fields[] = {
    READ_ONLY_STRING("name", "A DNS label without --."),
    APP_FIELDS(0),
};
const struct shape app_shape = {
    .name = "App",
    .description = "One mini-application.",
    .fields = app_fields,
    .count = COUNT(app_fields),
    .example = "{\"description\":\"Says hello\",\"labels\":{\"team\":\"web\"},"
               "\"runtime\":\"nodejs22.x\",\"handler\":\"index.handler\",\"memoryMb\":256}"};

static const struct shape_field applied_app_fields[] = {
    {.name = "name",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .check = app_name_valid,
     .wants = "must be a DNS label in lower case, beginning with a letter, without --",
     .pattern = APP_NAME_PATTERN,
     .description = "The app."},
    APP_FIELDS(SHAPE_SOMETIMES),
    {.name = "environment",
     .kind = SHAPE_ANY,
     .flags = SHAPE_SOMETIMES,
     .check_value = apply_check_environment,
     .schema_json = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}},{\"type\":\"object\","
                    "\"additionalProperties\":{\"type\":[\"string\",\"null\"]}}",
     .description =
         "Variables of the next deployment: names whose values stay, or names and values; "
         "others go. Absent: they stay as they are."},
    {.name = "traffic",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_SOMETIMES,
     .of = &traffic_shape,
     .description = "Which versions serve. Absent: it stays as it is."},
    {.name = "package",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_SOMETIMES,
     .of = &applied_package_shape,
     .description = "Which package it runs: exactly one of these members. It is deployed unless it "
                    "serves already, with the same settings. Absent: what serves stays."},
};
const struct shape applied_app_shape = {.name = "AppliedApp",
                                        .description =
                                            "An app as it shall be: what is absent has its "
                                            "default, unless it says otherwise.",
                                        .fields = applied_app_fields,
                                        .count = COUNT(applied_app_fields)};

static const struct shape_field package_source_fields[] = {
    {.name = "zip",
     .kind = SHAPE_STRING,
     .min = 1,
     .description = "The archive in base64 (RFC 4648 section 4)."},
    {.name = "version",
     .kind = SHAPE_INTEGER,
     .min = 1,
     .max = 1000000000,
     .description = "Deploy the package of this version again, with today's settings."},
};
static const struct shape package_source_shape = {.name = "PackageSource",
                                                  .fields = package_source_fields,
                                                  .count = COUNT(package_source_fields)};

static const char *check_deployment_traffic(const struct json *value)
{
    if (json_type_of(value) == JSON_STRING)
        return view_equal_string(json_string(value), "all") ||
                       view_equal_string(json_string(value), "none")
                   ? NULL
                   : "must be all, none, or {\"percent\": 0 to 100}";
    double percent = -1;
    if (json_type_of(value) != JSON_OBJECT || json_count(value) != 1 ||
        !json_get_number(value, "percent", &percent) || percent < 0 || percent > 100)
        return "must be all, none, or {\"percent\": 0 to 100}";
    return NULL;
}

#define CANARY_STEPS 20

static const char *check_canary_steps(const struct json *value)
{
    static const char *const wants =
        "must be 1 to 20 rising percents of at most two decimals, above 0, the last of them 100";
    double before = 0, percent = 0;
    if (json_type_of(value) != JSON_ARRAY || json_count(value) > CANARY_STEPS)
        return wants;
    for (const struct json *one = json_first(value); one; one = json_next(one)) {
        percent = json_type_of(one) == JSON_NUMBER ? json_number(one) : 0;
        if (!(percent > before) || traffic_weight(percent) <= 0)
            return wants;
        before = percent;
    }
    return before == 100 ? NULL : wants;
}

static const struct shape_field canary_fields[] = {
    {.name = "steps",
     .kind = SHAPE_ANY,
     .check_value = check_canary_steps,
     .default_json = "[1,10,50,100]",
     .schema_json = "{\"type\":\"array\",\"minItems\":1,\"maxItems\":20,\"items\":{"
                    "\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":100}}",
     .description = "The shares that the new version takes one after another, rising to 100."},
    {.name = "intervalSeconds",
     .kind = SHAPE_INTEGER,
     .min = 1,
     .max = 86400,
     .default_json = "60",
     .description = "How long each share is watched at least."},
    {.name = "maxErrorRate",
     .kind = SHAPE_NUMBER,
     .min = 0,
     .max = 1,
     .default_json = "0.02",
     .description = "The share of its calls, from 0 to 1, that may fail with a 5xx in one step."},
    {.name = "maxLatencyP99Ms",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_NULLABLE,
     .min = 1,
     .max = 900000,
     .default_json = "null",
     .description = "What 99 of 100 calls may take at most, in ms, by 100 calls or more; null: "
                    "times are not judged."},
    {.name = "minRequests",
     .kind = SHAPE_INTEGER,
     .min = 1,
     .max = 1000000000,
     .default_json = "50",
     .description = "Calls in a step before it is judged; the step holds until they came."},
    {.name = "maxHoldSeconds",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_NULLABLE,
     .min = 1,
     .max = 604800,
     .default_json = "3600",
     .description =
         "How long a step may hold for want of figures, after its interval; then it goes "
         "back. null: without end."},
};
const struct shape canary_shape = {
    .name = "Canary",
    .description = "Traffic step by step, and back when the proxies measure too many errors.",
    .fields = canary_fields,
    .count = COUNT(canary_fields),
    .example = "{\"steps\":[1,10,50,100],\"intervalSeconds\":60,\"maxErrorRate\":0.02,"
               "\"maxLatencyP99Ms\":800,\"minRequests\":50}"};

static const struct shape_field deployment_fields[] = {
    {.name = "package",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_REQUIRED,
     .of = &package_source_shape,
     .description = "Exactly one of its members."},
    VERSIONED_FIELDS(NONE),
    {.name = "environment",
     .kind = SHAPE_MAP,
     .flags = SHAPE_SECRET,
     .max = 500,
     .max_bytes = MAX_ENVIRONMENT_BYTES,
     .check = environment_name_valid,
     .wants = "must be a letter and then letters, digits and _, and no name that Lambda reserves",
     .pattern = ENVIRONMENT_NAME_PATTERN,
     .description = "Replaces the app's environment variables. Values never come back."},
    {.name = "description",
     .kind = SHAPE_STRING,
     .max = 200,
     .description = "What this version is."},
    {.name = "traffic",
     .kind = SHAPE_ANY,
     .check_value = check_deployment_traffic,
     .schema_json = "{\"enum\":[\"all\",\"none\"]},{\"type\":\"object\",\"properties\":{"
                    "\"percent\":{\"type\":\"number\",\"minimum\":0,\"maximum\":100}},"
                    "\"required\":[\"percent\"],\"additionalProperties\":false}",
     .description = "What it serves once it is ready and probed; all when absent."},
    {.name = "canary",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_NULLABLE,
     .of = &canary_shape,
     .description =
         "Takes the traffic step by step instead of at once, as long as it does well. As "
         "a query parameter: this object as JSON."},
    {.name = "adopt",
     .kind = SHAPE_BOOL,
     .description = "Take over a function of that name which we did not make."},
};
const struct shape deployment_shape = {
    .name = "Deployment",
    .description = "A new version from a package.",
    .fields = deployment_fields,
    .count = COUNT(deployment_fields),
    .example = "{\"package\":{\"version\":3},\"memoryMb\":256,\"traffic\":\"none\"}"};

static const struct shape_field package_fields[] = {
    READ_ONLY_STRING("type", "zip"),
    READ_ONLY_STRING("sha256", "Of the archive, in hex."),
    {.name = "bytes",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_READ_ONLY,
     .description = "Size of the archive."},
    READ_ONLY_STRING("source", "upload, or version N."),
};
static const struct shape package_shape = {
    .name = "Package", .fields = package_fields, .count = COUNT(package_fields)};

static const struct shape_field version_fields[] = {
    {.name = "version",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_READ_ONLY,
     .min = 1,
     .description = "1, 2, 3 … per app."},
    {.name = "state",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "pending|ready|failed|deleting",
     .description = "Only ready ones can serve."},
    {.name = "package",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY,
     .of = &package_shape,
     .description = "The code."},
    VERSIONED_FIELDS(NONE),
    {.name = "environment",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .description = "Names of its environment variables."},
    {.name = "lambdaVersion",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "Version of the Lambda function."},
    {.name = "codeSha256",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "As AWS says it."},
    READ_ONLY_STRING("description", "What this version is."),
    READ_ONLY_STRING("createdAt", "RFC 3339."),
    READ_ONLY_STRING("createdBy", "Who deployed it."),
    READ_ONLY_STRING("operation", "The operation that made it."),
    {.name = "failure",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .of = &problem_shape,
     .description = "Why it failed."},
    READ_ONLY_STRING("revision", "The strong ETag, without quotes."),
};
const struct shape version_shape = {.name = "Version",
                                    .description =
                                        "Immutable: code, configuration and HTTP behaviour.",
                                    .fields = version_fields,
                                    .count = COUNT(version_fields)};
