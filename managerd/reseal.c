/* Seals everything in state anew when the key is another. */
#include "managerd/reseal.h"

#include "common/base/log.h"
#include "managerd/jobs.h"
#include "managerd/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_RECORD    "secretkey"
#define BATCH_RECORDS 50
#define BATCH_BYTES   (1u << 20)

/* A record that was found. */
struct found {
    char key[STATE_MAX_KEY + 1];
    struct json *record; /* NULL: damaged, which is told where it is needed */
    uint64_t revision;
};

struct walk {
    struct state *state;
    const struct secrets *secrets;
    struct change change;
    struct resealed count;
    struct found batch[BATCH_RECORDS];
    size_t found;
    size_t bytes;
    char last[STATE_MAX_KEY + 1]; /* the record that was found last */
};

/* What sealed things in a record are bound to. Names of apps and hosts have no slash. */
static bool bound_to(const struct found *found, char *out, size_t size)
{
    struct view key = view_of(found->key);
    static const struct {
        const char *folder, *prefix;
    } rows[] = {{"apps/", ""},
                {"versions/", ""},
                {"history/apps/", ""},
                {"certificates/", "certificate:"},
                {"history/domains/", "certificate:"}};
    if (view_starts_with(key, VIEW("apply/"))) {
        struct view subject = text_of(found->record, "subject");
        snprintf(out, size, "%.*s", VIEW_FORMAT(subject));
        return subject.length > 0;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!view_starts_with(key, view_of(rows[i].folder)))
            continue;
        struct view name = view_slice(key, strlen(rows[i].folder), SIZE_MAX);
        name = view_slice(name, 0, view_find(name, '/'));
        snprintf(out, size, "%s%.*s", rows[i].prefix, VIEW_FORMAT(name));
        return true;
    }
    return false;
}

static bool on_record(struct view key, struct view value, uint64_t revision, void *context)
{
    struct walk *walk = context;
    struct found *found = &walk->batch[walk->found];
    if (view_equal_string(key, walk->last))
        return true;
    snprintf(found->key, sizeof found->key, "%.*s", VIEW_FORMAT(key));
    found->revision = revision;
    if (record_parse(value, &found->record))
        found->record = NULL;
    walk->bytes += value.length;
    return ++walk->found < BATCH_RECORDS && walk->bytes < BATCH_BYTES;
}

static void reseal_found(struct walk *walk, struct found *found)
{
    char bound[STATE_MAX_KEY + 16];
    unsigned done = walk->count.done;
    if (!found->record || !bound_to(found, bound, sizeof bound))
        return;
    secrets_reseal(walk->secrets, view_of(bound), found->record, &walk->count);
    if (walk->count.done > done) {
        change_compare(&walk->change, found->key, found->revision);
        change_put(&walk->change, found->key, found->record);
    }
}

static void on_done(enum error error, uint64_t revision, void *context)
{
    (void)revision;
    *(enum error *)context = error;
}

static enum error commit_now(struct state *state, struct change *change, struct jobs *store_thread)
{
    enum error error = ERROR_IO;
    change->urgent = true; /* it takes no more room than what it replaces */
    state_commit(state, change, on_done, &error);
    jobs_drain(store_thread);
    change_clear(change);
    return error;
}

static enum error reseal_folder(struct walk *walk, const char *folder, struct jobs *store_thread)
{
    enum error error = ERROR_NONE;
    walk->last[0] = 0;
    do {
        walk->found = walk->bytes = 0;
        error = state_range(walk->state, view_of(folder), view_of(walk->last), on_record, walk);
        for (size_t i = 0; i < walk->found; i++) {
            if (!error)
                reseal_found(walk, &walk->batch[i]);
            json_free(walk->batch[i].record);
        }
        if (walk->found)
            memcpy(walk->last, walk->batch[walk->found - 1].key, sizeof walk->last);
        if (!error && walk->change.write_count)
            error = commit_now(walk->state, &walk->change, store_thread);
    } while (!error && walk->found);
    return error;
}

static enum error remember(struct walk *walk, struct jobs *store_thread)
{
    struct json *record = json_new_object();
    json_set_string(record, "id", view_of(secrets_key_id(walk->secrets)));
    change_put(&walk->change, KEY_RECORD, record);
    json_free(record);
    return commit_now(walk->state, &walk->change, store_thread);
}

enum error reseal_all(struct state *state, const struct secrets *secrets, struct jobs *store_thread)
{
    static const char *const folders[] = {"apps/", "versions/", "certificates/", "history/",
                                          "apply/"};
    struct record known;
    enum error error = record_read(state, KEY_RECORD, &known);
    if (error && error != ERROR_NOT_FOUND)
        return error;
    bool same = view_equal_string(text_of(known.json, "id"), secrets_key_id(secrets));
    bool first = error == ERROR_NOT_FOUND && secrets_key_count(secrets) == 1;
    record_release(&known);
    if (same)
        return ERROR_NONE;
    struct walk *walk = calloc(1, sizeof *walk);
    REQUIRE(walk);
    walk->state = state;
    walk->secrets = secrets;
    error = ERROR_NONE;
    change_init(&walk->change);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && !error && !first; i++)
        error = reseal_folder(walk, folders[i], store_thread);
    if (!error && walk->count.unreadable == 0)
        error = remember(walk, store_thread);
    if (!error && !first)
        log_write(walk->count.unreadable ? LOG_ERROR : LOG_INFO, "secrets-resealed",
                  LOG_STRING("key", secrets_key_id(secrets)),
                  LOG_INTEGER("resealed", walk->count.done),
                  LOG_INTEGER("unreadable", walk->count.unreadable));
    change_release(&walk->change);
    free(walk);
    return error;
}
