/* Provides concurrency for the Lambda versions that have traffic, and takes it from those that lost it. */
#include "managerd/configure.h"

#include "managerd/deploy.h"
#include "managerd/records.h"
#include "managerd/traffic.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS   900000
#define DRAIN_LOOK_MS 1000
#define MAX_ITEMS     1000 /* of the function; others are not looked at */
#define LATE          "The concurrency was not provided in time."

/* Each step is this: list what is provided, do the first thing that is wrong, and look again. */

enum pass { PASS_LOWER, PASS_PROVIDE, PASS_RELEASE };

struct provisions {
    enum pass pass;
    struct json *items;    /* of ListProvisionedConcurrencyConfigs; a marker goes on */
    struct json *versions; /* [{"qualifier", "live"}] of the app */
};

static void look(struct operation *operation);

static void free_provisions(void *data)
{
    struct provisions *provisions = data;
    json_free(provisions->items);
    json_free(provisions->versions);
    free(provisions);
}

static bool read_app(struct operation *operation, struct record *app)
{
    struct key key = key_app(view_of(operation->app));
    if (!record_read(operation->environment->state, key.text, app))
        return true;
    operation_step_problem(operation, PROBLEM_STORAGE_FAILED, "The app cannot be read.");
    return false;
}

static void begin(struct operation *operation, enum pass pass)
{
    struct record app;
    if (!read_app(operation, &app))
        return;
    bool provisions = truth_of(internal_of(app.json), "provisions");
    record_release(&app);
    if (!provisions) {
        operation_step_done(operation, "%s", "");
        return;
    }
    struct provisions *made = calloc(1, sizeof *made);
    REQUIRE(made);
    made->pass = pass;
    operation->step_data = made;
    operation->free_step_data = free_provisions;
    operation_have_patience(operation, PATIENCE_MS);
    look(operation);
}

void step_lower_concurrency(struct operation *operation)
{
    begin(operation, PASS_LOWER);
}

void step_provide_concurrency(struct operation *operation)
{
    begin(operation, PASS_PROVIDE);
}

void step_release_concurrency(struct operation *operation)
{
    begin(operation, PASS_RELEASE);
}

/* ---- what there is ---- */

static struct view qualifier_of(const struct json *item)
{
    struct view arn = text_of(item, "FunctionArn");
    size_t colon;
    while ((colon = view_find(arn, ':')) != SIZE_MAX)
        arn = view_slice(arn, colon + 1, SIZE_MAX);
    return arn;
}

static int64_t requested_of(const struct json *item)
{
    return integer_of(item, "RequestedProvisionedConcurrentExecutions");
}

static const struct json *item_of(const struct provisions *provisions, struct view qualifier)
{
    const struct json *one = json_first(provisions->items);
    while (one && !view_equal(qualifier_of(one), qualifier))
        one = json_next(one);
    return one;
}

struct reading {
    struct operation *operation;
    const struct json *traffic;
    struct json *versions;
};

static bool on_version(struct view key, struct view value, uint64_t revision, void *context)
{
    struct reading *reading = context;
    struct json *version = NULL;
    (void)key, (void)revision;
    if (!record_parse(value, &version) && text_of(version, "lambdaVersion").length) {
        struct json *shown = json_new_object();
        int64_t number = integer_of(version, "version");
        bool own = reading->operation->type == &deploy_type &&
                   number == deploy_version_of(reading->operation);
        json_set_string(shown, "qualifier", text_of(version, "lambdaVersion"));
        json_set_bool(shown, "live", own || traffic_share(reading->traffic, number) > 0);
        json_append(reading->versions, shown);
    }
    json_free(version);
    return true;
}

static bool read_versions(struct operation *operation, const struct json *app)
{
    struct provisions *provisions = operation->step_data;
    struct key prefix = key_versions(view_of(operation->app));
    struct reading reading = {.operation = operation,
                              .traffic = json_get(internal_of(app), "traffic"),
                              .versions = json_new_array()};
    enum error error = state_range(operation->environment->state, view_of(prefix.text), VIEW(""),
                                   on_version, &reading);
    json_free(provisions->versions);
    provisions->versions = reading.versions;
    if (error)
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The app's versions cannot be read.");
    return !error;
}

