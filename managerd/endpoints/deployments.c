/* Takes a deployment: its settings, then its package, then everything in one commit. */
#include "managerd/apps.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/packages.h"
#include "managerd/resources.h"

#include "common/base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANARY_DEPTH 4

/* What lives as long as the call: the wish, and the package once it is stored. */
struct deployment {
    struct packages *packages;
    struct json *wish;
    char sha256[65];
    uint64_t bytes;
    char source[32];
    bool stored; /* pinned, by us */
};

static void free_deployment(void *data)
{
    struct deployment *deployment = data;
    if (deployment->stored)
        packages_unpin(deployment->packages, view_of(deployment->sha256));
    json_free(deployment->wish);
    free(deployment);
}

static enum progress deploy(struct call *call)
{
    struct deployment *deployment = call->data;
    struct acceptance_package package = {.sha256 = view_of(deployment->sha256),
                                         .bytes = deployment->bytes,
                                         .source = view_of(deployment->source)};
    return apps_deploy(call, deployment->wish, &package, false);
}

static void on_stored(const struct package_stored *stored, void *context)
{
    struct call *call = context;
    struct deployment *deployment = call->data;
    enum progress verdict;
    if (stored->error == ERROR_TOO_BIG || stored->error == ERROR_INVALID) {
        verdict = call_fail(
            call, stored->error == ERROR_TOO_BIG ? PROBLEM_TOO_LARGE : PROBLEM_PACKAGE_INVALID,
            "%.*s", VIEW_FORMAT(stored->detail));
    } else if (stored->error) {
        verdict = call_fail_error(call, stored->error);
    } else {
        memcpy(deployment->sha256, stored->sha256, sizeof deployment->sha256);
        deployment->bytes = stored->bytes;
        deployment->stored = true;
        verdict = deploy(call);
    }
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
}

/* {"version": n}: its package again. */
static enum progress deploy_version(struct call *call, int64_t number)
{
    struct deployment *deployment = call->data;
    struct record version;
    struct key key = key_version(call_app(call), number);
    enum error error = record_read(call->server->state, key.text, &version);
    if (error == ERROR_NOT_FOUND)
        return call_fail(call, PROBLEM_VERSION_NOT_FOUND, "The app %.*s has no version %lld.",
                         VIEW_FORMAT(call_app(call)), (long long)number);
    if (error)
        return call_fail_error(call, error);
    const struct json *package = json_get(version.json, "package");
    struct view sha256 = text_of(package, "sha256");
    snprintf(deployment->sha256, sizeof deployment->sha256, "%.*s", VIEW_FORMAT(sha256));
    snprintf(deployment->source, sizeof deployment->source, "version %lld", (long long)number);
    deployment->bytes = (uint64_t)integer_of(package, "bytes");
    /* Until the commit the old version must stay: it keeps the package. */
    change_compare(&call->change, key.text, version.revision);
    record_release(&version);
    return deploy(call);
}

/* Settings from query parameters. */

static void set_parameter(struct call *call, struct json *wish, struct view name, struct view value)
{
    const struct shape_field *http = shape_field(&deployment_shape, VIEW("http"));
    const struct shape_field *field = shape_field(&deployment_shape, name);
    struct json *object = wish;
    if (!field && (field = shape_field(http->of, name)))
        object = object_in(wish, "http");
    char *label = arena_string(&call->arena, name);
    if (view_equal(name, VIEW("dryRun"))) {
        call->dry_run = view_equal(value, VIEW("true"));
        if (!call->dry_run && !view_equal(value, VIEW("false")))
            fault_parameter(&call->faults, "dryRun", "must be true or false");
        return;
    }
    if (field && view_equal(name, VIEW("canary"))) {
        struct json *canary = NULL;
        if (json_parse(value, CANARY_DEPTH, &canary, NULL))
            fault_parameter(&call->faults, "canary", "must be JSON, percent-encoded");
        else
            json_set(wish, "canary", canary);
        return;
    }
    if (!field || field->kind == SHAPE_OBJECT || field->kind == SHAPE_MAP) {
        fault_parameter(&call->faults, label, "is not a parameter of this call");
        return;
    }
    struct json *parsed = shape_parse(field, value, &call->faults);
    if (parsed)
        json_set(object, field->name, parsed);
}

