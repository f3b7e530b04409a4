/* Reads API requests whole, checks who signed them, and leads each to its operation. */
#include "deploy/lambda-local/server/api.h"

#include "common/aws/sigv4.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/log.h"
#include "deploy/lambda-local/package.h"
#include "deploy/lambda-local/server/call_log.h"
#include "deploy/lambda-local/server/throttle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct api {
    struct api_options options;
    struct front *front;
    uint8_t key[32];   /* signs the addresses of packages */
    size_t held_bytes; /* bodies being received, over all calls */
    struct throttle control, get;
    struct call_log *call_log; /* NULL: none */
    bool draining;
};

/* A zip of the largest size, as base64 in JSON. */
#define MAX_BODY_BYTES     (UINT64_C(72) * 1024 * 1024)
#define INVOKE_BODY_BYTES  (UINT64_C(6) * 1024 * 1024)
#define SETTING_BODY_BYTES (UINT64_C(1) * 1024 * 1024)
#define MAX_HELD_BYTES     ((size_t)512 * 1024 * 1024)
#define IDLE_TIMEOUT_MS    120000
#define ARENA_BYTES        (2 * 1024 * 1024)

#define FUNCTION    "/2015-03-31/functions/{}"
#define PROVISIONED "/2019-09-30/functions/{}/provisioned-concurrency"

static const struct api_operation operations[] = {
    {"CreateFunction", "POST", "/2015-03-31/functions", functions_create, MAX_BODY_BYTES, false},
    {"ListFunctions", "GET", "/2015-03-31/functions", functions_list, 0, false},
    {"GetFunction", "GET", FUNCTION, functions_get, 0, false},
    {"DeleteFunction", "DELETE", FUNCTION, functions_delete, 0, false},
    {"GetFunctionConfiguration", "GET", FUNCTION "/configuration", functions_get_configuration, 0,
     false},
    {"UpdateFunctionConfiguration", "PUT", FUNCTION "/configuration",
     functions_update_configuration, SETTING_BODY_BYTES, false},
    {"UpdateFunctionCode", "PUT", FUNCTION "/code", functions_update_code, MAX_BODY_BYTES, false},
    {"PublishVersion", "POST", FUNCTION "/versions", versions_publish, SETTING_BODY_BYTES, false},
    {"ListVersionsByFunction", "GET", FUNCTION "/versions", versions_list, 0, false},
    {"CreateAlias", "POST", FUNCTION "/aliases", aliases_create, SETTING_BODY_BYTES, false},
    {"ListAliases", "GET", FUNCTION "/aliases", aliases_list, 0, false},
    {"GetAlias", "GET", FUNCTION "/aliases/{}", aliases_get, 0, false},
    {"UpdateAlias", "PUT", FUNCTION "/aliases/{}", aliases_update, SETTING_BODY_BYTES, false},
    {"DeleteAlias", "DELETE", FUNCTION "/aliases/{}", aliases_delete, 0, false},
    {"Invoke", "POST", FUNCTION "/invocations", invoke, INVOKE_BODY_BYTES, false},
    {"InvokeWithResponseStream", "POST", "/2021-11-15/functions/{}/response-streaming-invocations",
     invoke_with_response_stream, INVOKE_BODY_BYTES, false},
    {"TagResource", "POST", "/2017-03-31/tags/{}", tags_add, SETTING_BODY_BYTES, false},
    {"UntagResource", "DELETE", "/2017-03-31/tags/{}", tags_remove, 0, false},
    {"ListTags", "GET", "/2017-03-31/tags/{}", tags_list, 0, false},
    {"PutFunctionConcurrency", "PUT", "/2017-10-31/functions/{}/concurrency", concurrency_put,
     SETTING_BODY_BYTES, false},
    {"DeleteFunctionConcurrency", "DELETE", "/2017-10-31/functions/{}/concurrency",
     concurrency_delete, 0, false},
    {"GetFunctionConcurrency", "GET", "/2019-09-30/functions/{}/concurrency", concurrency_get, 0,
     false},
    {"PutProvisionedConcurrencyConfig", "PUT", PROVISIONED, provisioned_put, SETTING_BODY_BYTES,
     false},
    {"GetProvisionedConcurrencyConfig", "GET", PROVISIONED, provisioned_get, 0, false},
    {"DeleteProvisionedConcurrencyConfig", "DELETE", PROVISIONED, provisioned_delete, 0, false},
    {"GetAccountSettings", "GET", "/2016-08-19/account-settings", functions_account_settings, 0,
     false},
    {"FilterLogEvents", "POST", "/", logs_filter_events, SETTING_BODY_BYTES, false},
    {"GetCallerIdentity", "POST", "/", caller_identity, SETTING_BODY_BYTES, false},
    {"GetCode", "GET", "/lambda-local/functions/{}/code", functions_code_location, 0, true},
};

