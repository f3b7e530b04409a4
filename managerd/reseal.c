/* Seals everything in state anew when the key is another. */
#include "managerd/reseal.h"

#include "common/base/log.h"
#include "managerd/jobs.h"
#include "managerd/records.h"

#include <stdio.h>
#include <string.h>

#define KEY_RECORD    "secretkey"
#define BATCH_RECORDS 50
#define BATCH_BYTES   (1u << 20)

struct walk {
    const struct secrets *secrets;
    struct change change;
    size_t bytes;
    struct resealed count;
    char last[STATE_MAX_KEY + 1]; /* the record that was looked at last */
    bool more;
};

/* What sealed things in a record are bound to. Names of apps and hosts have no slash. */
static bool bound_to(struct view key, char *out, size_t size)
{
    static const struct {
        const char *folder, *prefix;
    } rows[] = {{"apps/", ""},
                {"versions/", ""},
                {"history/apps/", ""},
                {"certificates/", "certificate:"},
                {"history/domains/", "certificate:"}};
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
    char bound[STATE_MAX_KEY + 16];
    struct json *record = NULL;
    if (view_equal_string(key, walk->last))
        return true;
    if (walk->change.write_count == BATCH_RECORDS || walk->bytes > BATCH_BYTES) {
        walk->more = true;
        return false;
    }
    snprintf(walk->last, sizeof walk->last, "%.*s", VIEW_FORMAT(key));
    if (!bound_to(key, bound, sizeof bound) || record_parse(value, &record))
        return true; /* what is damaged is told where it is needed */
    unsigned done = walk->count.done;
    secrets_reseal(walk->secrets, view_of(bound), record, &walk->count);
    if (walk->count.done > done) {
        change_compare(&walk->change, walk->last, revision);
        change_put(&walk->change, walk->last, record);
        walk->bytes += value.length;
    }
    json_free(record);
    return true;
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

static enum error reseal_folder(struct state *state, struct walk *walk, const char *folder,
                                struct jobs *store_thread)
{
    enum error error = ERROR_NONE;
    walk->last[0] = 0;
    do {
        walk->more = false;
        walk->bytes = 0;
        error = state_range(state, view_of(folder), view_of(walk->last), on_record, walk);
        if (!error && walk->change.write_count)
            error = commit_now(state, &walk->change, store_thread);
    } while (!error && walk->more);
    return error;
}

static enum error remember(struct state *state, struct walk *walk, struct jobs *store_thread)
{
    struct json *record = json_new_object();
    json_set_string(record, "id", view_of(secrets_key_id(walk->secrets)));
    change_put(&walk->change, KEY_RECORD, record);
    json_free(record);
    return commit_now(state, &walk->change, store_thread);
}

enum error reseal_all(struct state *state, const struct secrets *secrets, struct jobs *store_thread)
{
    static const char *const folders[] = {"apps/", "versions/", "certificates/", "history/"};
    struct walk walk = {.secrets = secrets};
    struct record known;
    enum error error = record_read(state, KEY_RECORD, &known);
    if (error && error != ERROR_NOT_FOUND)
        return error;
    bool same = view_equal_string(text_of(known.json, "id"), secrets_key_id(secrets));
    bool first = error == ERROR_NOT_FOUND && secrets_key_count(secrets) == 1;
    record_release(&known);
    if (same)
        return ERROR_NONE;
    error = ERROR_NONE;
    change_init(&walk.change);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && !error && !first; i++)
        error = reseal_folder(state, &walk, folders[i], store_thread);
    if (!error && walk.count.unreadable == 0)
        error = remember(state, &walk, store_thread);
    if (!error && !first)
        log_write(walk.count.unreadable ? LOG_ERROR : LOG_INFO, "secrets-resealed",
                  LOG_STRING("key", secrets_key_id(secrets)),
                  LOG_INTEGER("resealed", walk.count.done),
                  LOG_INTEGER("unreadable", walk.count.unreadable));
    change_release(&walk.change);
    return error;
}
