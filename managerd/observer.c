/* Looks at apps in AWS and on the proxies when somebody asks, and remembers for a moment what it saw. */
#include "managerd/observer.h"

#include "common/base/clock.h"
#include "managerd/drift.h"
#include "managerd/expectation.h"
#include "managerd/measure.h"
#include "managerd/observe.h"
#include "managerd/proxies.h"
#include "managerd/quota.h"
#include "managerd/records.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define YIELD_MS       100 /* while operations wait for their turn */
#define RECENT_FROM_US (60ull * 1000000)

/* One version's figures, being asked for. */
struct asking {
    struct entry *entry;
    int64_t version;
    struct measure measure;
    struct proxies_question *question;
};

struct observer_wait {
    struct entry *entry;
    struct event *timer;
    void (*on_done)(void *context);
    void *context;
    LIST_ENTRY(observer_wait) all;
};

struct entry {
    struct observer *observer;
    char app[64], function[72];
    uint64_t of_revision;         /* of the app that what is known is about */
    uint64_t asked_us, looked_us; /* looked: 0 when it is to be looked at whatever its age */
    /* What is known. */
    struct json *observed, *findings, *seen, *before; /* before: `seen` of a while ago */
    int64_t checked_ms, seen_ms, failed_ms;
    uint64_t before_us;
    char code[100], message[400];
    /* The look under way. */
    bool wanted, looking, forgotten;
    struct observe *look;
    struct json *expected, *answers; /* answers: what will be `seen` */
    struct asking *asking[OBSERVER_VERSIONS];
    size_t open; /* parts that have not ended */
    LIST_HEAD(, observer_wait) waits;
    TAILQ_ENTRY(entry) all;
};

struct observer {
    struct observer_options options;
    TAILQ_HEAD(, entry) entries; /* those asked for last come last */
    size_t count, looks;
    struct event *turn;
    bool stopped;
};

static void begin_looks(struct observer *observer);

static void on_turn(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    begin_looks(context);
}

struct observer *observer_new(const struct observer_options *options)
{
    struct observer *observer = calloc(1, sizeof *observer);
    REQUIRE(observer);
    observer->options = *options;
    TAILQ_INIT(&observer->entries);
    observer->turn = evtimer_new(options->base, on_turn, observer);
    REQUIRE(observer->turn);
    return observer;
}

/* ---- entries ---- */

static struct entry *find(struct observer *observer, struct view app)
{
    struct entry *entry;
    TAILQ_FOREACH(entry, &observer->entries, all)
    if (view_equal_string(app, entry->app))
        return entry;
    return NULL;
}

static void end_look(struct entry *entry)
{
    observe_free(entry->look);
    entry->look = NULL;
    for (size_t i = 0; i < OBSERVER_VERSIONS; i++)
        if (entry->asking[i]) {
            proxies_cancel(entry->asking[i]->question);
            free(entry->asking[i]);
            entry->asking[i] = NULL;
        }
    json_free(entry->expected);
    json_free(entry->answers);
    entry->expected = entry->answers = NULL;
    if (entry->looking)
        entry->observer->looks--;
    entry->looking = false;
}

/* Who waits hears of nothing any more, and leaves when it likes. */
static void detach_waits(struct entry *entry)
{
    while (!LIST_EMPTY(&entry->waits)) {
        struct observer_wait *wait = LIST_FIRST(&entry->waits);
        event_del(wait->timer);
        LIST_REMOVE(wait, all);
        wait->entry = NULL;
    }
}

static void drop(struct entry *entry)
{
    end_look(entry);
    detach_waits(entry);
    TAILQ_REMOVE(&entry->observer->entries, entry, all);
    entry->observer->count--;
    json_free(entry->observed);
    json_free(entry->findings);
    json_free(entry->seen);
    json_free(entry->before);
    free(entry);
}

/* What the last sync saw, from before this program was started. */
static void remember(struct entry *entry)
{
    struct record record;
    struct key key = key_observed(view_of(entry->app));
    if (record_read(entry->observer->options.state, key.text, &record))
        return;
    const struct json *observed = json_get(record.json, "observed");
    const struct json *findings = json_get(record.json, "findings");
    entry->checked_ms = integer_of(record.json, "checkedAt");
    entry->observed = observed ? json_copy(observed) : NULL;
    entry->findings = findings ? json_copy(findings) : NULL;
    record_release(&record);
}

/* NULL: there are too many that are being looked at. */
static struct entry *make(struct observer *observer, struct view app)
{
    struct entry *entry;
    if (observer->count >= OBSERVER_MAX_APPS) {
        TAILQ_FOREACH(entry, &observer->entries, all)
        if (!entry->wanted && !entry->looking && LIST_EMPTY(&entry->waits))
            break;
        if (!entry)
            return NULL;
        drop(entry);
    }
    entry = calloc(1, sizeof *entry);
    REQUIRE(entry);
    entry->observer = observer;
    snprintf(entry->app, sizeof entry->app, "%.*s", VIEW_FORMAT(app));
    LIST_INIT(&entry->waits);
    TAILQ_INSERT_TAIL(&observer->entries, entry, all);
    observer->count++;
    remember(entry);
    return entry;
}

