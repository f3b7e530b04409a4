/* The table of what an explanation holds. */
#include "managerd/explain.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define FIELD(NAME, KIND, FLAGS, TEXT)                                                             \
    {                                                                                              \
        .name = NAME, .kind = KIND, .flags = SHAPE_READ_ONLY | (FLAGS), .description = TEXT        \
    }
#define OBJECT(NAME, KIND, FLAGS, OF, TEXT)                                                        \
    {                                                                                              \
        .name = NAME, .kind = KIND, .flags = SHAPE_READ_ONLY | (FLAGS), .of = OF,                  \
        .description = TEXT                                                                        \
    }

static const struct shape_field version_fields[] = {
    FIELD("version", SHAPE_INTEGER, 0, "Its number."),
    FIELD("percent", SHAPE_NUMBER, 0, "Its share; 0: it can be asked for, and has no traffic."),
    FIELD("function", SHAPE_STRING, 0, "The Lambda function."),
    FIELD("lambdaVersion", SHAPE_STRING, 0, "The Lambda version."),
    FIELD("payloadFormat", SHAPE_STRING, 0, "2.0, 1.0 or alb."),
    FIELD("responseMode", SHAPE_STRING, 0, "buffered, stream or auto."),
    FIELD("multiValueHeaders", SHAPE_BOOL, 0, "For alb."),
    FIELD("timeoutSeconds", SHAPE_INTEGER, 0, "The function's own timeout."),
    FIELD("deadlineMs", SHAPE_INTEGER, 0, "The proxy waits so long for the function."),
};
static const struct shape version_shape_here = {
    .name = "ExplainedVersion", .fields = version_fields, .count = COUNT(version_fields)};

static const struct shape_field limits_fields[] = {
    FIELD("maxInFlight", SHAPE_INTEGER, SHAPE_NULLABLE, "Requests at once; null: the proxy's."),
    FIELD("requestsPerSecond", SHAPE_NUMBER, SHAPE_NULLABLE, "null: no limit."),
    FIELD("burst", SHAPE_INTEGER, SHAPE_NULLABLE, "Requests above the rate."),
    FIELD("deadlineMs", SHAPE_INTEGER, SHAPE_NULLABLE, "null: the version's timeout + 1 s."),
    FIELD("maxBodyBytes", SHAPE_INTEGER, SHAPE_NULLABLE, "null: the proxy's."),
};
static const struct shape limits_shape_here = {
    .name = "ExplainedLimits", .fields = limits_fields, .count = COUNT(limits_fields)};

static const struct shape_field access_fields[] = {
    FIELD("cors", SHAPE_BOOL, SHAPE_SOMETIMES,
          "Whether the proxy decides about pages of other origins."),
    FIELD("apiKeyHeader", SHAPE_STRING, SHAPE_NULLABLE | SHAPE_SOMETIMES,
          "Where a key is wanted; null: none is."),
    FIELD("jwtIssuer", SHAPE_STRING, SHAPE_NULLABLE | SHAPE_SOMETIMES,
          "Whose token is wanted; null: none is."),
};
static const struct shape access_shape_here = {
    .name = "ExplainedAccess", .fields = access_fields, .count = COUNT(access_fields)};

static const struct shape_field considered_fields[] = {
    FIELD("what", SHAPE_STRING, 0,
          "https-redirect, target, exact-domain, wildcard-domain, prefix, base-domain, preview, "
          "path-routing, app, enabled, version-header, sticky-cookie, sticky-address, traffic, "
          "cors, api-key, jwt, respond-async."),
    FIELD("subject", SHAPE_STRING, SHAPE_NULLABLE, "What was looked up, or held against it."),
    {.name = "outcome",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "match|no|failed|not-known",
     .description = "not-known: only the proxy that gets the request can say."},
    FIELD("detail", SHAPE_STRING, 0, "In words."),
};
static const struct shape considered_shape = {
    .name = "Consideration", .fields = considered_fields, .count = COUNT(considered_fields)};

static const struct shape_field explanation_fields[] = {
    FIELD("served", SHAPE_BOOL, 0, "Whether a function is called."),
    FIELD("status", SHAPE_INTEGER, SHAPE_NULLABLE,
          "What the proxy answers by itself; null: the function's answer."),
    FIELD("fault", SHAPE_STRING, SHAPE_NULLABLE, "The fault that the answer names."),
    FIELD("detail", SHAPE_STRING, 0, "Why, in a sentence."),
    FIELD("method", SHAPE_STRING, 0, "Of the request."),
    FIELD("host", SHAPE_STRING, SHAPE_NULLABLE, "In normal form; null: it is not lawful."),
    FIELD("path", SHAPE_STRING, SHAPE_NULLABLE, "In normal form; null: it is not lawful."),
    {.name = "by",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,
     .choices = "domain|base-domain|path",
     .description = "What led to the app."},
    FIELD("domain", SHAPE_STRING, SHAPE_NULLABLE, "The domain, or base domain, that matched."),
    FIELD("app", SHAPE_STRING, SHAPE_NULLABLE, "The app that the address leads to."),
    FIELD("enabled", SHAPE_BOOL, SHAPE_NULLABLE, "Whether it is served at all."),
    FIELD("forwardedPath", SHAPE_STRING, SHAPE_NULLABLE, "The path that the function sees."),
    FIELD("strippedPrefix", SHAPE_STRING, SHAPE_NULLABLE, "What was taken off."),
    OBJECT("version", SHAPE_OBJECT, SHAPE_NULLABLE, &version_shape_here,
           "The version that serves; null: none, or it is drawn by chance."),
    OBJECT("versions", SHAPE_LIST, 0, &version_shape_here, "Those that have traffic."),
    FIELD("sticky", SHAPE_STRING, SHAPE_NULLABLE, "none, cookie or address."),
    FIELD("bucket", SHAPE_INTEGER, SHAPE_NULLABLE, "Where the client falls, from 0 to 9999."),
    OBJECT("limits", SHAPE_OBJECT, SHAPE_NULLABLE, &limits_shape_here, "The app's own."),
    OBJECT("access", SHAPE_OBJECT, SHAPE_NULLABLE, &access_shape_here, "The app's rules."),
    OBJECT("considered", SHAPE_LIST, 0, &considered_shape, "What was looked at, in order."),
};
const struct shape explanation_shape = {.name = "Explanation",
                                        .description = "What a proxy does with a request, and why.",
                                        .fields = explanation_fields,
                                        .count = COUNT(explanation_fields)};
