/* Writes routes from state: one transaction per change, or the differences of everything. */
#include "managerd/publish.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/contract/host.h"
#include "common/store/layout.h"
#include "common/store/route_record.h"
#include "common/store/store.h"
#include "managerd/access.h"
#include "managerd/domains.h"
#include "managerd/issuers.h"
#include "managerd/jobs.h"
#include "managerd/names.h"
#include "managerd/kept_route.h"
#include "managerd/records.h"
#include "managerd/route_versions.h"
#include "managerd/traffic.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_S 1

struct waiter {
    const char *database;
    char *key; /* app or host */
    void (*on_done)(enum error error, void *context);
    void *context;
    struct waiter *next;
};

/* One wanted entry of the route store. */
struct want {
    const char *database;
    char *key;
    struct buffer value; /* empty: not there */
    /* What state says cannot be made into a route: it stays as it is, but for the rules in `value`,
     * if there are any. */
    bool keep;
};

/* What one transaction shall make true; the store thread's while it runs. */
struct batch {
    struct store *store;
    struct view installation;
    struct want *wants;
    size_t count, capacity;
    bool everything; /* entries that are not wanted go */
    enum error error;
    bool changed;
    struct store_times times;
};

struct publisher {
    struct publish_options options;
    struct store *store;
    struct store_reader *reader; /* for those who ask what is in force */
    struct waiter *waiting, **waiting_end;
    struct waiter *writing;
    struct batch *batch; /* under way */
    struct event *retry;
    bool failed; /* everything is to be written again */
    uint64_t transactions;
    struct store_times times; /* of the one whose waiters are told */
};

static const char *const databases[] = {LAYOUT_META, LAYOUT_SETTINGS, LAYOUT_ROUTES, LAYOUT_DOMAINS,
                                        NULL};

static struct want *batch_want(struct batch *batch, const char *database, struct view key)
{
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? 2 * batch->capacity : 8;
        batch->wants = realloc(batch->wants, batch->capacity * sizeof *batch->wants);
        REQUIRE(batch->wants);
    }
    struct want *want = &batch->wants[batch->count++];
    want->keep = false;
    want->database = database;
    want->key = view_duplicate(key);
    buffer_init(&want->value, ROUTE_MAX_RECORD);
    return want;
}

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->wants[i].key);
        buffer_release(&batch->wants[i].value);
    }
    free(batch->wants);
    free(batch);
}

static void set_limits(struct route_record *route, const struct json *limits)
{
    double rate = 0;
    route->max_in_flight = (uint32_t)integer_of(limits, "maxInFlight");
    if (json_get_number(limits, "requestsPerSecond", &rate))
        route->rate_milli = rate * 1000 < 1 ? 1 : (uint64_t)(rate * 1000);
    route->burst = (uint32_t)integer_of(limits, "burst");
    route->deadline_ms = (uint32_t)integer_of(limits, "deadlineMs");
    route->max_body_bytes = (uint64_t)integer_of(limits, "maxBodyBytes");
}

/* The route of an app as state has it now; the value stays empty when it is to have none. */
static void encode_route(struct publisher *publisher, const struct json *app, uint64_t revision,
                         const struct json *issuer_keys, struct want *want)
{
    struct arena arena;
    struct buffer problem;
    const struct json *internal = internal_of(app);
    const struct json *traffic = json_get(internal, "traffic");
    struct view name = text_of(app, "name"), sticky = text_of(traffic, "sticky");
    if (!traffic_any(traffic) || json_type_of(json_get(internal, "deleting")) == JSON_STRING)
        return;
    arena_init(&arena, 1u << 20);
    buffer_init(&problem, 1024);
    struct route_record route = {.app = name,
                                 .slot = (uint32_t)integer_of(internal, "slot"),
                                 .enabled = truth_of(app, "enabled"),
                                 .revision = revision};
    set_limits(&route, json_get(app, "limits"));
    route.sticky = view_equal_string(sticky, "cookie")    ? ROUTE_STICKY_COOKIE
                   : view_equal_string(sticky, "address") ? ROUTE_STICKY_ADDRESS
                                                          : ROUTE_STICKY_NONE;
    const struct json *versions = json_get(traffic, "versions");
    route.previews = truth_of(app, "previewUrls");
    route.version_header = truth_of(app, "versionHeader");
    route.respond_async = truth_of(app, "respondAsync");
    route.versions =
        arena_alloc(&arena, (json_count(versions) + ROUTE_MAX_VERSIONS) * sizeof *route.versions);
    enum error error = arena.error;
    for (const struct json *share = json_first(versions); share && !error;
         share = json_next(share)) {
        int64_t number = integer_of(share, "version");
        int weight = traffic_share(traffic, number);
        if (weight == 0)
            continue;
        if (!route_version_read(publisher->options.state, name, number, weight, &arena,
                                &route.versions[route.version_count++]))
            error = ERROR_DAMAGED;
    }
    enum error unruly = access_route(app, issuer_keys, &arena, &route.access);
    if (!error)
        error = unruly;
    if (!error && (route.previews || route.version_header))
        error = route_previews_add(publisher->options.state, &arena, &route);
    if (!error)
        error = route_record_validate(&route, &problem);
    if (!error) {
        route_record_encode(&want->value, &route);
        error = want->value.error;
    }
    if (error)
        log_write(LOG_ERROR, "route-not-publishable", LOG_VIEW("app", name),
                  LOG_STRING("error", error_name(error)),
                  LOG_VIEW("problem", buffer_view(&problem)));
    want->keep = error != ERROR_NONE;
    if (error && !unruly)
        kept_route_rules(&route, &want->value);
    buffer_release(&problem);
    arena_release(&arena);
}