void observer_forget(struct observer *observer, struct view app)
{
    struct entry *entry = observer ? find(observer, app) : NULL;
    if (!entry)
        return;
    entry->looked_us = 0;
    entry->forgotten = entry->looking; /* what is being looked at is over as well */
}

void observer_stop(struct observer *observer)
{
    struct entry *entry;
    observer->stopped = true;
    event_del(observer->turn);
    TAILQ_FOREACH(entry, &observer->entries, all)
    {
        end_look(entry);
        detach_waits(entry);
    }
}

void observer_free(struct observer *observer)
{
    if (!observer)
        return;
    while (!TAILQ_EMPTY(&observer->entries))
        drop(TAILQ_FIRST(&observer->entries));
    event_free(observer->turn);
    free(observer);
}

/* ---- waiting ---- */

void observer_leave(struct observer_wait *wait)
{
    if (wait->entry)
        LIST_REMOVE(wait, all);
    event_free(wait->timer);
    free(wait);
}

/* From the loop, when the look has ended or patience has. */
static void on_wait_over(evutil_socket_t fd, short what, void *context)
{
    struct observer_wait *wait = context;
    void (*on_done)(void *) = wait->on_done;
    void *of = wait->context;
    (void)fd, (void)what;
    observer_leave(wait);
    on_done(of);
}

static void tell(struct entry *entry)
{
    struct observer_wait *wait;
    LIST_FOREACH(wait, &entry->waits, all)
    event_active(wait->timer, 0, 0);
}

static struct observer_wait *wait_for(struct entry *entry, void (*on_done)(void *context),
                                      void *context)
{
    struct timeval patience = {OBSERVER_PATIENCE_MS / 1000, OBSERVER_PATIENCE_MS % 1000 * 1000};
    struct observer_wait *wait = calloc(1, sizeof *wait);
    REQUIRE(wait);
    wait->entry = entry;
    wait->on_done = on_done;
    wait->context = context;
    wait->timer = evtimer_new(entry->observer->options.base, on_wait_over, wait);
    REQUIRE(wait->timer && evtimer_add(wait->timer, &patience) == 0);
    LIST_INSERT_HEAD(&entry->waits, wait, all);
    return wait;
}

struct observer_wait *observer_ask(struct observer *observer, const struct json *app,
                                   uint64_t revision, void (*on_done)(void *context), void *context)
{
    struct view name = text_of(app, "name");
    struct entry *entry = find(observer, name);
    uint64_t now_us = clock_monotonic_us();
    if (observer->stopped || (!entry && !(entry = make(observer, name))))
        return NULL;
    TAILQ_REMOVE(&observer->entries, entry, all);
    TAILQ_INSERT_TAIL(&observer->entries, entry, all);
    snprintf(entry->function, sizeof entry->function, "%.*s",
             VIEW_FORMAT(text_of(json_get(app, "function"), "name")));
    if (entry->looking && entry->open == 0)
        end_look(entry);
    bool young = entry->looked_us && entry->of_revision == revision &&
                 now_us - entry->looked_us < (uint64_t)observer->options.max_age_ms * 1000;
    if (young && !entry->looking)
        return NULL;
    if (!entry->looking && !entry->wanted) {
        entry->wanted = true;
        entry->asked_us = now_us;
    }
    begin_looks(observer);
    return wait_for(entry, on_done, context);
}

/* ---- the proxies' part ---- */

static const struct json *seen_before(const struct json *list, int64_t version)
{
    const struct json *one = json_first(list);
    while (one && integer_of(one, "version") != version)
        one = json_next(one);
    return json_get(one, "figures");
}

/* Since a while ago; figures that fell are those of proxies that were started again. */
static void set_recent(struct json *shown, const char *name, const struct json *figures,
                       const struct json *before, const char *member)
{
    int64_t now = integer_of(figures, member), then = integer_of(before, member);
    json_set_integer(shown, name, now >= then ? now - then : now);
}

static void end_part(struct entry *entry);

static void on_proxies_answered(void *context)
{
    struct asking *asking = context;
    struct entry *entry = asking->entry;
    struct json *shown = json_new_object();
    asking->question = NULL;
    measure_take_all(&asking->measure);
    struct json *figures = measure_show(&asking->measure, 0);
    json_remove(figures, "seconds"); /* since each proxy was started */
    json_remove(figures, "restarts");
    const struct json *before = seen_before(entry->before, asking->version);
    json_set_integer(shown, "version", asking->version);
    set_recent(shown, "recentCalls", figures, before, "calls");
    set_recent(shown, "recentErrors", figures, before, "errors");
    json_set(shown, "figures", figures);
    json_append(entry->answers, shown);
    end_part(entry);
}

