/* Lists, reads, makes and revokes the API keys of an app: one commit each, in force when answered. */
#include "managerd/access.h"
#include "managerd/call.h"
#include "managerd/credential.h"
#include "managerd/endpoints/endpoints.h"

#include "common/base/clock.h"
#include "common/base/id.h"

#include <stdio.h>

/* A key as the API shows it. The ETag is the app's: its record holds them. */
static struct json *show(const struct json *key, uint64_t revision)
{
    char text[24];
    struct json *shown = json_copy(key);
    json_remove(shown, "sha256");
    snprintf(text, sizeof text, "%llu", (unsigned long long)revision);
    json_set_string(shown, "revision", view_of(text));
    return shown;
}

static const struct json *keys_of(const struct json *app)
{
    return json_get(internal_of(app), "apiKeys");
}

static struct view id_of(const struct json *key)
{
    return text_of(key, "id");
}

/* The path's {key} among the app's keys; NULL: answered with 404. */
static const struct json *find_key(struct call *call, const struct json *app)
{
    struct view id = call->parameters.values[1];
    for (const struct json *key = json_first(keys_of(app)); key; key = json_next(key))
        if (view_equal(id_of(key), id))
            return key;
    call_fail(call, PROBLEM_KEY_NOT_FOUND, "The app %.*s has no API key of this id.",
              VIEW_FORMAT(call_app(call)));
    return NULL;
}

enum progress key_list(struct call *call)
{
    struct record app;
    struct page page;
    struct view last = VIEW("");
    bool more = false;
    if (!call_page(call, &page, id_valid) || !call_read_app(call, &app))
        return PROGRESS_FAIL;
    struct json *items = json_new_array();
    for (const struct json *key = json_first(keys_of(app.json)); key && !more;
         key = json_next(key)) {
        if (page.after.length && view_compare(id_of(key), page.after) <= 0)
            continue;
        more = json_count(items) == page.limit;
        if (more)
            break;
        json_append(items, show(key, app.revision));
        last = arena_copy(&call->arena, id_of(key));
    }
    record_release(&app);
    return call_answer_page(call, items, more ? last : VIEW(""));
}

enum progress key_get(struct call *call)
{
    struct record app;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    const struct json *key = find_key(call, app.json);
    enum progress verdict =
        key ? call_answer_tagged(call, 200, show(key, app.revision), app.revision) : PROGRESS_FAIL;
    record_release(&app);
    return verdict;
}

/* Commits the app with these keys (consumed). */
static enum progress save(struct call *call, struct record *app, struct json *keys, int status,
                          struct json *shown)
{
    struct key name = key_app(call_app(call));
    json_set(object_in(app->json, "internal"), "apiKeys", keys);
    change_compare(&call->change, name.text, app->revision);
    change_put(&call->change, name.text, app->json);
    return call_commit(call, status, shown, true);
}

/* A new key as it is kept: its hash, and of itself no more than what tells it from others. */
static struct json *make_key(struct call *call, struct view secret)
{
    char id[ID_SIZE], hash[65];
    struct json *key = json_new_object();
    struct view name = VIEW(""), expires = call_expiry(call);
    json_get_string(call->body, "name", &name);
    id_make(id);
    credential_hash(secret, hash);
    json_set_string(key, "id", view_of(id));
    json_set_string(key, "name", name);
    json_set_string(key, "hint", view_slice(secret, 0, CREDENTIAL_HINT));
    json_set_string(key, "sha256", view_of(hash));
    set_time(key, "createdAt", clock_wall_ms());
    json_set_string(key, "createdBy", view_of(call->principal.label));
    if (expires.length)
        json_set_string(key, "expiresAt", expires);
    else
        json_set_null(key, "expiresAt");
    return key;
}

/* In the order of their ids, which is that of their making. */
static struct json *with_key(const struct json *keys, struct json *added)
{
    struct json *all = json_new_array();
    bool placed = false;
    for (const struct json *key = json_first(keys); key; key = json_next(key)) {
        if (!placed && view_compare(id_of(added), id_of(key)) < 0) {
            json_append(all, json_copy(added));
            placed = true;
        }
        json_append(all, json_copy(key));
    }
    if (!placed)
        json_append(all, json_copy(added));
    return all;
}

static struct json *without_key(const struct json *keys, const struct json *removed)
{
    struct json *all = json_new_array();
    for (const struct json *key = json_first(keys); key; key = json_next(key))
        if (key != removed)
            json_append(all, json_copy(key));
    return all;
}

enum progress key_post(struct call *call)
{
    struct record app;
    char secret[CREDENTIAL_SIZE];
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    credential_make(API_KEY_PREFIX, secret);
    enum progress verdict = PROGRESS_FAIL;
    struct json *key = make_key(call, view_of(secret));
    if (call->faults.count) {
        verdict = call_fail_faults(call);
    } else if (json_count(keys_of(app.json)) >= ACCESS_MAX_API_KEYS) {
        verdict = call_fail(call, PROBLEM_CONFLICT,
                            "The app has %d API keys already, and no more fit. Delete one first.",
                            ACCESS_MAX_API_KEYS);
    } else if (!call_refuse_deleting(call, app.json) && call_precondition(call, app.revision)) {
        struct json *shown = show(key, 0);
        json_set_string(shown, "secret", view_of(secret));
        call->location = arena_format(&call->arena, "/v1/apps/%.*s/keys/%.*s",
                                      VIEW_FORMAT(call_app(call)), VIEW_FORMAT(id_of(key)));
        verdict = save(call, &app, with_key(keys_of(app.json), key), 201, shown);
    }
    json_free(key);
    record_release(&app);
    return verdict;
}

enum progress key_delete(struct call *call)
{
    struct record app;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict = PROGRESS_FAIL;
    const struct json *key = find_key(call, app.json);
    if (key && call_precondition(call, app.revision))
        verdict = save(call, &app, without_key(keys_of(app.json), key), 204, NULL);
    record_release(&app);
    return verdict;
}
