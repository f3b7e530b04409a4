/* The tables of what is observed: the status of an app, outside its revision, and the system. */
#include "managerd/resources.h"

#define COUNT(array)             (sizeof(array) / sizeof(array)[0])
#define TEXT_FIELD(NAME, TEXT)   FIELD(NAME, SHAPE_STRING, 0, TEXT)
#define TEXT_OR_NULL(NAME, TEXT) FIELD(NAME, SHAPE_STRING, SHAPE_NULLABLE, TEXT)
#define FIELD(NAME, KIND, FLAGS, TEXT)                                                             \
    {                                                                                              \
        .name = NAME, .kind = KIND, .flags = SHAPE_READ_ONLY | (FLAGS), .description = TEXT        \
    }
#define WORD(NAME, CHOICES, FLAGS, TEXT)                                                           \
    {                                                                                              \
        .name = NAME, .kind = SHAPE_STRING, .flags = SHAPE_READ_ONLY | (FLAGS),                    \
        .choices = CHOICES, .description = TEXT                                                    \
    }
#define PART(NAME, KIND, FLAGS, OF, TEXT)                                                          \
    {                                                                                              \
        .name = NAME, .kind = KIND, .flags = SHAPE_READ_ONLY | (FLAGS), .of = OF,                  \
        .description = TEXT                                                                        \
    }

static const struct shape_field function_fields[] = {
    TEXT_FIELD("name", "Of the Lambda function."),
    FIELD("claimed", SHAPE_BOOL, 0, "Whether a function of ours may exist."),
    FIELD("adopted", SHAPE_BOOL, 0, "Whether it was taken over."),
    FIELD("exists", SHAPE_BOOL, SHAPE_NULLABLE, "Whether AWS has it; null: not known."),
    FIELD("ours", SHAPE_BOOL, SHAPE_NULLABLE, "Whether it carries this installation's marks."),
    TEXT_OR_NULL("state", "As AWS says it: Pending, Active, Inactive, Failed …"),
    TEXT_OR_NULL("stateReason", "AWS's words."),
    TEXT_OR_NULL("stateReasonCode", "AWS's code."),
    TEXT_OR_NULL("lastUpdateStatus", "As AWS says it: Successful, Failed, InProgress."),
    TEXT_OR_NULL("lastUpdateStatusReason", "AWS's words."),
    TEXT_OR_NULL("lastUpdateStatusReasonCode", "AWS's code."),
    TEXT_OR_NULL("lastModified", "As AWS says it."),
};
static const struct shape function_shape = {
    .name = "ObservedFunction",
    .description = "What AWS has; members are null while that is not known.",
    .fields = function_fields,
    .count = COUNT(function_fields)};

static const struct shape_field seen_fields[] = {
    FIELD("calls", SHAPE_INTEGER, 0, "Requests that the version was to answer."),
    FIELD("errors", SHAPE_INTEGER, 0, "Calls that ended with a 5xx of its own or because of it."),
    FIELD("errorRate", SHAPE_NUMBER, 0, "Errors by calls."),
    FIELD("proxyErrors", SHAPE_INTEGER, 0, "Requests that ended with another 5xx."),
    FIELD("latencyP99Ms", SHAPE_NUMBER, 0, "What 99 of 100 calls took at most."),
    FIELD("proxies", SHAPE_INTEGER, 0, "Proxies that answered."),
    FIELD("silent", SHAPE_INTEGER, 0, "Proxies that did not."),
};
static const struct shape seen_shape = {
    .name = "Seen", .fields = seen_fields, .count = COUNT(seen_fields)};

#define HEALTH "unknown|healthy|degraded|failing"

static const struct shape_field version_fields[] = {
    FIELD("version", SHAPE_INTEGER, 0, "One that has traffic."),
    FIELD("percent", SHAPE_NUMBER, 0, "Its share."),
    TEXT_OR_NULL("lambdaVersion", "The Lambda version that it is."),
    TEXT_OR_NULL("codeSha256", "Of what was deployed."),
    TEXT_OR_NULL("observedCodeSha256", "Of what AWS has."),
    FIELD("codeMatches", SHAPE_BOOL, SHAPE_NULLABLE, "Whether these are the same."),
    FIELD("exists", SHAPE_BOOL, SHAPE_NULLABLE, "Whether AWS has the Lambda version."),
    TEXT_OR_NULL("state", "As AWS says it."),
    TEXT_OR_NULL("stateReason", "AWS's words."),
    TEXT_OR_NULL("stateReasonCode", "AWS's code."),
    WORD("health", HEALTH, 0, "By what AWS says and the proxies counted lately."),
    PART("seen", SHAPE_OBJECT, SHAPE_NULLABLE, &seen_shape,
         "What the proxies counted since each was started; null: nobody was asked."),
};
static const struct shape live_version_shape = {
    .name = "ObservedVersion", .fields = version_fields, .count = COUNT(version_fields)};