static struct json *read_query(struct call *call)
{
    struct json *wish = json_new_object();
    struct view rest = call->query, pair;
    while (call->query.length && view_split(&rest, '&', &pair)) {
        struct buffer name, value;
        size_t equals = view_find(pair, '=');
        buffer_init(&name, 256);
        buffer_init(&value, 4096);
        struct view text = equals == SIZE_MAX ? VIEW("") : view_slice(pair, equals + 1, SIZE_MAX);
        if (percent_decode(&name, view_slice(pair, 0, equals), true, true) ||
            percent_decode(&value, text, true, true) || !utf8_valid(buffer_view(&value)))
            fault_parameter(&call->faults, "query", "is not well-formed percent-encoded UTF-8");
        else if (name.length)
            set_parameter(call, wish, buffer_view(&name), buffer_view(&value));
        buffer_release(&name);
        buffer_release(&value);
    }
    return wish;
}

/* A fault in the body that the query stands for, told of the parameter: `http` has parameters for its
 * members, others hold their members themselves. */
static void tell_parameter(struct call *call, const char *pointer, const char *detail)
{
    struct view place = view_of(pointer), name, below;
    if (view_starts_with(place, VIEW("/http/")))
        place = view_slice(place, 5, SIZE_MAX);
    place = view_slice(place, 1, SIZE_MAX);
    size_t slash = view_find(place, '/');
    name = view_slice(place, 0, slash);
    below = slash == SIZE_MAX ? VIEW("") : view_slice(place, slash + 1, SIZE_MAX);
    const char *label = name.length ? arena_string(&call->arena, name) : "query";
    if (below.length)
        fault_parameter(&call->faults, label, "%.*s: %s", VIEW_FORMAT(below), detail);
    else
        fault_parameter(&call->faults, label, "%s", detail);
}

/* The same checks as for a body, told of the parameters. */
static void check_wish(struct call *call, const struct json *wish)
{
    struct faults *faults = calloc(1, sizeof *faults);
    REQUIRE(faults);
    faults_init(faults, &call->arena);
    struct json *whole = json_copy(wish);
    struct json *package = object_in(whole, "package");
    json_set_integer(package, "version", 1);
    shape_check(&deployment_shape, whole, "", faults);
    for (size_t i = 0; i < faults->count; i++)
        tell_parameter(call, faults->list[i].pointer, faults->list[i].detail);
    json_free(whole);
    free(faults);
}

static enum progress deploy_zip(struct call *call)
{
    struct deployment *deployment = call->data;
    deployment->wish = read_query(call);
    check_wish(call, deployment->wish);
    if (call->faults.count)
        return call_fail_faults(call);
    struct package_source source = call_package(call);
    packages_store(call->server->packages, &source, on_stored, call);
    return PROGRESS_WAIT;
}

/* The package may be large, and is not needed twice. */
static struct json *copy_but_package(const struct json *body)
{
    struct json *wish = json_new_object();
    for (const struct json *member = json_first(body); member; member = json_next(member)) {
        const struct shape_field *field = shape_field(&deployment_shape, json_name(member));
        if (field && strcmp(field->name, "package") != 0)
            json_set(wish, field->name, json_copy(member));
    }
    return wish;
}

static enum progress deploy_json(struct call *call)
{
    struct deployment *deployment = call->data;
    const struct json *package = json_get(call->body, "package");
    struct view zip;
    struct json *settings = read_query(call);
    if (json_count(settings))
        fault_parameter(&call->faults, "query", "settings belong into the JSON body");
    json_free(settings);
    if (json_count(package) != 1)
        fault_pointer(&call->faults, "/package", "must have exactly one member: zip or version");
    if (call->faults.count)
        return call_fail_faults(call);
    if (!deployment->wish)
        deployment->wish = copy_but_package(call->body);
    if (!json_get_string(package, "zip", &zip))
        return deploy_version(call, integer_of(package, "version"));
    struct package_source source = call_package_in(call, zip);
    packages_store(call->server->packages, &source, on_stored, call);
    return PROGRESS_WAIT;
}

enum progress deployment_post(struct call *call)
{
    struct deployment *deployment = call->data;
    if (deployment && deployment->stored)
        return deploy(call); /* once more, after a conflict */
    if (!deployment) {
        call->data = deployment = calloc(1, sizeof *deployment);
        REQUIRE(deployment);
        call->free_data = free_deployment;
        deployment->packages = call->server->packages;
        snprintf(deployment->source, sizeof deployment->source, "upload");
    }
    return call->body ? deploy_json(call) : deploy_zip(call);
}
