/* Tells operations with all their steps, wherever those are kept. */
#include "managerd/operation_told.h"

#include "managerd/apply.h"

#include <stdio.h>

struct reading {
    struct json *steps;
    uint64_t left;
};

static bool on_change(struct view key, struct view value, uint64_t revision, void *context)
{
    struct reading *reading = context;
    struct json *step = NULL;
    (void)key, (void)revision;
    if (reading->left-- == 0)
        return false;
    if (!record_parse(value, &step)) {
        json_remove(step, "wish");
        json_append(reading->steps, step);
    }
    return reading->left > 0;
}

/* A part of the changes as steps; the first that waits is the one that is under way. */
static void read_changes(struct state *state, const struct json *operation, int64_t from,
                         uint64_t count, struct json *steps)
{
    struct reading reading = {.steps = steps, .left = count};
    struct key first = key_apply(text_of(operation, "id"), from);
    struct key prefix = key_apply_all(text_of(operation, "id"));
    if (!count ||
        state_range(state, view_of(prefix.text), view_of(first.text), on_change, &reading))
        return;
    const struct json *step = json_first(steps);
    while (step && !view_equal_string(text_of(step, "state"), "waiting"))
        step = json_next(step);
    const struct json *all = json_first(json_get(operation, "steps"));
    if (step && view_equal_string(text_of(all, "state"), "running"))
        json_set_string((struct json *)(uintptr_t)step, "state", VIEW("running"));
}

static const struct json *last_of(const struct json *steps)
{
    const struct json *step = json_first(steps);
    while (step && json_next(step))
        step = json_next(step);
    return step;
}

static bool keeps_records(const struct json *operation)
{
    return json_get(json_get(operation, "work"), "changes") != NULL;
}

struct json *apply_told_steps(struct state *state, const struct json *operation)
{
    struct json *steps = json_new_array();
    if (!keeps_records(operation)) {
        json_free(steps);
        return json_copy(json_get(operation, "steps"));
    }
    read_changes(state, operation, 0, UINT64_MAX, steps);
    json_append(steps, json_copy(last_of(json_get(operation, "steps"))));
    return steps;
}

/* So many steps around the first that is not done. */
static struct json *some_of(const struct json *steps, unsigned most)
{
    struct json *some = json_new_array();
    size_t count = json_count(steps), at = 0, from;
    const struct json *step = json_first(steps);
    for (; step && view_equal_string(text_of(step, "state"), "done"); step = json_next(step))
        at++;
    from = at > most / 2 ? at - most / 2 : 0;
    if (count > most && from > count - most)
        from = count - most;
    step = json_first(steps);
    for (size_t i = 0; step && i < from + most; step = json_next(step), i++)
        if (i >= from)
            json_append(some, json_copy(step));
    return some;
}

struct json *operation_told(struct state *state, const struct json *operation, unsigned most_steps)
{
    struct json *told = operation_public(operation), *steps = NULL;
    const struct json *work = json_get(operation, "work");
    int64_t count = integer_of(work, "changes"), done = integer_of(work, "done");
    if (keeps_records(operation) && most_steps && count > most_steps) {
        int64_t from = done > most_steps / 2 ? done - most_steps / 2 : 0;
        steps = json_new_array();
        read_changes(state, operation, from, most_steps, steps);
    } else if (keeps_records(operation)) {
        steps = apply_told_steps(state, operation);
    } else if (most_steps && json_count(json_get(operation, "steps")) > most_steps) {
        steps = some_of(json_get(operation, "steps"), most_steps);
    }
    if (steps)
        json_set(told, "steps", steps);
    return told;
}
