/* Ends versions that are old and of no use to anybody. */
#include "managerd/prune.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "managerd/canary.h"
#include "managerd/deploy.h"
#include "managerd/plan.h"
#include "managerd/publish.h"
#include "managerd/records.h"
#include "managerd/retention.h"
#include "managerd/roster.h"
#include "managerd/traffic.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define FIRST_PASS_MS 30000
#define PASS_EACH_MS  3600000
#define TURN_MS       10 /* between two apps of a pass */
#define LEAST_MS      100
#define BUSY_MS       5000 /* when other operations of the app are unfinished */

/* Choosing. */

bool prune_needs(const struct json *internal, int64_t number)
{
    return traffic_share(json_get(internal, "traffic"), number) > 0 ||
           traffic_share(json_get(internal, "previousTraffic"), number) > 0 ||
           canary_needs(internal, number);
}

static bool shares_with_needed(const struct json *internal, const struct prune_version *versions,
                               size_t count, const struct prune_version *one)
{
    for (size_t i = 0; i < count && one->lambda_version[0]; i++)
        if (strcmp(versions[i].lambda_version, one->lambda_version) == 0 &&
            prune_needs(internal, versions[i].number))
            return true;
    return false;
}

static size_t count_newer(const struct prune_version *versions, size_t count, int64_t number)
{
    size_t newer = 0;
    for (size_t i = 0; i < count; i++)
        newer += versions[i].number > number;
    return newer;
}

size_t prune_choose(const struct json *internal, const struct prune_version *versions, size_t count,
                    int64_t keep, int64_t made_before_ms, int64_t chosen[PRUNE_AT_ONCE])
{
    size_t found = 0;
    for (size_t i = 0; i < count && found < PRUNE_AT_ONCE && keep > 0; i++) {
        const struct prune_version *one = &versions[i];
        if (one->busy || one->made_ms > made_before_ms || prune_needs(internal, one->number) ||
            count_newer(versions, count, one->number) < (size_t)keep ||
            shares_with_needed(internal, versions, count, one))
            continue;
        chosen[found++] = one->number;
    }
    return found;
}

/* One app. */

struct due {
    struct prune *prune;
    struct event *timer;
    char app[64];
    struct json *accepted; /* operations whose commit is under way; NULL: none */
    bool publish;
    LIST_ENTRY(due) all;
};

struct prune {
    struct prune_options options;
    struct operations *operations;
    struct event *pass;
    char last[64]; /* where the pass under way is; empty: none is */
    LIST_HEAD(, due) due;
};

struct versions {
    struct prune_version *list;
    size_t count;
};

static bool on_version(struct view key, struct view value, uint64_t revision, void *context)
{
    struct versions *versions = context;
    struct json *version = NULL;
    (void)key, (void)revision;
    if (record_parse(value, &version))
        return true;
    if ((versions->count & (versions->count - 1)) == 0) {
        size_t room = versions->count ? 2 * versions->count : 1;
        versions->list = realloc(versions->list, room * sizeof *versions->list);
        REQUIRE(versions->list);
    }
    struct prune_version *one = &versions->list[versions->count++];
    struct view state = text_of(version, "state");
    one->number = integer_of(version, "version");
    one->made_ms = retention_id_ms(text_of(version, "operation"));
    one->busy = !view_equal(state, VIEW("ready")) && !view_equal(state, VIEW("failed"));
    snprintf(one->lambda_version, sizeof one->lambda_version, "%.*s",
             VIEW_FORMAT(text_of(version, "lambdaVersion")));
    json_free(version);
    return true;
}

static void schedule(struct due *due, int64_t delay_ms)
{
    struct timeval delay = {delay_ms / 1000, delay_ms % 1000 * 1000};
    REQUIRE(evtimer_add(due->timer, &delay) == 0);
}

static void forget(struct due *due)
{
    LIST_REMOVE(due, all);
    event_free(due->timer);
    json_free(due->accepted);
    free(due);
}

static void on_published(enum error error, void *context)
{
    (void)error, (void)context; /* the publisher itself tries again */
}

static void on_committed(enum error error, uint64_t revision, void *context)
{
    struct due *due = context;
    const struct json *operation = error ? NULL : json_first(due->accepted);
    for (; operation; operation = json_next(operation))
        operations_accept(due->prune->operations, operation, revision);
    if (!error && due->publish)
        publish_app(due->prune->options.publisher, view_of(due->app), on_published, NULL);
    json_free(due->accepted);
    due->accepted = NULL;
    schedule(due, BUSY_MS); /* there may be more, or it was a conflict */
}

static void add_end(struct due *due, struct change *change, int64_t number, int64_t now_ms)
{
    char id[ID_SIZE];
    struct record version;
    struct key key = key_version(view_of(due->app), number);
    struct plan_operation plan = {
        .app = view_of(due->app), .created_by = VIEW("retention"), .now_ms = now_ms};
    if (record_read(due->prune->options.state, key.text, &version))
        return;
    id_make(id);
    plan.id = view_of(id);
    struct json *operation = plan_delete_version(&plan, number), *mark = json_new_object();
    struct key operation_key = key_operation(plan.id), queue = key_queue(plan.app, plan.id);
    json_set_string(version.json, "state", VIEW("deleting"));
    change_compare(change, key.text, version.revision);
    change_put(change, key.text, version.json);
    change_put(change, operation_key.text, operation);
    change_put(change, queue.text, mark);
    json_append(due->accepted, operation);
    json_free(mark);
    record_release(&version);
}

