/* Tells how managerd itself is: health, readiness, figures, documents. */
#include "managerd/account.h"
#include "managerd/call.h"
#include "managerd/certificates.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/logbook.h"
#include "managerd/publish.h"
#include "managerd/quota.h"
#include "managerd/roster.h"
#include "managerd/schemas.h"

#include "common/base/exposition.h"

#include <math.h>
#include <string.h>

static bool count_one(struct view key, struct view value, uint64_t revision, void *context)
{
    (void)key, (void)value, (void)revision;
    ++*(int64_t *)context;
    return true;
}

static void set_count(struct call *call, struct json *counts, const char *name, const char *prefix)
{
    int64_t count = 0;
    if (state_keys(call->server->state, view_of(prefix), VIEW(""), count_one, &count) == ERROR_NONE)
        json_set_integer(counts, name, count);
    else
        json_set_null(counts, name);
}

static struct json *show_storage(const struct server *server)
{
    struct json *storage = json_new_object();
    json_set_string(storage, "kind", VIEW("lmdb"));
    json_set_integer(storage, "usedBytes", (int64_t)state_used_bytes(server->state));
    json_set_integer(storage, "maxBytes", (int64_t)state_max_bytes(server->state));
    json_set_bool(storage, "writable", state_writable(server->state));
    json_set_bool(storage, "full", state_full(server->state));
    return storage;
}

static struct json *show_quota(const struct server *server, enum lambda_quota quota,
                               int64_t per_second)
{
    struct quota_figures figures;
    struct json *shown = json_new_object();
    lambda_control_quota(server->control, quota, &figures);
    json_set_integer(shown, "perSecond", per_second);
    json_set(shown, "now", json_new_number(round(10 * figures.rate) / 10));
    json_set_integer(shown, "waiting", figures.waiting);
    json_set_integer(shown, "throttled", (int64_t)figures.throttles);
    return shown;
}

static void show_aws(const struct server *server, struct json *system)
{
    const struct config *config = server->config;
    struct json *aws = json_new_object(), *quotas = json_new_object();
    json_set_string(aws, "region", view_of(lambda_control_region(server->control)));
    json_set_string(aws, "endpoint", view_of(lambda_control_endpoint(server->control)));
    json_set(aws, "role",
             server->default_role ? json_new_string(view_of(server->default_role))
                                  : json_new_null());
    account_show(server->account, aws, quotas);
    json_set(quotas, "control", show_quota(server, LAMBDA_QUOTA_CONTROL, config->aws_control_rate));
    json_set(quotas, "getFunction", show_quota(server, LAMBDA_QUOTA_GET, config->aws_get_rate));
    json_set(system, "aws", aws);
    json_set(system, "quotas", quotas);
}

static enum progress answer_system(struct call *call)
{
    const struct server *server = call->server;
    struct json *system = json_new_object(), *counts = json_new_object();
    json_set_string(system, "release", view_of(RELEASE_VERSION));
    json_set_string(system, "installation", view_of(server->installation));
    json_set(system, "storage", show_storage(server));
    show_aws(server, system);
    json_set_integer(counts, "apps", (int64_t)roster_apps(server->roster));
    json_set_integer(counts, "versions", (int64_t)roster_versions(server->roster));
    json_set_integer(counts, "operations", (int64_t)logbook_count(server->logbook));
    set_count(call, counts, "domains", "domains/");
    set_count(call, counts, "tokens", "tokens/");
    json_set_integer(counts, "operationsRunning", operations_running(server->operations));
    json_set_integer(counts, "operationsQueued", operations_queued(server->operations));
    json_set(system, "counts", counts);
    return call_answer(call, 200, system);
}

static void leave_account(void *data)
{
    if (data)
        account_leave(data);
}

static void on_account(void *context)
{
    struct call *call = context;
    call->data = NULL;
    call_resume(call, answer_system(call));
}

enum progress system_get(struct call *call)
{
    call->free_data = leave_account;
    if (!call->server->draining)
        call->data = account_ask(call->server->account, on_account, call);
    return call->data ? PROGRESS_WAIT : answer_system(call);
}

enum progress health_get(struct call *call)
{
    struct json *health = json_new_object();
    json_set_string(health, "status", VIEW("alive"));
    return call_answer(call, 200, health);
}

static bool add_check(struct json *checks, const char *name, bool good, const char *detail)
{
    struct json *check = json_new_object();
    json_set_string(check, "name", view_of(name));
    json_set_bool(check, "ok", good);
    if (!good)
        json_set_string(check, "detail", view_of(detail));
    json_append(checks, check);
    return good;
}

/* One that is lost for good is told, but others are not to suffer for it. */
static bool add_certificates(struct json *checks, const struct certificates *certificates)
{
    struct buffer detail;
    buffer_init(&detail, 2048);
    bool good = certificates_healthy(certificates);
    if (!good)
        buffer_append_string(&detail, "A certificate could not be written; it is tried again.");
    else if (certificates_lost(certificates, &detail))
        buffer_append_string(&detail, ": the certificate is lost. Give it again with PUT.");
    add_check(checks, "certificates", detail.length == 0, detail.length ? detail.data : "");
    buffer_release(&detail);
    return good;
}

enum progress ready_get(struct call *call)
{
    const struct server *server = call->server;
    struct json *readiness = json_new_object(), *checks = json_new_array();
    bool ready = add_check(checks, "state", state_writable(server->state),
                           "The latest change could not be saved.");
    ready &= add_check(checks, "routes", publish_healthy(server->publisher),
                       "The routes could not be written; it is tried again each second.");
    ready &= add_certificates(checks, server->certificates);
    ready &= add_check(checks, "serving", !server->draining, "It is stopping.");
    json_set_string(readiness, "status", ready ? VIEW("ready") : VIEW("not ready"));
    json_set(readiness, "checks", checks);
    return call_answer(call, ready ? 200 : 503, readiness);
}

enum progress metrics_get(struct call *call)
{
    metrics_write(call->server, &call->text);
    return call_answer_text(call, 200, EXPOSITION_CONTENT_TYPE);
}

enum progress openapi_get(struct call *call)
{
    buffer_append(&call->text, call->server->openapi, call->server->openapi_length);
    return call_answer_text(call, 200, "application/json");
}

enum progress schema_list(struct call *call)
{
    struct json *list = json_new_object(), *schemas = json_new_array();
    for (size_t i = 0; schema_name(i); i++)
        json_append(schemas, json_new_string(view_of(
                                 arena_format(&call->arena, "/schemas/%s", schema_name(i)))));
    json_set(list, "schemas", schemas);
    return call_answer(call, 200, list);
}

enum progress schema_get(struct call *call)
{
    struct view text;
    if (!schema_find(call->parameters.values[0], &text))
        return call_fail(call, PROBLEM_NOT_FOUND,
                         "There is no such schema; /schemas lists what there is.");
    buffer_append_view(&call->text, text);
    return call_answer_text(call, 200, "application/schema+json");
}

enum progress problem_get(struct call *call)
{
    enum problem_type type = problem_find(call->parameters.values[0]);
    if (type == PROBLEM_COUNT)
        return call_fail(call, PROBLEM_NOT_FOUND, "There is no such type of problem.");
    problem_page(type, &call->text);
    return call_answer_text(call, 200, "text/html; charset=utf-8");
}