static void want_app(struct publisher *publisher, struct batch *batch, struct view app)
{
    struct record record;
    struct key key = key_app(app);
    struct want *want = batch_want(batch, LAYOUT_ROUTES, app);
    const struct json *keys = NULL;
    enum error error = record_read(publisher->options.state, key.text, &record);
    bool going = json_type_of(json_get(internal_of(record.json), "deleting")) == JSON_STRING;
    const struct json *tokens = json_get(json_get(record.json, "access"), "jwt");
    if (publisher->options.issuers && (!error || error == ERROR_NOT_FOUND))
        keys = issuers_keys(publisher->options.issuers, app, going ? NULL : tokens);
    if (!error)
        encode_route(publisher, record.json, record.revision, keys, want);
    else
        want->keep = error != ERROR_NOT_FOUND;
    record_release(&record);
}

static void want_domain(struct publisher *publisher, struct batch *batch, struct view host)
{
    struct record record;
    struct buffer problem;
    struct key key = key_domain(host);
    struct want *want = batch_want(batch, LAYOUT_DOMAINS, host);
    enum error error = record_read(publisher->options.state, key.text, &record);
    want->keep = error && error != ERROR_NOT_FOUND;
    if (error)
        return;
    buffer_init(&problem, 1024);
    error = domain_encode(record.json, &want->value, &problem);
    if (error)
        log_write(LOG_ERROR, "domain-not-publishable", LOG_VIEW("host", host),
                  LOG_STRING("error", error_name(error)),
                  LOG_VIEW("problem", buffer_view(&problem)));
    want->keep = error != ERROR_NONE;
    if (error)
        buffer_clear(&want->value);
    buffer_release(&problem);
    record_release(&record);
}

static void want_entry(struct publisher *publisher, struct batch *batch, const char *database,
                       struct view key)
{
    if (strcmp(database, LAYOUT_DOMAINS) == 0)
        want_domain(publisher, batch, key);
    else
        want_app(publisher, batch, key);
}

static bool on_record(struct view key, struct view value, uint64_t revision, void *context)
{
    (void)value, (void)revision;
    names_add(context, view_slice(key, view_find(key, '/') + 1, SIZE_MAX));
    return true;
}

/* All records of state whose keys begin with `prefix`: a read within a visit is not allowed. */
static enum error want_all(struct publisher *publisher, struct batch *batch, const char *database,
                           struct view prefix)
{
    struct names names = {0};
    enum error error = state_keys(publisher->options.state, prefix, VIEW(""), on_record, &names);
    for (size_t i = 0; i < names.count && !error; i++)
        want_entry(publisher, batch, database, view_of(names.list[i]));
    names_release(&names);
    return error;
}

static enum error want_everything(struct publisher *publisher, struct batch *batch)
{
    const struct publish_options *options = &publisher->options;
    enum error error = want_all(publisher, batch, LAYOUT_ROUTES, VIEW("apps/"));
    if (!error)
        error = want_all(publisher, batch, LAYOUT_DOMAINS, VIEW("domains/"));
    struct view domains[32];
    struct settings_record settings = {.base_domains = domains,
                                       .public_url = view_of(options->public_url),
                                       .path_routing = options->path_routing};
    for (size_t i = 0; i < options->base_domain_count && i < 32; i++)
        domains[settings.base_domain_count++] = view_of(options->base_domains[i]);
    settings_record_encode(&batch_want(batch, LAYOUT_SETTINGS, VIEW("settings"))->value, &settings);
    batch->everything = true;
    return error;
}

