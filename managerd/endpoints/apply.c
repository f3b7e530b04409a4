/* Takes a document of apps and domains, to make it true. */
#include "managerd/apply.h"
#include "managerd/call.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/plan.h"

#include "common/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        struct json *record = plan_change(one);
        json_set(record, "wish", json_copy(json_get(one, "wish")));
        change_put(&call->change, key.text, record);
        json_free(record);
    }
    return call_start_operation(call, plan_apply(&plan, (size_t)number));
}

/* The packages that the document names, while the call lasts; they are pinned. */
struct application {
    struct call *call;
    struct packages *packages;
    struct apply_package *given; /* one for each app */
    size_t count, left;          /* being stored */
    enum error error;            /* other than the packages' own */
    bool dry_run, prune;
};

static void free_application(void *data)
{
    struct application *application = data;
    for (size_t i = 0; i < application->count; i++)
        if (application->given[i].held)
            packages_unpin(application->packages, view_of(application->given[i].sha256));
    free(application->given);
    free(application);
}

static enum progress act(struct call *call)
{
    const struct config *config = call->server->config;
    const struct application *application = call->data;
    const struct apply_context context = {.state = call->server->state,
                                          .secrets = call->server->secrets,
                                          .function_prefix = config->function_prefix,
                                          .base_domains = (const char *const *)config->base_domains,
                                          .base_domain_count = config->base_domain_count,
                                          .has_role = call->server->default_role != NULL,
                                          .packages = application->given,
                                          .faults = &call->faults};
    struct json *changes = apply_changes(&context, call->body, application->prune);
    enum progress verdict;
    if (call->faults.count)
        verdict = call_fail_faults(call);
    else if (application->dry_run)
        verdict = call_answer(call, 200, apply_plan(changes));
    else if (call_precondition_untagged(call))
        verdict = start(call, changes);
    else
        verdict = PROGRESS_FAIL;
    json_free(changes);
    return verdict;
}

/* A package of the document on its way into the store. */
struct storing {
    struct application *application;
    size_t index;
};

static void on_stored(const struct package_stored *stored, void *context)
{
    struct storing *storing = context;
    struct application *application = storing->application;
    struct apply_package *package = &application->given[storing->index];
    struct call *call = application->call;
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/apps/%zu/package/zip", storing->index);
    if (stored->error == ERROR_TOO_BIG || stored->error == ERROR_INVALID) {
        fault_pointer(&call->faults, pointer, "%.*s", VIEW_FORMAT(stored->detail));
    } else if (stored->error) {
        application->error = stored->error;
    } else {
        memcpy(package->sha256, stored->sha256, sizeof package->sha256);
        package->bytes = stored->bytes;
        snprintf(package->source, sizeof package->source, "document");
        package->held = true;
    }
    free(storing);
    if (--application->left > 0)
        return;
    enum progress verdict =
        application->error ? call_fail_error(call, application->error) : act(call);
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
}

static void store(struct application *application, size_t index, struct view base64)
{
    struct package_source source = call_package_in(application->call, base64);
    struct storing *storing = calloc(1, sizeof *storing);
    REQUIRE(storing);
    *storing = (struct storing){.application = application, .index = index};
    application->left++;
    packages_store(application->packages, &source, on_stored, storing);
}

/* Faults of one package, told with the place of its app in front. */
static void find(struct application *application, size_t index, struct view app,
                 const struct json *source)
{
    struct call *call = application->call;
    struct faults *faults = calloc(1, sizeof *faults);
    REQUIRE(faults);
    faults_init(faults, &call->arena);
    apply_find_package(call->server->state, application->packages, app, source,
                       &application->given[index], faults);
    for (size_t i = 0; i < faults->count; i++)
        fault_pointer(&call->faults,
                      arena_format(&call->arena, "/apps/%zu%s", index, faults->list[i].pointer),
                      "%s", faults->list[i].detail);
    free(faults);
}

/* Stores or finds every package that the document names; whether any is being stored. */
static bool gather(struct application *application)
{
    struct call *call = application->call;
    const struct json *app = json_first(json_get(call->body, "apps"));
    for (size_t index = 0; app; app = json_next(app), index++) {
        const struct json *source = json_get(app, "package");
        char pointer[64];
        struct view zip;
        snprintf(pointer, sizeof pointer, "/apps/%zu/package", index);
        if (!source)
            continue;
        if (json_count(source) != 1)
            fault_pointer(&call->faults, pointer,
                          "must have exactly one member: sha256, version or zip");
        else if (json_get_string(source, "zip", &zip))
            store(application, index, zip);
        else
            find(application, index, text_of(app, "name"), source);
    }
    return application->left > 0;
}

enum progress apply_post(struct call *call)
{
    struct application *application = call->data;
    if (application)
        return act(call); /* once more, after a conflict */
    bool dry_run = flag(call, "dryRun"), prune = flag(call, "prune");
    if (call->faults.count)
        return call_fail_faults(call);
    call->data = application = calloc(1, sizeof *application);
    REQUIRE(application);
    call->free_data = free_application;
    application->call = call;
    application->packages = call->server->packages;
    application->count = json_count(json_get(call->body, "apps"));
    application->given = calloc(application->count + 1, sizeof *application->given);
    REQUIRE(application->given);
    application->dry_run = dry_run;
    application->prune = prune;
    return gather(application) ? PROGRESS_WAIT : act(call);
}
