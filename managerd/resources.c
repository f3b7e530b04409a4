/* The tables of what the API's resources hold. */
#include "managerd/resources.h"

#include "common/contract/host.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const char *const versioned_members[] = {"runtime",        "handler", "architecture", "memoryMb",
                                         "timeoutSeconds", "http",    "probe",        NULL};

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
     .description = "Requests at once, per proxyd process; null: the daemon's default."},
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
     .description = "null: the version's timeout and one second."},
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
     .default_json = DEFAULTS("\"nodejs22.x\""),                                                   \
     .description = "Lambda runtime."},                                                            \
        {.name = "handler",                                                                        \
         .kind = SHAPE_STRING,                                                                     \
         .min = 1,                                                                                 \
         .max = 128,                                                                               \
         .check = handler_valid,                                                                   \
         .wants = "must hold no space",                                                            \
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
    {                                                                                              \
        .name = "probe", .kind = SHAPE_OBJECT, .flags = SHAPE_NULLABLE, .of = &probe_shape,        \
        .default_json = DEFAULTS("{\"path\":\"/\"}"), .description = "null: no probe."             \
    }
#define KEEP(text) text
#define NONE(text) NULL

#define READ_ONLY_STRING(NAME, TEXT)                                                               \
    {                                                                                              \
        .name = NAME, .kind = SHAPE_STRING, .flags = SHAPE_READ_ONLY, .description = TEXT          \
    }

static const struct shape_field app_fields[] = {
    READ_ONLY_STRING("name", "A DNS label without --."),
    {.name = "description",
     .kind = SHAPE_STRING,
     .max = 1024,
     .default_json = "\"\"",
     .description = "Free text."},
    {.name = "enabled",
     .kind = SHAPE_BOOL,
     .default_json = "true",
     .description = "Whether it is served; else 404."},
    {.name = "labels",
     .kind = SHAPE_MAP,
     .max = 50,
     .check = label_name_valid,
     .wants = "must be a name of letters, digits, - _ . / and at most 63 bytes",
     .default_json = "{}",
     .description = "Free names and values, to filter by."},
    {.name = "function",
     .kind = SHAPE_OBJECT,
     .of = &function_shape,
     .default_json = "{}",
     .description = "The Lambda function behind it."},
    VERSIONED_FIELDS(KEEP),
    {.name = "limits",
     .kind = SHAPE_OBJECT,
     .of = &limits_shape,
     .default_json = "{}",
     .description = "Limits that act at once."},
    {.name = "domains",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .description = "Host names whose paths lead here."},
    {.name = "urls",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .description = "Where it is served."},
    READ_ONLY_STRING("createdAt", "RFC 3339."),
    READ_ONLY_STRING("updatedAt", "RFC 3339."),
    READ_ONLY_STRING("revision", "The strong ETag, without quotes."),
};
const struct shape app_shape = {
    .name = "App",
    .description = "One mini-application.",
    .fields = app_fields,
    .count = COUNT(app_fields),
    .example = "{\"description\":\"Says hello\",\"labels\":{\"team\":\"web\"},"
               "\"runtime\":\"nodejs22.x\",\"handler\":\"index.handler\",\"memoryMb\":256}"};

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
     .check = environment_name_valid,
     .wants = "must be a letter and then letters, digits and _, and no name that Lambda reserves",
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

static const struct shape_field problem_fields[] = {
    {.name = "type",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .description = "A page that this server serves."},
    {.name = "title", .kind = SHAPE_STRING, .flags = SHAPE_REQUIRED, .description = "What it is."},
    {.name = "status",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_REQUIRED,
     .min = 400,
     .max = 599,
     .description = "HTTP status."},
    {.name = "detail", .kind = SHAPE_STRING, .description = "What to do about it."},
    {.name = "instance", .kind = SHAPE_STRING, .description = "urn:uuid: and the request's id."},
    {.name = "errors",
     .kind = SHAPE_ANY,
     .schema_json = "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
                    "\"pointer\":{\"type\":\"string\"},\"parameter\":{\"type\":\"string\"},"
                    "\"detail\":{\"type\":\"string\"}},\"required\":[\"detail\"]}}",
     .description = "Every fault of the request at once."},
    {.name = "aws",
     .kind = SHAPE_ANY,
     .schema_json = "{\"type\":\"object\",\"properties\":{\"code\":{\"type\":\"string\"},"
                    "\"message\":{\"type\":\"string\"},\"requestId\":{\"type\":\"string\"}}}",
     .description = "What AWS said."},
};
const struct shape problem_shape = {
    .name = "Problem",
    .description = "RFC 9457.",
    .fields = problem_fields,
    .count = COUNT(problem_fields),
    .example = "{\"type\":\"/problems/app-not-found\",\"title\":\"There is no such app\","
               "\"status\":404,\"detail\":\"Create it with PUT, or deploy to it.\","
               "\"instance\":\"urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057\"}"};

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

static const struct shape_field share_fields[] = {
    {.name = "version",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = 1000000000,
     .description = "A ready version."},
    {.name = "percent",
     .kind = SHAPE_NUMBER,
     .flags = SHAPE_REQUIRED,
     .min = 0,
     .max = 100,
     .description = "Its share, up to two decimals."},
};
static const struct shape share_shape = {
    .name = "Share", .fields = share_fields, .count = COUNT(share_fields)};
static const struct shape_field traffic_fields[] = {
    {.name = "versions",
     .kind = SHAPE_LIST,
     .flags = SHAPE_REQUIRED,
     .max = 100,
     .of = &share_shape,
     .description = "The percents add up to 100."},
    {.name = "sticky",
     .kind = SHAPE_STRING,
     .choices = "none|cookie|address",
     .default_json = "\"none\"",
     .description = "What keeps a client on one version."},
    READ_ONLY_STRING("revision", "The strong ETag, without quotes."),
};
const struct shape traffic_shape = {
    .name = "Traffic",
    .description = "Which versions serve, with what shares.",
    .fields = traffic_fields,
    .count = COUNT(traffic_fields),
    .example = "{\"versions\":[{\"version\":4,\"percent\":90},{\"version\":5,\"percent\":10}],"
               "\"sticky\":\"none\"}"};

static const struct shape_field rollback_fields[] = {
    {.name = "version",
     .kind = SHAPE_INTEGER,
     .min = 1,
     .max = 1000000000,
     .description = "Serve this version alone; absent: what served before the latest deployment."},
};
const struct shape rollback_shape = {.name = "Rollback",
                                     .fields = rollback_fields,
                                     .count = COUNT(rollback_fields),
                                     .example = "{\"version\":3}"};

static const struct shape_field step_fields[] = {
    READ_ONLY_STRING("name", "What it does."),
    {.name = "state",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "waiting|running|done|skipped|failed",
     .description = "How far it is."},
    {.name = "attempts",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_READ_ONLY,
     .description = "Times it was begun."},
    {.name = "startedAt",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "RFC 3339."},
    {.name = "finishedAt",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "RFC 3339."},
    {.name = "detail",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "What came of it."},
};
static const struct shape step_shape = {
    .name = "Step", .fields = step_fields, .count = COUNT(step_fields)};
static const struct shape_field operation_fields[] = {
    READ_ONLY_STRING("id", "Sorts by time."),
    {.name = "type",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "deploy|delete|delete-version",
     .description = "What it does."},
    READ_ONLY_STRING("app", "For which app."),
    {.name = "state",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "queued|running|succeeded|failed|cancelled",
     .description = "How far it is."},
    {.name = "steps",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .of = &step_shape,
     .description = "In order."},
    {.name = "result",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "What it made."},
    {.name = "problem",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .of = &problem_shape,
     .description = "Why it failed."},
    READ_ONLY_STRING("createdBy", "Who asked for it."),
    READ_ONLY_STRING("createdAt", "RFC 3339."),
    READ_ONLY_STRING("updatedAt", "RFC 3339."),
};
const struct shape operation_shape = {.name = "Operation",
                                      .description =
                                          "A long-running piece of work, which survives a crash.",
                                      .fields = operation_fields,
                                      .count = COUNT(operation_fields)};

static const struct shape_field status_fields[] = {
    READ_ONLY_STRING("app", "Its name."),
    {.name = "status",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "serving|inactive|empty|deleting",
     .description = "Whether requests are served."},
    {.name = "traffic",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY,
     .of = &traffic_shape,
     .description = "Which versions serve."},
    {.name = "latestVersion",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "The number given last."},
    {.name = "function",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY,
     .description = "What is known of the Lambda function."},
    {.name = "operations",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .description = "Ids of those that are queued or running."},
    {.name = "lastDeployment",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "The latest deployment that ended."},
};
const struct shape status_shape = {.name = "Status",
                                   .description = "What is observed.",
                                   .fields = status_fields,
                                   .count = COUNT(status_fields)};

static const struct shape_field environment_fields[] = {
    {.name = "variables",
     .kind = SHAPE_MAP,
     .flags = SHAPE_REQUIRED | SHAPE_SECRET,
     .max = 500,
     .check = environment_name_valid,
     .wants = "must be a letter and then letters, digits and _, and no name that Lambda reserves",
     .description = "Names and values, for the next deployment."},
    {.name = "names",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .description = "The names; values never come back."},
    READ_ONLY_STRING("revision", "The strong ETag, without quotes."),
};
const struct shape environment_shape = {.name = "Environment",
                                        .description =
                                            "Environment variables of the next deployment.",
                                        .fields = environment_fields,
                                        .count = COUNT(environment_fields),
                                        .example = "{\"variables\":{\"GREETING\":\"hello\"}}"};

static const struct shape_field system_fields[] = {
    READ_ONLY_STRING("release", "Of this program."),
    READ_ONLY_STRING("installation", "Its id."),
    {.name = "storage",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY,
     .description = "Where state lies."},
    {.name = "aws",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY,
     .description = "Which AWS it drives."},
    {.name = "counts",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY,
     .description = "How many there are."},
};
const struct shape system_shape = {
    .name = "System", .fields = system_fields, .count = COUNT(system_fields)};

static const struct shape_field compatibility_deploy_fields[] = {
    {.name = "name",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = 63,
     .check = app_name_valid,
     .wants = "must be a DNS label in lower case without --",
     .pattern = "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
     .description = "The app."},
    {.name = "archive",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .description = "A zip archive in base64."},
};
const struct shape compatibility_deploy_shape = {
    .name = "CompatibilityDeploy",
    .fields = compatibility_deploy_fields,
    .count = COUNT(compatibility_deploy_fields),
    .example = "{\"name\":\"hello\",\"archive\":\"UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==\"}"};

static const struct shape_field compatibility_status_fields[] = {
    {.name = "name", .kind = SHAPE_STRING, .flags = SHAPE_REQUIRED, .description = "The app."},
    {.name = "status",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .choices = "DEPLOYED|ACTIVE|INACTIVE|REMOVED|ERROR",
     .description = "How it is."},
};
const struct shape compatibility_status_shape = {.name = "CompatibilityStatus",
                                                 .fields = compatibility_status_fields,
                                                 .count = COUNT(compatibility_status_fields),
                                                 .example =
                                                     "{\"name\":\"hello\",\"status\":\"ACTIVE\"}"};

const struct shape *const resource_shapes[] = {&app_shape,
                                               &deployment_shape,
                                               &version_shape,
                                               &traffic_shape,
                                               &rollback_shape,
                                               &operation_shape,
                                               &status_shape,
                                               &environment_shape,
                                               &problem_shape,
                                               &system_shape,
                                               &compatibility_deploy_shape,
                                               &compatibility_status_shape,
                                               NULL};
