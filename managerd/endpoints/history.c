/* Lists and reads what was changed of apps and domains, and takes changes of apps back. */
#include "managerd/access.h"
#include "managerd/apps.h"
#include "managerd/canary.h"
#include "managerd/difference.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/history.h"
#include "managerd/configure.h"
#include "managerd/lambda_settings.h"
#include "managerd/resources.h"
#include "managerd/retention.h"
#include "managerd/traffic.h"

#include "common/base/clock.h"

#include <string.h>

static const char *kind_of(const struct call *call)
{
    return strstr(call->endpoint->pattern, "/{host}") ? "domains" : "apps";
}

/* ---- list ---- */

struct listing {
    struct page page;
    size_t prefix_length;
    int64_t oldest_ms;
    const struct json *entries[2 * HISTORY_MAX]; /* oldest first */
    size_t count;
};

static bool on_entry(struct view key, struct view value, uint64_t revision, void *context)
{
    struct listing *listing = context;
    struct view id = view_slice(key, listing->prefix_length, SIZE_MAX);
    struct json *entry = NULL;
    (void)revision;
    if (listing->page.after.length && view_compare(id, listing->page.after) >= 0)
        return false;
    if (retention_id_ms(id) < listing->oldest_ms || record_parse(value, &entry))
        return true;
    listing->entries[listing->count++] = entry;
    return listing->count < sizeof listing->entries / sizeof listing->entries[0];
}

/* Newest first; there are never many. */
static enum progress answer_entries(struct call *call, struct listing *listing)
{
    struct json *items = json_new_array();
    struct view last = VIEW("");
    size_t left = listing->count;
    while (left > 0 && json_count(items) < listing->page.limit) {
        const struct json *entry = listing->entries[--left];
        json_append(items, history_public(entry));
        last = arena_copy(&call->arena, text_of(entry, "id"));
    }
    return call_answer_page(call, items, left > 0 ? last : VIEW(""));
}

static bool exists(struct call *call, const char *kind)
{
    struct record record;
    struct view name = call->parameters.values[0];
    struct key key = strcmp(kind, "apps") == 0 ? key_app(name) : key_domain(name);
    bool there = record_read(call->server->state, key.text, &record) != ERROR_NOT_FOUND;
    record_release(&record);
    return there;
}

static enum progress fail_unknown(struct call *call, const char *kind)
{
    bool app = strcmp(kind, "apps") == 0;
    return call_fail(call, app ? PROBLEM_APP_NOT_FOUND : PROBLEM_DOMAIN_NOT_FOUND,
                     "There is no %s %.*s, and no history of one.", app ? "app" : "domain",
                     VIEW_FORMAT(call->parameters.values[0]));
}

enum progress history_list(struct call *call)
{
    const char *kind = kind_of(call);
    struct listing listing = {.oldest_ms = clock_wall_ms() - HISTORY_KEPT_MS};
    struct key prefix = key_history(kind, call->parameters.values[0], VIEW(""));
    if (!call_page(call, &listing.page, id_valid))
        return PROGRESS_FAIL;
    listing.prefix_length = strlen(prefix.text);
    enum error error =
        state_range(call->server->state, view_of(prefix.text), VIEW(""), on_entry, &listing);
    enum progress verdict;
    if (error)
        verdict = call_fail_error(call, error);
    else if (listing.count == 0 && !exists(call, kind))
        verdict = fail_unknown(call, kind);
    else
        verdict = answer_entries(call, &listing);
    for (size_t i = 0; i < listing.count; i++)
        json_free((struct json *)(uintptr_t)listing.entries[i]);
    return verdict;
}

/* ---- one change ---- */

bool call_read_change(struct call *call, const char *kind, struct record *entry)
{
    struct view id = call->parameters.values[1];
    enum error error = ERROR_NOT_FOUND;
    *entry = (struct record){0};
    if (id_valid(id) && retention_id_ms(id) >= clock_wall_ms() - HISTORY_KEPT_MS) {
        struct key key = key_history(kind, call->parameters.values[0], id);
        error = record_read(call->server->state, key.text, entry);
    }
    if (error == ERROR_NOT_FOUND)
        call_fail(call, PROBLEM_CHANGE_NOT_FOUND,
                  "No change of this id is known; the last %d of 90 days are.", HISTORY_MAX);
    else if (error)
        call_fail_error(call, error);
    return error == ERROR_NONE;
}

