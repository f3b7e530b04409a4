/* RESPOND: answers the client, with the function's response or with what went wrong. */
#include "proxyd/steps.h"

#include "common/base/clock.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define LEND_FROM_BYTES 16384 /* smaller bodies are copied: cheaper than keeping the request */
#define OWN_HEADERS     (10 + CORS_MAX_HEADERS)

static void on_body_sent(const void *data, size_t length, void *context)
{
    (void)data;
    (void)length;
    request_body_returned(context);
}

/* The body on its way lies in the payload or, decoded, in the arena: a slow reader need not hold
 * both. */
static void drop_payload(struct request *request)
{
    uintptr_t start = (uintptr_t)request->payload, body = (uintptr_t)request->reply.body.data;

    if (body >= start && body < start + request->payload_length)
        return;
    free(request->payload);
    request->payload = NULL;
    request->payload_length = 0;
}

static bool own_header(struct view name)
{
    const struct view reserved = VIEW("X-Orchestrator-");

    return view_equal_nocase(name, VIEW("X-Request-Id")) ||
           view_equal_nocase(view_slice(name, 0, reserved.length), reserved);
}

/* What pages of other origins are told where the app has rules about them, then in place of what the
 * function says. */
static size_t add_cors(const struct request *request, struct incoming_header *headers, size_t count)
{
    const struct cors_answer *cors = &request->cors;

    for (size_t i = 0; i < cors->count; i++)
        headers[count++] = (struct incoming_header){cors->headers[i].name, cors->headers[i].value};
    return count;
}

#define HSTS_SIZE 40

/* RFC 6797 section 7.2: over HTTPS only, which may end at a trusted peer. An app that has its own keeps it. */
static size_t add_hsts(const struct request *request, struct incoming_header *headers, size_t count,
                       char text[HSTS_SIZE])
{
    const struct view name = VIEW("Strict-Transport-Security");
    int64_t max_age_s = request->worker->shared->config->hsts_max_age_s;

    if (max_age_s == 0 || !request->secure)
        return count;
    for (size_t i = 0; i < count; i++) {
        if (view_equal_nocase(headers[i].name, name))
            return count;
    }
    snprintf(text, HSTS_SIZE, "max-age=%lld", (long long)max_age_s);
    headers[count] = (struct incoming_header){name, view_of(text)};
    return count + 1;
}

/* Which version it was, and the bucket that keeps the client on it. */
static size_t add_version(struct request *request, struct incoming_header *headers, size_t count)
{
    struct arena *arena = &request->arena;

    if (!request->version || request->attempts == 0)
        return count;
    char *number = arena_format(arena, "%u", request->version->number);
    if (number)
        headers[count++] =
            (struct incoming_header){VIEW("X-Orchestrator-Version"), view_of(number)};
    if (!request->new_bucket)
        return count;
    char *cookie = arena_format(arena, TRAFFIC_COOKIE "=%u; Path=/; HttpOnly; SameSite=Lax%s",
                                request->bucket, request->secure ? "; Secure" : "");
    if (cookie)
        headers[count++] = (struct incoming_header){VIEW("Set-Cookie"), view_of(cookie)};
    return count;
}

static void send_response(struct request *request)
{
    const struct reply *reply = &request->reply;
    struct incoming_header headers[REPLY_MAX_HEADERS + OWN_HEADERS];
    char hsts[HSTS_SIZE];
    size_t count = 0;

    for (size_t i = 0; i < reply->header_count && i < REPLY_MAX_HEADERS; i++) {
        if (!own_header(reply->headers[i].name) &&
            !(request->route.access.cors && cors_owns_header(reply->headers[i].name)))
            headers[count++] =
                (struct incoming_header){reply->headers[i].name, reply->headers[i].value};
    }
    headers[count++] = (struct incoming_header){VIEW("X-Request-Id"), request->public_id};
    count = add_version(request, headers, count);
    count = add_cors(request, headers, count);
    count = add_hsts(request, headers, count, hsts);
    request->status = reply->status;
    request->first_byte_us = clock_monotonic_us() - request->started_us;
    if (reply->has_own_length)
        incoming_tell_length(request->incoming, reply->own_length);
    if (request->forwards) {
        incoming_stream_begin(request->incoming, reply->status, headers, count,
                              forward_client_ready, request);
        return;
    }
    request->body_lent = reply->body.length >= LEND_FROM_BYTES;
    if (!reply_has_no_body(request->method, reply->status))
        request->response_bytes = reply->body.length;
    incoming_reply(request->incoming, reply->status, headers, count, reply->body,
                   request->body_lent ? on_body_sent : NULL, request);
    drop_payload(request);
}

