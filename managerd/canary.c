/* Shifts traffic to a new version step by step, as long as the proxies measure that it does well. */
#include "managerd/canary.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "managerd/deploy.h"
#include "managerd/proxies.h"
#include "managerd/publish.h"
#include "managerd/records.h"
#include "managerd/traffic.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_MS 1000
#define LOOK_LEAST_MS 200
#define NOTE_EVERY_MS 10000

/* The mark in the app's record. */

/* A mark whose share is not what is served was left behind by who changed the traffic. */
bool canary_runs(const struct json *internal)
{
    double percent = 0;
    const struct json *canary = json_get(internal, "canary");
    return json_get_number(canary, "percent", &percent) &&
           traffic_share(json_get(internal, "traffic"), integer_of(canary, "version")) ==
               traffic_weight(percent);
}

bool canary_needs(const struct json *internal, int64_t version)
{
    const struct json *canary = json_get(internal, "canary");
    return canary_runs(internal) && (integer_of(canary, "version") == version ||
                                     traffic_share(json_get(canary, "before"), version) > 0);
}

void canary_forget(struct json *internal)
{
    json_remove(internal, "canary");
}

bool canary_undo(struct json *internal, int64_t now_ms)
{
    if (!canary_runs(internal))
        return false;
    struct json *before = json_copy(json_get(json_get(internal, "canary"), "before"));
    json_set(internal, "traffic", before);
    json_set_integer(internal, "trafficChangedAt", now_ms);
    canary_forget(internal);
    return true;
}

static bool has_our_mark(struct operation *operation, const struct json *internal)
{
    return view_equal_string(text_of(json_get(internal, "canary"), "operation"), operation->id);
}

static bool is_ours(struct operation *operation, const struct json *internal)
{
    return canary_runs(internal) && has_our_mark(operation, internal);
}

static void cancelled(struct operation *operation)
{
    operation_step_problem(operation, PROBLEM_CANCELLED,
                           "The app's traffic was changed, the app removed, or a later deployment "
                           "accepted.");
}

static const struct json *wish_of(struct operation *operation)
{
    return json_get(operation_work(operation), "canary");
}

static bool is_settled(struct operation *operation)
{
    return truth_of(operation_work(operation), "settled");
}

static bool read_app(struct operation *operation, struct record *app)
{
    struct key key = key_app(view_of(operation->app));
    if (!record_read(operation->environment->state, key.text, app))
        return true;
    operation_step_problem(operation, PROBLEM_STORAGE_FAILED, "The app cannot be read.");
    return false;
}

static void put_app(struct operation *operation, const struct record *app)
{
    struct key key = key_app(view_of(operation->app));
    change_compare(&operation->change, key.text, app->revision);
    change_put(&operation->change, key.text, app->json);
}

/* shift-canary */

/* There is nothing to do step by step; the steps that follow have nothing to do. */
static void settle(struct operation *operation, const char *why)
{
    json_set_bool(operation_work(operation), "settled", true);
    operation_step_done(operation, "%s", why);
}

static void set_share(struct operation *operation, struct record *app, const struct json *before)
{
    int64_t version = integer_of(operation_work(operation), "version"), now = clock_wall_ms();
    struct json *internal = object_in(app->json, "internal");
    double percent = 0;
    json_get_number(operation_step(operation), "percent", &percent);
    json_set(internal, "traffic", traffic_split(before, version, percent));
    if (json_type_of(json_get(internal, "canary")) == JSON_OBJECT)
        json_set(object_in(internal, "canary"), "percent", json_new_number(percent));
    json_set_integer(internal, "trafficChangedAt", now);
    set_time(app->json, "updatedAt", now);
    put_app(operation, app);
}

static void begin(struct operation *operation, struct record *app)
{
    struct json *internal = object_in(app->json, "internal");
    int64_t version = integer_of(operation_work(operation), "version");
    struct json *before = json_copy(json_get(internal, "traffic")), *canary = json_new_object();
    json_set_string(canary, "operation", view_of(operation->id));
    json_set_integer(canary, "version", version);
    json_set(canary, "before", json_copy(before));
    json_set(internal, "canary", canary);
    json_set(internal, "previousTraffic", json_copy(before));
    set_share(operation, app, before);
    json_free(before);
    operation_step_done(operation, "%s", "");
}

