/* Calls a version of an app with an event or a request, and tells what came of it. */
#include "managerd/call.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/idempotency.h"
#include "managerd/invoke.h"
#include "managerd/invoke_event.h"

#include "common/base/log.h"

#include <stdlib.h>
#include <string.h>

/* A call's invocation; it holds one of the few places. */
struct place {
    struct call *call;
    struct json *version;
    struct buffer event;
    bool is_request;
    int64_t deadline_ms;
    struct invocation *invocation;
};

static void leave_place(void *data)
{
    struct place *place = data;
    invocation_free(place->invocation);
    json_free(place->version);
    buffer_release(&place->event);
    place->call->server->invocations--;
    free(place);
}

/* ---- the end ---- */

/* It is over, and perhaps kept; a failure to keep it takes nothing back of what was done. */
static void on_kept(enum error error, uint64_t revision, void *context)
{
    struct call *call = context;
    (void)revision;
    if (error)
        log_write(LOG_ERROR, "answer-not-kept", LOG_STRING("requestId", call->request_id),
                  LOG_STRING("error", error_name(error)));
    call_resume(call, call->problem.type == PROBLEM_NONE ? PROGRESS_NEXT : PROGRESS_FAIL);
}

/* What may have run is not to run again for the same Idempotency-Key, whatever came of it. */
static void keep(struct call *call, bool may_have_run)
{
    struct buffer text;
    change_clear(&call->change);
    buffer_init(&text, 1u << 20);
    if (!may_have_run) {
        idempotency_forget(call);
    } else if (call->problem.type == PROBLEM_NONE) {
        idempotency_keep_text(call, call->status, buffer_view(&call->text));
    } else {
        struct json *problem = problem_document(&call->problem, NULL, call->request_id);
        json_print(&text, problem);
        idempotency_keep_text(call, (int)integer_of(problem, "status"), buffer_view(&text));
        json_free(problem);
    }
    buffer_release(&text);
    state_commit(call->server->state, &call->change, on_kept, call);
}

static void copy_problem(struct call *call, const struct problem *problem)
{
    call->problem = *problem;
    call->problem.detail = arena_string(&call->arena, view_of(problem->detail));
    call->problem.aws_code = arena_copy(&call->arena, problem->aws_code);
    call->problem.aws_message = arena_copy(&call->arena, problem->aws_message);
    call->problem.aws_request_id = arena_copy(&call->arena, problem->aws_request_id);
}

static void on_invoked(void *context)
{
    struct call *call = context;
    struct place *place = call->data;
    struct buffer answer = invocation_answer(place->invocation);
    enum progress verdict = PROGRESS_FAIL;
    if (answer.length) {
        buffer_release(&call->text);
        call->text = answer;
        verdict = call_answer_text(call, 200, "application/json");
    } else {
        copy_problem(call, invocation_problem(place->invocation));
    }
    if (call->idempotency_key[0])
        keep(call, invocation_may_have_run(place->invocation));
    else
        call_resume(call, verdict);
}

/* ---- the beginning ---- */

static void send(struct place *place)
{
    struct call *call = place->call;
    place->invocation = invocation_start(call->server->control, place->version, place->is_request,
                                         &place->event, place->deadline_ms, on_invoked, call);
}

static void on_begun(enum error error, uint64_t revision, void *context)
{
    struct call *call = context;
    (void)revision;
    if (error)
        call_resume(call, call_fail_error(call, error));
    else
        send(call->data);
}

/* With an Idempotency-Key, that it begins is known before it does. */
static enum progress begin(struct call *call)
{
    if (!call->idempotency_key[0]) {
        send(call->data);
        return PROGRESS_WAIT;
    }
    idempotency_keep_begun(call);
    state_commit(call->server->state, &call->change, on_begun, call);
    return PROGRESS_WAIT;
}

static int64_t deadline_of(const struct call *call, const struct json *app,
                           const struct json *version)
{
    int64_t deadline_ms = integer_of(call->body, "deadlineMs");
    if (!deadline_ms)
        deadline_ms = integer_of(json_get(app, "limits"), "deadlineMs");
    return deadline_ms ? deadline_ms : 1000 * integer_of(version, "timeoutSeconds") + 1000;
}

static struct view own_host(struct call *call)
{
    const struct config *config = call->server->config;
    const char *base = config->base_domain_count ? config->base_domains[0] : "*";
    if (strcmp(base, "*") == 0)
        return call_app(call);
    return view_of(arena_format(&call->arena, "%.*s.%s", VIEW_FORMAT(call_app(call)), base));
}

static enum progress start(struct call *call, const struct json *app, const struct json *version)
{
    struct invoke_origin origin = {.app = call_app(call),
                                   .host = own_host(call),
                                   .peer = view_of(call->peer),
                                   .id = view_of(call->request_id)};
    struct place *place = calloc(1, sizeof *place);
    REQUIRE(place);
    place->call = call;
    place->version = json_copy(version);
    place->is_request = json_get(call->body, "request") != NULL;
    place->deadline_ms = deadline_of(call, app, version);
    buffer_init(&place->event, ASK_MAX_EVENT_BYTES);
    call->server->invocations++;
    call->data = place;
    call->free_data = leave_place;
    enum error error = invoke_event(call->body, call->event, version, &origin, &place->event);
    if (error)
        return call_fail(call, PROBLEM_TOO_LARGE, "The event would have more than %zu bytes.",
                         ASK_MAX_EVENT_BYTES);
    /* What is in the event need not wait with the call as well. */
    json_free(call->body);
    call->body = NULL;
    return begin(call);
}

enum progress invoke_post(struct call *call)
{
    struct record app, version;
    invoke_check(call->body, &call->faults);
    if (call->faults.count)
        return call_fail_faults(call);
    if (call->server->invocations >= INVOKE_MAX_RUNNING)
        return call_fail(call, PROBLEM_INVOCATIONS_RUNNING,
                         "%d invocations are running already; try again in a moment.",
                         INVOKE_MAX_RUNNING);
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
