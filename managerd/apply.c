/* Compares a document of apps and domains with what is there, and lists what there is to change. */
#include "managerd/apply.h"

#include "managerd/access.h"
#include "managerd/difference.h"
#include "managerd/domains.h"
#include "managerd/history.h"
#include "managerd/lambda_settings.h"
#include "managerd/names.h"
#include "managerd/resources.h"
#include "managerd/traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FUNCTION_NAME 64

static const char *const whole[] = {"/environment", "/traffic", "/access/jwt", "/access/cors",
                                    NULL};

struct key key_apply(struct view operation, int64_t number)
{
    struct key key;
    int length = snprintf(key.text, sizeof key.text, "apply/%.*s/%010lld", VIEW_FORMAT(operation),
                          (long long)number);
    REQUIRE(length > 0 && length < (int)sizeof key.text);
    return key;
}

struct key key_apply_all(struct view operation)
{
    struct key key;
    int length = snprintf(key.text, sizeof key.text, "apply/%.*s/", VIEW_FORMAT(operation));
    REQUIRE(length > 0 && length < (int)sizeof key.text);
    return key;
}

/* ---- what is there ---- */

struct json *apply_declare_app(const struct json *app)
{
    struct json *image = history_of_app(app), *declared = json_new_object();
    const struct json *names = json_get(json_get(image, "environment"), "names");
    struct json *traffic = json_copy(json_get(image, "traffic"));
    json_set_string(declared, "name", text_of(app, "name"));
    for (size_t i = 0; i < app_shape.count; i++) {
        const struct json *member = json_get(image, app_shape.fields[i].name);
        if (member)
            json_set(declared, app_shape.fields[i].name, json_copy(member));
    }
    json_set(declared, "environment", names ? json_copy(names) : json_new_array());
    if (traffic_any(traffic))
        json_set(declared, "traffic", traffic);
    else
        json_free(traffic);
    json_free(image);
    return declared;
}

struct json *apply_declare_domain(const struct json *domain)
{
    struct json *declared = json_new_object();
    json_set_string(declared, "host", text_of(domain, "host"));
    json_set(declared, "paths", json_copy(json_get(domain, "paths")));
    return declared;
}

struct json *apply_wish_app(const struct json *app, const struct json *wish)
{
    struct json *image = app ? history_of_app(app) : json_new_object();
    const struct json *one = json_first(json_get(wish, "settings"));
    for (; one; one = json_next(one)) {
        const struct shape_field *field = shape_field(&app_shape, json_name(one));
        REQUIRE(field);
        json_set(image, field->name, json_copy(one));
    }
    if (json_get(wish, "environment"))
        json_set(image, "environment", json_copy(json_get(wish, "environment")));
    const struct json *traffic = json_get(wish, "traffic");
    if (traffic && !traffic_equal(traffic, json_get(image, "traffic")))
        json_set(image, "traffic", traffic_without_zeros(traffic));
    return image;
}

/* ---- faults ---- */

/* Faults of a part, told with the place of the part in front. */
struct part {
    struct faults faults;
    const char *place;
};

static struct part *part_of(const struct apply_context *context, const char *place)
{
    struct part *part = calloc(1, sizeof *part);
    REQUIRE(part);
    faults_init(&part->faults, context->faults->arena);
    part->place = place;
    return part;
}

static void tell_part(const struct apply_context *context, struct part *part)
{
    for (size_t i = 0; i < part->faults.count; i++) {
        char pointer[2200];
        snprintf(pointer, sizeof pointer, "%s%s", part->place, part->faults.list[i].pointer);
        fault_pointer(context->faults, pointer, "%s", part->faults.list[i].detail);
    }
    free(part);
}

/* ---- apps ---- */