static const struct shape_field finding_fields[] = {
    WORD("kind",
         "function-missing|function-foreign|function-changed|version-missing|version-replaced|"
         "version-withdrawn",
         0, "What differs."),
    FIELD("version", SHAPE_INTEGER, SHAPE_NULLABLE, "Of which version; null: of the function."),
    TEXT_OR_NULL("field", "code, role, environment, or a member of a version that AWS has."),
    {.name = "expected",
     .kind = SHAPE_ANY,
     .flags = SHAPE_READ_ONLY,
     .schema_json = "{}",
     .description =
         "As it was deployed. Of an environment: names, and a fingerprint of all values."},
    {.name = "observed",
     .kind = SHAPE_ANY,
     .flags = SHAPE_READ_ONLY,
     .schema_json = "{}",
     .description = "As AWS has it."},
    FIELD("live", SHAPE_BOOL, 0, "Whether the version has traffic."),
};
static const struct shape finding_shape = {
    .name = "DriftItem", .fields = finding_fields, .count = COUNT(finding_fields)};

static const struct shape_field drift_fields[] = {
    WORD("policy", "alert|repair|accept", 0, "What a sync does about it."),
    WORD("state", "unknown|changing|none|drifted", 0,
         "unknown: AWS was not looked at yet; changing: an operation is at work."),
    PART("items", SHAPE_LIST, 0, &finding_shape, "What differs."),
};
static const struct shape drift_shape = {.name = "Drift",
                                         .description =
                                             "What AWS has that is not what was deployed.",
                                         .fields = drift_fields,
                                         .count = COUNT(drift_fields)};

static const struct shape_field failure_fields[] = {
    TEXT_FIELD("at", "RFC 3339."),
    TEXT_FIELD("code", "AWS's, or of the connection."),
    TEXT_FIELD("message", "Why."),
};
static const struct shape failure_shape = {
    .name = "CheckFailure", .fields = failure_fields, .count = COUNT(failure_fields)};

static const struct shape_field status_fields[] = {
    TEXT_FIELD("app", "Its name."),
    WORD("status", "serving|inactive|empty|deleting", 0, "Whether requests are served."),
    PART("traffic", SHAPE_OBJECT, 0, &traffic_shape, "Which versions serve."),
    TEXT_OR_NULL("canary", "The operation whose canary runs."),
    FIELD("latestVersion", SHAPE_INTEGER, SHAPE_NULLABLE, "The number given last."),
    PART("function", SHAPE_OBJECT, 0, &function_shape, "The Lambda function."),
    PART("versions", SHAPE_LIST, 0, &live_version_shape, "Those that have traffic."),
    WORD("health", HEALTH, SHAPE_NULLABLE, "The worst of them; null: nothing has traffic."),
    PART("drift", SHAPE_OBJECT, 0, &drift_shape, "What differs from what was deployed."),
    TEXT_OR_NULL("lastCheckedAt", "When AWS was seen last; RFC 3339; null: never."),
    FIELD("ageSeconds", SHAPE_INTEGER, SHAPE_NULLABLE, "How long ago that was."),
    FIELD("checking", SHAPE_BOOL, 0,
          "Whether a look is under way that took longer than this call."),
    PART("checkFailure", SHAPE_OBJECT, SHAPE_NULLABLE, &failure_shape,
         "Why the last look at AWS failed; what is told is older then. null: it did not."),
    TEXT_OR_NULL("trafficSeenAt", "When the proxies were asked last; RFC 3339."),
    FIELD("operations", SHAPE_LIST, 0, "Ids of those that are queued or running."),
    PART("jwt", SHAPE_OBJECT, SHAPE_NULLABLE, &issuer_status_shape,
         "What is known of the issuer of its tokens; null: it asks for none."),
    FIELD("lastDeployment", SHAPE_OBJECT, SHAPE_NULLABLE,
          "The latest deployment that ended: its operation, version and state, which is "
          "succeeded, failed or cancelled."),
};
const struct shape status_shape = {.name = "Status",
                                   .description = "What is observed.",
                                   .fields = status_fields,
                                   .count = COUNT(status_fields)};

static const struct shape_field storage_fields[] = {
    WORD("kind", "lmdb", 0, "How state lies."),
    FIELD("usedBytes", SHAPE_INTEGER, 0, "Of state."),
    FIELD("maxBytes", SHAPE_INTEGER, 0, "That state may grow to."),
    FIELD("writable", SHAPE_BOOL, 0, "Whether the latest change could be saved."),
    FIELD("full", SHAPE_BOOL, 0, "Whether something was refused for want of space."),
};
static const struct shape storage_shape = {
    .name = "Storage", .fields = storage_fields, .count = COUNT(storage_fields)};