/* ---- doing one thing ---- */

static void on_changed(struct operation *operation, const struct lambda_answer *answer)
{
    if (answer->outcome == LAMBDA_OK)
        operation->tries++;
    if (answer->outcome != LAMBDA_OK && answer->outcome != LAMBDA_CONFLICT &&
        answer->outcome != LAMBDA_NOT_FOUND)
        operation_step_refused(operation, answer, "The provisioned concurrency was not accepted");
    else
        operation_poll(operation, look, LATE);
}

/* `wanted` 0: none. */
static void set(struct operation *operation, const struct json *app, struct view qualifier,
                int64_t wanted)
{
    struct lambda_request request = {.operation = wanted ? LAMBDA_PUT_PROVISIONED
                                                         : LAMBDA_DELETE_PROVISIONED,
                                     .function = text_of(json_get(app, "function"), "name"),
                                     .qualifier = qualifier};
    struct buffer body;
    buffer_init(&body, 100);
    buffer_append_format(&body, "{\"ProvisionedConcurrentExecutions\":%lld}", (long long)wanted);
    request.body = wanted ? &body : NULL;
    operation_send(operation, &request, on_changed);
    buffer_release(&body);
}

/* ---- lower ---- */

static void lower(struct operation *operation, const struct json *app, int64_t wanted)
{
    const struct provisions *provisions = operation->step_data;
    const struct json *one = json_first(provisions->versions);
    for (; one; one = json_next(one)) {
        const struct json *item = item_of(provisions, text_of(one, "qualifier"));
        if (item && requested_of(item) > wanted) {
            set(operation, app, text_of(one, "qualifier"), wanted);
            return;
        }
    }
    operation_step_done(operation, "%s", "");
}

/* ---- provide ---- */

static int64_t total_of(const struct provisions *provisions)
{
    int64_t total = 0;
    const struct json *one = json_first(provisions->items);
    for (; one; one = json_next(one))
        total += requested_of(one);
    return total;
}

/* What is reserved may not hold both the new and the old: the old one goes first, then, or the new one waits
 * until it has. */
static void make_room(struct operation *operation, const struct json *app)
{
    const struct provisions *provisions = operation->step_data;
    const struct json *one = json_first(provisions->versions);
    for (; one; one = json_next(one))
        if (!truth_of(one, "live") && item_of(provisions, text_of(one, "qualifier"))) {
            set(operation, app, text_of(one, "qualifier"), 0);
            return;
        }
    if (operation->type == &deploy_type)
        operation_step_done(operation, "What is reserved has no room for two versions: it follows "
                                       "the traffic.");
    else
        operation_step_problem(operation, PROBLEM_CONFLICT,
                               "What is reserved has no room for what is to be provided: %zu "
                               "configurations take %lld of %lld.",
                               json_count(provisions->items), (long long)total_of(provisions),
                               (long long)configure_reserved(app));
}

static void provide_one(struct operation *operation, const struct json *app,
                        const struct json *version, int64_t wanted)
{
    const struct provisions *provisions = operation->step_data;
    struct view qualifier = text_of(version, "qualifier");
    const struct json *item = item_of(provisions, qualifier);
    int64_t reserved = configure_reserved(app);
    struct view reason = view_slice(text_of(item, "StatusReason"), 0, 300);
    bool failed = view_equal_string(text_of(item, "Status"), "FAILED");
    bool same = item && requested_of(item) == wanted;
    if (same && failed && operation->tries)
        operation_step_problem(operation, PROBLEM_AWS_FAILED,
                               "AWS could not provide the concurrency of Lambda version %.*s: %.*s",
                               VIEW_FORMAT(qualifier), VIEW_FORMAT(reason));
    else if (same && !failed)
        operation_poll(operation, look, LATE);
    else if (reserved >= 0 &&
             total_of(provisions) - (item ? requested_of(item) : 0) + wanted > reserved)
        make_room(operation, app);
    else
        set(operation, app, qualifier, wanted);
}