/* The variables that the wish means, sealed; NULL: as they are, or faults. */
static struct json *wish_environment(const struct apply_context *context, struct faults *faults,
                                     struct view name, const struct json *app,
                                     const struct json *wanted)
{
    const struct json *present = json_get(internal_of(app), "environment");
    struct json *variables = NULL, *values = json_new_object(), *sealed = NULL;
    bool list = json_type_of(wanted) == JSON_ARRAY;
    if (secrets_unseal(context->secrets, name, present, &variables)) {
        fault_pointer(faults, "/environment",
                      "cannot be compared: the present values cannot be "
                      "decrypted with this key");
        json_free(values);
        return NULL;
    }
    for (const struct json *one = json_first(wanted); one; one = json_next(one)) {
        char *variable = view_duplicate(list ? json_string(one) : json_name(one));
        bool given = !list && json_type_of(one) == JSON_STRING;
        const struct json *value = given ? one : json_get(variables, variable);
        if (value)
            json_set(values, variable, json_copy(value));
        else
            fault_pointer(faults, "/environment", "%s has no value yet: give one", variable);
        free(variable);
    }
    if (!json_equal(values, variables))
        sealed = secrets_seal(context->secrets, name, values);
    json_free(values);
    json_free(variables);
    return sealed;
}

static void check_versions(const struct apply_context *context, struct faults *faults,
                           struct view name, const struct json *traffic)
{
    unsigned index = 0;
    const struct json *share = json_first(json_get(traffic, "versions"));
    for (; share; share = json_next(share), index++) {
        struct record version;
        char pointer[64];
        struct key key = key_version(name, integer_of(share, "version"));
        bool ready = !record_read(context->state, key.text, &version) &&
                     view_equal_string(text_of(version.json, "state"), "ready");
        snprintf(pointer, sizeof pointer, "/traffic/versions/%u/version", index);
        if (!ready)
            fault_pointer(faults, pointer, "version %lld is not there or not ready",
                          (long long)integer_of(share, "version"));
        record_release(&version);
    }
}

/* The function's name, and that it is nobody else's. */
static void complete_function(const struct apply_context *context, struct faults *faults,
                              struct view name, const struct json *app, struct json *settings)
{
    struct json *function = object_in(settings, "function");
    const struct json *present = json_get(app, "function");
    struct record owner;
    struct view given;
    char made[256];
    if (!json_get(function, "role"))
        json_set_null(function, "role");
    if (!json_get_string(function, "name", &given)) {
        snprintf(made, sizeof made, "%s%.*s", context->function_prefix, VIEW_FORMAT(name));
        json_set_string(function, "name", app ? text_of(present, "name") : view_of(made));
        given = text_of(function, "name");
    }
    struct key key = key_function(view_slice(given, 0, MAX_FUNCTION_NAME));
    if (given.length > MAX_FUNCTION_NAME)
        fault_pointer(faults, "/function/name", "must be given: %.*s is longer than %d characters",
                      VIEW_FORMAT(given), MAX_FUNCTION_NAME);
    else if (app && !view_equal(given, text_of(present, "name")))
        fault_pointer(faults, "/function/name", "cannot change after creation: it is %.*s",
                      VIEW_FORMAT(text_of(present, "name")));
    else if (!app && !record_read(context->state, key.text, &owner)) {
        fault_pointer(faults, "/function/name", "belongs to the app %.*s",
                      VIEW_FORMAT(text_of(owner.json, "app")));
        record_release(&owner);
    }
}

static struct json *wish_of_app(const struct apply_context *context, struct faults *faults,
                                const struct json *wanted, const struct json *app)
{
    struct json *wish = json_new_object(), *settings = json_new_object();
    const struct json *environment = json_get(wanted, "environment");
    const struct json *traffic = json_get(wanted, "traffic");
    struct view name = text_of(wanted, "name");
    for (size_t i = 0; i < app_shape.count; i++) {
        const struct shape_field *field = &app_shape.fields[i];
        const struct json *member = json_get(wanted, field->name);
        if (member && !(field->flags & SHAPE_READ_ONLY))
            json_set(settings, field->name, json_copy(member));
    }
    shape_fill(&app_shape, settings);
    complete_function(context, faults, name, app, settings);
    access_check(json_get(settings, "access"), faults);
    lambda_settings_agree(settings, faults);
    json_set(wish, "settings", settings);
    if (environment && (environment = wish_environment(context, faults, name, app, environment)))
        json_set(wish, "environment", (struct json *)(uintptr_t)environment);
    if (traffic) {
        struct json *whole_traffic = json_copy(traffic);
        shape_drop_read_only(&traffic_shape, whole_traffic);
        shape_fill(&traffic_shape, whole_traffic);
        struct part *part = part_of(context, "/traffic");
        traffic_check(whole_traffic, &part->faults);
        for (size_t i = 0; i < part->faults.count; i++) {
            char pointer[128];
            snprintf(pointer, sizeof pointer, "/traffic%s", part->faults.list[i].pointer);
            fault_pointer(faults, pointer, "%s", part->faults.list[i].detail);
        }
        free(part);
        check_versions(context, faults, name, whole_traffic);
        json_set(wish, "traffic", whole_traffic);
    }
    return wish;
}

