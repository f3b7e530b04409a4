/* Keeps functions in memory by name, and on disk in one folder each. */
#include "deploy/lambda-local/function_store.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "deploy/lambda-local/function_record.h"
#include "deploy/lambda-local/function_state.h"
#include "deploy/lambda-local/package.h"
#include "deploy/lambda-local/surroundings.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct function_store {
    struct event_base *base;
    struct function_store_options options;
    char *folder;
    struct function **functions; /* by name */
    size_t count;
    int lock;
};

/* Puts a path together (malloc'ed). */
static char *path_of(const char *folder, const char *middle, const char *name, const char *end)
{
    struct buffer path;

    buffer_init(&path, 16384);
    buffer_append_string(&path, folder);
    buffer_append_string(&path, middle);
    buffer_append_string(&path, name);
    buffer_append_string(&path, end);
    REQUIRE(path.error == ERROR_NONE);
    return buffer_take(&path, NULL);
}

/* Where the name is, or would be. */
static size_t position(const struct function_store *store, struct view name)
{
    size_t low = 0, high = store->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (view_compare(view_of(store->functions[middle]->name), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct function *function_store_find(const struct function_store *store, struct view name)
{
    size_t at = position(store, name);

    if (at < store->count && view_equal_string(name, store->functions[at]->name))
        return store->functions[at];
    return NULL;
}

struct function *function_store_at(const struct function_store *store, size_t index)
{
    return index < store->count ? store->functions[index] : NULL;
}

size_t function_store_count(const struct function_store *store)
{
    return store->count;
}

int64_t function_store_code_bytes(const struct function_store *store)
{
    int64_t sum = 0;
    struct stat status;

    for (size_t i = 0; i < store->count; i++) {
        for (const struct code *code = store->functions[i]->codes; code; code = code->next)
            sum += stat(code->zip, &status) == 0 ? status.st_size : 0;
    }
    return sum;
}

int64_t function_store_reserved(const struct function_store *store, const struct function *except)
{
    int64_t sum = 0;

    for (size_t i = 0; i < store->count; i++) {
        const struct function *function = store->functions[i];

        if (function != except && function->reserved_concurrency > 0)
            sum += function->reserved_concurrency;
    }
    return sum;
}

static void insert(struct function_store *store, struct function *function)
{
    size_t at = position(store, view_of(function->name));

    store->functions = realloc(store->functions, (store->count + 1) * sizeof *store->functions);
    REQUIRE(store->functions);
    memmove(&store->functions[at + 1], &store->functions[at],
            (store->count - at) * sizeof *store->functions);
    store->functions[at] = function;
    store->count++;
}

/* -- saving -- */

static enum error save_version(const struct version *version)
{
    struct buffer text;
    char name[40];
    char *path;
    enum error error;

    snprintf(name, sizeof name, "%lld", (long long)version->number);
    path = path_of(version->function->folder, "/versions/", name, ".json");
    buffer_init(&text, FUNCTION_RECORD_MAX);
    json_print(&text, version->configuration);
    error = text.error ? text.error : file_write(path, buffer_view(&text), 0600);
    buffer_release(&text);
    free(path);
    return error;
}

enum error function_store_save(struct function_store *store, const struct function *function)
{
    struct buffer text;
    char *path = path_of(function->folder, "/function.json", "", "");
    enum error error;

    (void)store;
    buffer_init(&text, FUNCTION_RECORD_MAX);
    function_record_write(function, &text);
    error = text.error ? text.error : file_write(path, buffer_view(&text), 0600);
    buffer_release(&text);
    free(path);
    return error;
}

/* -- states -- */

static void retire(struct function_store *store, struct version *version)
{
    if (store->options.on_retired)
        store->options.on_retired(version, store->options.context);
}

/* $LATEST is served as it is configured now. */
static void serve_latest(struct function_store *store, struct function *function)
{
    struct version *former = function->serving;

    if (former == function->latest)
        return;
    function->serving = version_hold(function->latest);
    if (former) {
        retire(store, former);
        version_release(former);
    }
    function_sweep_code(function);
}

static void on_ready(int descriptor, short what, void *context)
{
    struct version *version = context;
    struct function *function = version->function;
    enum error error;

    (void)descriptor;
    (void)what;
    event_free(version->ready_timer);
    version->ready_timer = NULL;
    function_state_settle(version);
    if (version->number == 0) {
        serve_latest(function->store, function);
        error = function_store_save(function->store, function);
    } else {
        error = save_version(version);
    }
    if (error)
        log_write(LOG_ERROR, "function-not-saved", LOG_STRING("function", function->name),
                  LOG_STRING("error", error_text(error)));
}

static void wait_ready(struct function_store *store, struct version *version)
{
    if (store->options.ready_delay_ms > 0)
        function_state_wait(store->base, version, store->options.ready_delay_ms, on_ready, version);
}

/* -- making and changing -- */

enum error function_store_prepare(struct function_store *store, const char *name,
                                  struct function **function)
{
    char *folder = path_of(store->folder, "/functions/", name, "");
    char *versions = path_of(folder, "/versions", "", ""), *code = path_of(folder, "/code", "", "");
    enum error error = folder_make(versions, 0700);

    if (!error)
        error = folder_make(code, 0755);
    free(versions);
    free(code);
    if (error) {
        free(folder);
        return error;
    }
    *function = function_new(name, folder);
    (*function)->store = store;
    return ERROR_NONE;
}

/* The references between a function and its versions are a circle; this opens it. */
static void let_go(struct function *function)
{
    struct version *latest = function->latest, *serving = function->serving;

    function->latest = function->serving = NULL;
    version_release(latest);
    version_release(serving);
    while (function->version_count > 0)
        function_remove_version(function, function->versions[function->version_count - 1]->number);
    function_release(function);
}

void function_store_discard(struct function_store *store, struct function *function)
{
    (void)store;
    function->deleted = true;
    let_go(function);
}

enum error function_store_add(struct function_store *store, struct function *function)
{
    bool wait = store->options.ready_delay_ms > 0;
    enum error error;

    function_state_create(function->latest, wait);
    error = function_store_save(store, function);
    if (error)
        return error;
    function->serving = version_hold(function->latest);
    insert(store, function);
    wait_ready(store, function->latest);
    return ERROR_NONE;
}

enum error function_store_update(struct function_store *store, struct function *function,
                                 struct version *version)
{
    struct version *former = function->latest;
    bool wait = store->options.ready_delay_ms > 0;
    enum error error;

    REQUIRE(!former->ready_timer);
    function_state_update(version, wait);
    function->latest = version;
    error = function_store_save(store, function);
    if (error) {
        function->latest = former;
        version_release(version);
        return error;
    }
    version_release(former);
    if (wait)
        wait_ready(store, version);
    else
        serve_latest(store, function);
    return ERROR_NONE;
}

static struct version *copy_as(struct function *function, int64_t number,
                               const struct view *description)
{
    struct json *configuration = json_copy(function->latest->configuration);
    char label[24], arn[FUNCTION_ARN_SIZE];

    version_label(number, label);
    function_arn(arn, function->name, label);
    json_set_string(configuration, "Version", view_of(label));
    json_set_string(configuration, "FunctionArn", view_of(arn));
    if (description)
        json_set_string(configuration, "Description", *description);
    surroundings_published(configuration);
    return version_new(function, function->latest->code, configuration, number);
}

enum error function_store_publish(struct function_store *store, struct function *function,
                                  const struct view *description, struct version **published)
{
    char fingerprint[sizeof function->published_fingerprint];
    struct version *version;
    enum error error;

    version_fingerprint(function->latest, fingerprint);
    *published = function_version(function, function->published_version);
    if (*published && strcmp(fingerprint, function->published_fingerprint) == 0)
        return ERROR_NONE;
    version = copy_as(function, function->next_version, description);
    function_state_create(version, store->options.ready_delay_ms > 0);
    /* The version's file first: a crash in between leaves a version that nobody was told of. */
    error = save_version(version);
    if (error) {
        version_release(version);
        return error;
    }
    function_add_version(function, version);
    function->published_version = function->next_version++;
    memcpy(function->published_fingerprint, fingerprint, sizeof fingerprint);
    wait_ready(store, version);
    *published = version;
    return function_store_save(store, function);
}

/* -- removing -- */

static void stop_timer(struct version *version)
{
    if (version && version->ready_timer) {
        event_free(version->ready_timer);
        version->ready_timer = NULL;
    }
}

enum error function_store_remove_version(struct function_store *store, struct function *function,
                                         int64_t number)
{
    struct version *version = function_version(function, number);
    char name[40];
    char *path;
    bool gone;

    snprintf(name, sizeof name, "%lld", (long long)number);
    path = path_of(function->folder, "/versions/", name, ".json");
    gone = unlink(path) == 0 || errno == ENOENT;
    free(path);
    if (!gone)
        return ERROR_IO;
    stop_timer(version);
    version_hold(version);
    function_remove_version(function, number);
    retire(store, version);
    version_release(version);
    function_sweep_code(function);
    return ERROR_NONE;
}

static void retire_all(struct function_store *store, struct function *function)
{
    stop_timer(function->latest);
    if (function->serving)
        retire(store, function->serving);
    for (size_t i = 0; i < function->version_count; i++) {
        stop_timer(function->versions[i]);
        retire(store, function->versions[i]);
    }
}

enum error function_store_remove(struct function_store *store, struct function *function)
{
    size_t at = position(store, view_of(function->name));
    char id[ID_SIZE];
    char *trash;

    REQUIRE(at < store->count && store->functions[at] == function);
    id_make(id);
    trash = path_of(store->folder, "/trash/", id, "");
    if (rename(function->folder, trash) != 0) {
        free(trash);
        return error_from_errno(errno);
    }
    free(function->folder);
    function->folder = trash;
    function->deleted = true;
    memmove(&store->functions[at], &store->functions[at + 1],
            (store->count - at - 1) * sizeof *store->functions);
    store->count--;
    retire_all(store, function);
    let_go(function);
    return ERROR_NONE;
}

/* -- loading -- */

struct loading {
    struct function_store *store;
    struct function *function;
    enum error error;
    int64_t *numbers;
    size_t count;
};

static enum error load_version(struct function *function, int64_t number)
{
    struct version *version;
    struct json *configuration = NULL;
    struct buffer text;
    char name[40];
    char *path;
    enum error error;

    snprintf(name, sizeof name, "%lld", (long long)number);
    path = path_of(function->folder, "/versions/", name, ".json");
    buffer_init(&text, FUNCTION_RECORD_MAX);
    error = file_read(path, &text);
    if (!error)
        error = json_parse(buffer_view(&text), 32, &configuration, NULL);
    if (!error)
        error = function_record_version(function, configuration, number, &version);
    if (!error)
        function_add_version(function, version);
    buffer_release(&text);
    free(path);
    return error;
}

static bool on_version_file(const char *name, void *context)
{
    struct loading *loading = context;
    struct view stem = view_of(name);
    int64_t number;

    if (!view_ends_with(stem, VIEW(".json")))
        return true; /* what a kill left of a write */
    stem.length -= strlen(".json");
    if (!version_number_parse(stem, &number))
        return true;
    loading->numbers = realloc(loading->numbers, (loading->count + 1) * sizeof *loading->numbers);
    REQUIRE(loading->numbers);
    loading->numbers[loading->count++] = number;
    return true;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static enum error load_versions(struct loading *loading, struct function *function)
{
    char *folder = path_of(function->folder, "/versions", "", "");
    enum error error = folder_list(folder, on_version_file, loading);

    free(folder);
    if (loading->count > 1)
        qsort(loading->numbers, loading->count, sizeof *loading->numbers, by_number);
    for (size_t i = 0; !error && i < loading->count; i++)
        error = load_version(function, loading->numbers[i]);
    if (!error && loading->count > 0 &&
        function->next_version <= loading->numbers[loading->count - 1])
        function->next_version = loading->numbers[loading->count - 1] + 1;
    free(loading->numbers);
    return error;
}

/* A delay that a restart cut short begins anew. */
static void load_states(struct function_store *store, struct function *function)
{
    bool wait = store->options.ready_delay_ms > 0;

    for (size_t i = 0; i <= function->version_count; i++) {
        struct version *version =
            i < function->version_count ? function->versions[i] : function->latest;

        if (version_state(version) == VERSION_ACTIVE && !version_updating(version))
            continue;
        if (wait)
            wait_ready(store, version);
        else
            function_state_settle(version);
    }
}

static bool on_function_folder(const char *name, void *context)
{
    struct function_store *store = context;
    struct loading loading = {.store = store};
    char *folder = path_of(store->folder, "/functions/", name, "");
    char *path = path_of(folder, "/function.json", "", "");
    struct function *function = function_new(name, folder);
    struct buffer text;
    enum error error;

    function->store = store;
    buffer_init(&text, FUNCTION_RECORD_MAX);
    error = file_read(path, &text);
    if (error == ERROR_NOT_FOUND) { /* a kill came before the creation was saved */
        function_store_discard(store, function);
        goto out;
    }
    if (!error)
        error = function_record_read(function, buffer_view(&text));
    if (!error)
        error = load_versions(&loading, function);
    if (!error)
        error = package_sweep(function);
    if (error) {
        log_write(LOG_ERROR, "function-not-loaded", LOG_STRING("function", name),
                  LOG_STRING("error", error_text(error)));
        let_go(function);
        goto out;
    }
    insert(store, function);
    load_states(store, function);
out:
    buffer_release(&text);
    free(path);
    return true;
}

static bool on_trash(const char *name, void *context)
{
    struct function_store *store = context;
    char *path = path_of(store->folder, "/trash/", name, "");

    if (package_remove(path) != ERROR_NONE)
        log_write(LOG_WARN, "function-not-removed", LOG_STRING("folder", path));
    free(path);
    return true;
}

static enum error lock(struct function_store *store)
{
    char *path = path_of(store->folder, "/lock", "", "");

    store->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(path);
    if (store->lock < 0)
        return error_from_errno(errno);
    return flock(store->lock, LOCK_EX | LOCK_NB) == 0 ? ERROR_NONE : ERROR_BUSY;
}

static enum error load(struct function_store *store)
{
    char *functions = path_of(store->folder, "/functions", "", "");
    char *trash = path_of(store->folder, "/trash", "", "");
    enum error error = folder_make(functions, 0700);

    if (!error)
        error = folder_make(trash, 0700);
    if (!error)
        error = lock(store);
    if (!error)
        error = folder_list(trash, on_trash, store);
    if (!error)
        error = folder_list(functions, on_function_folder, store);
    free(functions);
    free(trash);
    return error;
}

enum error function_store_open(struct event_base *base,
                               const struct function_store_options *options,
                               struct function_store **store, struct buffer *problem)
{
    struct function_store *made = calloc(1, sizeof *made);
    enum error error;

    REQUIRE(made);
    made->base = base;
    made->options = *options;
    made->folder = view_duplicate(view_of(options->folder));
    made->lock = -1;
    error = load(made);
    if (error) {
        buffer_append_format(problem, "%s: %s", options->folder, error_text(error));
        function_store_close(made);
        return error;
    }
    *store = made;
    return ERROR_NONE;
}

void function_store_close(struct function_store *store)
{
    for (size_t i = 0; i < store->count; i++) {
        retire_all(store, store->functions[i]);
        let_go(store->functions[i]);
    }
    if (store->lock >= 0)
        close(store->lock);
    free(store->functions);
    free(store->folder);
    free(store);
}
