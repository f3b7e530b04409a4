/* Writes down what each commit changes of apps and domains. */
#include "managerd/history.h"

#include "common/base/clock.h"
#include "common/base/id.h"
#include "managerd/difference.h"
#include "managerd/names.h"
#include "managerd/resources.h"
#include "managerd/retention.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* What is sealed, and what makes one thing, is compared as a whole. */
static const char *const whole[] = {"/environment", "/certificate", "/tls", "/traffic",
                                    "/access/jwt",  "/access/cors", NULL};

struct key key_history(const char *kind, struct view name, struct view id)
{
    struct key key;
    int length = snprintf(key.text, sizeof key.text, "history/%s/%.*s/%.*s", kind,
                          VIEW_FORMAT(name), VIEW_FORMAT(id));
    REQUIRE(length > 0 && length < (int)sizeof key.text);
    return key;
}

/* ---- images ---- */

struct json *history_of_app(const struct json *app)
{
    struct json *image = json_new_object(), *keys = json_new_object();
    const struct json *internal = internal_of(app), *key;
    for (size_t i = 0; i < app_shape.count; i++) {
        const struct shape_field *field = &app_shape.fields[i];
        const struct json *member = json_get(app, field->name);
        if (member && !(field->flags & SHAPE_READ_ONLY))
            json_set(image, field->name, json_copy(member));
    }
    shape_fill(&app_shape, image); /* settings that are younger than the app */
    json_set(image, "traffic", json_copy(json_get(internal, "traffic")));
    json_set(image, "environment", json_copy(json_get(internal, "environment")));
    for (key = json_first(json_get(internal, "apiKeys")); key; key = json_next(key)) {
        char *id = view_duplicate(text_of(key, "id"));
        json_set(keys, id, json_copy(key));
        free(id);
    }
    json_set(image, "apiKeys", keys);
    return image;
}

void history_into_app(struct json *app, const struct json *image)
{
    struct json *internal = object_in(app, "internal"), *keys = json_new_array();
    for (size_t i = 0; i < app_shape.count; i++) {
        const struct shape_field *field = &app_shape.fields[i];
        const struct json *member = json_get(image, field->name);
        if (member && !(field->flags & SHAPE_READ_ONLY))
            json_set(app, field->name, json_copy(member));
    }
    json_set(internal, "traffic", json_copy(json_get(image, "traffic")));
    json_set(internal, "environment", json_copy(json_get(image, "environment")));
    const struct json *key = json_first(json_get(image, "apiKeys"));
    for (; key; key = json_next(key))
        json_append(keys, json_copy(key));
    json_set(internal, "apiKeys", keys);
}

struct json *history_of_domain(const struct json *domain, const struct json *certificate)
{
    struct json *image = json_new_object();
    const struct json *tls = json_get(domain, "tls");
    json_set(image, "paths", json_copy(json_get(domain, "paths")));
    json_set(image, "tls", tls ? json_copy(tls) : json_new_null());
    if (certificate)
        json_set(image, "certificate", json_copy(certificate));
    return image;
}

/* ---- noting ---- */

static bool on_entry(struct view key, struct view value, uint64_t revision, void *context)
{
    (void)value, (void)revision;
    names_add(context, key);
    return true;
}

/* Makes room for one more, and lets go of what is too old. */
static void trim(struct state *state, struct change *change, const struct key *prefix)
{
    struct names keys = {0};
    int64_t oldest_ms = clock_wall_ms() - HISTORY_KEPT_MS;
    if (!state_keys(state, view_of(prefix->text), VIEW(""), on_entry, &keys))
        for (size_t i = 0; i < keys.count; i++) {
            struct view key = view_of(keys.list[i]);
            struct view id = view_slice(key, view_of(prefix->text).length, SIZE_MAX);
            if (keys.count - i >= HISTORY_MAX || retention_id_ms(id) < oldest_ms)
                change_remove(change, keys.list[i]);
        }
    names_release(&keys);
}