/* -- finding the operation -- */

/* Compares segment by segment; what stands for "{}" goes to `labels`. */
static bool matches(const char *pattern, struct view path, struct view *labels)
{
    struct view expected = view_of(pattern), want, have;
    size_t label = 0;
    bool more;

    if (path.length > 1 && view_ends_with(path, VIEW("/")))
        path.length--;
    while ((more = view_split(&expected, '/', &want))) {
        if (!view_split(&path, '/', &have))
            return false;
        if (view_equal_string(want, "{}")) {
            if (have.length == 0)
                return false;
            labels[label++] = have;
        } else if (!view_equal(want, have)) {
            return false;
        }
    }
    return !view_split(&path, '/', &have);
}

/* CloudWatch Logs and STS both take POST of /: the former names what is asked for in a header. */
static bool is_for_another_service(const struct api_operation *operation, struct api_call *call)
{
    struct view target;
    bool logs = front_header(call->exchange, "x-amz-target", &target);

    return (operation->handle == logs_filter_events && !logs) ||
           (operation->handle == caller_identity && logs);
}

static const struct api_operation *find_operation(struct api_call *call, struct view method)
{
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (view_equal_string(method, operations[i].method) &&
            matches(operations[i].pattern, call->path, call->labels) &&
            !is_for_another_service(&operations[i], call))
            return &operations[i];
    }
    return NULL;
}

static bool decode_labels(struct api_call *call)
{
    for (size_t i = 0; i < API_MAX_LABELS; i++) {
        struct buffer decoded;
        bool good;

        if (!call->labels[i].data)
            continue;
        buffer_init(&decoded, 8192);
        good = percent_decode(&decoded, call->labels[i], false, true) == ERROR_NONE &&
               decoded.error == ERROR_NONE && utf8_valid(buffer_view(&decoded));
        if (good)
            call->labels[i] = arena_copy(&call->arena, buffer_view(&decoded));
        buffer_release(&decoded);
        if (!good || !call->labels[i].data)
            return false;
    }
    return true;
}

bool api_is_logs(const struct api_call *call)
{
    return call->operation && call->operation->handle == logs_filter_events;
}

bool api_is_sts(const struct api_call *call)
{
    return call->operation && call->operation->handle == caller_identity;
}

/* -- who asks -- */

static bool lookup_key(struct view access_key_id, struct view *secret, void *context)
{
    const struct config *config = context;

    if (!view_equal_string(access_key_id, config->access_key_id))
        return false;
    *secret = view_of(config->secret_access_key);
    return true;
}

static struct view service_of(const struct api_call *call)
{
    if (api_is_logs(call))
        return VIEW("logs");
    return api_is_sts(call) ? VIEW("sts") : VIEW("lambda");
}

static enum sigv4_verdict verify(struct api_call *call)
{
    struct sigv4_request request = {
        .method = front_method(call->exchange),
        .path = call->path,
        .query = call->query,
        .body = buffer_view(&call->body),
        .region = VIEW(CONFIG_REGION),
        .service = service_of(call),
    };
    struct sigv4_header headers[128];
    size_t count = 0;

