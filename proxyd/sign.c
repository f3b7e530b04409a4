/* SIGN: writes the Invoke call's target and headers, with a signature. Secrets are seen here alone. */
#include "proxyd/steps.h"

#include "common/base/clock.h"
#include "common/base/escape.h"

#define FUNCTION_MAX 1024 /* percent-encoded; Lambda: 256 bytes for an ARN */

struct target {
    const char *path, *query;
};

#define BUFFERED_PATH "%.*s/2015-03-31/functions/%.*s/invocations"
#define STREAMED_PATH "%.*s/2021-11-15/functions/%.*s/response-streaming-invocations"

/* The path as the SDKs send it: everything but unreserved characters is escaped, ":" too. */
static bool write_target(struct request *request, struct target *target)
{
    const struct endpoint *endpoint = &request->worker->shared->config->endpoint;
    struct arena *arena = &request->arena;
    struct buffer function, qualifier;

    buffer_init(&function, FUNCTION_MAX);
    buffer_init(&qualifier, FUNCTION_MAX);
    percent_encode(&function, request->version->function, "");
    percent_encode(&qualifier, request->version->qualifier, "");
    if (!request_streams(request))
        target->path = arena_format(arena, BUFFERED_PATH, VIEW_FORMAT(endpoint->path),
                                    VIEW_FORMAT(buffer_view(&function)));
    else
        target->path = arena_format(arena, STREAMED_PATH, VIEW_FORMAT(endpoint->path),
                                    VIEW_FORMAT(buffer_view(&function)));
    target->query = "";
    if (qualifier.length)
        target->query = arena_format(arena, "Qualifier=%.*s", VIEW_FORMAT(buffer_view(&qualifier)));
    bool fits = function.error == ERROR_NONE && qualifier.error == ERROR_NONE;
    buffer_release(&function);
    buffer_release(&qualifier);
    if (arena->error != ERROR_NONE || !fits)
        return false;
    request->target =
        arena_format(arena, "%s%s%s", target->path, target->query[0] ? "?" : "", target->query);
    return request->target != NULL;
}

static void add_header(struct request *request, struct view name, struct view value)
{
    REQUIRE(request->header_count < sizeof request->headers / sizeof request->headers[0]);
    request->headers[request->header_count++] = (struct incoming_header){name, value};
}

static enum progress sign(struct request *request)
{
    const struct endpoint *endpoint = &request->worker->shared->config->endpoint;
    const struct sigv4_header signed_headers[] = {
        {VIEW("Content-Type"), VIEW("application/json")},
        {VIEW("X-Amz-Invocation-Type"),
         VIEW("Event")}, /* unless it is the default, RequestResponse */
    };
    size_t signed_count = request->asynchronous ? 2 : 1;
    struct target target;
    struct sigv4_signature signature;

    if (!write_target(request, &target))
        return request_fail(request, FAULT_INTERNAL, "the function's name is too long");
    struct sigv4_request call = {
        .method = VIEW("POST"),
        .path = view_of(target.path),
        .query = view_of(target.query),
        .host = endpoint->host,
        .headers = signed_headers,
        .header_count = signed_count,
        .body = buffer_view(&request->event),
        .region = endpoint->region,
        .service = VIEW("lambda"),
    };
    if (sigv4_sign(request->worker->signer, &call, request->credentials,
                   request->time_ms + worker_clock_offset_ms(request->worker), &request->arena,
                   &signature) != ERROR_NONE)
        return request_fail(request, FAULT_INTERNAL, "memory ran out");
    add_header(request, VIEW("Host"), endpoint->host);
    for (size_t i = 0; i < signed_count; i++)
        add_header(request, signed_headers[i].name, signed_headers[i].value);
    add_header(request, VIEW("X-Amz-Date"),
               arena_copy(&request->arena, view_of(signature.amz_date)));
    add_header(request, VIEW("Authorization"), signature.authorization);
    if (signature.session_token.length)
        add_header(request, VIEW("X-Amz-Security-Token"), signature.session_token);
    add_header(request, VIEW("X-Amzn-Trace-Id"), request->trace_id);
    return PROGRESS_NEXT;
}

static void on_credentials(struct credentials *credentials, enum error error, void *context)
{
    struct request *request = context;

    request->credentials = credentials;
    request_resume(request, credentials
                                ? sign(request)
                                : request_fail(request, FAULT_NO_CREDENTIALS, error_text(error)));
}

enum progress sign_request(struct request *request)
{
    credentials_release(request->credentials);
    request->header_count = 0;
    request->credentials = credentials_get(request->worker->credentials, on_credentials, request);
    return request->credentials ? sign(request) : PROGRESS_WAIT;
}
