/* Lists every call of the API, and finds the one that a request is for. */
#include "managerd/endpoint.h"

#include "managerd/access.h"
#include "managerd/apply.h"
#include "managerd/audit.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/explain.h"
#include "managerd/history.h"
#include "managerd/invoke_event.h"
#include "managerd/resources.h"
#include "managerd/tokens.h"

#include <string.h>

#define APP "/v1/apps/{name}"

const struct endpoint endpoints[] = {
    {"GET", "/v1/apps", ROLE_VIEWER, ENDPOINT_OF_LIST, ENDPOINT_LIST, NULL, &app_shape, 200,
     "limit cursor label", "listApps", "Lists the apps.", app_list},
    {"GET", APP, ROLE_VIEWER, ENDPOINT_OF_APP, 0, NULL, &app_shape, 200, NULL, "getApp",
     "Reads an app.", app_get},
    {"PUT", APP, ROLE_DEPLOYER, ENDPOINT_OF_APP, ENDPOINT_BODY, &app_shape, &app_shape, 200, NULL,
     "putApp", "Creates an app (201) or replaces its settings; every member has a default.",
     app_put},
    {"PATCH", APP, ROLE_DEPLOYER, ENDPOINT_OF_APP, ENDPOINT_BODY | ENDPOINT_MERGE_PATCH, &app_shape,
     &app_shape, 200, NULL, "patchApp", "Changes settings (RFC 7396).", app_patch},
    {"DELETE", APP, ROLE_ADMIN, ENDPOINT_OF_APP, ENDPOINT_ACCEPTS, NULL, &operation_shape, 202,
     "keepFunction", "deleteApp", "Ends an app: routes first, then versions, function, packages.",
     app_delete},
    {"GET", APP "/status", ROLE_VIEWER, ENDPOINT_OF_APP, 0, NULL, &status_shape, 200, NULL,
     "getAppStatus", "What is observed of an app.", app_status},
    {"POST", APP "/sync", ROLE_DEPLOYER, ENDPOINT_OF_APP, ENDPOINT_ACCEPTS, NULL, &operation_shape,
     202, "policy", "syncApp",
     "Compares the app with what AWS has now; tells, repairs or accepts, as its policy says.",
     app_sync},
    {"GET", APP "/environment", ROLE_VIEWER, ENDPOINT_OF_APP, 0, NULL, &environment_shape, 200,
     NULL, "getEnvironment", "Names of the environment variables; values never come back.",
     environment_get},
    {"PUT", APP "/environment", ROLE_DEPLOYER, ENDPOINT_OF_APP, ENDPOINT_BODY, &environment_shape,
     &environment_shape, 200, NULL, "putEnvironment",
     "Sets the environment variables of the next deployment.", environment_put},
    {"PATCH", APP "/environment", ROLE_DEPLOYER, ENDPOINT_OF_APP,
     ENDPOINT_BODY | ENDPOINT_MERGE_PATCH, &environment_shape, &environment_shape, 200, NULL,
     "patchEnvironment", "Changes some environment variables; null removes one.",
     environment_patch},
    {"POST", APP "/deployments", ROLE_DEPLOYER, ENDPOINT_OF_APP,
     ENDPOINT_BODY | ENDPOINT_PACKAGE | ENDPOINT_ACCEPTS, &deployment_shape, &operation_shape, 202,
     "*", "deploy", "Makes a version from a package; creates the app if need be.", deployment_post},
    {"GET", APP "/versions", ROLE_VIEWER, ENDPOINT_OF_APP, ENDPOINT_LIST, NULL, &version_shape, 200,
     "limit cursor state", "listVersions", "Lists the versions of an app.", version_list},
    {"GET", APP "/versions/{version}", ROLE_VIEWER, ENDPOINT_OF_APP, 0, NULL, &version_shape, 200,
     NULL, "getVersion", "Reads a version.", version_get},
    {"DELETE", APP "/versions/{version}", ROLE_ADMIN, ENDPOINT_OF_APP, ENDPOINT_ACCEPTS, NULL,
     &operation_shape, 202, NULL, "deleteVersion", "Ends a version that has no traffic.",
     version_delete},
    {"GET", APP "/traffic", ROLE_VIEWER, ENDPOINT_OF_APP, 0, NULL, &traffic_shape, 200, NULL,
     "getTraffic", "Which versions serve.", traffic_get},
    {"PUT", APP "/traffic", ROLE_DEPLOYER, ENDPOINT_OF_APP, ENDPOINT_BODY, &traffic_shape,
     &traffic_shape, 200, NULL, "putTraffic",
     "Sets which versions serve; in force when it answers.", traffic_put},
    {"POST", APP "/rollback", ROLE_DEPLOYER, ENDPOINT_OF_APP,
     ENDPOINT_OPTIONAL_BODY | ENDPOINT_URGENT, &rollback_shape, &traffic_shape, 200, NULL,
     "rollback", "Back to what served before the latest deployment took traffic.", rollback_post},
    {"POST", APP "/jwt/refresh", ROLE_DEPLOYER, ENDPOINT_OF_APP, 0, NULL, &issuer_status_shape, 200,
     NULL, "refreshIssuer", "Look at the keys of the issuer of its tokens, now.", issuer_refresh},
    {"POST", APP "/activate", ROLE_DEPLOYER, ENDPOINT_OF_APP, 0, NULL, &app_shape, 200, NULL,
     "activate", "Serves the app.", activate_post},
    {"POST", APP "/deactivate", ROLE_DEPLOYER, ENDPOINT_OF_APP, ENDPOINT_URGENT, NULL, &app_shape,
     200, NULL, "deactivate", "Answers 404 for the app.", deactivate_post},
    {"GET", APP "/keys", ROLE_VIEWER, ENDPOINT_OF_APP, ENDPOINT_LIST, NULL, &api_key_shape, 200,
     "limit cursor", "listKeys", "Lists the API keys of an app, without their secrets.", key_list},
    {"POST", APP "/keys", ROLE_DEPLOYER, ENDPOINT_OF_APP, ENDPOINT_BODY, &api_key_shape,
     &api_key_shape, 201, NULL, "createKey",
     "Makes an API key, whose secret is shown once; in force when it answers.", key_post},
    {"GET", APP "/keys/{key}", ROLE_VIEWER, ENDPOINT_OF_APP, 0, NULL, &api_key_shape, 200, NULL,
     "getKey", "Reads an API key, without its secret.", key_get},
    {"DELETE", APP "/keys/{key}", ROLE_DEPLOYER, ENDPOINT_OF_APP, 0, NULL, NULL, 204, NULL,
     "deleteKey", "Revokes an API key; in force when it answers.", key_delete},
    {"POST", APP "/invoke", ROLE_DEPLOYER, ENDPOINT_OF_APP, ENDPOINT_BODY | ENDPOINT_EVENT,
     &invoke_shape, &invoke_result_shape, 200, NULL, "invoke",
     "Calls a version with an event or a request; tells its reply, log and duration.", invoke_post},
    {"POST", APP "/check", ROLE_DEPLOYER, ENDPOINT_OF_APP, ENDPOINT_OPTIONAL_BODY, &check_shape,
     &check_result_shape, 200, NULL, "check",
     "Asks a version requests and tells which rules of the contract it breaks.", check_post},
    {"GET", APP "/history", ROLE_VIEWER, ENDPOINT_OF_APP, ENDPOINT_LIST, NULL, &history_shape, 200,
     "limit cursor", "listAppHistory", "Lists the changes of an app, newest first.", history_list},
    {"GET", APP "/history/{change}", ROLE_VIEWER, ENDPOINT_OF_APP, 0, NULL, &history_shape, 200,
     NULL, "getAppChange", "Reads a change of an app.", history_get},
    {"POST", APP "/history/{change}/undo", ROLE_DEPLOYER, ENDPOINT_OF_APP, 0, NULL, &app_shape, 200,
     NULL, "undoAppChange",
     "Sets what the change set back to what it was before; in force when it answers.", app_undo},
    {"GET", "/v1/domains/{host}/history", ROLE_VIEWER, ENDPOINT_OF_ALL, ENDPOINT_LIST, NULL,
     &history_shape, 200, "limit cursor", "listDomainHistory",
     "Lists the changes of a domain, newest first.", history_list},
    {"GET", "/v1/domains/{host}/history/{change}", ROLE_VIEWER, ENDPOINT_OF_ALL, 0, NULL,
     &history_shape, 200, NULL, "getDomainChange", "Reads a change of a domain.", history_get},
    {"POST", "/v1/domains/{host}/history/{change}/undo", ROLE_ADMIN, ENDPOINT_OF_ALL, 0, NULL,
     &domain_shape, 200, NULL, "undoDomainChange",
     "Takes a change of a domain back, its deletion too; in force when it answers.", domain_undo},
    {"GET", APP "/logs", ROLE_VIEWER, ENDPOINT_OF_APP, ENDPOINT_TEXT, NULL, NULL, 200,
     "since after until requestId version limit follow", "readLogs",
     "What the app's function printed, a JSON object a line; or server-sent events.", log_get},
    {"GET", "/v1/domains", ROLE_VIEWER, ENDPOINT_OF_LIST, ENDPOINT_LIST, NULL, &domain_shape, 200,
     "limit cursor app", "listDomains", "Lists the domains.", domain_list},
    {"GET", "/v1/domains/{host}", ROLE_VIEWER, ENDPOINT_OF_DOMAIN, 0, NULL, &domain_shape, 200,
     NULL, "getDomain", "Reads a domain.", domain_get},
    {"PUT", "/v1/domains/{host}", ROLE_ADMIN, ENDPOINT_OF_DOMAIN, ENDPOINT_BODY, &domain_shape,
     &domain_shape, 200, NULL, "putDomain",
     "Creates a domain (201) or replaces its paths; in force when it answers.", domain_put},
    {"DELETE", "/v1/domains/{host}", ROLE_ADMIN, ENDPOINT_OF_DOMAIN, 0, NULL, NULL, 204, NULL,
     "deleteDomain", "Removes a domain; in force when it answers.", domain_delete},
    {"GET", "/v1/operations", ROLE_VIEWER, ENDPOINT_OF_LIST, ENDPOINT_LIST, NULL, &operation_shape,
     200, "limit cursor app state", "listOperations", "Lists the operations, oldest first.",
     operation_list},
    {"GET", "/v1/operations/{id}", ROLE_VIEWER, ENDPOINT_OF_OPERATION, 0, NULL, &operation_shape,
     200, NULL, "getOperation", "Reads an operation; Prefer: wait=N waits for its end.",
     operation_get},
    {"GET", "/v1/operations/{id}/events", ROLE_VIEWER, ENDPOINT_OF_OPERATION, ENDPOINT_TEXT, NULL,
     NULL, 200, NULL, "followOperation", "Follows an operation (server-sent events).",
     operation_events},
    {"POST", "/v1/operations/{id}/cancel", ROLE_DEPLOYER, ENDPOINT_OF_OPERATION,
     ENDPOINT_ACCEPTS | ENDPOINT_URGENT, NULL, &operation_shape, 202, NULL, "cancelOperation",
     "Cancels an operation before it takes effect.", operation_cancel},
    {"GET", "/v1/tokens", ROLE_ADMIN, ENDPOINT_OF_LIST, ENDPOINT_LIST, NULL, &token_shape, 200,
     "limit cursor", "listTokens", "Lists the tokens of this API, without their secrets.",
     token_list},
    {"POST", "/v1/tokens", ROLE_ADMIN, ENDPOINT_OF_LIST, ENDPOINT_BODY, &token_shape, &token_shape,
     201, NULL, "createToken",
     "Makes a token, whose secret is shown once; in force when it answers.", token_post},
    {"GET", "/v1/tokens/{id}", ROLE_ADMIN, ENDPOINT_OF_TOKEN, 0, NULL, &token_shape, 200, NULL,
     "getToken", "Reads a token, without its secret.", token_get},
    {"DELETE", "/v1/tokens/{id}", ROLE_ADMIN, ENDPOINT_OF_TOKEN, 0, NULL, NULL, 204, NULL,
     "revokeToken", "Revokes a token; in force when it answers.", token_delete},
    {"GET", "/v1/me", ROLE_VIEWER, ENDPOINT_OF_NO_APP, 0, NULL, &me_shape, 200, NULL, "getMe",
     "Tells who calls: role, apps, and until when.", me_get},
    {"GET", "/v1/audit", ROLE_ADMIN, ENDPOINT_OF_LIST, ENDPOINT_LIST, NULL, &audit_shape, 200,
     "limit cursor app actor requestId since until", "listAudit",
     "Lists who did what, the latest first.", audit_list},
    {"GET", "/v1/audit/verification", ROLE_ADMIN, ENDPOINT_OF_NO_APP, 0, NULL,
     &audit_verification_shape, 200, NULL, "verifyAudit",
     "Follows the chain of the audit's records from end to end.", audit_verify},
    {"GET", "/v1/system", ROLE_VIEWER, ENDPOINT_OF_NO_APP, 0, NULL, &system_shape, 200, NULL,
     "getSystem", "Release, storage, AWS, counts.", system_get},
    {"GET", "/v1/export", ROLE_VIEWER, ENDPOINT_OF_ALL, ENDPOINT_PACKED, NULL, &declaration_shape,
     200, NULL, "export", "All apps and domains as one document, which can be applied.",
     export_get},
    {"POST", "/v1/apply", ROLE_ADMIN, ENDPOINT_OF_ALL,
     ENDPOINT_BODY | ENDPOINT_ACCEPTS | ENDPOINT_DOCUMENT, &declaration_shape, &operation_shape,
     202, "dryRun prune", "apply",
     "Makes apps and domains be as the document says, in one operation.", apply_post},
    {"GET", "/v1/explain", ROLE_VIEWER, ENDPOINT_OF_ALL, 0, NULL, &explanation_shape, 200,
     "url method header address", "explain",
     "What a proxy does with a request, and why; nothing is called.", explain_get},
    {"POST", "/apps/deploy", ROLE_DEPLOYER, ENDPOINT_OF_BODY,
     ENDPOINT_BODY | ENDPOINT_PACKAGE | ENDPOINT_FIRST_API, &compatibility_deploy_shape,
     &compatibility_status_shape, 200, NULL, "compatibilityDeploy",
     "The first service's deployment: waits until the app is active.", compatibility_deploy},
    {"GET", "/apps/{name}/status", ROLE_VIEWER, ENDPOINT_OF_APP, ENDPOINT_FIRST_API, NULL,
     &compatibility_status_shape, 200, NULL, "compatibilityStatus", "The first service's status.",
     compatibility_status},
    {"POST", "/apps/{name}/activate", ROLE_DEPLOYER, ENDPOINT_OF_APP, ENDPOINT_FIRST_API, NULL,
     &compatibility_status_shape, 200, NULL, "compatibilityActivate",
     "The first service's activation.", compatibility_activate},
    {"POST", "/apps/{name}/deactivate", ROLE_DEPLOYER, ENDPOINT_OF_APP,
     ENDPOINT_FIRST_API | ENDPOINT_URGENT, NULL, &compatibility_status_shape, 200, NULL,
     "compatibilityDeactivate", "The first service's deactivation.", compatibility_deactivate},
    {"POST", "/apps/{name}/remove", ROLE_ADMIN, ENDPOINT_OF_APP,
     ENDPOINT_FIRST_API | ENDPOINT_URGENT, NULL, &compatibility_status_shape, 200, NULL,
     "compatibilityRemove", "The first service's removal.", compatibility_remove},
    {"GET", "/openapi.json", ROLE_NONE, ENDPOINT_OF_NO_APP, ENDPOINT_TEXT, NULL, NULL, 200, NULL,
     "getOpenapi", "This document.", openapi_get},
    {"GET", "/schemas", ROLE_NONE, ENDPOINT_OF_NO_APP, ENDPOINT_TEXT, NULL, NULL, 200, NULL,
     "listSchemas", "Where the JSON Schemas of events and replies are.", schema_list},
    {"GET", "/schemas/{file}", ROLE_NONE, ENDPOINT_OF_NO_APP, ENDPOINT_TEXT, NULL, NULL, 200, NULL,
     "getSchema", "The JSON Schema (2020-12) of an event or a reply.", schema_get},
    {"GET", "/healthz", ROLE_NONE, ENDPOINT_OF_NO_APP, ENDPOINT_TEXT, NULL, NULL, 200, NULL,
     "getHealth", "Answers as long as it lives.", health_get},
    {"GET", "/readyz", ROLE_NONE, ENDPOINT_OF_NO_APP, ENDPOINT_TEXT, NULL, NULL, 200, NULL,
     "getReadiness", "Whether state is writable and routes are published.", ready_get},
    {"GET", "/metrics", ROLE_VIEWER, ENDPOINT_OF_ALL, ENDPOINT_TEXT, NULL, NULL, 200, NULL,
     "getMetrics", "Prometheus text format.", metrics_get},
    {"GET", "/problems/{slug}", ROLE_NONE, ENDPOINT_OF_NO_APP, ENDPOINT_TEXT, NULL, NULL, 200, NULL,
     "getProblem", "Explains a type of problem.", problem_get},
    {"GET", "/", ROLE_NONE, ENDPOINT_OF_NO_APP, ENDPOINT_TEXT | ENDPOINT_HIDDEN, NULL, NULL, 200,
     NULL, "getHome", "The console.", home_get},
    {"GET", "/console/{build}/{file}", ROLE_NONE, ENDPOINT_OF_NO_APP,
     ENDPOINT_TEXT | ENDPOINT_HIDDEN, NULL, NULL, 200, NULL, "getConsoleFile",
     "A file of the console.", console_get},
};
const size_t endpoint_count = sizeof endpoints / sizeof endpoints[0];

