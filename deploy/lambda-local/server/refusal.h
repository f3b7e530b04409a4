/*
 * What the API says when it refuses: AWS's error codes, statuses and bodies. One list.
 *
 * Bodies are {"Type":…,"Message":…} or {"Type":…,"message":…}; which one depends on the error, as
 * on AWS (aws-contract.md 3.3). Errors of the front end (signatures, validation) have no Type.
 */
#ifndef LAMBDA_LOCAL_SERVER_REFUSAL_H
#define LAMBDA_LOCAL_SERVER_REFUSAL_H

#include "common/base/bytes.h"

/* code, AWS's name, status, Type or NULL, name of the message member */
#define REFUSAL_LIST(X)                                                                            \
    X(INVALID_PARAMETER, "InvalidParameterValueException", 400, "User", "message")                 \
    X(INVALID_CONTENT, "InvalidRequestContentException", 400, "User", "message")                   \
    X(VALIDATION, "ValidationException", 400, NULL, "message")                                     \
    X(CODE_TOO_LARGE, "CodeStorageExceededException", 400, "User", "message")                      \
    X(MISSING_TOKEN, "MissingAuthenticationTokenException", 403, NULL, "message")                  \
    X(INCOMPLETE_SIGNATURE, "IncompleteSignatureException", 403, NULL, "message")                  \
    X(UNKNOWN_CLIENT, "UnrecognizedClientException", 403, NULL, "message")                         \
    X(WRONG_SIGNATURE, "InvalidSignatureException", 403, NULL, "message")                          \
    X(ACCESS_DENIED, "AccessDeniedException", 403, NULL, "Message")                                \
    X(NOT_FOUND, "ResourceNotFoundException", 404, "User", "Message")                              \
    X(NOT_PROVISIONED, "ProvisionedConcurrencyConfigNotFoundException", 404, "User", "message")    \
    X(UNKNOWN_OPERATION, "UnknownOperationException", 404, NULL, "Message")                        \
    X(CONFLICT, "ResourceConflictException", 409, "User", "Message")                               \
    X(PRECONDITION, "PreconditionFailedException", 412, "User", "Message")                         \
    X(TOO_LARGE, "RequestTooLargeException", 413, "User", "message")                               \
    X(TOO_MANY, "TooManyRequestsException", 429, "User", "message")                                \
    X(SERVICE, "ServiceException", 500, "Service", "Message")                                      \
    X(UNAVAILABLE, "ServiceUnavailableException", 503, "Service", "Message")

enum refusal {
#define REFUSAL_ENUM(code, name, status, type, member) REFUSAL_##code,
    REFUSAL_LIST(REFUSAL_ENUM)
#undef REFUSAL_ENUM
};

const char *refusal_name(enum refusal refusal);
int refusal_status(enum refusal refusal);
/* The body; `reason` (may be NULL) becomes the member Reason, which throttling has. */
void refusal_body(enum refusal refusal, const char *reason, struct view message,
                  struct buffer *out);

#endif
