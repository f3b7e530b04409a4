/* The shapes of everything that the API takes and gives (api.md): App, Deployment, Traffic … */
#ifndef MANAGERD_RESOURCES_H
#define MANAGERD_RESOURCES_H

#include "managerd/shape.h"

extern const struct shape app_shape;
extern const struct shape applied_app_shape; /* in a document that is applied */
extern const struct shape deployment_shape;  /* JSON body; its scalars are also query parameters */
extern const struct shape canary_shape;
extern const struct shape version_shape;
extern const struct shape traffic_shape;
extern const struct shape domain_shape;
extern const struct shape rollback_shape;
extern const struct shape check_shape;
extern const struct shape check_result_shape;
extern const struct shape operation_shape;
extern const struct shape status_shape;
extern const struct shape issuer_status_shape;
extern const struct shape problem_shape;
extern const struct shape compatibility_deploy_shape;
extern const struct shape compatibility_status_shape;
extern const struct shape system_shape;
extern const struct shape environment_shape;

/* The app's members that are frozen into each version ("runtime" … "probe"), NULL-terminated. */
extern const char *const versioned_members[];

/* Lawful names of apps (app_name_valid), for the document. */
#define APP_NAME_PATTERN "^(?!.*--)[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"

/* Lawful names of environment variables: Lambda's own rule, and none that Lambda reserves. */
bool environment_name_valid(struct view name);
#define ENVIRONMENT_NAME_PATTERN                                                                   \
    "^(?!AWS_LAMBDA_|(AWS_DEFAULT_REGION|AWS_REGION|AWS_EXECUTION_ENV|AWS_ACCESS_KEY|"             \
    "AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|LAMBDA_TASK_ROOT|"                  \
    "LAMBDA_RUNTIME_DIR|TZ)$)[A-Za-z][A-Za-z0-9_]+$"
/* What Lambda lets names and values have together; it counts a little more around each. */
#define MAX_ENVIRONMENT_BYTES 4096

#endif
