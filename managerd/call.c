/* Moves each call of the API through its steps, from arrival to audit line. */
#include "managerd/call.h"

#include "common/base/clock.h"
#include "common/base/escape.h"
#include "common/base/log.h"
#include "common/net/tls.h"
#include "managerd/audit.h"
#include "managerd/authorize.h"
#include "managerd/respond.h"
#include "managerd/tokens.h"
#include "managerd/upload.h"
#include "managerd/validate.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES     (8u << 20)
#define MAX_TEXT_BYTES  (64u << 20)
#define MAX_LOGGED_PATH 512

static enum progress accept_call(struct call *call);
static enum progress authenticate_call(struct call *call);
static enum progress find_endpoint(struct call *call);
static enum progress act_on_call(struct call *call);
static enum progress respond(struct call *call);
static enum progress audit_call(struct call *call);

/* Table order is the flow. */
static const struct {
    const char *name;
    enum progress (*run)(struct call *call);
} steps[] = {
    {"accept", accept_call},     {"authenticate", authenticate_call},
    {"endpoint", find_endpoint}, {"validate", validate_call},
    {"act", act_on_call},        {"respond", respond},
    {"audit", audit_call},
};
#define STEP_COUNT   (sizeof steps / sizeof steps[0])
#define STEP_RESPOND 5

static void call_free(struct call *call)
{
    meter_forget(&call->meter);
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    state_unwatch(call->watch);
    if (call->timer)
        event_free(call->timer);
    if (call->free_data)
        call->free_data(call->data);
    json_free(call->body);
    body_cuts_release(&call->cuts);
    upload_free(call->upload);
    json_free(call->operation);
    json_free(call->result);
    free(call->allow);
    buffer_release(&call->text);
    change_release(&call->change);
    arena_release(&call->arena);
    principal_release(&call->principal);
    free(call);
}

static void run(struct call *call)
{
    while (call->step < STEP_COUNT) {
        enum progress verdict = steps[call->step].run(call);
        if (verdict == PROGRESS_WAIT)
            return;
        if (verdict == PROGRESS_FAIL)
            REQUIRE(call->step < STEP_RESPOND && call->problem.type != PROBLEM_NONE);
        call->step = verdict == PROGRESS_FAIL ? STEP_RESPOND : call->step + 1;
    }
    call_free(call);
}

void call_resume(struct call *call, enum progress verdict)
{
    REQUIRE(verdict != PROGRESS_WAIT && call->step < STEP_RESPOND);
    meter_enter(&call->meter);
    call->step = verdict == PROGRESS_FAIL ? STEP_RESPOND : call->step + 1;
    run(call);
    meter_leave();
}

void call_begin(struct server *server, struct incoming_request *incoming)
{
    struct call *call = calloc(1, sizeof *call);
    REQUIRE(call);
    meter_enter(&call->meter);
    call->server = server;
    call->incoming = incoming;
    call->started_us = incoming_started_us(incoming);
    call->next = server->calls;
    call->link = &server->calls;
    if (call->next)
        call->next->link = &call->next;
    server->calls = call;
    arena_init(&call->arena, ARENA_BYTES);
    faults_init(&call->faults, &call->arena);
    buffer_init(&call->text, MAX_TEXT_BYTES);
    change_init(&call->change);
    call->wait_ms = -1;
    run(call);
    meter_leave();
}

void call_drop_all(struct server *server)
{
    while (server->calls)
        call_free(server->calls);
}

/* accept */

/* What the client has shown outlives its connection. */
static void note_certificate(struct call *call)
{
    struct tls_shown shown, *kept;
    if (!incoming_client_shown(call->incoming, &shown))
        return;
    kept = arena_alloc(&call->arena, sizeof shown);
    REQUIRE(kept);
    *kept = shown;
    call->shown = kept;
}

static enum progress accept_call(struct call *call)
{
    struct view id, target = incoming_target(call->incoming);
    size_t mark = view_find(target, '?');
    call->arrived_ms = clock_wall_ms();
    /* What the audit line tells outlives the request, which ends with its answer. */
    call->method = arena_copy(&call->arena, incoming_method(call->incoming));
    call->peer = arena_string(&call->arena, incoming_peer_address(call->incoming));
    target = arena_copy(&call->arena, target);
    note_certificate(call);
    if (view_equal(call->method, VIEW("HEAD")))
        call->method = VIEW("GET");
    call->path = view_slice(target, 0, mark);
    call->query = mark == SIZE_MAX ? VIEW("") : view_slice(target, mark + 1, SIZE_MAX);
    if (incoming_header(call->incoming, "X-Request-Id", &id) && request_id_valid(id)) {
        memcpy(call->request_id, id.data, id.length);
    } else {
        char made[ID_SIZE];
        id_make(made);
        memcpy(call->request_id, made, ID_SIZE);
    }
    return PROGRESS_NEXT;
}

/* authenticate */

/* The console's files tell nothing of this installation: a link on another site may lead to them. */
static bool is_console(const struct call *call)
{
    return view_equal(call->method, VIEW("GET")) &&
           (view_equal(call->path, VIEW("/")) || view_starts_with(call->path, VIEW("/console/")));
}

