/* ENCODE: turns the request into the event that the function gets. */
#include "proxyd/steps.h"

#include "common/contract/event.h"
#include "common/contract/host.h"
#include "common/contract/preference.h"

#define ADDED_HEADERS 9

/* Frameworks that follow CGI see no difference between "-" and "_": "X_Forwarded_Proto" is as good a
 * lie to them as the name itself. */
static bool passes_for(struct view name, struct view own)
{
    if (name.length != own.length)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        char byte = name.data[i] == '_' ? '-' : name.data[i];

        if (!view_equal_nocase(view_from(&byte, 1), view_slice(own, i, 1)))
            return false;
    }
    return true;
}

/* What the proxy writes itself, or keeps from functions. */
static bool own_header(struct view name)
{
    static const struct view own[] = {VIEW("X-Forwarded-For"),    VIEW("X-Forwarded-Proto"),
                                      VIEW("X-Forwarded-Port"),   VIEW("X-Request-Id"),
                                      VIEW("X-Amzn-Trace-Id"),    VIEW("Expect"),
                                      VIEW("X-Amzn-Tls-Version"), VIEW("X-Amzn-Tls-Cipher-Suite")};
    const struct view reserved = VIEW("X-Orchestrator-");

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (passes_for(name, own[i]))
            return true;
    }
    return passes_for(view_slice(name, 0, reserved.length), reserved);
}

/* The key opens the app to whoever reads it, and functions log their events. */
static bool is_api_key(const struct request *request, struct view name)
{
    return request->api_key && view_equal_nocase(name, request->route.access.api_key_header);
}

static size_t add_own(struct request *request, struct event_header *headers, bool has_length)
{
    struct arena *arena = &request->arena;
    struct view before = request_header_values(request, "X-Forwarded-For");
    size_t count = 0;

    struct view forwarded = request->peer;
    if (before.length)
        forwarded = view_of(
            arena_format(arena, "%.*s, %.*s", VIEW_FORMAT(before), VIEW_FORMAT(request->peer)));
    headers[count++] = (struct event_header){VIEW("X-Forwarded-For"), forwarded};
    headers[count++] = (struct event_header){VIEW("X-Forwarded-Proto"),
                                             request->secure ? VIEW("https") : VIEW("http")};
    headers[count++] = (struct event_header){VIEW("X-Forwarded-Port"),
                                             view_of(arena_format(arena, "%u", request->port))};
    headers[count++] = (struct event_header){VIEW("X-Request-Id"), request->public_id};
    headers[count++] = (struct event_header){VIEW("X-Amzn-Trace-Id"), request->trace_id};
    /* As Function URLs do, whose format this is. */
    if (request->tls_version.length &&
        (enum event_format)request->version->payload_format == EVENT_2_0) {
        headers[count++] = (struct event_header){VIEW("X-Amzn-Tls-Version"), request->tls_version};
        headers[count++] =
            (struct event_header){VIEW("X-Amzn-Tls-Cipher-Suite"), request->tls_cipher};
    }
    if (request->api_key)
        headers[count++] =
            (struct event_header){VIEW("X-Orchestrator-Api-Key-Id"), request->api_key->id};
    if (!has_length && request->body_bytes > 0) /* it came chunked */
        headers[count++] = (struct event_header){
            VIEW("Content-Length"), view_of(arena_format(arena, "%zu", request->body_bytes))};
    return count;
}

static struct event_header *collect(struct request *request, size_t *count)
{
    struct view connection = request_header_values(request, "Connection"), name, value;
    size_t sent = 0;
    bool has_length = false;

    while (incoming_header_at(request->incoming, sent, &name, &value))
        sent++;
    struct event_header *headers =
        arena_alloc(&request->arena, (sent + ADDED_HEADERS) * sizeof *headers);
    if (!headers)
        return NULL;
    *count = 0;
    for (size_t i = 0; incoming_header_at(request->incoming, i, &name, &value); i++) {
        if (own_header(name) || is_api_key(request, name) || !event_header_passes(name, connection))
            continue;
        has_length |= view_equal_nocase(name, VIEW("Content-Length"));
        headers[(*count)++] = (struct event_header){name, value};
    }
    *count += add_own(request, headers + *count, has_length);
    return request->arena.error == ERROR_NONE ? headers : NULL;
}

static struct view domain_name(struct request *request)
{
    struct buffer normal;
    struct view name = request->host;

    buffer_init(&normal, HOST_MAX_BYTES);
    if (host_normalize(request->host, &normal) == ERROR_NONE)
        name = arena_copy(&request->arena, buffer_view(&normal));
    buffer_release(&normal);
    return name;
}

/* There is no target group, but handlers take its ARN apart: one that names the app. */
static struct view target_group(struct request *request)
{
    struct view region = request->worker->shared->config->endpoint.region;

    if ((enum event_format)request->version->payload_format != EVENT_ALB)
        return VIEW("");
    return view_of(arena_format(
        &request->arena,
        "arn:aws:elasticloadbalancing:%.*s:000000000000:targetgroup/%.*s/0000000000000000",
        VIEW_FORMAT(region), VIEW_FORMAT(request->route.app)));
}

/* RFC 7240 section 4.1: a preference that the app does not grant is ignored. */
static bool wants_async(const struct request *request)
{
    struct view name, value;

    if (!request->route.respond_async)
        return false;
    for (size_t i = 0; incoming_header_at(request->incoming, i, &name, &value); i++)
        if (view_equal_nocase(name, VIEW("Prefer")) && preference_asked(value, "respond-async"))
            return true;
    return false;
}

static enum progress fail_too_large(struct request *request)
{
    if (request->asynchronous)
        request->detail = "The request, as an event for a function that is to answer later, is "
                          "larger than 1 MB (1048576 bytes).";
    return request_fail(request, FAULT_EVENT_TOO_LARGE, NULL);
}

enum progress encode_request(struct request *request)
{
    size_t count = 0;
    struct event_header *headers = collect(request, &count);
    struct event_request event = {
        .method = request->method,
        .raw_path = request->found.path,
        .raw_query = request->query,
        .protocol = incoming_is_http_1_0(request->incoming) ? VIEW("HTTP/1.0") : VIEW("HTTP/1.1"),
        .headers = headers,
        .header_count = count,
        .body = incoming_body(request->incoming),
        .source_ip = request->client,
        .domain_name = domain_name(request),
        .request_id = view_of(request->id),
        .time_ms = request->time_ms,
        .app = request->route.app,
        .api_key_id = request->api_key ? request->api_key->id : VIEW(""),
        .claims = request->claims,
        .scopes_asked = request->route.access.jwt.scope_count > 0,
        .multi_value = request->version->multi_value,
        .target_group_arn = target_group(request),
    };

    if (!headers)
        return request_fail(request, FAULT_INTERNAL, "memory ran out");
    request->asynchronous = wants_async(request);
    if (request->asynchronous)
        request->event.ceiling = REQUEST_ASYNC_MAX;
    enum error error =
        event_encode((enum event_format)request->version->payload_format, &event, &request->event);
    if (error == ERROR_TOO_BIG)
        return fail_too_large(request);
    if (error != ERROR_NONE)
        return request_fail(request, FAULT_INTERNAL, error_text(error));
    return PROGRESS_NEXT;
}