static struct json *without_sealed(struct json *differences)
{
    static const char *const sides[] = {"before", "after"};
    const struct json *one = json_first(differences);
    for (; one; one = json_next(one))
        for (int i = 0; i < 2; i++) {
            struct json *side = (struct json *)(uintptr_t)json_get(one, sides[i]);
            if (json_type_of(side) == JSON_OBJECT)
                json_remove(side, "sealed");
        }
    return differences;
}

static void add_change(struct json *changes, const char *action, const char *kind, struct view name,
                       struct json *differences, struct json *wish)
{
    struct json *change = json_new_object();
    json_set_string(change, "action", view_of(action));
    json_set_string(change, "kind", view_of(kind));
    json_set_string(change, "name", name);
    json_set(change, "differences", differences);
    json_set(change, "wish", wish);
    json_append(changes, change);
}

/* Where changes of apps go: deployments come behind all others. */
struct planned {
    struct json *changes, *deployments;
};

static void set_hash(struct json *image, const char *sha256)
{
    json_set_string(object_in(image, "package"), "sha256", view_of(sha256));
}

/* The deployment of an app, with what it changes of it, when it is there already. */
static void add_deployment(const struct apply_context *context, struct view name,
                           const struct json *app, struct json *before, struct json *after,
                           const struct json *wish, const struct apply_package *package,
                           struct planned *planned)
{
    struct json *wanted = json_copy(wish), *named = object_in(wanted, "package");
    struct buffer live;
    buffer_init(&live, 65);
    if (app)
        apply_live_package(context->state, app, &live);
    if (live.length)
        set_hash(before, live.data);
    else
        json_set_null(object_in(before, "package"), "sha256");
    set_hash(after, package->sha256);
    json_set_string(named, "sha256", view_of(package->sha256));
    json_set_integer(named, "bytes", (int64_t)package->bytes);
    json_set_string(named, "source", view_of(package->source));
    struct json *differences = without_sealed(difference_list(before, after, whole));
    struct json *alone = json_new_array();
    const struct json *one = json_first(differences);
    for (; one; one = json_next(one)) /* a new app's settings are told where it is created */
        if (app || view_starts_with(text_of(one, "pointer"), VIEW("/package")))
            json_append(alone, json_copy(one));
    json_free(differences);
    add_change(planned->deployments, "deploy", "app", name, alone, wanted);
    buffer_release(&live);
}

static void check_role(const struct apply_context *context, struct faults *faults,
                       const struct json *wish)
{
    const struct json *function = json_get(json_get(wish, "settings"), "function");
    if (!context->has_role && !text_of(function, "role").length)
        fault_pointer(faults, "/function/role",
                      "is needed: set AWS_LAMBDA_ROLE_ARN for managerd, or give the app a role");
}

static void add_changes(const struct apply_context *context, struct faults *faults,
                        const struct json *wanted, const struct json *app,
                        const struct apply_package *package, struct planned *planned)
{
    struct json *wish = wish_of_app(context, faults, wanted, app);
    struct json *before = app ? history_of_app(app) : json_new_object();
    struct json *after = apply_wish_app(app, wish);
    struct json *differences = without_sealed(difference_list(before, after, whole));
    struct view name = text_of(wanted, "name");
    bool deploys = package->sha256[0] && apply_needs_deployment(context->state, app, wanted, before,
                                                                after, package, faults);
    if (deploys)
        check_role(context, faults, wish);
    if (!app || (json_count(differences) && !deploys))
        add_change(planned->changes, app ? "change" : "create", "app", name, json_copy(differences),
                   json_copy(wish));
    if (deploys)
        add_deployment(context, name, app, before, after, wish, package, planned);
    json_free(differences);
    json_free(wish);
    json_free(before);
    json_free(after);
}

