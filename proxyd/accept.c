/* ACCEPT: gives the request its ids and notes what the client sent. */
#include "proxyd/steps.h"

#include "common/base/clock.h"
#include "common/contract/forwarded.h"
#include "common/contract/path.h"

#include <stdio.h>
#include <string.h>

#define TRACE_ID_MAX 512

static bool id_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool public_id_lawful(struct view id)
{
    for (size_t i = 0; i < id.length; i++) {
        if (!id_byte(id.data[i]))
            return false;
    }
    return id.length >= 1 && id.length <= REQUEST_ID_MAX;
}

static bool trace_id_lawful(struct view id)
{
    for (size_t i = 0; i < id.length; i++) {
        if (id.data[i] < 0x21 || id.data[i] > 0x7e)
            return false;
    }
    return id.length >= 1 && id.length <= TRACE_ID_MAX;
}

/* "Root=1-" with the time in front, as X-Ray makes its own. */
static struct view make_trace_id(struct request *request)
{
    struct worker *worker = request->worker;
    char *id = arena_format(&request->arena, "Root=1-%08x-%08x%08x%08x",
                            (unsigned)(request->time_ms / 1000), worker_random(worker, UINT32_MAX),
                            worker_random(worker, UINT32_MAX), worker_random(worker, UINT32_MAX));

    return view_of(id);
}

/* Who is behind the peer, when that is a trusted one; what others say of it is for functions only. */
static void learn_client(struct request *request)
{
    const struct config *config = request->worker->shared->config;
    struct forwarded_ask ask = {
        .trusted = config->trusted_proxies,
        .trusted_count = config->trusted_proxy_count,
        .peer = request->peer,
    };
    struct forwarded_sender sender = {0};

    if (ask.trusted_count) {
        ask.chain = request_header_values(request, "X-Forwarded-For");
        ask.proto = request_header_values(request, "X-Forwarded-Proto");
        ask.port = request_header_values(request, "X-Forwarded-Port");
        forwarded_read(&ask, &sender);
    }
    request->client =
        sender.trusted ? arena_copy(&request->arena, view_of(sender.client)) : request->peer;
    request->secure = sender.scheme == FORWARDED_SCHEME_UNKNOWN ? incoming_is_tls(request->incoming)
                                                                : sender.scheme == FORWARDED_HTTPS;
    request->port = sender.port ? sender.port
                    : sender.scheme == FORWARDED_SCHEME_UNKNOWN
                        ? incoming_local_port(request->incoming)
                    : request->secure ? 443
                                      : 80;
}

static void on_gone(void *context)
{
    struct request *request = context;

    request->client_gone = true;
    metrics_add(&request->worker->metrics.clients_gone, 1);
    if (request->step == STEP_FORWARD)
        forward_client_left(request);
    else if (request->step == STEP_ADMIT)
        admit_client_left(request);
}

static enum progress accept_refused(struct request *request)
{
    const struct incoming_refusal *refusal = request->refusal;
    struct view path, query;

    request->started_us = refusal->started_us;
    request->received_us = clock_monotonic_us();
    request->method = arena_copy(&request->arena, refusal->method);
    request->host = arena_copy(&request->arena, refusal->host);
    target_split(refusal->target, &path, &query);
    request->path = arena_copy(&request->arena, path);
    request->peer = request->client = arena_copy(&request->arena, refusal->peer_address);
    request->fault_status = refusal->status;
    metrics_add(&request->worker->metrics.refusals[refusal->reason], 1);
    return request_fail(request, refusal_fault(refusal), guard_reason_name(refusal->reason));
}

/* The same target below https://. The guard has found the host lawful. */
static enum progress redirect(struct request *request)
{
    const struct config *config = request->worker->shared->config;
    struct view target = incoming_target(request->incoming), host = request->host;
    const char *colon = host.length ? memrchr(host.data, ':', host.length) : NULL;
    char port[8] = "";

    if (colon && host.data[host.length - 1] != ']')
        host.length = (size_t)(colon - host.data);
    if (host.length == 0)
        return request_fail(request, FAULT_BAD_TARGET, "no host to redirect to");
    if (config->https_port != 443)
        snprintf(port, sizeof port, ":%d", (int)config->https_port);
    if (view_equal_string(target, "*"))
        target = VIEW("/");
    request->location = view_of(arena_format(&request->arena, "https://%.*s%s%.*s",
                                             VIEW_FORMAT(host), port, VIEW_FORMAT(target)));
    return request_fail(request, FAULT_HTTPS_REQUIRED, NULL);
}

enum progress accept_request(struct request *request)
{
    struct incoming_request *incoming = request->incoming;
    struct arena *arena = &request->arena;
    struct view value;

    request->time_ms = clock_wall_ms();
    id_make(request->id);
    request->public_id = view_of(request->id);
    if (request->refusal) {
        memcpy(request->id, request->refusal->own_id, ID_SIZE);
        request->public_id = arena_copy(arena, view_of(request->refusal->request_id));
        return accept_refused(request);
    }
    /* Copies: what belongs to the connection dies with the answer, the access line comes after it. */
    target_split(incoming_target(incoming), &request->path, &request->query);
    request->path = arena_copy(arena, request->path);
    request->query = arena_copy(arena, request->query);
    request->method = arena_copy(arena, incoming_method(incoming));
    request->host = arena_copy(arena, incoming_host(incoming));
    request->peer = arena_copy(arena, incoming_peer_address(incoming));
    request->started_us = incoming_started_us(incoming);
    request->received_us = incoming_received_us(incoming);
    request->body_bytes = incoming_body(incoming).length;
    if (incoming_header(incoming, "X-Request-Id", &value) && public_id_lawful(value))
        request->public_id = arena_copy(arena, value);
    if (incoming_header(incoming, "X-Amzn-Trace-Id", &value) && trace_id_lawful(value))
        request->trace_id = arena_copy(arena, value);
    else
        request->trace_id = make_trace_id(request);
    metrics_add(&request->worker->metrics.request_bytes, request->body_bytes);
    request->tls_version = incoming_tls_version(incoming);
    request->tls_cipher = incoming_tls_cipher(incoming);
    learn_client(request);
    incoming_watch(incoming, on_gone, request);
    if (arena->error != ERROR_NONE)
        return request_fail(request, FAULT_INTERNAL, "memory ran out");
    if (request->worker->shared->config->https_redirect && !request->secure)
        return redirect(request);
    return PROGRESS_NEXT;
}
