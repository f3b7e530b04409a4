/* Keeps app and state of all operations in memory, in step with state. */
#include "managerd/logbook.h"

#include "common/base/escape.h"
#include "managerd/operation.h"
#include "managerd/records.h"
#include "managerd/state_record.h"

#include <stdlib.h>
#include <string.h>

#define FOLDER   "operations/"
#define ID_BYTES 16
#define OF_NONE  UINT32_MAX

static const char *const states[] = {"queued", "running", "succeeded", "failed", "cancelled"};
#define STATE_COUNT 5
#define GONE        (STATE_COUNT + 1) /* STATE_COUNT itself: one that we do not know */

struct entry {
    uint8_t id[ID_BYTES];
    uint32_t app; /* place among the names */
    uint8_t state;
};

struct logbook {
    struct state *state;
    struct state_follower *follower;
    struct entry *entries; /* by id; those that are gone stay until there are many */
    size_t count, capacity, gone;
    char **names; /* of apps, each once; never forgotten */
    size_t name_count, name_capacity;
    uint32_t *table; /* by hash of the name: its place, or OF_NONE */
    size_t table_size;
};

/* ---- names ---- */

static size_t hash_of(struct view name)
{
    uint64_t hash = 1469598103934665603ull; /* FNV-1a */
    for (size_t i = 0; i < name.length; i++)
        hash = (hash ^ (uint8_t)name.data[i]) * 1099511628211ull;
    return (size_t)(hash ^ hash >> 32);
}

/* Where the name's place is noted, or would be. */
static uint32_t *cell_of(const struct logbook *logbook, struct view name)
{
    size_t cell = hash_of(name) & (logbook->table_size - 1);
    while (logbook->table[cell] != OF_NONE &&
           !view_equal_string(name, logbook->names[logbook->table[cell]]))
        cell = (cell + 1) & (logbook->table_size - 1);
    return &logbook->table[cell];
}

static void grow_table(struct logbook *logbook)
{
    free(logbook->table);
    logbook->table_size = logbook->table_size ? 2 * logbook->table_size : 256;
    logbook->table = malloc(logbook->table_size * sizeof(uint32_t));
    REQUIRE(logbook->table);
    memset(logbook->table, 0xff, logbook->table_size * sizeof(uint32_t));
    for (size_t i = 0; i < logbook->name_count; i++)
        *cell_of(logbook, view_of(logbook->names[i])) = (uint32_t)i;
}

static uint32_t name_place(struct logbook *logbook, struct view name)
{
    if (2 * logbook->name_count >= logbook->table_size)
        grow_table(logbook);
    uint32_t *cell = cell_of(logbook, name);
    if (*cell != OF_NONE)
        return *cell;
    if (logbook->name_count == logbook->name_capacity) {
        logbook->name_capacity = logbook->name_capacity ? 2 * logbook->name_capacity : 64;
        logbook->names = realloc(logbook->names, logbook->name_capacity * sizeof(char *));
        REQUIRE(logbook->names);
    }
    logbook->names[logbook->name_count] = view_duplicate(name);
    *cell = (uint32_t)logbook->name_count++;
    return *cell;
}

/* ---- ids ---- */

static bool pack_id(struct view text, uint8_t id[ID_BYTES])
{
    char digits[2 * ID_BYTES + 1];
    struct buffer bytes;
    size_t count = 0;
    if (!id_valid(text))
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] != '-')
            digits[count++] = text.data[i];
    buffer_init(&bytes, ID_BYTES);
    bool good = !hex_decode(&bytes, view_from(digits, count)) && bytes.length == ID_BYTES;
    if (good)
        memcpy(id, bytes.data, ID_BYTES);
    buffer_release(&bytes);
    return good;
}

static void unpack_id(const uint8_t id[ID_BYTES], char text[ID_SIZE])
{
    char digits[2 * ID_BYTES + 1];
    hex_write(digits, id, ID_BYTES);
    for (size_t i = 0, from = 0; i < ID_SIZE - 1; i++)
        text[i] = i == 8 || i == 13 || i == 18 || i == 23 ? '-' : digits[from++];
    text[ID_SIZE - 1] = 0;
}

/* ---- entries ---- */

static size_t place_of(const struct logbook *logbook, const uint8_t id[ID_BYTES])
{
    size_t low = 0, high = logbook->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(logbook->entries[middle].id, id, ID_BYTES) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct logbook *logbook, size_t place, const uint8_t id[ID_BYTES])
{
    return place < logbook->count && memcmp(logbook->entries[place].id, id, ID_BYTES) == 0;
}

