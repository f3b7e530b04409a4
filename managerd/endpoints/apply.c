/* Gives all apps and domains as one document, and takes such a document to make it true. */
#include "managerd/apply.h"
#include "managerd/call.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/plan.h"

#include "common/base/clock.h"

/* ---- export ---- */

static bool on_app(struct view key, struct view value, uint64_t revision, void *context)
{
    struct json *app = NULL;
    (void)key, (void)revision;
    if (record_parse(value, &app))
        return true;
    /* What is being deleted is as good as gone. */
    if (json_type_of(json_get(internal_of(app), "deleting")) != JSON_STRING)
        json_append(context, apply_declare_app(app));
    json_free(app);
    return true;
}

static bool on_domain(struct view key, struct view value, uint64_t revision, void *context)
{
    struct json *domain = NULL;
    (void)key, (void)revision;
    if (!record_parse(value, &domain))
        json_append(context, apply_declare_domain(domain));
    json_free(domain);
    return true;
}

enum progress export_get(struct call *call)
{
    struct json *document = json_new_object();
    struct json *apps = json_new_array(), *domains = json_new_array();
    json_set(document, "apps", apps);
    json_set(document, "domains", domains);
    enum error error = state_range(call->server->state, VIEW("apps/"), VIEW(""), on_app, apps);
    if (!error)
        error = state_range(call->server->state, VIEW("domains/"), VIEW(""), on_domain, domains);
    if (!error)
        return call_answer(call, 200, document);
    json_free(document);
    return call_fail_error(call, error);
}

/* ---- apply ---- */

static bool flag(struct call *call, const char *name)
{
    return view_equal_string(call_choice(call, name, "true|false"), "true");
}

/* The operation, and what each of its steps shall make. */
static enum progress start(struct call *call, const struct json *changes)
{
    char id[ID_SIZE];
    struct plan_operation plan = {
        .app = VIEW(""), .created_by = view_of(call->principal.label), .now_ms = clock_wall_ms()};
    int64_t number = 0;
    id_make(id);
    plan.id = view_of(id);
    for (const struct json *one = json_first(changes); one; one = json_next(one)) {
        struct key key = key_apply(plan.id, number++);
        struct json *wish = json_new_object();
        json_set(wish, "wish", json_copy(json_get(one, "wish")));
        change_put(&call->change, key.text, wish);
        json_free(wish);
    }
    return call_start_operation(call, plan_apply(&plan, changes));
}

enum progress apply_post(struct call *call)
{
    const struct config *config = call->server->config;
    const struct apply_context context = {.state = call->server->state,
                                          .secrets = call->server->secrets,
                                          .function_prefix = config->function_prefix,
                                          .base_domains = (const char *const *)config->base_domains,
                                          .base_domain_count = config->base_domain_count,
                                          .faults = &call->faults};
    bool dry_run = flag(call, "dryRun"), prune = flag(call, "prune");
    if (call->faults.count)
        return call_fail_faults(call);
    struct json *changes = apply_changes(&context, call->body, prune);
    enum progress verdict;
    if (call->faults.count)
        verdict = call_fail_faults(call);
    else if (dry_run)
        verdict = call_answer(call, 200, apply_plan(changes));
    else if (call_precondition_untagged(call))
        verdict = start(call, changes);
    else
        verdict = PROGRESS_FAIL;
    json_free(changes);
    return verdict;
}
