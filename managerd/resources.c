/* The tables of what the API's other resources hold. */
#include "managerd/resources.h"

#include "common/contract/host.h"
#include "common/net/tls_pair.h"
#include "managerd/access.h"
#include "managerd/apply.h"
#include "managerd/audit.h"
#include "managerd/tokens.h"
#include "managerd/domains.h"
#include "managerd/explain.h"
#include "managerd/history.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define READ_ONLY_STRING(NAME, TEXT)                                                               \
    {                                                                                              \
        .name = NAME, .kind = SHAPE_STRING, .flags = SHAPE_READ_ONLY, .description = TEXT          \
    }

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
    {.name = "detail",
     .kind = SHAPE_STRING,
     .flags = SHAPE_SOMETIMES,
     .description = "What to do about it."},
    {.name = "instance",
     .kind = SHAPE_STRING,
     .flags = SHAPE_SOMETIMES,
     .format = "uri-reference",
     .description = "urn:uuid: and the request's id; or the id that the client gave."},
    {.name = "errors",
     .kind = SHAPE_ANY,
     .flags = SHAPE_SOMETIMES,
     .schema_json = "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
                    "\"pointer\":{\"type\":\"string\"},\"parameter\":{\"type\":\"string\"},"
                    "\"detail\":{\"type\":\"string\"}},\"required\":[\"detail\"],"
                    "\"additionalProperties\":false}}",
     .description = "Every fault of the request at once."},
    {.name = "aws",
     .kind = SHAPE_ANY,
     .flags = SHAPE_SOMETIMES,
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
    {.name = "revision",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .description = "The strong ETag, without quotes; when it is read alone."},
};
const struct shape traffic_shape = {
    .name = "Traffic",
    .description = "Which versions serve, with what shares.",
    .fields = traffic_fields,
    .count = COUNT(traffic_fields),
    .example = "{\"versions\":[{\"version\":4,\"percent\":90},{\"version\":5,\"percent\":10}],"
               "\"sticky\":\"none\"}"};

static const struct shape_field path_fields[] = {
    {.name = "prefix",
     .kind = SHAPE_STRING,
     .min = 1,
     .max = DOMAIN_PREFIX_BYTES,
     .default_json = "\"/\"",
     .description = "Paths at and below it, by whole segments; the longest prefix wins."},
    {.name = "app",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .check = app_name_valid,
     .wants = "must be the name of an app",
     .pattern = APP_NAME_PATTERN,
     .description = "Which app serves them."},
    {.name = "stripPrefix",
     .kind = SHAPE_BOOL,
     .default_json = "false",
     .description = "Whether the app sees the path without the prefix."},
    {.name = "url",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "Where it is reached; null: a wildcard."},
};
static const struct shape path_shape = {
    .name = "DomainPath", .fields = path_fields, .count = COUNT(path_fields)};
static const struct shape_field tls_fields[] = {
    {.name = "certificatePem",
     .kind = SHAPE_STRING,
     .flags = SHAPE_SECRET,
     .min = 1,
     .max = TLS_PAIR_MAX_CERTIFICATE,
     .description =
         "The host's certificate in PEM form, then each one that signed the one before."},
    {.name = "privateKeyPem",
     .kind = SHAPE_STRING,
     .flags = SHAPE_SECRET,
     .min = 1,
     .max = TLS_PAIR_MAX_KEY,
     .description = "Its private key in PEM form, without a passphrase; it never comes back."},
    READ_ONLY_STRING("subject", "RFC 2253."),
    READ_ONLY_STRING("issuer", "RFC 2253."),
    {.name = "names",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .description = "The hosts it is for."},
    READ_ONLY_STRING("keyType", "RSA 2048, EC P-256, Ed25519 and so on."),
    READ_ONLY_STRING("notBefore", "RFC 3339."),
    READ_ONLY_STRING("notAfter", "RFC 3339."),
    READ_ONLY_STRING("fingerprint", "SHA-256 of the host's certificate, in hex."),
};
static const struct shape tls_shape = {
    .name = "DomainTls", .fields = tls_fields, .count = COUNT(tls_fields)};
static const struct shape_field domain_fields[] = {
    READ_ONLY_STRING("host", "A host name, or *. and one: all names below it."),
    {.name = "paths",
     .kind = SHAPE_LIST,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = DOMAIN_PATHS_LIMIT,
     .of = &path_shape,
     .description = "Which app serves which paths; others are answered with 404."},
    {.name = "tls",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_NULLABLE,
     .of = &tls_shape,
     .description = "Its certificate. Absent, or without the two PEM texts: the one that is there "
                    "stays. null: none."},
    READ_ONLY_STRING("createdAt", "RFC 3339."),
    READ_ONLY_STRING("updatedAt", "RFC 3339."),
    {.name = "createdBy",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "Who made it; null: not known, as it is older than this member."},
    {.name = "updatedBy",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "Who changed it last."},
    READ_ONLY_STRING("revision", "The strong ETag, without quotes."),
};
const struct shape domain_shape = {
    .name = "Domain",
    .description = "A host whose paths lead to apps.",
    .fields = domain_fields,
    .count = COUNT(domain_fields),
    .example = "{\"paths\":[{\"prefix\":\"/\",\"app\":\"shop\"},"
               "{\"prefix\":\"/api\",\"app\":\"api\",\"stripPrefix\":true}]}"};

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

