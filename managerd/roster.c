/* Keeps the names, labels and slots of all apps in memory, in step with state. */
#include "managerd/roster.h"

#include "common/base/clock.h"
#include "managerd/records.h"
#include "managerd/state_record.h"

#include <stdlib.h>
#include <string.h>

#define OFFER_US   1000000
#define WORD_BITS  64
#define NAME_BYTES 64 /* with NUL */

struct app {
    char name[NAME_BYTES];
    char *labels; /* name, NUL, value, NUL, … and an empty name; NULL: none */
    uint32_t versions;
};

struct roster {
    struct state *state;
    struct state_follower *followers[3];
    struct app **apps; /* by name */
    size_t count, capacity, versions;
    uint64_t *taken, *offered; /* bits, one a slot */
    size_t words;
    uint64_t offered_us; /* since when offers are kept */
};

/* ---- apps ---- */

/* Where the name stands, or would. */
static size_t place_of(const struct roster *roster, struct view name)
{
    size_t low = 0, high = roster->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (view_compare(view_of(roster->apps[middle]->name), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct app *find(const struct roster *roster, struct view name)
{
    size_t place = place_of(roster, name);
    if (place < roster->count && view_equal_string(name, roster->apps[place]->name))
        return roster->apps[place];
    return NULL;
}

static struct app *add(struct roster *roster, struct view name)
{
    size_t place = place_of(roster, name);
    if (roster->count == roster->capacity) {
        roster->capacity = roster->capacity ? 2 * roster->capacity : 64;
        roster->apps = realloc(roster->apps, roster->capacity * sizeof(struct app *));
        REQUIRE(roster->apps);
    }
    struct app *app = calloc(1, sizeof *app);
    REQUIRE(app && name.length < NAME_BYTES);
    memcpy(app->name, name.data, name.length);
    memmove(roster->apps + place + 1, roster->apps + place,
            (roster->count - place) * sizeof(struct app *));
    roster->apps[place] = app;
    roster->count++;
    return app;
}

static void drop(struct roster *roster, struct view name)
{
    size_t place = place_of(roster, name);
    if (!find(roster, name))
        return;
    roster->versions -= roster->apps[place]->versions;
    free(roster->apps[place]->labels);
    free(roster->apps[place]);
    roster->count--;
    memmove(roster->apps + place, roster->apps + place + 1,
            (roster->count - place) * sizeof(struct app *));
}

static char *labels_of(const struct json *labels)
{
    const struct json *label = json_first(labels);
    struct buffer text;
    if (!label)
        return NULL;
    buffer_init(&text, 1u << 20);
    for (; label; label = json_next(label)) {
        buffer_append_view(&text, json_name(label));
        buffer_append_byte(&text, 0);
        buffer_append_view(&text, json_string(label));
        buffer_append_byte(&text, 0);
    }
    buffer_append_byte(&text, 0);
    return buffer_take(&text, NULL);
}

static bool has_label(const struct app *app, struct view label, struct view value)
{
    const char *at = app->labels;
    while (at && *at) {
        const char *text = at + strlen(at) + 1;
        if (view_equal_string(label, at))
            return view_equal_string(value, text);
        at = text + strlen(text) + 1;
    }
    return false;
}

static bool count_one(struct view key, struct view value, uint64_t revision, void *context)
{
    (void)key, (void)value, (void)revision;
    ++*(uint32_t *)context;
    return true;
}

static void count_versions(struct roster *roster, struct app *app)
{
    uint32_t count = 0;
    struct key prefix = key_versions(view_of(app->name));
    if (state_keys(roster->state, view_of(prefix.text), VIEW(""), count_one, &count))
        return;
    roster->versions += count;
    roster->versions -= app->versions;
    app->versions = count;
}

static struct app *note_app(struct roster *roster, struct view name, const struct json *labels)
{
    struct app *app = find(roster, name);
    if (!app)
        app = add(roster, name);
    free(app->labels);
    app->labels = labels_of(labels);
    return app;
}

/* ---- following ---- */

static struct view name_of(struct view key)
{
    return view_slice(key, view_find(key, '/') + 1, SIZE_MAX);
}

static void on_app_written(struct view key, void *context)
{
    struct roster *roster = context;
    struct view name = name_of(key);
    struct record record;
    struct key own = key_app(name);
    bool known = find(roster, name) != NULL;
    enum error error = record_read(roster->state, own.text, &record);
    if (error == ERROR_NOT_FOUND)
        drop(roster, name);
    else if (!error && name.length < NAME_BYTES && !known)
        count_versions(roster, note_app(roster, name, json_get(record.json, "labels")));
    else if (!error && known)
        note_app(roster, name, json_get(record.json, "labels"));
    record_release(&record);
}

static void on_version_written(struct view key, void *context)
{
    struct roster *roster = context;
    struct view name = name_of(key);
    struct app *app = find(roster, view_slice(name, 0, view_find(name, '/')));
    if (app)
        count_versions(roster, app);
}

static void set_taken(struct roster *roster, uint64_t slot, bool taken)
{
    size_t word = (size_t)(slot / WORD_BITS);
    uint64_t bit = 1ull << slot % WORD_BITS;
    if (word >= roster->words) {
        size_t words = 2 * word + 16;
        roster->taken = realloc(roster->taken, words * sizeof(uint64_t));
        roster->offered = realloc(roster->offered, words * sizeof(uint64_t));
        REQUIRE(roster->taken && roster->offered);
        memset(roster->taken + roster->words, 0, (words - roster->words) * sizeof(uint64_t));
        memset(roster->offered + roster->words, 0, (words - roster->words) * sizeof(uint64_t));
        roster->words = words;
    }
    roster->taken[word] = taken ? roster->taken[word] | bit : roster->taken[word] & ~bit;
}

static bool slot_of(struct view key, uint64_t *slot)
{
    return view_to_u64(name_of(key), UINT32_MAX / 2, slot) == ERROR_NONE;
}

static void on_slot_written(struct view key, void *context)
{
    struct roster *roster = context;
    struct buffer value;
    uint64_t slot = 0;
    buffer_init(&value, STATE_MAX_VALUE + STATE_RECORD_OVERHEAD);
    enum error error = state_get(roster->state, key, &value, NULL);
    if (slot_of(key, &slot) && (!error || error == ERROR_NOT_FOUND))
        set_taken(roster, slot, !error);
    buffer_release(&value);
}

/* ---- slots ---- */

uint32_t roster_offer_slot(struct roster *roster)
{
    uint64_t now_us = clock_monotonic_us();
    size_t word = 0;
    if (now_us - roster->offered_us > OFFER_US) {
        memset(roster->offered, 0, roster->words * sizeof(uint64_t));
        roster->offered_us = now_us;
    }
    while (word < roster->words && !~(roster->taken[word] | roster->offered[word]))
        word++;
    if (word == roster->words)
        set_taken(roster, word * WORD_BITS, false); /* makes room */
    uint64_t used = roster->taken[word] | roster->offered[word];
    unsigned bit = (unsigned)__builtin_ctzll(~used);
    roster->offered[word] |= 1ull << bit;
    return (uint32_t)(word * WORD_BITS + bit);
}

/* ---- reading all ---- */

static bool load_app(struct view key, struct view value, uint64_t revision, void *context)
{
    struct json *labels = NULL;
    struct view text;
    (void)revision;
    if (record_peek(value, "labels", &text) && record_parse(text, &labels))
        return true;
    if (name_of(key).length < NAME_BYTES)
        note_app(context, name_of(key), labels);
    json_free(labels);
    return true;
}

static bool load_version(struct view key, struct view value, uint64_t revision, void *context)
{
    struct roster *roster = context;
    struct view name = name_of(key);
    struct app *app = find(roster, view_slice(name, 0, view_find(name, '/')));
    (void)value, (void)revision;
    if (app) {
        app->versions++;
        roster->versions++;
    }
    return true;
}

static bool load_slot(struct view key, struct view value, uint64_t revision, void *context)
{
    uint64_t slot = 0;
    (void)value, (void)revision;
    if (slot_of(key, &slot))
        set_taken(context, slot, true);
    return true;
}

enum error roster_new(struct state *state, struct roster **out)
{
    struct roster *roster = calloc(1, sizeof *roster);
    REQUIRE(roster);
    roster->state = state;
    set_taken(roster, 0, false);
    enum error error = state_range(state, VIEW("apps/"), VIEW(""), load_app, roster);
    if (!error)
        error = state_keys(state, VIEW("versions/"), VIEW(""), load_version, roster);
    if (!error)
        error = state_keys(state, VIEW("slots/"), VIEW(""), load_slot, roster);
    roster->followers[0] = state_follow(state, "apps/", on_app_written, roster);
    roster->followers[1] = state_follow(state, "versions/", on_version_written, roster);
    roster->followers[2] = state_follow(state, "slots/", on_slot_written, roster);
    if (error)
        roster_free(roster);
    else
        *out = roster;
    return error;
}

void roster_free(struct roster *roster)
{
    if (!roster)
        return;
    for (size_t i = 0; i < 3; i++)
        state_unfollow(roster->followers[i]);
    while (roster->count)
        drop(roster, view_of(roster->apps[roster->count - 1]->name));
    free(roster->apps);
    free(roster->taken);
    free(roster->offered);
    free(roster);
}

/* ---- finding ---- */

static size_t first_after(const struct roster *roster, struct view after)
{
    size_t place = place_of(roster, after);
    return place < roster->count && view_equal_string(after, roster->apps[place]->name) ? place + 1
                                                                                        : place;
}

const char *roster_next(const struct roster *roster, struct view after, struct view label,
                        struct view value)
{
    for (size_t i = first_after(roster, after); i < roster->count; i++)
        if (!label.length || has_label(roster->apps[i], label, value))
            return roster->apps[i]->name;
    return NULL;
}

const char *roster_next_of_many(const struct roster *roster, struct view after)
{
    for (size_t i = first_after(roster, after); i < roster->count; i++)
        if (roster->apps[i]->versions > 1)
            return roster->apps[i]->name;
    return NULL;
}

size_t roster_apps(const struct roster *roster)
{
    return roster->count;
}

size_t roster_versions(const struct roster *roster)
{
    return roster->versions;
}