static void put_entry(struct state *state, struct change *change, const struct history_cause *cause,
                      const char *kind, struct view name, uint64_t from, const char *what,
                      struct json *changes)
{
    char id[ID_SIZE], revision[24];
    struct json *entry = json_new_object();
    id_make(id);
    json_set_string(entry, "id", view_of(id));
    snprintf(revision, sizeof revision, "%" PRIu64, from);
    if (from)
        json_set_string(entry, "from", view_of(revision));
    set_time(entry, "at", clock_wall_ms());
    json_set_string(entry, "by", cause->by);
    json_set_string(entry, "action", cause->action);
    if (cause->request.length)
        json_set_string(entry, "requestId", cause->request);
    if (cause->operation.length)
        json_set_string(entry, "operation", cause->operation);
    json_set_string(entry, "kind", view_of(what));
    json_set(entry, "changes", changes);
    struct key prefix = key_history(kind, name, VIEW(""));
    trim(state, change, &prefix);
    struct key key = key_history(kind, name, view_of(id));
    change_put(change, key.text, entry);
    json_free(entry);
}

/* The record of a host's certificate as it is, or as the change makes it. */
static struct json *certificate_of(struct state *state, const struct change *change,
                                   struct view host)
{
    struct key key = key_certificate(host);
    struct record record;
    for (size_t i = 0; change && i < change->write_count; i++)
        if (view_equal_string(change->writes[i].key, key.text)) {
            struct json *json = NULL;
            return change->writes[i].value.data && !record_parse(change->writes[i].value, &json)
                       ? json
                       : NULL;
        }
    return record_read(state, key.text, &record) ? NULL : record.json;
}

static struct json *image_of(struct state *state, const struct change *change, bool app,
                             struct view name, const struct json *record)
{
    if (app && record)
        return history_of_app(record);
    if (app) { /* what was not given is as if it had been there before */
        struct json *nothing = json_new_object();
        shape_fill(&app_shape, nothing);
        return nothing;
    }
    if (!record)
        return json_new_object();
    struct json *certificate = certificate_of(state, change, name);
    struct json *image = history_of_domain(record, certificate);
    json_free(certificate);
    return image;
}

static void note_write(struct state *state, struct change *change,
                       const struct history_cause *cause, const struct state_write *write)
{
    bool app = view_starts_with(write->key, VIEW("apps/"));
    struct view name = view_slice(write->key, view_find(write->key, '/') + 1, SIZE_MAX);
    struct key key = app ? key_app(name) : key_domain(name);
    struct record before;
    struct json *after = NULL;
    enum error error = record_read(state, key.text, &before);
    if ((error && error != ERROR_NOT_FOUND) ||
        (write->value.data && record_parse(write->value, &after)))
        return; /* what is damaged has no history */
    if (before.json || after) {
        struct json *old = image_of(state, NULL, app, name, before.json);
        struct json *new = image_of(state, change, app, name, after);
        /* An app that ends cannot be brought back: that it ended is all there is to keep. */
        struct json *changes = app && !after ? json_new_array() : difference_list(old, new, whole);
        const char *what = !before.json ? "created" : !after ? "deleted" : "changed";
        if (json_count(changes) || !before.json || !after)
            put_entry(state, change, cause, app ? "apps" : "domains", name, before.revision, what,
                      changes);
        else
            json_free(changes);
        json_free(old);
        json_free(new);
    }
    json_free(after);
    record_release(&before);
}

/* While state is full: nothing is noted, and what goes takes its history with it. */
static void make_room(struct state *state, struct change *change, const struct state_write *write)
{
    struct names keys = {0};
    bool app = view_starts_with(write->key, VIEW("apps/"));
    struct view name = view_slice(write->key, view_find(write->key, '/') + 1, SIZE_MAX);
    struct key prefix = key_history(app ? "apps" : "domains", name, VIEW(""));
    if (!write->value.data && !state_keys(state, view_of(prefix.text), VIEW(""), on_entry, &keys))
        for (size_t i = 0; i < keys.count; i++)
            change_remove(change, keys.list[i]);
    names_release(&keys);
}

