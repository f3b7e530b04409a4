/* What acts for each row of the endpoint table. */
#ifndef MANAGERD_ENDPOINTS_ENDPOINTS_H
#define MANAGERD_ENDPOINTS_ENDPOINTS_H

#include "managerd/endpoint.h"

#define ENDPOINT_ACTIONS(X)                                                                        \
    X(app_list)                                                                                    \
    X(app_get)                                                                                     \
    X(app_put)                                                                                     \
    X(app_patch)                                                                                   \
    X(app_delete)                                                                                  \
    X(app_status)                                                                                  \
    X(app_sync)                                                                                    \
    X(issuer_refresh)                                                                              \
    X(environment_get)                                                                             \
    X(environment_put)                                                                             \
    X(environment_patch)                                                                           \
    X(deployment_post)                                                                             \
    X(version_list)                                                                                \
    X(version_get)                                                                                 \
    X(version_delete)                                                                              \
    X(traffic_get)                                                                                 \
    X(traffic_put)                                                                                 \
    X(rollback_post)                                                                               \
    X(activate_post)                                                                               \
    X(log_get)                                                                                     \
    X(invoke_post)                                                                                 \
    X(check_post)                                                                                  \
    X(deactivate_post)                                                                             \
    X(domain_list)                                                                                 \
    X(domain_get)                                                                                  \
    X(domain_put)                                                                                  \
    X(domain_delete)                                                                               \
    X(key_list)                                                                                    \
    X(key_get)                                                                                     \
    X(key_post)                                                                                    \
    X(key_delete)                                                                                  \
    X(token_list)                                                                                  \
    X(token_get)                                                                                   \
    X(token_post)                                                                                  \
    X(token_delete)                                                                                \
    X(audit_list)                                                                                  \
    X(audit_verify)                                                                                \
    X(operation_list)                                                                              \
    X(operation_get)                                                                               \
    X(operation_events)                                                                            \
    X(operation_cancel)                                                                            \
    X(compatibility_deploy)                                                                        \
    X(compatibility_status)                                                                        \
    X(compatibility_activate)                                                                      \
    X(compatibility_deactivate)                                                                    \
    X(compatibility_remove)                                                                        \
    X(history_list)                                                                                \
    X(history_get)                                                                                 \
    X(app_undo)                                                                                    \
    X(domain_undo)                                                                                 \
    X(export_get)                                                                                  \
    X(apply_post)                                                                                  \
    X(explain_get)                                                                                 \
    X(system_get)                                                                                  \
    X(health_get)                                                                                  \
    X(ready_get)                                                                                   \
    X(metrics_get)                                                                                 \
    X(openapi_get)                                                                                 \
    X(schema_list)                                                                                 \
    X(schema_get)                                                                                  \
    X(problem_get)                                                                                 \
    X(me_get)                                                                                      \
    X(home_get)                                                                                    \
    X(console_get)

#define ENDPOINT_DECLARE(name) enum progress name(struct call *call);
ENDPOINT_ACTIONS(ENDPOINT_DECLARE)
#undef ENDPOINT_DECLARE

struct json;
struct record;
/* The change that the path names, of "apps" or "domains"; false: answered. */
bool call_read_change(struct call *call, const char *kind, struct record *entry);
/* The version that the body names, or else the one with the largest share of the traffic, which must
 * be ready; false: answered. */
bool call_read_asked_version(struct call *call, const struct json *app, struct record *version);
/* 409, with the faults: what is to be taken back was changed again. */
enum progress call_fail_changed_since(struct call *call);

/* Answers with call->operation, which an earlier call of the first service's API began (its
 * Idempotency-Key came again), as that API does. */
enum progress compatibility_replay(struct call *call);

#endif