static void provide(struct operation *operation, const struct json *app, int64_t wanted)
{
    const struct provisions *provisions = operation->step_data;
    const struct json *one = json_first(provisions->versions);
    for (; one && wanted; one = json_next(one)) {
        const struct json *item = item_of(provisions, text_of(one, "qualifier"));
        bool ready = item && requested_of(item) == wanted &&
                     view_equal_string(text_of(item, "Status"), "READY");
        if (truth_of(one, "live") && !ready) {
            provide_one(operation, app, one, wanted);
            return;
        }
    }
    operation_step_done(operation, "%s", "");
}

/* ---- release ---- */

/* Nobody waits for an old version's requests: who comes behind goes first. */
static void wait_for_requests(struct operation *operation, int64_t left_ms)
{
    if (operation_is_awaited(operation)) {
        json_set_bool(operation_work(operation), "givesWay", true);
        operation_step_done(operation, "Another operation goes first.");
        return;
    }
    operation_rest(operation);
    operation_after(operation, left_ms < DRAIN_LOOK_MS ? left_ms : DRAIN_LOOK_MS, look);
}

static void release(struct operation *operation, const struct json *app)
{
    const struct provisions *provisions = operation->step_data;
    const struct json *one = json_first(provisions->versions);
    while (one && (truth_of(one, "live") || !item_of(provisions, text_of(one, "qualifier"))))
        one = json_next(one);
    int64_t left_ms =
        one ? removal_wait_ms(operation->environment->state, operation->environment->drain_ms,
                              view_of(operation->app), app)
            : 0;
    if (!one)
        operation_step_done(operation, "%s", "");
    else if (left_ms > 0)
        wait_for_requests(operation, left_ms);
    else
        set(operation, app, text_of(one, "qualifier"), 0);
}

/* ---- looking ---- */

static void decide(struct operation *operation)
{
    const struct provisions *provisions = operation->step_data;
    struct record app;
    if (!read_app(operation, &app))
        return;
    int64_t wanted = configure_provisioned(app.json);
    if (wanted < 0)
        wanted = 0;
    if (read_versions(operation, app.json))
        switch (provisions->pass) {
        case PASS_LOWER:
            lower(operation, app.json, wanted);
            break;
        case PASS_PROVIDE:
            provide(operation, app.json, wanted);
            break;
        case PASS_RELEASE:
            release(operation, app.json);
            break;
        }
    record_release(&app);
}

static void list(struct operation *operation, struct view marker);

static void on_listed(struct operation *operation, const struct lambda_answer *answer)
{
    struct provisions *provisions = operation->step_data;
    struct view marker = text_of(answer->json, "NextMarker");
    const struct json *one = json_first(json_get(answer->json, "ProvisionedConcurrencyConfigs"));
    if (answer->outcome == LAMBDA_NOT_FOUND) {
        operation_step_done(operation, "There is no function yet.");
        return;
    }
    if (answer->outcome != LAMBDA_OK) {
        operation_step_refused(operation, answer,
                               "The provisioned concurrency could not be looked at");
        return;
    }
    for (; one; one = json_next(one))
        json_append(provisions->items, json_copy(one));
    if (marker.length && json_count(provisions->items) < MAX_ITEMS)
        list(operation, marker);
    else
        decide(operation);
}

static void list(struct operation *operation, struct view marker)
{
    struct record app;
    if (!read_app(operation, &app))
        return;
    struct lambda_request request = {.operation = LAMBDA_LIST_PROVISIONED,
                                     .function = text_of(json_get(app.json, "function"), "name"),
                                     .marker = marker};
    operation_send(operation, &request, on_listed);
    record_release(&app);
}

static void look(struct operation *operation)
{
    struct provisions *provisions = operation->step_data;
    json_free(provisions->items);
    provisions->items = json_new_array();
    list(operation, VIEW(""));
}
