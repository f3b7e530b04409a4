/* Dispatches state to its back end, builds changes, and keeps the watches. */
#include "managerd/state.h"

#include <stdlib.h>
#include <string.h>

struct state_watch {
    struct state *state;
    char *key;
    void (*on_change)(void *context);
    void *context;
    struct state_watch *next, **link;
};

struct state_follower {
    struct state *state;
    struct view folder;
    void (*on_written)(struct view key, void *context);
    void *context;
    struct state_follower *next;
};

enum error state_get(struct state *state, struct view key, struct buffer *value, uint64_t *revision)
{
    return state->back_end->get(state, key, value, revision);
}

enum error state_range(struct state *state, struct view prefix, struct view first,
                       state_visit visit, void *context)
{
    return state->back_end->range(state, prefix, first, visit, context);
}

enum error state_keys(struct state *state, struct view prefix, struct view first, state_visit visit,
                      void *context)
{
    return state->back_end->keys(state, prefix, first, visit, context);
}

void state_commit(struct state *state, const struct change *change, state_done on_done,
                  void *context)
{
    state->back_end->commit(state, change, on_done, context);
}

uint64_t state_used_bytes(struct state *state)
{
    return state->back_end->used_bytes(state);
}

uint64_t state_max_bytes(struct state *state)
{
    return state->back_end->max_bytes(state);
}

bool state_writable(const struct state *state)
{
    return !state->failing && !state->full;
}

bool state_full(const struct state *state)
{
    return state->full;
}

uint64_t state_commits(const struct state *state)
{
    return state->commits;
}

struct store_times state_times(const struct state *state)
{
    return state->times;
}

uint64_t state_transactions(const struct state *state, struct store_times *sum)
{
    *sum = state->all_times;
    return state->transactions;
}

void state_close(struct state *state)
{
    if (!state)
        return;
    while (state->watches)
        state_unwatch(state->watches);
    while (state->followers)
        state_unfollow(state->followers);
    state->back_end->close(state);
}

struct state_watch *state_watch(struct state *state, const char *key, void (*on_change)(void *),
                                void *context)
{
    struct state_watch *watch = calloc(1, sizeof *watch);
    REQUIRE(watch);
    watch->state = state;
    watch->key = strdup(key);
    REQUIRE(watch->key);
    watch->on_change = on_change;
    watch->context = context;
    watch->link = &state->watches;
    watch->next = state->watches;
    if (watch->next)
        watch->next->link = &watch->next;
    state->watches = watch;
    return watch;
}

void state_unwatch(struct state_watch *watch)
{
    if (!watch)
        return;
    if (watch->state->next_watch == watch)
        watch->state->next_watch = watch->next;
    *watch->link = watch->next;
    if (watch->next)
        watch->next->link = watch->link;
    free(watch->key);
    free(watch);
}

void state_changed(struct state *state, struct view key)
{
    struct state_watch *watch = state->watches;
    while (watch) {
        state->next_watch = watch->next;
        if (view_equal_string(key, watch->key))
            watch->on_change(watch->context);
        watch = state->next_watch;
    }
}

struct state_follower *state_follow(struct state *state, const char *folder,
                                    void (*on_written)(struct view key, void *context),
                                    void *context)
{
    struct state_follower *follower = calloc(1, sizeof *follower);
    REQUIRE(follower);
    *follower =
        (struct state_follower){state, view_of(folder), on_written, context, state->followers};
    state->followers = follower;
    return follower;
}

void state_unfollow(struct state_follower *follower)
{
    if (!follower)
        return;
    struct state_follower **link = &follower->state->followers;
    while (*link != follower)
        link = &(*link)->next;
    *link = follower->next;
    free(follower);
}

void state_written(struct state *state, struct view key)
{
    struct state_follower *follower = state->followers;
    for (; follower; follower = follower->next)
        if (view_starts_with(key, follower->folder))
            follower->on_written(key, follower->context);
}

void change_init(struct change *change)
{
    memset(change, 0, sizeof *change);
    arena_init(&change->arena, CHANGE_MAX_BYTES);
}

void change_release(struct change *change)
{
    arena_release(&change->arena);
    free(change->compares);
    free(change->writes);
    free(change->entries);
    memset(change, 0, sizeof *change);
}

void change_clear(struct change *change)
{
    change_release(change);
    change_init(change);
}

/* Makes room for one more of `size` bytes. */
static void *grow(void *rows, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return rows;
    *capacity = *capacity ? 2 * *capacity : 8;
    rows = realloc(rows, *capacity * size);
    REQUIRE(rows);
    return rows;
}

static void add_compare(struct change *change, struct view key, uint64_t revision)
{
    REQUIRE(key.length <= STATE_MAX_KEY);
    change->compares = grow(change->compares, change->compare_count, &change->compare_capacity,
                            sizeof *change->compares);
    change->compares[change->compare_count++] =
        (struct state_compare){arena_copy(&change->arena, key), revision};
}

static void add_write(struct change *change, struct view key, struct view value)
{
    REQUIRE(key.length <= STATE_MAX_KEY);
    change->writes =
        grow(change->writes, change->write_count, &change->write_capacity, sizeof *change->writes);
    change->writes[change->write_count++] = (struct state_write){
        arena_copy(&change->arena, key), value.data ? arena_copy(&change->arena, value) : value};
}

void change_compare(struct change *change, const char *key, uint64_t revision)
{
    add_compare(change, view_of(key), revision);
}

static void add_entry(struct change *change, struct view content)
{
    change->entries = grow(change->entries, change->entry_count, &change->entry_capacity,
                           sizeof *change->entries);
    change->entries[change->entry_count++] = arena_copy(&change->arena, content);
}

void change_audit(struct change *change, const struct json *content)
{
    struct buffer text;
    buffer_init(&text, STATE_MAX_VALUE);
    json_print(&text, content);
    if (text.error)
        change->arena.error = text.error;
    else
        add_entry(change, buffer_view(&text));
    buffer_release(&text);
}

void change_append(struct change *change, const struct change *from)
{
    if (from->arena.error)
        change->arena.error = from->arena.error;
    change->urgent |= from->urgent;
    for (size_t i = 0; i < from->compare_count; i++)
        add_compare(change, from->compares[i].key, from->compares[i].revision);
    for (size_t i = 0; i < from->write_count; i++)
        add_write(change, from->writes[i].key, from->writes[i].value);
    for (size_t i = 0; i < from->entry_count; i++)
        add_entry(change, from->entries[i]);
}

void change_put(struct change *change, const char *key, const struct json *value)
{
    struct buffer text;
    buffer_init(&text, STATE_MAX_VALUE);
    json_print(&text, value);
    if (text.error)
        change->arena.error = text.error;
    add_write(change, view_of(key), buffer_view(&text));
    buffer_release(&text);
}

void change_remove(struct change *change, const char *key)
{
    add_write(change, view_of(key), (struct view){0});
}

bool change_writes(const struct change *change, const char *key)
{
    for (size_t i = 0; i < change->write_count; i++)
        if (view_equal_string(change->writes[i].key, key))
            return true;
    return false;
}
