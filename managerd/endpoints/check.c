/* Checks a version of an app against the HTTP contract. */
#include "managerd/call.h"
#include "managerd/check.h"
#include "managerd/endpoints/endpoints.h"

#include <stdlib.h>

/* A call's check; it holds one of the few places. */
struct place {
    struct server *server;
    struct check *check;
};

static void leave_place(void *data)
{
    struct place *place = data;
    check_free(place->check);
    place->server->checks--;
    free(place);
}

/* The version that has the largest share. */
static int64_t live_version(const struct json *app)
{
    const struct json *share =
        json_first(json_get(json_get(internal_of(app), "traffic"), "versions"));
    int64_t version = 0;
    double most = 0;
    for (; share; share = json_next(share)) {
        double percent = 0;
        if (json_get_number(share, "percent", &percent) && percent > most) {
            most = percent;
            version = integer_of(share, "version");
        }
    }
    return version;
}

static void on_checked(void *context)
{
    struct call *call = context;
    struct place *place = call->data;
    struct json *result = check_result(place->check);
    /* Its answer is kept with an Idempotency-Key, if there is one; nothing else is committed. */
    enum progress verdict = call->idempotency_key[0] ? call_commit(call, 200, result, false)
                                                     : call_answer(call, 200, result);
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
}

static enum progress start(struct call *call, const struct json *app, const struct json *version)
{
    struct place *place;
    if (!view_equal_string(text_of(version, "state"), "ready"))
        return call_fail(call, PROBLEM_CONFLICT, "Version %lld is not ready: it is %.*s.",
                         (long long)integer_of(version, "version"),
                         VIEW_FORMAT(text_of(version, "state")));
    if (call->server->checks >= CHECK_MAX_RUNNING)
        return call_fail(call, PROBLEM_CHECKS_RUNNING,
                         "%d checks are running already; try again in a moment.",
                         CHECK_MAX_RUNNING);
    if (call->data) /* acting again, as the commit met another */
        call->free_data(call->data);
    place = calloc(1, sizeof *place);
    REQUIRE(place);
    place->server = call->server;
    call->server->checks++;
    call->data = place;
    call->free_data = leave_place;
    place->check = check_start(call->server->control, version, call_app(call),
                               json_get(call->body, "requests"),
                               integer_of(json_get(app, "limits"), "deadlineMs"),
                               &call->server->draining, on_checked, call);
    return PROGRESS_WAIT;
}

enum progress check_post(struct call *call)
{
    struct record app, version;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    enum progress verdict = PROGRESS_FAIL;
    int64_t number = integer_of(call->body, "version");
    if (!number)
        number = live_version(app.json);
    struct key key = key_version(call_app(call), number);
    enum error error = number ? record_read(call->server->state, key.text, &version) : ERROR_NONE;
    if (!number) {
        call_fail(call, PROBLEM_CONFLICT, "No version has traffic. Name one: {\"version\": n}.");
    } else if (error == ERROR_NOT_FOUND) {
        call_fail(call, PROBLEM_VERSION_NOT_FOUND, "The app %.*s has no version %lld.",
                  VIEW_FORMAT(call_app(call)), (long long)number);
    } else if (error) {
        call_fail_error(call, error);
    } else {
        if (call_precondition(call, app.revision))
            verdict = start(call, app.json, version.json);
        record_release(&version);
    }
    record_release(&app);
    return verdict;
}