static void ask_proxies(struct entry *entry)
{
    struct proxies *proxies = entry->observer->options.proxies;
    const struct json *version = json_first(json_get(entry->expected, "versions"));
    if (!proxies || proxies_count(proxies) == 0)
        return;
    entry->answers = json_new_array();
    for (size_t i = 0; version && i < OBSERVER_VERSIONS; version = json_next(version)) {
        if (!truth_of(version, "live"))
            continue;
        struct asking *asking = calloc(1, sizeof *asking);
        REQUIRE(asking);
        entry->asking[i++] = asking;
        asking->entry = entry;
        asking->version = integer_of(version, "version");
        measure_begin(&asking->measure);
        entry->open++;
        asking->question = proxies_ask(proxies, view_of(entry->app), asking->version,
                                       &asking->measure, on_proxies_answered, asking);
    }
}

/* ---- the look ---- */

/* All parts have ended: what was seen is known now. */
static void end_part(struct entry *entry)
{
    struct observer *observer = entry->observer;
    uint64_t now_us = clock_monotonic_us();
    if (--entry->open)
        return;
    if (entry->answers) {
        if (!entry->before || now_us - entry->before_us > RECENT_FROM_US) {
            json_free(entry->before);
            entry->before = entry->seen;
            entry->before_us = now_us;
        } else {
            json_free(entry->seen);
        }
        entry->seen = entry->answers;
        entry->answers = NULL;
        entry->seen_ms = clock_wall_ms();
    }
    entry->looked_us = entry->forgotten ? 0 : now_us;
    entry->forgotten = false;
    tell(entry);
    /* The look is freed from the loop, not from inside its own callback. */
    event_active(observer->turn, 0, 0);
}

static void on_aws_seen(struct observe *look, void *context)
{
    struct entry *entry = context;
    const struct observe_failure *failure = observe_failure_of(look);
    if (failure) {
        entry->failed_ms = clock_wall_ms();
        snprintf(entry->code, sizeof entry->code, "%.*s", VIEW_FORMAT(failure->code));
        snprintf(entry->message, sizeof entry->message, "%.*s", VIEW_FORMAT(failure->message));
    } else {
        json_free(entry->observed);
        json_free(entry->findings);
        entry->observed = observe_take(look);
        entry->findings = drift_find(entry->expected, entry->observed);
        entry->checked_ms = clock_wall_ms();
        entry->failed_ms = 0;
    }
    end_part(entry);
}

static void begin_look(struct entry *entry)
{
    const struct observer_options *options = &entry->observer->options;
    const struct expectation_source expects = {.state = options->state,
                                               .secrets = options->secrets,
                                               .installation = options->installation,
                                               .default_role = options->default_role};
    const struct observe_source looks = {.control = options->control,
                                         .secrets = options->secrets,
                                         .installation = options->installation};
    struct record app;
    struct key key = key_app(view_of(entry->app));
    entry->wanted = false;
    if (record_read(options->state, key.text, &app) ||
        expectation_read(&expects, app.json, &entry->expected)) {
        record_release(&app);
        tell(entry); /* it is gone */
        return;
    }
    entry->looking = true;
    entry->observer->looks++;
    entry->of_revision = app.revision;
    entry->open = 2; /* AWS, and this function */
    ask_proxies(entry);
    entry->look = observe_start(&looks, view_of(entry->app), view_of(entry->function),
                                entry->expected, false, on_aws_seen, entry);
    record_release(&app);
    end_part(entry);
}

static bool must_yield(const struct observer *observer)
{
    struct quota_figures figures;
    lambda_control_quota(observer->options.control, LAMBDA_QUOTA_GET, &figures);
    return figures.waiting > 0;
}

static struct entry *longest_waiting(struct observer *observer)
{
    struct entry *entry, *found = NULL;
    TAILQ_FOREACH(entry, &observer->entries, all)
    if (entry->wanted && (!found || entry->asked_us < found->asked_us))
        found = entry;
    return found;
}

static void begin_looks(struct observer *observer)
{
    struct timeval later = {YIELD_MS / 1000, YIELD_MS % 1000 * 1000};
    struct entry *entry;
    TAILQ_FOREACH(entry, &observer->entries, all)
    if (entry->looking && entry->open == 0)
        end_look(entry);
    while (observer->looks < OBSERVER_LOOKS && (entry = longest_waiting(observer))) {
        if (must_yield(observer)) {
            evtimer_add(observer->turn, &later);
            return;
        }
        begin_look(entry);
    }
}

/* ---- telling ---- */

void observer_show(struct observer *observer, struct view app, struct observer_view *view)
{
    const struct entry *entry = find(observer, app);
    *view = (struct observer_view){.code = "", .message = ""};
    if (!entry)
        return;
    view->looking = (entry->looking && entry->open > 0) || entry->wanted;
    view->checked_ms = entry->checked_ms;
    view->observed = entry->observed;
    view->findings = entry->findings;
    view->seen = entry->seen;
    view->seen_ms = entry->seen_ms;
    view->failed_ms = entry->failed_ms;
    view->code = entry->code;
    view->message = entry->message;
}