void history_note(struct state *state, struct change *change, const struct history_cause *cause)
{
    size_t count = change->write_count;
    bool pressed = change->urgent && state_full(state);
    for (size_t i = 0; i < count; i++) {
        struct state_write write = change->writes[i]; /* the list moves as it grows */
        bool kept = view_starts_with(write.key, VIEW("apps/")) ||
                    view_starts_with(write.key, VIEW("domains/"));
        if (kept && pressed)
            make_room(state, change, &write);
        else if (kept)
            note_write(state, change, cause, &write);
    }
}

/* ---- showing ---- */

static struct json *without_secrets(const struct json *value)
{
    struct json *shown = json_copy(value);
    if (json_type_of(shown) == JSON_OBJECT) {
        json_remove(shown, "sealed");
        json_remove(shown, "sha256");
    }
    return shown;
}

struct json *history_public(const struct json *entry)
{
    static const char *const optional[] = {"from", "requestId", "operation"};
    struct json *shown = json_copy(entry), *changes = json_new_array();
    const struct json *one = json_first(json_get(entry, "changes"));
    for (; one; one = json_next(one)) {
        struct json *change = json_new_object();
        const struct json *before = json_get(one, "before"), *after = json_get(one, "after");
        if (view_equal_string(text_of(one, "pointer"), "/certificate")) {
            json_free(change); /* /tls tells of it */
            continue;
        }
        json_set_string(change, "pointer", text_of(one, "pointer"));
        if (before)
            json_set(change, "before", without_secrets(before));
        if (after)
            json_set(change, "after", without_secrets(after));
        json_append(changes, change);
    }
    json_set(shown, "changes", changes);
    for (size_t i = 0; i < COUNT(optional); i++)
        if (!json_get(shown, optional[i]))
            json_set_null(shown, optional[i]);
    return shown;
}

#define FIELD(NAME, KIND, FLAGS, TEXT)                                                             \
    {                                                                                              \
        .name = NAME, .kind = KIND, .flags = SHAPE_READ_ONLY | (FLAGS), .description = TEXT        \
    }

static const struct shape_field change_fields[] = {
    FIELD("pointer", SHAPE_STRING, 0, "JSON pointer (RFC 6901) of the member."),
    {.name = "before",
     .kind = SHAPE_ANY,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .schema_json = "{}",
     .description = "What it was; absent: it was not there. Secrets are left out."},
    {.name = "after",
     .kind = SHAPE_ANY,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .schema_json = "{}",
     .description = "What it became; absent: it is gone."},
};
const struct shape difference_shape = {
    .name = "Difference", .fields = change_fields, .count = COUNT(change_fields)};

static const struct shape_field history_fields[] = {
    FIELD("id", SHAPE_STRING, 0, "Of the change; sorts by time."),
    {.name = "kind",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "created|changed|deleted",
     .description = "What became of the resource."},
    FIELD("from", SHAPE_STRING, SHAPE_NULLABLE, "The revision before; null: it did not exist."),
    FIELD("at", SHAPE_STRING, 0, "RFC 3339."),
    FIELD("by", SHAPE_STRING, 0, "Who asked for it."),
    FIELD("action", SHAPE_STRING, 0, "The call (operationId), or the type of the operation."),
    FIELD("requestId", SHAPE_STRING, SHAPE_NULLABLE, "Of the call."),
    FIELD("operation", SHAPE_STRING, SHAPE_NULLABLE, "The operation that made it."),
    {.name = "changes",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .of = &difference_shape,
     .description = "Member by member. Of environment variables only names are told."},
};
const struct shape history_shape = {.name = "Change",
                                    .description = "One change of an app or a domain.",
                                    .fields = history_fields,
                                    .count = COUNT(history_fields)};

void history_note_operation(struct state *state, struct change *change,
                            const struct json *operation)
{
    const struct history_cause cause = {.by = text_of(operation, "createdBy"),
                                        .action = text_of(operation, "type"),
                                        .operation = text_of(operation, "id")};
    history_note(state, change, &cause);
}