/* Ids rise with time: nearly all are added at the end. */
static struct entry *entry_for(struct logbook *logbook, const uint8_t id[ID_BYTES])
{
    size_t place = place_of(logbook, id);
    if (is_at(logbook, place, id))
        return &logbook->entries[place];
    if (logbook->count == logbook->capacity) {
        logbook->capacity = logbook->capacity ? 2 * logbook->capacity : 256;
        logbook->entries = realloc(logbook->entries, logbook->capacity * sizeof(struct entry));
        REQUIRE(logbook->entries);
    }
    struct entry *entry = logbook->entries + place;
    memmove(entry + 1, entry, (logbook->count - place) * sizeof(struct entry));
    logbook->count++;
    *entry = (struct entry){.state = GONE};
    memcpy(entry->id, id, ID_BYTES);
    logbook->gone++;
    return entry;
}

/* The oldest go first and many at once, so they are taken out together. */
static void tidy(struct logbook *logbook)
{
    size_t kept = 0;
    if (logbook->gone < 1024 || 4 * logbook->gone < logbook->count)
        return;
    for (size_t i = 0; i < logbook->count; i++)
        if (logbook->entries[i].state != GONE)
            logbook->entries[kept++] = logbook->entries[i];
    logbook->count = kept;
    logbook->gone = 0;
}

static void set_state(struct logbook *logbook, struct entry *entry, uint8_t state)
{
    logbook->gone += state == GONE;
    logbook->gone -= entry->state == GONE;
    entry->state = state;
}

static uint8_t state_number(struct view state)
{
    uint8_t number = 0;
    while (number < STATE_COUNT && !view_equal_string(state, states[number]))
        number++;
    return number;
}

static void note(struct logbook *logbook, struct view id, struct view record)
{
    struct view app, state;
    struct json *parsed = NULL;
    uint8_t packed[ID_BYTES];
    if (!pack_id(id, packed))
        return;
    if (!record_peek(record, "app", &app) || !record_peek(record, "state", &state)) {
        if (record_parse(record, &parsed))
            return;
        app = text_of(parsed, "app");
        state = text_of(parsed, "state");
    }
    struct entry *entry = entry_for(logbook, packed);
    entry->app = name_place(logbook, app);
    set_state(logbook, entry, state_number(state));
    json_free(parsed);
}

/* ---- following ---- */

static struct view id_of(struct view key)
{
    return view_slice(key, sizeof FOLDER - 1, SIZE_MAX);
}

static void on_written(struct view key, void *context)
{
    struct logbook *logbook = context;
    struct buffer value;
    uint8_t id[ID_BYTES];
    buffer_init(&value, STATE_MAX_VALUE + STATE_RECORD_OVERHEAD);
    enum error error = state_get(logbook->state, key, &value, NULL);
    if (!error)
        note(logbook, id_of(key), buffer_view(&value));
    buffer_release(&value);
    if (error != ERROR_NOT_FOUND || !pack_id(id_of(key), id))
        return;
    size_t place = place_of(logbook, id);
    if (is_at(logbook, place, id))
        set_state(logbook, &logbook->entries[place], GONE);
    tidy(logbook);
}

static bool load(struct view key, struct view value, uint64_t revision, void *context)
{
    (void)revision;
    note(context, id_of(key), value);
    return true;
}

enum error logbook_new(struct state *state, struct logbook **out)
{
    struct logbook *logbook = calloc(1, sizeof *logbook);
    REQUIRE(logbook);
    logbook->state = state;
    grow_table(logbook);
    enum error error = state_range(state, VIEW(FOLDER), VIEW(""), load, logbook);
    logbook->follower = state_follow(state, FOLDER, on_written, logbook);
    if (error)
        logbook_free(logbook);
    else
        *out = logbook;
    return error;
}

void logbook_free(struct logbook *logbook)
{
    if (!logbook)
        return;
    state_unfollow(logbook->follower);
    for (size_t i = 0; i < logbook->name_count; i++)
        free(logbook->names[i]);
    free(logbook->names);
    free(logbook->table);
    free(logbook->entries);
    free(logbook);
}

/* ---- finding ---- */

bool logbook_next(const struct logbook *logbook, struct view after,
                  const struct logbook_filter *filter, char id[ID_SIZE])
{
    uint8_t from[ID_BYTES] = {0}, state = state_number(filter->state);
    uint32_t app = filter->app.length ? *cell_of(logbook, filter->app) : OF_NONE;
    if (filter->app.length && app == OF_NONE)
        return false;
    bool begun = after.length && pack_id(after, from);
    size_t i = begun ? place_of(logbook, from) : 0;
    if (begun && is_at(logbook, i, from))
        i++;
    for (; i < logbook->count; i++) {
        const struct entry *entry = &logbook->entries[i];
        bool wanted = entry->state != GONE && (!filter->app.length || entry->app == app) &&
                      (!filter->state.length || entry->state == state);
        if (wanted && (!filter->may_see ||
                       filter->may_see(view_of(logbook->names[entry->app]), filter->context))) {
            unpack_id(entry->id, id);
            return true;
        }
    }
    return false;
}

size_t logbook_count(const struct logbook *logbook)
{
    return logbook->count - logbook->gone;
}