    front_header(call->exchange, "host", &request.host);
    while (count < sizeof headers / sizeof headers[0] &&
           front_header_at(call->exchange, count, &headers[count].name, &headers[count].value))
        count++;
    return sigv4_verify(&request, headers, count, clock_wall_ms(), lookup_key,
                        (void *)call->api->options.config);
}

/* Answers and gives false when the signature is not good. */
static bool authorized(struct api_call *call)
{
    if (!call->api->options.config->verify_signatures || (call->operation && call->operation->open))
        return true;
    switch (verify(call)) {
    case SIGV4_VALID:
        return true;
    case SIGV4_MISSING:
        api_refuse(call, REFUSAL_MISSING_TOKEN, "Missing Authentication Token");
        return false;
    case SIGV4_INCOMPLETE:
        api_refuse(call, REFUSAL_INCOMPLETE_SIGNATURE,
                   "The request's authorization is not a whole AWS4-HMAC-SHA256 signature "
                   "(Credential, SignedHeaders, Signature, X-Amz-Date).");
        return false;
    case SIGV4_UNKNOWN_KEY:
        api_refuse(call, REFUSAL_UNKNOWN_CLIENT,
                   "The security token included in the request is invalid.");
        return false;
    case SIGV4_WRONG:
        api_refuse(call, REFUSAL_WRONG_SIGNATURE,
                   "The request signature we calculated does not match the signature you "
                   "provided. Check your AWS Secret Access Key and signing method. Consult the "
                   "service documentation for details.");
        return false;
    case SIGV4_EXPIRED: {
        char now[CLOCK_AMZ_SIZE];

        clock_format_amz(clock_wall_ms(), now);
        api_refuse(call, REFUSAL_WRONG_SIGNATURE,
                   "Signature expired: X-Amz-Date is more than 15 minutes away from %s.", now);
        return false;
    }
    }
    return false;
}

/* Answers and gives false when the call is beyond its quota. */
static bool within_quota(struct api_call *call)
{
    struct api *api = call->api;
    const struct config *config = api->options.config;
    void (*handle)(struct api_call *) = call->operation->handle;
    bool passes = true;

    if (handle == functions_get)
        passes = throttle_pass(&api->get, config->get_rate, clock_monotonic_us());
    else if (!api_is_logs(call) && !api_is_sts(call) && handle != invoke &&
             handle != invoke_with_response_stream && !call->operation->open)
        passes = throttle_pass(&api->control, config->control_rate, clock_monotonic_us());
    if (!passes)
        api_refuse_throttled(call, "CallerRateLimitExceeded");
    return passes;
}

/* -- the life of a call -- */

static void on_head(struct front_exchange *exchange, void *context)
{
    struct api_call *call = calloc(1, sizeof *call);
    struct view target = front_target(exchange);
    size_t question = view_find(target, '?');
    uint64_t ceiling;

    REQUIRE(call);
    call->api = context;
    call->exchange = exchange;
    arena_init(&call->arena, ARENA_BYTES);
    call->path = view_slice(target, 0, question);
    if (question != SIZE_MAX)
        call->query = view_slice(target, question + 1, SIZE_MAX);
    id_make(call->request_id);
    call->operation = find_operation(call, front_method(exchange));
    ceiling = call->operation ? call->operation->max_body_bytes : 0;
    /* Some clients send "{}" where nothing is asked for. */
    buffer_init(&call->body, ceiling > 4096 ? ceiling : 4096);
    front_set_data(exchange, call);
}

/* Forgets the bytes; an error of the buffer stays. */
static void drop_body(struct api_call *call)
{
    call->api->held_bytes -= call->held_bytes;
    call->held_bytes = 0;
    free(call->body.data);
    call->body.data = NULL;
    call->body.length = call->body.capacity = 0;
}

