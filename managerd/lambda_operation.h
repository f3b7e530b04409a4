/*
 * The operations of the AWS Lambda API that managerd asks for: method, path and quota of each.
 * Source: aws-contract 4 (each family of operations has a date of its own in its paths).
 */
#ifndef MANAGERD_LAMBDA_OPERATION_H
#define MANAGERD_LAMBDA_OPERATION_H

#include "common/base/bytes.h"

enum lambda_operation {
    LAMBDA_GET_FUNCTION,
    LAMBDA_CREATE_FUNCTION,
    LAMBDA_UPDATE_CODE,
    LAMBDA_UPDATE_CONFIGURATION,
    LAMBDA_PUBLISH_VERSION,
    LAMBDA_LIST_FUNCTIONS,
    LAMBDA_LIST_VERSIONS, /* ListVersionsByFunction */
    LAMBDA_LIST_ALIASES,
    LAMBDA_DELETE_FUNCTION,
    LAMBDA_PUT_CONCURRENCY,    /* PutFunctionConcurrency: what is reserved */
    LAMBDA_DELETE_CONCURRENCY, /* DeleteFunctionConcurrency */
    LAMBDA_PUT_PROVISIONED, /* PutProvisionedConcurrencyConfig; wants a qualifier, as DELETE does */
    LAMBDA_LIST_PROVISIONED, /* of all versions and aliases */
    LAMBDA_DELETE_PROVISIONED,
    LAMBDA_TAG_RESOURCE,
    LAMBDA_UNTAG_RESOURCE,
    LAMBDA_LIST_TAGS,
    LAMBDA_GET_POLICY,
    LAMBDA_GET_URL, /* GetFunctionUrlConfig */
    LAMBDA_GET_ACCOUNT_SETTINGS,
    LAMBDA_INVOKE,
    LAMBDA_INVOKE_STREAM, /* InvokeWithResponseStream: the answer is frames (event_stream.h) */
    LAMBDA_OPERATION_COUNT,
};
enum lambda_quota {
    LAMBDA_QUOTA_CONTROL, /* what changes something, and what reads anything but functions */
    LAMBDA_QUOTA_GET,     /* GetFunction */
    LAMBDA_QUOTA_COUNT,
};

/* AWS's name for it. */
const char *lambda_operation_name(enum lambda_operation operation);
const char *lambda_operation_method(enum lambda_operation operation);
/* LAMBDA_QUOTA_COUNT: it has none. */
enum lambda_quota lambda_operation_quota(enum lambda_operation operation);
/* Whether AWS may be another afterwards; invocations are not meant. */
bool lambda_operation_changes(enum lambda_operation operation);
bool lambda_operation_has_body(enum lambda_operation operation);

/* Appends the path as it goes over the wire. `subject`: the function's name or ARN, for tags the ARN;
 * not looked at by those that have none (CreateFunction, ListFunctions, GetAccountSettings). */
void lambda_operation_path(struct buffer *path, enum lambda_operation operation,
                           struct view subject);

#endif