/* As for a version that somebody deletes: it must not get traffic between this look and the commit. */
static void end_versions(struct due *due, struct record *app, const int64_t *numbers, size_t count)
{
    struct change change;
    struct key key = key_app(view_of(due->app));
    int64_t now_ms = clock_wall_ms();
    change_init(&change);
    due->accepted = json_new_array();
    for (size_t i = 0; i < count; i++)
        add_end(due, &change, numbers[i], now_ms);
    change_compare(&change, key.text, app->revision);
    due->publish = truth_of(app->json, "previewUrls") || truth_of(app->json, "versionHeader");
    if (due->publish) { /* they were reachable until now */
        json_set_integer(object_in(app->json, "internal"), "trafficChangedAt", now_ms);
        change_put(&change, key.text, app->json);
    }
    log_write(LOG_INFO, "versions-pruned", LOG_STRING("app", due->app),
              LOG_INTEGER("count", (int64_t)count), LOG_INTEGER("oldest", numbers[0]));
    state_commit(due->prune->options.state, &change, on_committed, due);
    change_release(&change);
}

static void look_at(struct due *due, struct record *app)
{
    struct versions versions = {0};
    const struct prune_options *options = &due->prune->options;
    const struct json *internal = internal_of(app->json);
    int64_t keep = options->keep, chosen[PRUNE_AT_ONCE];
    int64_t left_ms =
        removal_wait_ms(options->state, options->drain_ms, view_of(due->app), app->json);
    size_t count = 0;
    struct key prefix = key_versions(view_of(due->app));
    json_get_integer(app->json, "keepVersions", &keep);
    if (json_type_of(json_get(internal, "deleting")) != JSON_STRING &&
        !state_range(options->state, view_of(prefix.text), VIEW(""), on_version, &versions))
        count = prune_choose(internal, versions.list, versions.count, keep,
                             clock_wall_ms() - options->keep_ms, chosen);
    free(versions.list);
    if (count == 0)
        forget(due);
    else if (left_ms > 0 || operations_busy(due->prune->operations, view_of(due->app)))
        schedule(due, left_ms > BUSY_MS ? left_ms : BUSY_MS); /* nobody is to wait for us */
    else
        end_versions(due, app, chosen, count);
}

static void on_due(evutil_socket_t fd, short what, void *context)
{
    struct due *due = context;
    struct record app;
    struct key key = key_app(view_of(due->app));
    (void)fd, (void)what;
    if (record_read(due->prune->options.state, key.text, &app)) {
        forget(due);
        return;
    }
    look_at(due, &app);
    record_release(&app);
}

void prune_due(struct prune *prune, struct view app)
{
    struct due *due;
    if (!prune)
        return;
    LIST_FOREACH(due, &prune->due, all)
    if (view_equal_string(app, due->app)) {
        if (!due->accepted)
            schedule(due, LEAST_MS);
        return;
    }
    due = calloc(1, sizeof *due);
    REQUIRE(due);
    due->prune = prune;
    snprintf(due->app, sizeof due->app, "%.*s", VIEW_FORMAT(app));
    due->timer = evtimer_new(prune->options.base, on_due, due);
    REQUIRE(due->timer);
    LIST_INSERT_HEAD(&prune->due, due, all);
    schedule(due, LEAST_MS);
}

/* All apps. */

/* One app a turn, so that a pass over many is noticed by nobody. Apps with one version have none to end. */
static void on_pass(evutil_socket_t fd, short what, void *context)
{
    struct prune *prune = context;
    struct timeval later = {PASS_EACH_MS / 1000, 0}, soon = {0, TURN_MS * 1000};
    const char *next = roster_next_of_many(prune->options.roster, view_of(prune->last));
    (void)fd, (void)what;
    snprintf(prune->last, sizeof prune->last, "%s", next ? next : "");
    if (next)
        prune_due(prune, view_of(prune->last));
    evtimer_add(prune->pass, next ? &soon : &later);
}

struct prune *prune_new(const struct prune_options *options)
{
    struct prune *prune = calloc(1, sizeof *prune);
    REQUIRE(prune);
    prune->options = *options;
    LIST_INIT(&prune->due);
    prune->pass = evtimer_new(options->base, on_pass, prune);
    REQUIRE(prune->pass);
    return prune;
}

void prune_begin(struct prune *prune, struct operations *operations)
{
    struct timeval first = {FIRST_PASS_MS / 1000, 0};
    prune->operations = operations;
    REQUIRE(evtimer_add(prune->pass, &first) == 0);
}

void prune_free(struct prune *prune)
{
    if (!prune)
        return;
    while (!LIST_EMPTY(&prune->due))
        forget(LIST_FIRST(&prune->due));
    event_free(prune->pass);
    free(prune);
}