#define FIGURE(NAME, KIND, TEXT)                                                                   \
    {                                                                                              \
        .name = NAME, .kind = KIND, .flags = SHAPE_READ_ONLY, .description = TEXT                  \
    }
static const struct shape_field figures_fields[] = {
    FIGURE("calls", SHAPE_INTEGER, "Requests that the version was to answer."),
    FIGURE("errors", SHAPE_INTEGER, "Calls that ended with a 5xx of its own or because of it."),
    FIGURE("errorRate", SHAPE_NUMBER, "Errors by calls."),
    FIGURE("proxyErrors", SHAPE_INTEGER, "Requests that ended with another 5xx; not judged."),
    FIGURE("latencyP99Ms", SHAPE_NUMBER, "What 99 of 100 calls took at most."),
    FIGURE("proxies", SHAPE_INTEGER, "Proxies that answered the last time."),
    FIGURE("silent", SHAPE_INTEGER, "Proxies that did not."),
    FIGURE("restarts", SHAPE_INTEGER, "Proxies that were started, or first seen, meanwhile."),
    FIGURE("seconds", SHAPE_NUMBER, "For how long it was measured."),
};
static const struct shape figures_shape = {
    .name = "Figures", .fields = figures_fields, .count = COUNT(figures_fields)};

static const struct shape_field step_fields[] = {
    READ_ONLY_STRING("name", "What it does."),
    {.name = "subject",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .description = "To what, when it is not the operation's app."},
    {.name = "version",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .description = "For which version, when the operation is about several."},
    {.name = "operation",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .description = "By which operation of its own, when that is how it is done."},
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
     .description = "What came of it; of a step that holds, why."},
    {.name = "percent",
     .kind = SHAPE_NUMBER,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .description = "Of a canary's steps: the share of the new version."},
    {.name = "figures",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE | SHAPE_SOMETIMES,
     .of = &figures_shape,
     .description = "Of a canary's steps: what the proxies measured."},
};
static const struct shape step_shape = {
    .name = "Step", .fields = step_fields, .count = COUNT(step_fields)};
static const struct shape_field operation_fields[] = {
    READ_ONLY_STRING("id", "Sorts by time."),
    {.name = "type",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "deploy|delete|delete-version|apply|sync|configure",
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
    {.name = "revision",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .description = "The strong ETag, without quotes; when it is read alone."},
};
const struct shape operation_shape = {.name = "Operation",
                                      .description =
                                          "A long-running piece of work, which survives a crash.",
                                      .fields = operation_fields,
                                      .count = COUNT(operation_fields)};

static const struct shape_field issuer_key_fields[] = {
    READ_ONLY_STRING("kid", "Its id, as tokens name it; may be empty."),
    {.name = "algorithms",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .description = "What it may sign by."},
};
static const struct shape issuer_key_shape = {
    .name = "IssuerKey", .fields = issuer_key_fields, .count = COUNT(issuer_key_fields)};
static const struct shape_field issuer_status_fields[] = {
    {.name = "state",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "pending|ready|stale|missing",
     .description = "pending: the keys are being fetched for the first time; stale: they are in "
                    "force, the last look failed; missing: there are none, no token is taken."},
    READ_ONLY_STRING("issuer", "Whose tokens."),
    {.name = "jwksUrl",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "Where its keys are."},
    {.name = "keys",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .of = &issuer_key_shape,
     .description = "The keys in force."},
    {.name = "fetchedAt",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "The last look that succeeded; RFC 3339."},
    {.name = "checkedAt",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "The last look since this program started; RFC 3339."},
    {.name = "problem",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .description = "Why the last look failed."},
};
const struct shape issuer_status_shape = {
    .name = "IssuerStatus", .fields = issuer_status_fields, .count = COUNT(issuer_status_fields)};

static const struct shape_field environment_fields[] = {
    {.name = "variables",
     .kind = SHAPE_MAP,
     .flags = SHAPE_REQUIRED | SHAPE_SECRET,
     .max = 500,
     .max_bytes = MAX_ENVIRONMENT_BYTES,
     .check = environment_name_valid,
     .wants = "must be a letter and then letters, digits and _, and no name that Lambda reserves",
     .pattern = ENVIRONMENT_NAME_PATTERN,
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

static const struct shape_field compatibility_deploy_fields[] = {
    {.name = "name",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = 63,
     .check = app_name_valid,
     .wants = "must be a DNS label in lower case without --",
     .pattern = APP_NAME_PATTERN,
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
    /* Holds an index.js that says hello. */
    .example = "{\"name\":\"hello\",\"archive\":"
               "\"UEsDBBQAAAAAAABAP1xo0eBdOAAAADgAAAAIAAAAaW5kZXguanNleHBvcnRzLmhhbmRsZX"
               "I9YXN5bmMoKT0+KHtzdGF0dXNDb2RlOjIwMCxib2R5OidoZWxsbyd9KVBLAQIUAxQAAAAA"
               "AABAP1xo0eBdOAAAADgAAAAIAAAAAAAAAAAAAACkAQAAAABpbmRleC5qc1BLBQYAAAAAAQ"
               "ABADYAAABeAAAAAAA=\"}"};

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
