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

/* All of them, NULL-terminated, for the OpenAPI document. */
extern const struct shape *const resource_shapes[];

/* The app's members that are frozen into each version ("runtime" … "probe"), NULL-terminated. */
extern const char *const versioned_members[];

/* Lawful names of environment variables: Lambda's own rule, and none that Lambda reserves. */
bool environment_name_valid(struct view name);
/* What Lambda lets names and values have together; it counts a little more around each. */
#define MAX_ENVIRONMENT_BYTES 4096

#endif
