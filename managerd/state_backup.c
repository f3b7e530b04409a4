/* Copies state while managerd serves, checks a copy, and saves what is whole of a damaged one. */
#include "managerd/state_backup.h"

#include "common/store/store.h"
#include "common/store/store_check.h"
#include "common/store/store_copy.h"
#include "managerd/state_check.h"
#include "managerd/state_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES   4096
#define PUTS_AT_ONCE 1000

bool state_backup_wanted(const struct config *config)
{
    return config->backup || config->verify || config->rescue;
}

static void tell(const char *what, const char *folder, const struct state_checked *checked)
{
    printf("%s %s: %" PRIu64 " records, revision %" PRIu64, folder, what, checked->records,
           checked->revision);
    if (checked->lost)
        printf("; at %" PRIu64 " places something was lost", checked->lost);
    printf(".\n");
}

static enum error verify(const char *folder, struct state_checked *checked, struct buffer *problem)
{
    enum error error = state_check(folder, checked, problem);
    if (error == ERROR_NOT_FOUND && problem->length == 0)
        buffer_append_format(problem, "%s holds no state (no data.mdb).", folder);
    return error;
}

static enum error back_up(const char *state, const char *to, struct buffer *problem)
{
    struct state_checked checked;
    enum error error = store_copy(state, to, problem);
    if (!error)
        error = verify(to, &checked, problem);
    if (!error)
        tell("is a whole backup", to, &checked);
    return error;
}

/* What is left */

struct rescue {
    struct store *store;
    struct store_write *write;
    struct state_checked *checked;
    uint64_t latest;
    unsigned puts; /* of the present transaction */
    enum error error;
};

static enum error put(struct rescue *rescue, const char *database, struct view key,
                      struct view value)
{
    enum error error = ERROR_NONE;
    if (!rescue->write)
        error = store_write_begin(rescue->store, &rescue->write);
    if (!error)
        error = store_put(rescue->write, database, key, value);
    if (error || ++rescue->puts < PUTS_AT_ONCE)
        return error;
    error = store_commit(rescue->write);
    rescue->write = NULL;
    rescue->puts = 0;
    return error;
}

/* The revision is given anew at the end, whatever was left of it. */
static bool on_whole_page(const char *database, struct view key, struct view value, void *context)
{
    struct rescue *rescue = context;
    uint64_t revision;
    struct view text;
    bool is_record = view_equal_string(VIEW(STATE_RECORDS), database);
    if (is_record ? !state_record_whole(key, value, &revision)
                  : !state_record_read(key, value, &revision, &text))
        return false;
    if (revision > rescue->latest)
        rescue->latest = revision;
    if (!is_record || rescue->error)
        return true;
    rescue->error = put(rescue, STATE_RECORDS, key, value);
    rescue->checked->records++;
    return true;
}

static enum error finish(struct rescue *rescue)
{
    struct buffer record;
    enum error error = rescue->error;
    buffer_init(&record, 256);
    state_record_write(&record, VIEW(STATE_REVISION), rescue->latest, VIEW(STATE_LAYOUT));
    if (!error)
        error = put(rescue, STATE_META, VIEW(STATE_REVISION), buffer_view(&record));
    buffer_release(&record);
    if (rescue->write && error)
        store_abort(rescue->write);
    else if (rescue->write)
        error = store_commit(rescue->write);
    rescue->checked->revision = rescue->latest;
    return error;
}

static enum error save_rest(const struct config *config, const char *state, struct buffer *problem)
{
    static const char *const databases[] = {STATE_RECORDS, STATE_META, NULL};
    struct store_options options = {.folder = config->rescue,
                                    .databases = databases,
                                    .map_bytes = (size_t)config->map_bytes,
                                    .folder_mode = 0700,
                                    .data_mode = 0600,
                                    .lock_mode = 0600};
    struct state_checked checked = {0};
    struct store_checked walked = {0};
    struct rescue rescue = {.checked = &checked};
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/data.mdb", config->rescue) >= (int)sizeof path ||
        access(path, F_OK) == 0) {
        buffer_append_format(problem, "%s holds a data.mdb already.", config->rescue);
        return ERROR_EXISTS;
    }
    enum error error = store_open(&options, &rescue.store, problem);
    if (error)
        return error;
    error = store_check_rest(state, on_whole_page, &rescue, &walked, problem);
    if (error == ERROR_NOT_FOUND)
        buffer_append_format(problem, "%s holds no state (no data.mdb)", state);
    if (error)
        buffer_append_string(problem, ".");
    enum error written = finish(&rescue);
    if (!error && written)
        buffer_append_format(problem, "%s cannot be written: %s.", config->rescue,
                             error_text(written));
    store_close(rescue.store);
    checked.lost = walked.lost;
    if (!error && !written)
        tell("holds what was whole", config->rescue, &checked);
    return error ? error : written;
}

enum error state_backup_run(const struct config *config, struct buffer *problem)
{
    struct state_checked checked;
    char state[PATH_BYTES];
    if (snprintf(state, sizeof state, "%s/state", config->data_dir) >= (int)sizeof state) {
        buffer_append_string(problem, "the path of the data folder is too long.");
        return ERROR_TOO_BIG;
    }
    if (config->backup)
        return back_up(state, config->backup, problem);
    if (config->rescue)
        return save_rest(config, state, problem);
    enum error error = verify(config->verify, &checked, problem);
    if (!error)
        tell("is whole", config->verify, &checked);
    return error;
}