static bool on_present(struct view key, struct view value, void *context)
{
    (void)value;
    names_add(context, key);
    return true;
}

/* Removes routes, or domains, that nothing in state wants. */
static enum error remove_unwanted(struct batch *batch, struct store_write *write,
                                  const char *database)
{
    struct names present = {0}, wanted = {0};
    enum error error = store_write_range(write, database, VIEW(""), VIEW(""), on_present, &present);
    for (size_t i = 0; i < batch->count; i++)
        if (strcmp(batch->wants[i].database, database) == 0)
            names_add(&wanted, view_of(batch->wants[i].key));
    names_sort(&wanted);
    for (size_t i = 0; i < present.count && !error; i++) {
        if (names_has(&wanted, present.list[i]))
            continue;
        error = store_delete(write, database, view_of(present.list[i]));
        batch->changed = true;
    }
    names_release(&present);
    names_release(&wanted);
    return error;
}

static enum error write_want(struct batch *batch, struct store_write *write, struct want *want,
                             struct buffer *present)
{
    struct view key = view_of(want->key);
    if (want->keep && !want->value.length) /* or too large: it must not hold up the others */
        return ERROR_NONE;
    if (want->value.error)
        return want->value.error;
    enum error error = store_write_get(write, want->database, key, present);
    bool there = error == ERROR_NONE;
    if (error && error != ERROR_NOT_FOUND)
        return error;
    if (want->keep && (!there || kept_route_apply(buffer_view(present), &want->value)))
        return ERROR_NONE;
    struct view value = buffer_view(&want->value);
    if (there == (value.length > 0) && (!there || view_equal(buffer_view(present), value)))
        return ERROR_NONE;
    batch->changed = true;
    store_use_reserve(write, there); /* a change must get through where nothing new has room */
    return value.length ? store_put(write, want->database, key, value)
                        : store_delete(write, want->database, key);
}

/* The meta record: its generation rises with each transaction that changed something. */
static enum error write_meta(struct batch *batch, struct store_write *write, struct buffer *scratch)
{
    struct arena arena;
    arena_init(&arena, 65536);
    struct meta_record meta = {0};
    enum error error = store_write_get(write, LAYOUT_META, VIEW("meta"), scratch);
    bool there = error == ERROR_NONE;
    if (there && meta_record_decode(&arena, buffer_view(scratch), &meta))
        meta.generation = 0; /* damaged: written anew */
    if (!there && error != ERROR_NOT_FOUND)
        goto out;
    error = ERROR_NONE;
    if (there && !batch->changed && view_equal(meta.installation, batch->installation))
        goto out;
    batch->changed = true;
    meta.generation++;
    meta.installation = batch->installation;
    meta.published_at_ms = (uint64_t)clock_wall_ms();
    struct buffer value;
    buffer_init(&value, 4096);
    meta_record_encode(&value, &meta);
    store_use_reserve(write, true);
    error = store_put(write, LAYOUT_META, VIEW("meta"), buffer_view(&value));
    buffer_release(&value);
out:
    arena_release(&arena);
    return error;
}

/* On the store thread, or before there is a loop. */
static void write_batch(struct batch *batch)
{
    struct store_write *write = NULL;
    struct store_watch watch;
    struct buffer scratch;
    store_watch_begin(&watch);
    buffer_init(&scratch, ROUTE_MAX_RECORD);
    enum error error = store_write_begin(batch->store, &write);
    if (error)
        goto out;
    if (batch->everything && !(error = remove_unwanted(batch, write, LAYOUT_ROUTES)))
        error = remove_unwanted(batch, write, LAYOUT_DOMAINS);
    for (size_t i = 0; i < batch->count && !error; i++)
        error = write_want(batch, write, &batch->wants[i], &scratch);
    if (!error)
        error = write_meta(batch, write, &scratch);
    if (error || !batch->changed)
        store_abort(write);
    else
        error = store_commit(write);
out:
    store_watch_end(&watch, &batch->times);
    batch->error = error;
    buffer_release(&scratch);
}

static void run_batch(void *context)
{
    struct publisher *publisher = context;
    write_batch(publisher->batch);
}

static struct batch *batch_new(struct publisher *publisher)
{
    struct batch *batch = calloc(1, sizeof *batch);
    REQUIRE(batch);
    batch->store = publisher->store;
    batch->installation = view_of(publisher->options.installation);
    return batch;
}

static void start_batch(struct publisher *publisher);

