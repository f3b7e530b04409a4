/* Writes the answer of a call: status, headers, and JSON, text or a problem document. */
#include "managerd/respond.h"

#include "common/base/memory.h"
#include "managerd/call.h"
#include "managerd/compress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADERS      20
#define MAX_ANSWER_BYTES (64u << 20)
/* As much as a page of a list has; more would hold up others. */
#define MAX_COMPRESSED_BYTES (10u << 20)
#define MIN_COMPRESSED_BYTES 1024

struct answer {
    struct incoming_header headers[MAX_HEADERS];
    size_t count;
};

static void add(struct answer *answer, const char *name, struct view value)
{
    REQUIRE(answer->count < MAX_HEADERS);
    answer->headers[answer->count++] = (struct incoming_header){view_of(name), value};
}

static bool etag_matches(struct view list, struct view etag)
{
    struct view part;
    while (view_split(&list, ',', &part)) {
        part = view_trim(part);
        if (view_starts_with(part, VIEW("W/")))
            part = view_slice(part, 2, SIZE_MAX);
        if (view_equal(part, VIEW("*")) || view_equal(part, etag))
            return true;
    }
    return false;
}

static void free_body(const void *data, size_t length, void *context)
{
    (void)length, (void)context;
    memory_release((void *)(uintptr_t)data);
}

static const char *accepted_types(const struct call *call)
{
    return call->endpoint && call->endpoint->flags & ENDPOINT_PACKAGE && call->endpoint->query
               ? "application/zip, application/json"
               : "application/json";
}

static void add_fixed(struct call *call, struct answer *answer)
{
    add(answer, "X-Request-Id", view_of(call->request_id));
    add(answer, "Cache-Control", VIEW("no-store"));
    add(answer, "X-Content-Type-Options", VIEW("nosniff"));
    if (call->location)
        add(answer, "Location", view_of(call->location));
    if (call->follows && call->status < 300)
        add(answer, "Link", view_of(call->follows));
    if (call->replayed)
        add(answer, "Idempotency-Replayed", VIEW("true"));
    if (call->status == 401)
        add(answer, "WWW-Authenticate", VIEW("Bearer realm=\"app-orchestrator\""));
    if (call->status == 405 || (call->status == 204 && call->allow))
        add(answer, "Allow", view_of(call->allow));
    if (call->allow && strstr(call->allow, "PATCH"))
        add(answer, "Accept-Patch", VIEW("application/merge-patch+json, application/json"));
    if (call->status == 415 && !view_equal(call->method, VIEW("PATCH")))
        add(answer, view_equal(call->method, VIEW("POST")) ? "Accept-Post" : "Accept",
            view_of(accepted_types(call)));
    if (call->problem.type == PROBLEM_TOO_MANY_ATTEMPTS)
        add(answer, "Retry-After", VIEW("2"));
    if (call->status == 503 || call->problem.type == PROBLEM_IDEMPOTENCY_RUNNING ||
        call->problem.type == PROBLEM_DEPLOYMENT_RUNNING ||
        call->problem.type == PROBLEM_LOG_READERS_BUSY ||
        call->problem.type == PROBLEM_INVOCATIONS_RUNNING)
        add(answer, "Retry-After", VIEW("1"));
    if (call->operation && !call->follows && call->wait_ms >= 0)
        add(answer, "Preference-Applied",
            view_of(arena_format(&call->arena, "wait=%lld", (long long)call->wait_ms / 1000)));
}

/* Lists and documents; single resources never, since their ETag is strong. */
static void compress_body(struct call *call, struct answer *answer, struct buffer *body)
{
    struct view accepted;
    struct buffer packed;
    unsigned flags = call->endpoint ? call->endpoint->flags : 0;
    if (call->status != 200 || !(flags & (ENDPOINT_LIST | ENDPOINT_TEXT | ENDPOINT_PACKED)))
        return;
    add(answer, "Vary", VIEW("Accept-Encoding"));
    if (body->length < MIN_COMPRESSED_BYTES || body->length > MAX_COMPRESSED_BYTES ||
        !incoming_header(call->incoming, "Accept-Encoding", &accepted) || !gzip_accepted(accepted))
        return;
    buffer_init(&packed, MAX_ANSWER_BYTES);
    if (gzip_encode(&packed, buffer_view(body))) {
        add(answer, "Content-Encoding", VIEW("gzip"));
        buffer_release(body);
        *body = packed;
    } else {
        buffer_release(&packed);
    }
}

/* What it took, for those who may use the API: a stranger's guesses are not to be timed. */
static void add_timing(struct call *call, struct answer *answer)
{
    char *timing;
    if (call->principal.role == ROLE_NONE)
        return;
    timing =
        arena_format(&call->arena, "own;dur=%.3f, sync;dur=%.3f",
                     (double)meter_own_us(&call->meter) / 1000, (double)call->meter.sync_us / 1000);
    if (timing)
        add(answer, "Server-Timing", view_of(timing));
}

static void send_body(struct call *call, struct answer *answer, struct buffer *body)
{
    size_t length;
    compress_body(call, answer, body);
    add_timing(call, answer);
    char *text = buffer_take(body, &length);
    incoming_reply(call->incoming, call->status, answer->headers, answer->count,
                   view_from(text, length), free_body, NULL);
}

static void send_json(struct call *call, struct answer *answer, const char *type)
{
    struct buffer body;
    struct view condition, revision = VIEW("");
    buffer_init(&body, MAX_ANSWER_BYTES);
    if (call->tagged && json_get_string(call->result, "revision", &revision)) {
        char *etag = arena_format(&call->arena, "\"%.*s\"", VIEW_FORMAT(revision));
        add(answer, "ETag", view_of(etag));
        if (view_equal(call->method, VIEW("GET")) && call->status == 200 &&
            incoming_header(call->incoming, "If-None-Match", &condition) &&
            etag_matches(condition, view_of(etag)))
            call->status = 304;
    }
    if (call->status != 304) {
        json_print(&body, call->result);
        add(answer, "Content-Type", view_of(type));
    }
    send_body(call, answer, &body);
}

static void make_problem(struct call *call)
{
    json_free(call->result);
    call->result = problem_document(&call->problem, &call->faults, call->request_id);
    call->status = (int)integer_of(call->result, "status");
    call->tagged = false;
    call->location = NULL;
}

void respond_to_call(struct call *call)
{
    struct answer answer = {.count = 0};
    bool failed = call->problem.type != PROBLEM_NONE;
    if (failed)
        make_problem(call);
    /* An operation that failed answers with its own problem, which is a document already. */
    bool problem_body = failed || (call->status >= 400 && json_get(call->result, "type") &&
                                   json_get(call->result, "title"));
    if (failed && call->problem.type == PROBLEM_TOO_LARGE)
        incoming_close_after(call->incoming);
    add_fixed(call, &answer);
    if (call->result) {
        send_json(call, &answer, problem_body ? "application/problem+json" : "application/json");
    } else if (call->text_type) {
        add(&answer, "Content-Type", view_of(call->text_type));
        send_body(call, &answer, &call->text);
    } else {
        add_timing(call, &answer);
        incoming_reply(call->incoming, call->status, answer.headers, answer.count, VIEW(""), NULL,
                       NULL);
    }
    call->incoming = NULL;
}