static void on_body(struct front_exchange *exchange, struct view piece, void *context)
{
    struct api *api = context;
    struct api_call *call = front_data(exchange);

    call->received_bytes += piece.length;
    if (call->body.error != ERROR_NONE || call->crowded)
        return;
    if (api->held_bytes + piece.length > MAX_HELD_BYTES) {
        call->crowded = true;
        drop_body(call);
        return;
    }
    buffer_append_view(&call->body, piece);
    if (call->body.error != ERROR_NONE) {
        drop_body(call);
        return;
    }
    call->held_bytes += piece.length;
    api->held_bytes += piece.length;
}

static void on_end(struct front_exchange *exchange, void *context)
{
    struct api_call *call = front_data(exchange);
    struct api *api = context;
    bool payload = call->operation && call->operation->max_body_bytes == INVOKE_BODY_BYTES;

    call_log_add(api->call_log, exchange, call->operation ? call->operation->name : NULL,
                 buffer_view(&call->body), payload);
    if (api->draining) {
        api_refuse(call, REFUSAL_UNAVAILABLE, "lambda-local is about to end.");
        return;
    }
    if (call->crowded) {
        api_refuse(call, REFUSAL_UNAVAILABLE, "Too many large requests at a time.");
        return;
    }
    if (call->body.error != ERROR_NONE) {
        api_refuse(
            call, REFUSAL_TOO_LARGE,
            payload ? "%llu byte payload is too large for the RequestResponse invocation type "
                      "(limit %llu bytes)"
                    : "Request must be smaller than %llu bytes; the limit is %llu bytes",
            (unsigned long long)call->received_bytes, (unsigned long long)call->body.ceiling);
        return;
    }
    if (!authorized(call))
        return;
    if (!call->operation) {
        api_refuse(call, REFUSAL_UNKNOWN_OPERATION, "Unknown operation: %.*s %.*s",
                   VIEW_FORMAT(front_method(exchange)), VIEW_FORMAT(call->path));
        return;
    }
    if (!decode_labels(call)) {
        api_refuse(call, REFUSAL_VALIDATION, "The path holds an invalid percent escape.");
        return;
    }
    if (within_quota(call))
        call->operation->handle(call);
}

static void on_close(struct front_exchange *exchange, bool complete, void *context)
{
    struct api_call *call = front_data(exchange);

    (void)complete;
    (void)context;
    if (!call)
        return;
    if (call->on_gone && (!call->answered || call->streaming))
        call->on_gone(call);
    json_free(call->document);
    call->api->held_bytes -= call->held_bytes;
    buffer_release(&call->body);
    arena_release(&call->arena);
    free(call);
}

enum error api_start(struct event_base *base, const struct api_options *options, struct api **api,
                     struct buffer *problem)
{
    static const struct front_handlers handlers = {on_head, on_body, on_end, on_close};
    struct guard_limits limits = guard_default_limits;
    struct api *made = calloc(1, sizeof *made);
    enum error error;

    REQUIRE(made);
    made->options = *options;
    random_bytes(made->key, sizeof made->key);
    limits.max_body_bytes = MAX_BODY_BYTES;
    if (options->config->call_log &&
        call_log_open(options->config->call_log, &made->call_log, problem) != ERROR_NONE) {
        free(made);
        return ERROR_IO;
    }
    made->front = front_new(base, &limits, &handlers, made);
    front_set_timeout(made->front, IDLE_TIMEOUT_MS);
    error = front_listen(made->front, options->config->listen, problem);
    if (error) {
        api_stop(made);
        return error;
    }
    *api = made;
    return ERROR_NONE;
}

const char *api_address(const struct api *api)
{
    return front_address(api->front);
}

void api_drain(struct api *api)
{
    api->draining = true;
}

void api_stop(struct api *api)
{
    front_free(api->front);
    call_log_close(api->call_log);
    free(api);
}

const struct api_options *api_options(const struct api_call *call)
{
    return &call->api->options;
}

void api_sign(const struct api_call *call, struct view text, char out[2 * SHA256_BYTES + 1])
{
    uint8_t digest[SHA256_BYTES];

    hmac_sha256(view_from(call->api->key, sizeof call->api->key), text, digest);
    hex_write(out, digest, sizeof digest);
    out[2 * SHA256_BYTES] = '\0';
}