enum progress history_get(struct call *call)
{
    struct record entry;
    if (!call_read_change(call, kind_of(call), &entry))
        return PROGRESS_FAIL;
    enum progress verdict = call_answer(call, 200, history_public(entry.json));
    record_release(&entry);
    return verdict;
}

enum progress call_fail_changed_since(struct call *call)
{
    return call_fail(call, PROBLEM_CONFLICT,
                     "What this change set has been changed again since (see errors): take the "
                     "later changes back first, or set it by hand.");
}

/* ---- taking back a change of an app ---- */

/* A key that was revoked stays revoked: whoever did it had a reason. */
static bool brings_key_back(const struct json *changes)
{
    const struct json *one = json_first(changes);
    for (; one; one = json_next(one))
        if (view_starts_with(text_of(one, "pointer"), VIEW("/apiKeys/")) && !json_get(one, "after"))
            return true;
    return false;
}

static bool refuse_kind(struct call *call, const struct json *entry)
{
    struct view kind = text_of(entry, "kind");
    if (view_equal_string(kind, "created"))
        call_fail(call, PROBLEM_CONFLICT, "That the app was created is taken back by DELETE.");
    else if (view_equal_string(kind, "deleted"))
        call_fail(call, PROBLEM_CONFLICT,
                  "The deletion of an app cannot be taken back: its function, its versions and "
                  "their packages are gone. Deploy it again.");
    else if (brings_key_back(json_get(entry, "changes")))
        call_fail(call, PROBLEM_CONFLICT, "A revoked API key stays revoked; make a new one.");
    else
        return false;
    return true;
}

/* Whether what it is to be is lawful today; faults are set. */
static void check_image(struct call *call, const struct json *image, const struct json *present)
{
    struct json *settings = json_copy(image);
    const struct json *traffic = json_get(image, "traffic");
    json_remove(settings, "traffic");
    json_remove(settings, "environment");
    json_remove(settings, "apiKeys");
    shape_check(&app_shape, settings, "", &call->faults);
    if (call->faults.count == 0)
        access_check(json_get(settings, "access"), &call->faults);
    lambda_settings_agree(settings, &call->faults);
    json_free(settings);
    if (!json_equal(traffic, json_get(present, "traffic")) && traffic_any(traffic))
        apps_hold_versions(call, traffic, "/traffic/versions");
}

static enum progress revert(struct call *call, struct record *app, const struct json *entry)
{
    static const char *const routed[] = {"traffic", "enabled", "previewUrls", "versionHeader",
                                         "respondAsync"};
    struct json *before = history_of_app(app->json), *image = json_copy(before);
    struct key key = key_app(call_app(call));
    struct json *former = json_copy(app->json);
    enum progress verdict = PROGRESS_FAIL;
    difference_revert(image, json_get(entry, "changes"), &call->faults);
    if (call->faults.count) {
        verdict = call_fail_changed_since(call);
    } else if (json_equal(image, before)) {
        call->unchanged = app->revision;
        verdict = call_commit(call, 200, apps_show(call, app->json, app->revision), true);
    } else {
        check_image(call, image, before);
        if (call->faults.count) {
            verdict = call_fail_faults(call);
        } else {
            history_into_app(app->json, image);
            if (!json_equal(json_get(image, "traffic"), json_get(before, "traffic")))
                canary_forget(object_in(app->json, "internal"));
            set_time(app->json, "updatedAt", clock_wall_ms());
            for (size_t i = 0; i < sizeof routed / sizeof routed[0]; i++)
                if (!json_equal(json_get(image, routed[i]), json_get(before, routed[i])))
                    json_set_integer(object_in(app->json, "internal"), "trafficChangedAt",
                                     clock_wall_ms());
            configure_mark(app->json);
            call_configure(call, former, app->json);
            change_compare(&call->change, key.text, app->revision);
            change_put(&call->change, key.text, app->json);
            verdict = call_commit(call, 200, apps_show(call, app->json, 0), true);
        }
    }
    json_free(former);
    json_free(before);
    json_free(image);
    return verdict;
}

enum progress app_undo(struct call *call)
{
    struct record app = {0}, entry;
    enum progress verdict = PROGRESS_FAIL;
    if (!call_read_change(call, "apps", &entry))
        return PROGRESS_FAIL;
    if (!refuse_kind(call, entry.json) && call_read_app(call, &app) &&
        !call_refuse_deleting(call, app.json) && call_precondition(call, app.revision))
        verdict = revert(call, &app, entry.json);
    record_release(&app);
    record_release(&entry);
    return verdict;
}
