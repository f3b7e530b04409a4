/* Finds the operations that were unfinished when the process before this one ended. */
#include "common/base/log.h"
#include "managerd/operation.h"
#include "managerd/records.h"

#include <stdlib.h>
#include <string.h>

struct unfinished {
    char (*ids)[ID_SIZE];
    size_t count, capacity;
};

static bool on_unfinished(struct view key, struct view value, uint64_t revision, void *context)
{
    struct unfinished *unfinished = context;
    (void)value, (void)revision;
    if (key.length < ID_SIZE)
        return true;
    if (unfinished->count == unfinished->capacity) {
        unfinished->capacity = unfinished->capacity ? 2 * unfinished->capacity : 16;
        unfinished->ids = realloc(unfinished->ids, unfinished->capacity * ID_SIZE);
        REQUIRE(unfinished->ids);
    }
    memcpy(unfinished->ids[unfinished->count], key.data + key.length - (ID_SIZE - 1), ID_SIZE - 1);
    unfinished->ids[unfinished->count++][ID_SIZE - 1] = 0;
    return true;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

enum error operations_resume(struct operations *operations, struct buffer *problem)
{
    struct state *state = operations_environment(operations)->state;
    struct unfinished unfinished = {0};
    enum error error = state_keys(state, VIEW("queue/"), VIEW(""), on_unfinished, &unfinished);
    /* Ids sort by time; the keys sort by app first. */
    if (unfinished.count)
        qsort(unfinished.ids, unfinished.count, ID_SIZE, compare_ids);
    for (size_t i = 0; i < unfinished.count && !error; i++) {
        struct record record;
        struct key key = key_operation(view_of(unfinished.ids[i]));
        error = record_read(state, key.text, &record);
        if (error)
            break;
        log_write(LOG_INFO, "operation-resumed", LOG_STRING("id", unfinished.ids[i]),
                  LOG_VIEW("app", text_of(record.json, "app")));
        operations_accept(operations, record.json, record.revision);
        record_release(&record);
    }
    if (error)
        buffer_append_format(problem, "the unfinished operations cannot be read: %s.",
                             error_text(error));
    free(unfinished.ids);
    return error;
}