static void begin_or_settle(struct operation *operation, struct record *app)
{
    const struct json *internal = internal_of(app->json);
    int64_t version = integer_of(operation_work(operation), "version");
    if (version <= integer_of(internal, "noTrafficThrough")) {
        settle(operation, "No traffic: the app was rolled back meanwhile.");
    } else if (version <= integer_of(internal, "noCanaryThrough")) {
        settle(operation, "No traffic: a later deployment was accepted meanwhile.");
    } else if (!deploy_hold_version(operation)) {
        return;
    } else if (!traffic_any(json_get(internal, "traffic"))) {
        struct json *none = json_new_null();
        json_set(object_in(app->json, "internal"), "previousTraffic", none);
        canary_forget(object_in(app->json, "internal"));
        json_set(operation_step(operation), "percent", json_new_number(100));
        set_share(operation, app, json_get(internal, "traffic"));
        settle(operation, "Nothing served before: it takes all traffic at once.");
    } else {
        begin(operation, app);
    }
}

static bool is_first(struct operation *operation)
{
    double first = 0, percent = 0;
    const struct json *steps = json_get(wish_of(operation), "steps");
    json_get_number(operation_step(operation), "percent", &percent);
    first = json_number(json_first(steps));
    return percent == first;
}

void step_shift_canary(struct operation *operation)
{
    struct record app;
    if (is_settled(operation)) {
        operation_step_done(operation, "Not needed.");
        return;
    }
    if (!read_app(operation, &app))
        return;
    if (is_ours(operation, internal_of(app.json))) {
        struct json *before =
            json_copy(json_get(json_get(internal_of(app.json), "canary"), "before"));
        set_share(operation, &app, before);
        json_free(before);
        operation_step_done(operation, "%s", "");
    } else if (is_first(operation)) {
        begin_or_settle(operation, &app);
    } else {
        cancelled(operation);
    }
    record_release(&app);
}

/* watch-canary */

struct watch {
    struct operation *operation;
    struct measure measure;
    struct measure_limits limits;
    struct proxies_question *question;
    struct state_watch *on_app;
    uint64_t began_us, noted_us; /* monotonic; began: 0 until the first answers are there */
    char held[MEASURE_WHY];      /* why it holds, as was noted */
    bool publishing, changed;
};

static void look(struct operation *operation);
static void judge(struct watch *watch);

static void end_watch(struct watch *watch)
{
    proxies_cancel(watch->question);
    watch->question = NULL;
    if (watch->on_app)
        state_unwatch(watch->on_app);
    watch->on_app = NULL;
}

static void free_watch(void *data)
{
    end_watch(data);
    free(data);
}

static struct watch *watch_of(struct operation *operation)
{
    return operation->step_data;
}

static int64_t elapsed_ms(const struct watch *watch)
{
    return watch->began_us ? (int64_t)((clock_monotonic_us() - watch->began_us) / 1000) : 0;
}

static void keep_figures(struct watch *watch)
{
    json_set(operation_step(watch->operation), "figures",
             measure_show(&watch->measure, elapsed_ms(watch)));
}

/* Whether the traffic is still this canary's; if not, the operation has ended. */
static bool still_ours(struct watch *watch)
{
    struct record app;
    struct operation *operation = watch->operation;
    if (!read_app(operation, &app)) {
        end_watch(watch);
        return false;
    }
    const struct json *internal = internal_of(app.json);
    bool ours =
        is_ours(operation, internal) && json_type_of(json_get(internal, "deleting")) != JSON_STRING;
    record_release(&app);
    if (!ours) {
        end_watch(watch);
        keep_figures(watch);
        cancelled(operation);
    }
    return ours;
}

/* The app was changed: at once, but not in the middle of a commit of our own. */
static void on_app_changed(void *context)
{
    struct watch *watch = context;
    if (operation_stopped(watch->operation) || watch->operation->ending)
        return;
    if (watch->publishing || watch->operation->noting)
        watch->changed = true;
    else
        still_ours(watch);
}

static void look_later(struct operation *operation)
{
    struct watch *watch = watch_of(operation);
    int64_t delay_ms = watch->limits.interval_ms / 4;
    if (watch->changed && !still_ours(watch))
        return;
    watch->changed = false;
    operation_after(operation,
                    delay_ms > LOOK_EVERY_MS   ? LOOK_EVERY_MS
                    : delay_ms < LOOK_LEAST_MS ? LOOK_LEAST_MS
                                               : delay_ms,
                    look);
}