static const struct shape_field aws_fields[] = {
    TEXT_FIELD("region", "Of everything."),
    TEXT_FIELD("endpoint", "Of Lambda."),
    TEXT_OR_NULL("role",
                 "ARN that functions run with unless their app names one; null: each must."),
    TEXT_OR_NULL("account", "Its number; null: not known."),
    TEXT_OR_NULL("arn", "Of the identity that managerd's credentials belong to."),
    TEXT_OR_NULL("userId", "Its unique id."),
    TEXT_OR_NULL("identityProblem", "Why the last look failed."),
    TEXT_OR_NULL("checkedAt", "The last look that succeeded; RFC 3339."),
};
static const struct shape aws_shape = {
    .name = "Aws", .fields = aws_fields, .count = COUNT(aws_fields)};

static const struct shape_field quota_fields[] = {
    FIELD("perSecond", SHAPE_INTEGER, 0, "Calls that managerd allows itself."),
    FIELD("now", SHAPE_NUMBER, 0, "Calls a second that pass now: fewer after AWS refused some."),
    FIELD("waiting", SHAPE_INTEGER, 0, "Calls in line."),
    FIELD("throttled", SHAPE_INTEGER, 0, "Answers of AWS that it was too much."),
};
static const struct shape quota_shape = {
    .name = "Quota", .fields = quota_fields, .count = COUNT(quota_fields)};

static const struct shape_field quotas_fields[] = {
    FIELD("concurrentExecutions", SHAPE_INTEGER, SHAPE_NULLABLE, "Invocations at once, in all."),
    FIELD("unreservedConcurrentExecutions", SHAPE_INTEGER, SHAPE_NULLABLE,
          "Of these, not kept for single functions."),
    FIELD("codeStorageBytes", SHAPE_INTEGER, SHAPE_NULLABLE, "For all code."),
    FIELD("codeStorageUsedBytes", SHAPE_INTEGER, SHAPE_NULLABLE, "Of these, in use."),
    FIELD("packageBytes", SHAPE_INTEGER, SHAPE_NULLABLE, "The largest package that is sent."),
    FIELD("unpackedBytes", SHAPE_INTEGER, SHAPE_NULLABLE, "The largest package, unpacked."),
    FIELD("functions", SHAPE_INTEGER, SHAPE_NULLABLE, "Functions there are, whoever made them."),
    TEXT_OR_NULL("problem", "Why the last look failed."),
    TEXT_OR_NULL("checkedAt", "The last look that succeeded; RFC 3339."),
    PART("control", SHAPE_OBJECT, 0, &quota_shape, "Lambda's control calls."),
    PART("getFunction", SHAPE_OBJECT, 0, &quota_shape, "GetFunction."),
};
static const struct shape quotas_shape = {
    .name = "Quotas",
    .description = "What the account may have in this region, and the pace of managerd's calls.",
    .fields = quotas_fields,
    .count = COUNT(quotas_fields)};

static const struct shape_field count_fields[] = {
    FIELD("apps", SHAPE_INTEGER, SHAPE_NULLABLE, "Apps."),
    FIELD("versions", SHAPE_INTEGER, SHAPE_NULLABLE, "Versions of all apps."),
    FIELD("domains", SHAPE_INTEGER, SHAPE_NULLABLE, "Domains."),
    FIELD("tokens", SHAPE_INTEGER, SHAPE_NULLABLE, "Tokens of this API."),
    FIELD("operations", SHAPE_INTEGER, SHAPE_NULLABLE, "Operations that are kept."),
    FIELD("operationsRunning", SHAPE_INTEGER, 0, "Of these, running."),
    FIELD("operationsQueued", SHAPE_INTEGER, 0, "Of these, queued."),
};
static const struct shape counts_shape = {
    .name = "Counts", .fields = count_fields, .count = COUNT(count_fields)};

static const struct shape_field system_fields[] = {
    TEXT_FIELD("release", "Of this program."),
    TEXT_FIELD("installation", "Its id."),
    PART("storage", SHAPE_OBJECT, 0, &storage_shape, "Where state lies."),
    PART("aws", SHAPE_OBJECT, 0, &aws_shape, "Which AWS it drives, and as whom."),
    PART("quotas", SHAPE_OBJECT, 0, &quotas_shape, "What AWS allows."),
    PART("counts", SHAPE_OBJECT, 0, &counts_shape, "How many there are."),
};
const struct shape system_shape = {
    .name = "System", .fields = system_fields, .count = COUNT(system_fields)};