static void on_batch_written(void *context)
{
    struct publisher *publisher = context;
    struct batch *batch = publisher->batch;
    struct waiter *waiter = publisher->writing;
    enum error error = batch->error;
    publisher->batch = NULL;
    publisher->writing = NULL;
    publisher->transactions++;
    publisher->times = batch->times;
    if (error) {
        struct timeval soon = {RETRY_S, 0};
        publisher->failed = true;
        evtimer_add(publisher->retry, &soon);
        log_write(LOG_ERROR, "publish-failed", LOG_STRING("error", error_name(error)));
    } else if (batch->everything) {
        publisher->failed = false;
    }
    batch_free(batch);
    while (waiter) {
        struct waiter *next = waiter->next;
        waiter->on_done(error, waiter->context);
        free(waiter->key);
        free(waiter);
        waiter = next;
    }
    start_batch(publisher);
}

static void start_batch(struct publisher *publisher)
{
    bool everything = publisher->failed && !evtimer_pending(publisher->retry, NULL);
    if (publisher->batch || (!publisher->waiting && !everything))
        return;
    struct batch *batch = batch_new(publisher);
    publisher->writing = publisher->waiting;
    publisher->waiting = NULL;
    publisher->waiting_end = &publisher->waiting;
    publisher->batch = batch;
    if (everything && want_everything(publisher, batch)) {
        struct timeval soon = {RETRY_S, 0};
        batch->everything = everything = false;
        evtimer_add(publisher->retry, &soon);
    }
    for (struct waiter *waiter = publisher->writing; waiter && !everything; waiter = waiter->next)
        want_entry(publisher, batch, waiter->database, view_of(waiter->key));
    jobs_submit(publisher->options.store_thread, run_batch, on_batch_written, publisher);
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    start_batch(context);
}

enum error publish_open(const struct publish_options *options, struct publisher **out,
                        struct buffer *problem)
{
    struct publisher *publisher = calloc(1, sizeof *publisher);
    REQUIRE(publisher);
    publisher->options = *options;
    publisher->waiting_end = &publisher->waiting;
    struct store_options store = {.folder = options->folder,
                                  .databases = databases,
                                  .map_bytes = options->map_bytes,
                                  .folder_mode = 02750,
                                  .data_mode = 0640,
                                  .lock_mode = 0660,
                                  .reserve = true};
    enum error error = store_open(&store, &publisher->store, problem);
    if (error) {
        free(publisher);
        return error;
    }
    publisher->retry = evtimer_new(options->base, on_retry, publisher);
    REQUIRE(publisher->retry);
    struct batch *batch = batch_new(publisher);
    error = want_everything(publisher, batch);
    if (!error) {
        write_batch(batch);
        error = batch->error;
    }
    batch_free(batch);
    if (!error)
        error = store_reader_new(publisher->store, &publisher->reader);
    if (error) {
        buffer_append_format(problem, "the routes in %s cannot be written: %s.", options->folder,
                             error_text(error));
        publish_close(publisher);
        return error;
    }
    publisher->transactions++;
    *out = publisher;
    return ERROR_NONE;
}

void publish_close(struct publisher *publisher)
{
    if (!publisher)
        return;
    REQUIRE(!publisher->batch);
    struct waiter *waiter = publisher->waiting;
    while (waiter) {
        struct waiter *next = waiter->next;
        free(waiter->key);
        free(waiter);
        waiter = next;
    }
    event_free(publisher->retry);
    store_reader_free(publisher->reader);
    store_close(publisher->store);
    free(publisher);
}

static void add_waiter(struct publisher *publisher, const char *database, struct view key,
                       void (*on_done)(enum error error, void *context), void *context)
{
    struct waiter *waiter = calloc(1, sizeof *waiter);
    REQUIRE(waiter);
    waiter->database = database;
    waiter->key = view_duplicate(key);
    waiter->on_done = on_done;
    waiter->context = context;
    *publisher->waiting_end = waiter;
    publisher->waiting_end = &waiter->next;
    start_batch(publisher);
}

void publish_app(struct publisher *publisher, struct view app,
                 void (*on_done)(enum error error, void *context), void *context)
{
    add_waiter(publisher, LAYOUT_ROUTES, app, on_done, context);
}

void publish_domain(struct publisher *publisher, struct view host,
                    void (*on_done)(enum error error, void *context), void *context)
{
    add_waiter(publisher, LAYOUT_DOMAINS, host, on_done, context);
}

bool publish_healthy(const struct publisher *publisher)
{
    return !publisher->failed;
}

uint64_t publish_transactions(const struct publisher *publisher)
{
    return publisher->transactions;
}

struct store_times publish_times(const struct publisher *publisher)
{
    return publisher->times;
}

struct store_reader *publish_reader(const struct publisher *publisher)
{
    return publisher->reader;
}