/* What is known is told to those who follow: at once why it holds, the figures now and then. */
static void go_on(struct watch *watch, const char *why)
{
    uint64_t now_us = clock_monotonic_us();
    bool news = strcmp(why, watch->held) != 0;
    if (!news && now_us - watch->noted_us < NOTE_EVERY_MS * 1000ull) {
        look_later(watch->operation);
        return;
    }
    if (news && *why)
        log_write(LOG_WARN, "canary-holds", LOG_STRING("operation", watch->operation->id),
                  LOG_STRING("app", watch->operation->app), LOG_STRING("why", why));
    memcpy(watch->held, why, sizeof watch->held);
    watch->noted_us = now_us;
    struct json *step = operation_step(watch->operation);
    keep_figures(watch);
    if (*why)
        json_set_string(step, "detail", view_of(why));
    else
        json_set_null(step, "detail");
    operation_note(watch->operation, look_later);
}

static void advance(struct watch *watch)
{
    if (!still_ours(watch))
        return;
    end_watch(watch);
    keep_figures(watch);
    json_set_null(operation_step(watch->operation), "detail");
    operation_step_done(watch->operation, "%s", "");
}

static void judge(struct watch *watch)
{
    char why[MEASURE_WHY];
    switch (measure_judge(&watch->measure, &watch->limits, elapsed_ms(watch), why)) {
    case MEASURE_GO_ON:
    case MEASURE_HOLD:
        go_on(watch, why);
        break;
    case MEASURE_ADVANCE:
        advance(watch);
        break;
    case MEASURE_BACK:
        end_watch(watch);
        keep_figures(watch);
        operation_step_problem(watch->operation, PROBLEM_CANARY_FAILED, "%s", why);
        break;
    }
}

static void on_looked(void *context)
{
    struct watch *watch = context;
    struct operation *operation = watch->operation;
    watch->question = NULL;
    if (operation_stopped(operation) || operation->ending)
        return;
    if (!watch->began_us)
        watch->began_us = clock_monotonic_us();
    if (operation->cancel)
        operation_after(operation, 0, look); /* where it is noticed */
    else
        judge(watch);
}

static void look(struct operation *operation)
{
    struct watch *watch = watch_of(operation);
    watch->question = proxies_ask(operation->environment->proxies, view_of(operation->app),
                                  integer_of(operation_work(operation), "version"), &watch->measure,
                                  on_looked, watch);
}

static void on_published(enum error error, void *context)
{
    struct operation *operation = context;
    if (operation_stopped(operation))
        return;
    struct watch *watch = watch_of(operation);
    watch->publishing = false;
    if (error)
        operation_poll(operation, step_watch_canary, "The routes could not be written.");
    else if (still_ours(watch))
        look(operation);
}

static struct measure_limits limits_of(struct operation *operation)
{
    const struct json *wish = wish_of(operation);
    struct measure_limits limits = {.max_p99_ms = integer_of(wish, "maxLatencyP99Ms"),
                                    .min_calls = integer_of(wish, "minRequests"),
                                    .interval_ms = 1000 * integer_of(wish, "intervalSeconds"),
                                    .max_hold_ms = 1000 * integer_of(wish, "maxHoldSeconds")};
    json_get_number(wish, "maxErrorRate", &limits.max_error_rate);
    return limits;
}

/* The figures begin anew when managerd was started again in between: it then takes longer, and never
 * goes on without having seen enough. */
void step_watch_canary(struct operation *operation)
{
    if (is_settled(operation)) {
        operation_step_done(operation, "Not needed.");
        return;
    }
    struct watch *watch = watch_of(operation);
    if (!watch) {
        struct key key = key_app(view_of(operation->app));
        watch = calloc(1, sizeof *watch);
        REQUIRE(watch);
        operation->step_data = watch;
        operation->free_step_data = free_watch;
        watch->operation = operation;
        watch->limits = limits_of(operation);
        watch->noted_us = clock_monotonic_us();
        measure_begin(&watch->measure);
        watch->on_app = state_watch(operation->environment->state, key.text, on_app_changed, watch);
    }
    operation_rest(operation);
    watch->publishing = true;
    publish_app(operation->environment->publisher, view_of(operation->app), on_published,
                operation);
}

/* The end of the deployment. */

bool canary_settle(struct operation *operation, struct json *internal)
{
    bool ours = is_ours(operation, internal);
    if (ours)
        canary_forget(internal);
    return ours;
}

void canary_go_back(struct operation *operation)
{
    struct record app;
    struct key key = key_app(view_of(operation->app));
    if (json_type_of(wish_of(operation)) != JSON_OBJECT ||
        record_read(operation->environment->state, key.text, &app))
        return;
    struct json *internal = object_in(app.json, "internal");
    if (has_our_mark(operation, internal)) {
        if (canary_undo(internal, clock_wall_ms()))
            set_time(app.json, "updatedAt", clock_wall_ms());
        canary_forget(internal); /* also one that others left behind */
        put_app(operation, &app);
    }
    record_release(&app);
}
