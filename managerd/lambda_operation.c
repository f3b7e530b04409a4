/* The table of the Lambda operations: how each is called, where it lies and which quota it counts for. */
#include "managerd/lambda_operation.h"

#include "common/base/escape.h"

#include <string.h>

#define FUNCTIONS "/2015-03-31/functions"

/* The subject, percent-encoded, lies between `path` and `path_end`; NULL: there is none. */
static const struct {
    const char *name, *method, *path, *path_end;
    enum lambda_quota quota;
} operations[LAMBDA_OPERATION_COUNT] = {
    [LAMBDA_GET_FUNCTION] = {"GetFunction", "GET", FUNCTIONS "/", "", LAMBDA_QUOTA_GET},
    [LAMBDA_CREATE_FUNCTION] = {"CreateFunction", "POST", FUNCTIONS, NULL, LAMBDA_QUOTA_CONTROL},
    [LAMBDA_UPDATE_CODE] = {"UpdateFunctionCode", "PUT", FUNCTIONS "/", "/code",
                            LAMBDA_QUOTA_CONTROL},
    [LAMBDA_UPDATE_CONFIGURATION] = {"UpdateFunctionConfiguration", "PUT", FUNCTIONS "/",
                                     "/configuration", LAMBDA_QUOTA_CONTROL},
    [LAMBDA_PUBLISH_VERSION] = {"PublishVersion", "POST", FUNCTIONS "/", "/versions",
                                LAMBDA_QUOTA_CONTROL},
    [LAMBDA_LIST_FUNCTIONS] = {"ListFunctions", "GET", FUNCTIONS, NULL, LAMBDA_QUOTA_CONTROL},
    [LAMBDA_LIST_VERSIONS] = {"ListVersionsByFunction", "GET", FUNCTIONS "/", "/versions",
                              LAMBDA_QUOTA_CONTROL},
    [LAMBDA_LIST_ALIASES] = {"ListAliases", "GET", FUNCTIONS "/", "/aliases", LAMBDA_QUOTA_CONTROL},
    [LAMBDA_DELETE_FUNCTION] = {"DeleteFunction", "DELETE", FUNCTIONS "/", "",
                                LAMBDA_QUOTA_CONTROL},
    [LAMBDA_PUT_CONCURRENCY] = {"PutFunctionConcurrency", "PUT", "/2017-10-31/functions/",
                                "/concurrency", LAMBDA_QUOTA_CONTROL},
    [LAMBDA_DELETE_CONCURRENCY] = {"DeleteFunctionConcurrency", "DELETE", "/2017-10-31/functions/",
                                   "/concurrency", LAMBDA_QUOTA_CONTROL},
    [LAMBDA_PUT_PROVISIONED] = {"PutProvisionedConcurrencyConfig", "PUT", "/2019-09-30/functions/",
                                "/provisioned-concurrency", LAMBDA_QUOTA_CONTROL},
    [LAMBDA_LIST_PROVISIONED] = {"ListProvisionedConcurrencyConfigs", "GET",
                                 "/2019-09-30/functions/", "/provisioned-concurrency",
                                 LAMBDA_QUOTA_CONTROL},
    [LAMBDA_DELETE_PROVISIONED] = {"DeleteProvisionedConcurrencyConfig", "DELETE",
                                   "/2019-09-30/functions/", "/provisioned-concurrency",
                                   LAMBDA_QUOTA_CONTROL},
    [LAMBDA_TAG_RESOURCE] = {"TagResource", "POST", "/2017-03-31/tags/", "", LAMBDA_QUOTA_CONTROL},
    [LAMBDA_UNTAG_RESOURCE] = {"UntagResource", "DELETE", "/2017-03-31/tags/", "",
                               LAMBDA_QUOTA_CONTROL},
    [LAMBDA_LIST_TAGS] = {"ListTags", "GET", "/2017-03-31/tags/", "", LAMBDA_QUOTA_CONTROL},
    [LAMBDA_GET_POLICY] = {"GetPolicy", "GET", FUNCTIONS "/", "/policy", LAMBDA_QUOTA_CONTROL},
    [LAMBDA_GET_URL] = {"GetFunctionUrlConfig", "GET", "/2021-10-31/functions/", "/url",
                        LAMBDA_QUOTA_CONTROL},
    [LAMBDA_GET_ACCOUNT_SETTINGS] = {"GetAccountSettings", "GET", "/2016-08-19/account-settings",
                                     NULL, LAMBDA_QUOTA_CONTROL},
    [LAMBDA_INVOKE] = {"Invoke", "POST", FUNCTIONS "/", "/invocations", LAMBDA_QUOTA_COUNT},
    [LAMBDA_INVOKE_STREAM] = {"InvokeWithResponseStream", "POST", "/2021-11-15/functions/",
                              "/response-streaming-invocations", LAMBDA_QUOTA_COUNT},
};

const char *lambda_operation_name(enum lambda_operation operation)
{
    return operations[operation].name;
}

const char *lambda_operation_method(enum lambda_operation operation)
{
    return operations[operation].method;
}

enum lambda_quota lambda_operation_quota(enum lambda_operation operation)
{
    return operations[operation].quota;
}

bool lambda_operation_changes(enum lambda_operation operation)
{
    return operations[operation].quota == LAMBDA_QUOTA_CONTROL &&
           strcmp(operations[operation].method, "GET") != 0;
}

bool lambda_operation_has_body(enum lambda_operation operation)
{
    return strcmp(operations[operation].method, "GET") != 0 &&
           strcmp(operations[operation].method, "DELETE") != 0;
}

void lambda_operation_path(struct buffer *path, enum lambda_operation operation,
                           struct view subject)
{
    buffer_append_string(path, operations[operation].path);
    if (!operations[operation].path_end)
        return;
    percent_encode(path, subject, "");
    buffer_append_string(path, operations[operation].path_end);
}