const char *endpoint_scope_name(enum endpoint_scope scope)
{
    static const char *const names[] = {"none", "all",       "app",    "body",
                                        "list", "operation", "domain", "token"};
    return names[scope];
}

bool endpoint_matches(const char *pattern, struct view path, struct endpoint_parameters *parameters)
{
    struct view wanted = view_of(pattern), wanted_part, part;
    parameters->count = 0;
    while (view_split(&wanted, '/', &wanted_part)) {
        if (!view_split(&path, '/', &part))
            return false;
        if (!view_starts_with(wanted_part, VIEW("{"))) {
            if (!view_equal(wanted_part, part))
                return false;
        } else if (part.length == 0) {
            return false;
        } else {
            parameters->values[parameters->count++] = part;
        }
    }
    return path.data == NULL;
}

static void add_method(struct buffer *allow, const char *method)
{
    if (allow->length)
        buffer_append_string(allow, ", ");
    buffer_append_string(allow, method);
    if (strcmp(method, "GET") == 0)
        buffer_append_string(allow, ", HEAD");
}

const struct endpoint *endpoint_find(struct view method, struct view path,
                                     struct endpoint_parameters *parameters, struct buffer *allow)
{
    const struct endpoint *found = NULL;
    struct endpoint_parameters here;
    buffer_clear(allow);
    for (size_t i = 0; i < endpoint_count; i++) {
        if (!endpoint_matches(endpoints[i].pattern, path, &here))
            continue;
        add_method(allow, endpoints[i].method);
        if (!found && view_equal_string(method, endpoints[i].method)) {
            found = &endpoints[i];
            *parameters = here;
        }
    }
    if (allow->length)
        buffer_append_string(allow, ", OPTIONS");
    return found;
}
