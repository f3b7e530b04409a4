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
    if (call_precondition(call, app.revision) &&
        call_read_asked_version(call, app.json, &version)) {
        verdict = start(call, app.json, version.json);
        record_release(&version);
    }
    record_release(&app);
    return verdict;
}