static void plan_app(const struct apply_context *context, const char *place,
                     const struct json *wanted, const struct apply_package *package,
                     struct planned *planned)
{
    struct part *part = part_of(context, place);
    struct record app;
    struct key key = key_app(text_of(wanted, "name"));
    enum error error = record_read(context->state, key.text, &app);
    if (error && error != ERROR_NOT_FOUND)
        fault_pointer(&part->faults, "/name", "what is there cannot be read: %s",
                      error_text(error));
    else if (json_type_of(json_get(internal_of(app.json), "deleting")) == JSON_STRING)
        fault_pointer(&part->faults, "/name", "the app is being deleted");
    add_changes(context, &part->faults, wanted, app.json, package, planned);
    record_release(&app);
    tell_part(context, part);
}

/* ---- domains ---- */

static bool names_app(const struct json *document, struct view name)
{
    const struct json *one = json_first(json_get(document, "apps"));
    for (; one; one = json_next(one))
        if (view_equal(text_of(one, "name"), name))
            return true;
    return false;
}

static void check_targets(const struct apply_context *context, struct faults *faults,
                          const struct json *document, const struct json *paths, bool prune)
{
    unsigned index = 0;
    for (const struct json *path = json_first(paths); path; path = json_next(path), index++) {
        struct view name = text_of(path, "app");
        char pointer[64];
        struct record app = {0};
        snprintf(pointer, sizeof pointer, "/paths/%u/app", index);
        if (names_app(document, name))
            continue;
        struct key key = key_app(view_slice(name, 0, 63));
        bool there = !prune && !record_read(context->state, key.text, &app) &&
                     json_type_of(json_get(internal_of(app.json), "deleting")) != JSON_STRING;
        if (!there)
            fault_pointer(faults, pointer, "there is no app %.*s%s",
                          VIEW_FORMAT(view_slice(name, 0, 63)), prune ? " in the document" : "");
        record_release(&app);
    }
}

static void check_domain(const struct apply_context *context, struct faults *faults,
                         struct json *domain)
{
    struct buffer record, problem;
    struct view host = text_of(domain, "host");
    for (size_t i = 0; i < context->base_domain_count; i++)
        if (domain_takes_base(host, view_of(context->base_domains[i])))
            fault_pointer(faults, "/host", "would take hosts of the base domain %s",
                          context->base_domains[i]);
    buffer_init(&record, 65536);
    buffer_init(&problem, 1024);
    if (faults->count == 0 && domain_encode(domain, &record, &problem))
        fault_pointer(faults, "/paths", "%.*s",
                      VIEW_FORMAT(problem.length ? buffer_view(&problem)
                                                 : VIEW("are longer in all than a route can be")));
    buffer_release(&record);
    buffer_release(&problem);
}

static void plan_domain(const struct apply_context *context, const char *place,
                        const struct json *document, const struct json *wanted, bool prune,
                        struct json *changes, struct names *hosts)
{
    struct part *part = part_of(context, place);
    struct json *domain = json_new_object();
    struct buffer host;
    struct record present = {0};
    buffer_init(&host, DOMAIN_HOST_MAX_BYTES);
    if (domain_normalize_host(text_of(wanted, "host"), &host))
        fault_pointer(&part->faults, "/host", "must be a host name, or *. and one");
    for (size_t i = 0; i < hosts->count; i++)
        if (view_equal_string(buffer_view(&host), hosts->list[i]))
            fault_pointer(&part->faults, "/host", "is there twice");
    json_set_string(domain, "host", buffer_view(&host));
    json_set(domain, "paths", domain_paths(json_get(wanted, "paths"), &part->faults));
    check_targets(context, &part->faults, document, json_get(wanted, "paths"), prune);
    if (part->faults.count == 0)
        check_domain(context, &part->faults, domain);
    if (part->faults.count == 0) {
        struct key key = key_domain(buffer_view(&host));
        enum error error = record_read(context->state, key.text, &present);
        struct json *before = present.json ? apply_declare_domain(present.json) : json_new_object();
        struct json *differences = difference_list(before, domain, whole);
        names_add(hosts, buffer_view(&host));
        if (error && error != ERROR_NOT_FOUND)
            fault_pointer(&part->faults, "/host", "what is there cannot be read");
        if (json_count(differences))
            add_change(changes, present.json ? "change" : "create", "domain", buffer_view(&host),
                       json_copy(differences), json_copy(domain));
        json_free(differences);
        json_free(before);
    }
    record_release(&present);
    buffer_release(&host);
    json_free(domain);
    tell_part(context, part);
}

