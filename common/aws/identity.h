/*
 * Which credentials the environment and the SDKs' files choose: pure, in botocore's order
 * (credentials.py, create_credential_resolver). The first provider that is configured is the one; what
 * is wrong with it is an error, never a reason to go on with the next.
 *
 *   environment              AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or the
 *                            files that AWS_ACCESS_KEY_ID_FILE and so on name
 *   assume-role              the profile's role_arn with source_profile or credential_source
 *   web-identity             AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the profile's
 *   shared-credentials-file  the profile's keys
 *   process                  the profile's credential_process
 *   config-file              the profile's keys
 *   container                AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, or _FULL_URI
 *   instance                 the metadata service (IMDSv2), unless AWS_EC2_METADATA_DISABLED
 *
 * Not served, and refused with a sentence: SSO and "login" profiles, and roles that ask for a code
 * (mfa_serial): no daemon can answer them.
 */
#ifndef COMMON_AWS_IDENTITY_H
#define COMMON_AWS_IDENTITY_H

#include "common/aws/shared_files.h"

enum identity_kind {
    IDENTITY_STATIC,
    IDENTITY_ASSUME_ROLE,
    IDENTITY_WEB_IDENTITY,
    IDENTITY_PROCESS,
    IDENTITY_CONTAINER,
    IDENTITY_INSTANCE,
};

struct identity {
    enum identity_kind kind;
    const char *provider; /* as in the list above: for logs and /v1/system */
    /* STATIC */
    struct view access_key_id, secret_access_key, session_token;
    int64_t expires_at_ms; /* AWS_CREDENTIAL_EXPIRATION; INT64_MAX: never */
    /* ASSUME_ROLE, WEB_IDENTITY */
    struct view role_arn, session_name, external_id; /* external_id empty: none */
    int64_t duration_s;                              /* 0: STS's own, an hour */
    const struct identity *source;                   /* ASSUME_ROLE: whose keys sign the call */
    struct view token_file;                          /* WEB_IDENTITY: read anew each time */
    /* PROCESS */
    char **command; /* words; ends in NULL */
    /* CONTAINER: the whole URL; INSTANCE: the service's, without a slash at its end */
    struct view url;
    struct view authorization, authorization_file; /* CONTAINER; the file is read anew each time */
    int64_t timeout_ms, attempts;
    bool v1_disabled; /* INSTANCE: no answer without a token counts */
    bool unasked_for; /* INSTANCE: chosen as nothing else was configured */
};

/* ERROR_NOT_FOUND: nothing is configured; ERROR_INVALID or ERROR_UNSUPPORTED: what is configured
 * cannot be used. One sentence in `problem`, without a secret. All of it is in `arena`. */
enum error identity_choose(const char *(*variable)(const char *name),
                           const struct shared_files *files, struct arena *arena,
                           struct identity **identity, struct buffer *problem) MUST_CHECK;

#define IDENTITY_SESSION_NAME "app-orchestrator"

#endif