static void send_fault(struct request *request)
{
    const struct fault_row *row = fault_row(request->fault);
    unsigned retry_after_s =
        request->retry_after_s > row->retry_after_s ? request->retry_after_s : row->retry_after_s;
    struct incoming_header headers[OWN_HEADERS] = {
        {VIEW("Content-Type"), VIEW("application/problem+json")},
        {VIEW("Cache-Control"), VIEW("no-store")},
        {VIEW("X-Request-Id"), request->public_id},
    };
    size_t count = 3;
    char seconds[16], hsts[HSTS_SIZE];
    struct buffer body;

    if (row->class != CLASS_NONE)
        headers[count++] = (struct incoming_header){VIEW("X-Orchestrator-Invocation"),
                                                    view_of(fault_class_name(row->class))};
    if (row->retry_after_s) {
        snprintf(seconds, sizeof seconds, "%u", retry_after_s);
        headers[count++] = (struct incoming_header){VIEW("Retry-After"), view_of(seconds)};
    }
    if (request->challenge.length)
        headers[count++] = (struct incoming_header){VIEW("WWW-Authenticate"), request->challenge};
    if (request->location.length)
        headers[count++] = (struct incoming_header){VIEW("Location"), request->location};
    count = add_version(request, headers, count);
    count = add_cors(request, headers, count);
    count = add_hsts(request, headers, count, hsts);
    buffer_init(&body, 4096);
    fault_problem(&body, request->fault, 0, request->detail, request->id);
    request->response_bytes = body.length;
    incoming_reply(request->incoming, request->status, headers, count, buffer_view(&body), NULL,
                   NULL);
    buffer_release(&body);
}

enum fault refusal_fault(const struct incoming_refusal *refusal)
{
    if (refusal->reason == GUARD_BUSY)
        return FAULT_PROXY_BUSY;
    return refusal->reason == GUARD_BODY_TOO_LARGE ? FAULT_BODY_TOO_LARGE : FAULT_REFUSED;
}

/* What the client did wrong, with the limit that it went over. */
static void write_refusal_detail(const struct incoming_refusal *refusal,
                                 const struct config *config, struct buffer *detail)
{
    if (refusal->reason == GUARD_BODY_TOO_LARGE)
        buffer_append_format(detail, "The body of the request is larger than %llu bytes.",
                             (unsigned long long)refusal->max_body_bytes);
    else if (refusal->reason == GUARD_BUSY)
        buffer_append_string(detail, fault_row(FAULT_PROXY_BUSY)->sentence);
    else if (refusal->reason == GUARD_HEAD_TOO_LARGE)
        buffer_append_format(
            detail, "A header of the request is longer than %zu bytes, or its head than %lld.",
            incoming_default_limits.guard.max_line_bytes, (long long)config->max_head_bytes);
    else if (refusal->reason == GUARD_TARGET_TOO_LONG)
        buffer_append_format(detail, "The path and query are longer than %zu bytes.",
                             incoming_default_limits.guard.max_target_bytes);
    else if (refusal->reason == GUARD_TOO_MANY_HEADERS)
        buffer_append_format(detail, "The request has more than %lld headers.",
                             (long long)config->max_headers);
    else
        buffer_append_format(detail, "The request was refused: %s.",
                             guard_reason_name(refusal->reason));
}

void respond_refusal(const struct incoming_refusal *refusal, const struct config *config,
                     struct buffer *body)
{
    struct buffer detail;

    buffer_init(&detail, 128);
    write_refusal_detail(refusal, config, &detail);
    buffer_append_byte(&detail, '\0');
    REQUIRE(detail.error == ERROR_NONE);
    fault_problem(body, refusal_fault(refusal), refusal->status, detail.data, refusal->own_id);
    buffer_release(&detail);
}

enum progress respond_request(struct request *request)
{
    request->status =
        request->fault_status ? request->fault_status : fault_row(request->fault)->status;
    if (!request->incoming) /* refused: the answer went out already */
        return PROGRESS_NEXT;
    /* Clients that keep connections move on before their connection is closed under them. */
    if (atomic_load_explicit(&request->worker->shared->draining, memory_order_relaxed))
        incoming_close_after(request->incoming);
    if (request->fault == FAULT_NONE)
        send_response(request);
    else
        send_fault(request);
    if (!request->forwards) /* else FORWARD ends the answer */
        request->incoming = NULL;
    return PROGRESS_NEXT;
}