/* ---- what the document does not name ---- */

static bool on_name(struct view key, struct view value, uint64_t revision, void *context)
{
    (void)value, (void)revision;
    names_add(context, view_slice(key, view_find(key, '/') + 1, SIZE_MAX));
    return true;
}

static void prune_kind(const struct apply_context *context, const char *prefix, const char *kind,
                       struct names *wanted, struct json *changes)
{
    struct names present = {0};
    names_sort(wanted);
    if (state_keys(context->state, view_of(prefix), VIEW(""), on_name, &present))
        fault_pointer(context->faults, "", "what is there cannot be read");
    for (size_t i = 0; i < present.count; i++) {
        struct record record = {0};
        struct key key = key_app(view_of(present.list[i]));
        bool going = strcmp(kind, "app") == 0 && !record_read(context->state, key.text, &record) &&
                     json_type_of(json_get(internal_of(record.json), "deleting")) == JSON_STRING;
        if (!going && !names_has(wanted, present.list[i]))
            add_change(changes, "delete", kind, view_of(present.list[i]), json_new_array(),
                       json_new_object());
        record_release(&record);
    }
    names_release(&present);
}

/* ---- the whole ---- */

/* A name with its place in the document. */
struct place {
    struct view name;
    unsigned index;
};

static int by_name(const void *a, const void *b)
{
    const struct place *one = a, *other = b;
    int order = view_compare(one->name, other->name);
    return order ? order : one->index < other->index ? -1 : 1;
}

static void tell_twice(const struct apply_context *context, struct place *places, size_t count,
                       const char *member)
{
    qsort(places, count, sizeof *places, by_name);
    for (size_t i = 1; i < count; i++) {
        char pointer[64];
        snprintf(pointer, sizeof pointer, "/apps/%u%s", places[i].index, member);
        if (places[i].name.length && view_equal(places[i].name, places[i - 1].name))
            fault_pointer(context->faults, pointer, "is there twice");
    }
}

static void check_twice(const struct apply_context *context, const struct json *apps)
{
    size_t count = json_count(apps), index = 0;
    struct place *places = calloc(2 * count + 1, sizeof *places);
    REQUIRE(places);
    for (const struct json *one = json_first(apps); one; one = json_next(one), index++) {
        places[index] = (struct place){text_of(one, "name"), (unsigned)index};
        places[count + index] =
            (struct place){text_of(json_get(one, "function"), "name"), (unsigned)index};
    }
    tell_twice(context, places, count, "/name");
    tell_twice(context, places + count, count, "/function/name");
    free(places);
}

struct json *apply_changes(const struct apply_context *context, const struct json *document,
                           bool prune)
{
    struct json *changes = json_new_array();
    struct planned planned = {.changes = changes, .deployments = json_new_array()};
    struct names apps = {0}, hosts = {0};
    const struct json *one;
    char place[64];
    unsigned index = 0;
    check_twice(context, json_get(document, "apps"));
    for (one = json_first(json_get(document, "apps")); one; one = json_next(one), index++) {
        snprintf(place, sizeof place, "/apps/%u", index);
        names_add(&apps, text_of(one, "name"));
        plan_app(context, arena_string(context->faults->arena, view_of(place)), one,
                 &context->packages[index], &planned);
    }
    for (one = json_first(planned.deployments); one; one = json_next(one))
        json_append(changes, json_copy(one));
    json_free(planned.deployments);
    index = 0;
    for (one = json_first(json_get(document, "domains")); one; one = json_next(one), index++) {
        snprintf(place, sizeof place, "/domains/%u", index);
        plan_domain(context, arena_string(context->faults->arena, view_of(place)), document, one,
                    prune, changes, &hosts);
    }
    if (prune) {
        prune_kind(context, "domains/", "domain", &hosts, changes);
        prune_kind(context, "apps/", "app", &apps, changes);
    }
    names_release(&apps);
    names_release(&hosts);
    return changes;
}

struct json *apply_plan(const struct json *changes)
{
    struct json *plan = json_new_object(), *shown = json_new_array();
    for (const struct json *one = json_first(changes); one; one = json_next(one)) {
        struct json *change = json_copy(one);
        json_remove(change, "wish");
        json_append(shown, change);
    }
    json_set(plan, "changes", shown);
    return plan;
}