static enum progress authenticate_call(struct call *call)
{
    struct view authorization = VIEW(""), origin = VIEW(""), site = VIEW("");
    struct authenticator *authenticator = call->server->authenticator;
    if (!incoming_client_welcome(call->incoming)) {
        incoming_close_after(call->incoming);
        return call_fail(call, PROBLEM_FORBIDDEN,
                         "The certificate that this connection began with is not accepted any "
                         "more; connect again with one that is.");
    }
    incoming_header(call->incoming, "Authorization", &authorization);
    incoming_header(call->incoming, "Origin", &origin);
    incoming_header(call->incoming, "Sec-Fetch-Site", &site);
    tokens_authenticate(call->server, authorization, view_of(call->peer), &call->principal);
    principal_used(&call->principal, call->peer, call->arrived_ms);
    if (!authenticator_open(authenticator))
        return PROGRESS_NEXT;
    if (!host_is_loopback(incoming_host(call->incoming)))
        return call_fail(call, PROBLEM_FORBIDDEN,
                         "Without a token this API answers only to loopback names such as "
                         "localhost or 127.0.0.1 in Host. Set MANAGERD_TOKEN to use others.");
    bool own_site =
        site.length == 0 || view_equal(site, VIEW("same-origin")) || view_equal(site, VIEW("none"));
    if (!origin_is_own(origin, incoming_host(call->incoming)) || !(own_site || is_console(call)))
        return call_fail(call, PROBLEM_FORBIDDEN,
                         "Without a token this API does not answer to web pages of other origins. "
                         "Set MANAGERD_TOKEN.");
    return PROGRESS_NEXT;
}

/* endpoint */

static enum progress find_endpoint(struct call *call)
{
    struct buffer allow;
    buffer_init(&allow, 256);
    call->endpoint = endpoint_find(call->method, call->path, &call->parameters, &allow);
    bool exists = allow.length > 0;
    call->allow = buffer_take(&allow, NULL);
    if (authorize_call(call) == PROGRESS_FAIL)
        return PROGRESS_FAIL;
    if (call->endpoint)
        return PROGRESS_NEXT;
    if (view_equal(call->method, VIEW("OPTIONS")) && view_equal(call->path, VIEW("*"))) {
        free(call->allow);
        call->allow = strdup("GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS");
        REQUIRE(call->allow);
        exists = true;
    }
    if (!exists)
        return call_fail(call, PROBLEM_NOT_FOUND,
                         "There is nothing at this path; /openapi.json lists what there is.");
    if (view_equal(call->method, VIEW("OPTIONS"))) {
        call->status = 204;
        call->step = STEP_RESPOND - 1; /* nothing to validate, nothing to do */
        return PROGRESS_NEXT;
    }
    return call_fail(call, PROBLEM_METHOD_NOT_ALLOWED, "This resource has the methods %s.",
                     call->allow);
}

/* act */

static enum progress act_on_call(struct call *call)
{
    /* An answer that was kept for the Idempotency-Key is there already. */
    if (call->status)
        return PROGRESS_NEXT;
    return call_act(call);
}

/* respond, audit */

static enum progress respond(struct call *call)
{
    uint64_t took_us = clock_monotonic_us() - call->started_us;
    size_t index = call->endpoint ? (size_t)(call->endpoint - endpoints) : SIZE_MAX;
    if (call->streamed)
        call->incoming = NULL;
    else
        respond_to_call(call);
    metrics_count_call(&call->server->metrics, index, call->status, took_us,
                       meter_own_us(&call->meter));
    return PROGRESS_NEXT;
}

static enum progress audit_call(struct call *call)
{
    struct buffer line;
    struct json_writer w;
    char time[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(call->arrived_ms, time);
    buffer_init(&line, 4096);
    json_begin(&w, &line);
    json_open_object(&w, NULL);
    json_write_string(&w, "time", view_of(time));
    json_write_string(&w, "event", VIEW("call"));
    json_write_string(&w, "requestId", view_of(call->request_id));
    json_write_string(&w, "principal", view_of(call->principal.id));
    json_write_string(&w, "peer", view_of(call->peer));
    if (call->shown)
        json_write_string(&w, "certificate", view_of(call->shown->subject));
    json_write_string(&w, "method", call->method);
    json_write_string(&w, "path", view_slice(call->path, 0, MAX_LOGGED_PATH));
    json_write_string(&w, "endpoint", view_of(call->endpoint ? call->endpoint->id : "none"));
    if (call->endpoint && strstr(call->endpoint->pattern, "{name}"))
        json_write_string(&w, "app", call_app(call));
    json_write_integer(&w, "status", call->status);
    if (call->problem.type != PROBLEM_NONE)
        json_write_string(&w, "problem", view_of(problem_slug(call->problem.type)));
    if (call->operation)
        json_write_string(&w, "operation", text_of(call->operation, "id"));
    json_write_integer(&w, "durationMs", clock_wall_ms() - call->arrived_ms);
    json_write_integer(&w, "ownUs", (int64_t)meter_own_us(&call->meter));
    json_write_integer(&w, "syncUs", (int64_t)call->meter.sync_us);
    json_close_object(&w);
    if (!line.error)
        log_access(buffer_view(&line));
    buffer_release(&line);
    audit_end(call->server->audit, call);
    return PROGRESS_NEXT;
}
