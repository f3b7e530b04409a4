/* Checks every record of a folder of state before anybody relies on one. */
#include "managerd/state_check.h"

#include "common/store/store_check.h"
#include "managerd/state_record.h"

#define KNOWN_LAYOUT 1

struct look {
    uint64_t records;
    uint64_t latest; /* revision of a record */
    uint64_t given;  /* the last one given */
    uint64_t layout;
    bool is_counted; /* `given` was found */
};

static bool on_entry(const char *database, struct view key, struct view value, void *context)
{
    struct look *look = context;
    struct view layout;
    uint64_t revision = 0;
    if (view_equal_string(VIEW(STATE_META), database)) {
        if (!view_equal(key, VIEW(STATE_REVISION)))
            return true;
        look->is_counted = state_record_read(key, value, &look->given, &layout);
        if (look->is_counted && layout.length && view_to_u64(layout, UINT32_MAX, &look->layout))
            return false;
        return look->is_counted && look->layout <= KNOWN_LAYOUT;
    }
    if (!view_equal_string(VIEW(STATE_RECORDS), database))
        return true;
    if (!state_record_whole(key, value, &revision))
        return false;
    look->records++;
    if (revision > look->latest)
        look->latest = revision;
    return true;
}

enum error state_check(const char *folder, struct state_checked *checked, struct buffer *problem)
{
    struct look look = {0};
    enum error error = store_check(folder, on_entry, &look, NULL, problem);
    if (look.layout > KNOWN_LAYOUT) {
        buffer_clear(problem);
        buffer_append_format(problem,
                             "%s was written by a newer managerd (layout %llu, and this one knows "
                             "%d): use that one, or a backup from before it.",
                             folder, (unsigned long long)look.layout, KNOWN_LAYOUT);
        return ERROR_FROM_FUTURE;
    }
    if (!error && look.latest > look.given) {
        buffer_append_format(problem, "%s/data.mdb is damaged (its revisions do not fit)", folder);
        error = ERROR_DAMAGED;
    }
    if (error == ERROR_DAMAGED)
        buffer_append_string(problem, ": restore a backup, or save what is whole with --rescue; "
                                      "nothing was changed.");
    else if (problem->length)
        buffer_append_string(problem, ".");
    if (checked)
        *checked = (struct state_checked){.records = look.records, .revision = look.given};
    return error;
}
