/* Reads from state what AWS is expected to have of an app. */
#include "managerd/expectation.h"

#include "managerd/deploy.h"
#include "managerd/picture.h"
#include "managerd/prune.h"
#include "managerd/records.h"
#include "managerd/traffic.h"

#include <stdlib.h>

struct reading {
    const struct expectation_source *source;
    struct view app;
    const struct json *internal;
    struct json *versions;
};

static bool has_ended(const struct json *version)
{
    struct view state = text_of(version, "state");
    return view_equal_string(state, "ready") || view_equal_string(state, "failed");
}

static struct json *describe(const struct reading *reading, const struct json *version)
{
    struct json *shown = json_new_object();
    struct arena arena;
    int64_t number = integer_of(version, "version");
    bool withdrawn = truth_of(version, "withdrawn");
    bool ready = view_equal_string(text_of(version, "state"), "ready");
    arena_init(&arena, 4096);
    const char *stamp =
        function_stamp(&arena, reading->source->installation, reading->app, version);
    json_set_integer(shown, "version", number);
    json_set_bool(shown, "usable", ready && text_of(version, "lambdaVersion").length > 0);
    json_set_bool(shown, "withdrawn", withdrawn);
    json_set_bool(shown, "live", traffic_share(json_get(reading->internal, "traffic"), number) > 0);
    json_set_bool(shown, "needed", prune_needs(reading->internal, number));
    json_set_string(shown, "lambdaVersion", text_of(version, "lambdaVersion"));
    json_set_string(shown, "stamp", view_of(stamp ? stamp : ""));
    json_set(shown, "picture", picture_of_version(reading->source->secrets, reading->app, version));
    arena_release(&arena);
    return shown;
}

static bool on_version(struct view key, struct view value, uint64_t revision, void *context)
{
    struct reading *reading = context;
    struct json *version = NULL;
    (void)key, (void)revision;
    if (!record_parse(value, &version) && has_ended(version))
        json_append(reading->versions, describe(reading, version));
    json_free(version);
    return true;
}

/* Lets go of the oldest that nobody needs. */
static struct json *bounded(struct json *versions)
{
    struct json *kept = json_new_array();
    size_t unneeded = 0;
    const struct json *one = json_first(versions);
    for (; one; one = json_next(one))
        unneeded += !truth_of(one, "needed");
    for (one = json_first(versions); one; one = json_next(one)) {
        bool needed = truth_of(one, "needed");
        if (needed || unneeded <= EXPECTATION_MAX_VERSIONS)
            json_append(kept, json_copy(one));
        unneeded -= !needed;
    }
    json_free(versions);
    return kept;
}

enum error expectation_read(const struct expectation_source *source, const struct json *app,
                            struct json **expected)
{
    struct view name = text_of(app, "name");
    struct reading reading = {
        .source = source, .app = name, .internal = internal_of(app), .versions = json_new_array()};
    const struct json *accepted = json_get(reading.internal, "accepted");
    struct key prefix = key_versions(name);
    enum error error =
        state_range(source->state, view_of(prefix.text), VIEW(""), on_version, &reading);
    if (error) {
        json_free(reading.versions);
        return error;
    }
    *expected = json_new_object();
    json_set_string(*expected, "defaultRole",
                    view_of(source->default_role ? source->default_role : ""));
    json_set_bool(*expected, "adopted", truth_of(reading.internal, "adopted"));
    if (accepted) {
        struct json *shown = json_new_object();
        json_set_integer(shown, "version", integer_of(accepted, "version"));
        json_set(shown, "picture", picture_of_version(source->secrets, name, accepted));
        json_set(*expected, "accepted", shown);
    }
    json_set(*expected, "versions", bounded(reading.versions));
    return ERROR_NONE;
}

struct json *expectation_of_latest(const struct json *app, const struct json *version)
{
    struct json *latest = json_copy(version);
    const struct json *accepted = json_get(internal_of(app), "accepted");
    const struct json *one = json_first(accepted);
    if (integer_of(accepted, "version") != integer_of(version, "version"))
        return latest;
    for (; one; one = json_next(one)) {
        char *name = view_duplicate(json_name(one));
        if (view_equal_string(json_name(one), "function")) /* its role alone; the name stays */
            json_set(object_in(latest, "function"), "role", json_copy(json_get(one, "role")));
        else
            json_set(latest, name, json_copy(one));
        free(name);
    }
    return latest;
}
