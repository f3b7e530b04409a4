/* Calls the AWS Lambda API: signs, paces, retries, and names AWS's errors. */
#include "managerd/lambda_control.h"

#include "common/aws/credentials_source.h"
#include "common/aws/endpoint.h"
#include "common/aws/refusal.h"
#include "common/aws/sigv4.h"
#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/log.h"
#include "common/net/outgoing.h"
#include "managerd/quota.h"
#include "common/aws/retry.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_DEADLINE 60000
#define MAX_ANSWER_BYTES (8u << 20)
#define SIGN_AGAIN_US    200000
#define MAX_HINT_MS      86400000
#define CONTENT_HASH     "X-Amz-Content-Sha256"

struct lambda_control {
    struct event_base *base;
    struct arena arena; /* of the endpoint */
    struct endpoint endpoint;
    struct credentials_source *source;
    struct credentials_provider *provider;
    struct sigv4_signer *signer;
    struct outgoing *outgoing;
    struct quota *quotas[LAMBDA_QUOTA_COUNT];
    struct retry_budget budget;
    char *region, *url;
    uint64_t attempts[LAMBDA_OPERATION_COUNT], failures[LAMBDA_OPERATION_COUNT];
};

struct lambda_call {
    struct lambda_control *control;
    enum lambda_operation operation;
    char *path, *query; /* as on the wire */
    char *url;
    char *body;
    size_t body_length;
    struct lambda_stream *stream; /* NULL: the body is it */
    int64_t deadline_ms;
    bool once, tail;
    bool (*on_bytes)(struct view bytes, void *context);
    void (*on_done)(const struct lambda_answer *answer, void *context);
    void *context;
    unsigned attempt;
    int retry_cost; /* of the last retry; 0: there was none */
    uint64_t attempted_us;
    struct event *timer; /* the wait before a retry */
    struct quota_place place;
    struct outgoing_call *outgoing;
    bool waiting_for_credentials;
    struct credentials *credentials; /* that signed the last attempt */
    bool signed_again;
};

enum error lambda_control_new(struct event_base *base, const char *(*variable)(const char *name),
                              const int64_t per_second[LAMBDA_QUOTA_COUNT],
                              struct lambda_control **out, struct buffer *problem)
{
    struct lambda_control *control = calloc(1, sizeof *control);
    REQUIRE(control);
    control->base = base;
    control->budget.tokens = RETRY_TOKENS;
    arena_init(&control->arena, 65536);
    enum error error =
        endpoint_resolve("lambda", variable, &control->arena, &control->endpoint, problem);
    if (!error)
        error = credentials_source_new(base, variable, &control->source, problem);
    if (error) {
        lambda_control_free(control);
        return error;
    }
    control->provider = credentials_provider_new(control->source, base);
    struct outgoing_options options = {.max_connections = 64,
                                       .connect_timeout_ms = 3000,
                                       .max_idle_ms = 20000,
                                       .max_lifetime_ms = 600000,
                                       .ca_file = control->endpoint.ca_file,
                                       .user_agent = "app-orchestrator/" RELEASE_VERSION};
    control->outgoing = outgoing_new(base, &options);
    for (int i = 0; i < LAMBDA_QUOTA_COUNT; i++)
        control->quotas[i] = quota_new(base, per_second[i]);
    control->signer = sigv4_signer_new(control->endpoint.region, VIEW("lambda"));
    control->region = view_duplicate(control->endpoint.region);
    control->url = view_duplicate(control->endpoint.url);
    *out = control;
    return ERROR_NONE;
}

enum error lambda_control_reload(struct lambda_control *control, struct buffer *problem)
{
    return credentials_source_reload(control->source, problem);
}

void lambda_control_free(struct lambda_control *control)
{
    if (!control)
        return;
    if (control->outgoing)
        outgoing_free(control->outgoing);
    if (control->signer)
        sigv4_signer_free(control->signer);
    credentials_provider_free(control->provider);
    credentials_source_free(control->source);
    for (int i = 0; i < LAMBDA_QUOTA_COUNT; i++)
        quota_free(control->quotas[i]);
    arena_release(&control->arena);
    free(control->region);
    free(control->url);
    free(control);
}

void lambda_control_credentials_status(const struct lambda_control *control,
                                       struct credentials_status *status)
{
    credentials_source_status(control->source, status);
}

struct credentials_provider *lambda_control_credentials(const struct lambda_control *control)
{
    return control->provider;
}

const char *lambda_control_region(const struct lambda_control *control)
{
    return control->region;
}

const char *lambda_control_endpoint(const struct lambda_control *control)
{
    return control->url;
}

uint64_t lambda_control_attempts(const struct lambda_control *control,
                                 enum lambda_operation operation)
{
    return control->attempts[operation];
}

uint64_t lambda_control_failures(const struct lambda_control *control,
                                 enum lambda_operation operation)
{
    return control->failures[operation];
}

void lambda_control_quota(const struct lambda_control *control, enum lambda_quota quota,
                          struct quota_figures *figures)
{
    quota_count(control->quotas[quota], figures);
}

int lambda_control_retry_tokens(const struct lambda_control *control)
{
    return control->budget.tokens;
}

/* The quota that the call counts for; NULL: none. */
static struct quota *quota_of(const struct lambda_call *call)
{
    enum lambda_quota quota = lambda_operation_quota(call->operation);
    return quota == LAMBDA_QUOTA_COUNT ? NULL : call->control->quotas[quota];
}

static void call_free(struct lambda_call *call)
{
    if (quota_of(call))
        quota_leave(quota_of(call), &call->place);
    if (call->outgoing)
        outgoing_cancel(call->outgoing);
    event_free(call->timer);
    credentials_release(call->credentials);
    free(call->path);
    free(call->query);
    free(call->url);
    memory_release(call->body); /* it may hold an environment */
    if (call->stream)
        call->stream->free(call->stream);
    free(call);
}

void lambda_cancel(struct lambda_call *call)
{
    if (!call)
        return;
    if (call->waiting_for_credentials)
        credentials_forget(call->control->provider, call);
    call_free(call);
}

static void send_attempt(struct lambda_call *call, struct credentials *credentials,
                         enum error error);

static void on_credentials(struct credentials *credentials, enum error error, void *context)
{
    struct lambda_call *call = context;
    call->waiting_for_credentials = false;
    send_attempt(call, credentials, error);
}

static void on_turn(void *context)
{
    struct lambda_call *call = context;
    call->waiting_for_credentials = true;
    struct credentials *credentials =
        credentials_get(call->control->provider, on_credentials, call);
    if (credentials)
        on_credentials(credentials, ERROR_NONE, call);
}

/* The line is joined when the call could go at once: nobody holds a turn while backing off. */
static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct lambda_call *call = context;
    (void)fd, (void)what;
    if (quota_of(call))
        quota_wait(quota_of(call), &call->place, on_turn, call);
    else
        on_turn(call);
}

static void schedule(struct lambda_call *call, int64_t delay_us)
{
    struct timeval delay = {.tv_sec = delay_us / 1000000, .tv_usec = delay_us % 1000000};
    REQUIRE(evtimer_add(call->timer, &delay) == 0);
}

static void finish(struct lambda_call *call, const struct lambda_answer *answer)
{
    if (answer->outcome != LAMBDA_OK)
        log_write(LOG_INFO, "lambda-call-failed",
                  LOG_STRING("operation", lambda_operation_name(call->operation)),
                  LOG_INTEGER("status", answer->status), LOG_VIEW("code", answer->code),
                  LOG_VIEW("message", answer->message), LOG_INTEGER("attempts", call->attempt));
    /* The call is over before its owner hears of it, so the owner may start the next one. */
    call->on_done(answer, call->context);
    call_free(call);
}

/* "ResourceConflictException:http://…" and "aws.lambda#ResourceConflictException" both name it. */
static struct view plain_code(struct view code)
{
    code = view_slice(code, 0, view_find(code, ':'));
    size_t hash = view_find(code, '#');
    return hash == SIZE_MAX ? code : view_slice(code, hash + 1, SIZE_MAX);
}

static enum lambda_outcome classify(const struct outgoing_result *result, struct view code)
{
    int status = result->status;
    if (result->error || status >= 500 || status == 429 || status == 408 || retry_is_throttle(code))
        return LAMBDA_UNAVAILABLE;
    if (status >= 200 && status < 300)
        return LAMBDA_OK;
    if (status == 401 || status == 403)
        return LAMBDA_DENIED;
    if (status == 404)
        return LAMBDA_NOT_FOUND;
    if (status == 409 || status == 412)
        return LAMBDA_CONFLICT;
    return LAMBDA_REFUSED;
}

static bool is_invocation(enum lambda_operation operation)
{
    return operation == LAMBDA_INVOKE || operation == LAMBDA_INVOKE_STREAM;
}

/* A change that AWS may have made although its answer is missing or says 5xx: whoever asked for it
 * must look before it asks again. */
static bool may_have_happened(const struct lambda_call *call, const struct outgoing_result *result,
                              bool throttled)
{
    return lambda_operation_changes(call->operation) && !throttled &&
           (!result->error || result->reach != OUTGOING_NOT_SENT);
}

/* A call that was refused for its signature has done nothing. Clocks are corrected at once; other
 * credentials are there soon, or not at all. */
static bool may_sign_again(struct lambda_call *call, const struct outgoing_result *result,
                           struct view code)
{
    struct view date = VIEW("");
    outgoing_header(result->call, "Date", &date);
    if (result->error || result->status < 400 || result->status >= 500 || call->signed_again)
        return false;
    return credentials_refused(call->control->provider, call->credentials, code, date) ||
           refusal_doubts_credentials(code);
}

/* Whether the call is made once more, which is then under way. */
static bool tried_again(struct lambda_call *call, const struct outgoing_result *result,
                        const struct lambda_answer *answer)
{
    bool throttled = answer->status == 429 || retry_is_throttle(answer->code);
    struct view header;
    uint32_t random;
    uint64_t hint_ms;
    if (throttled && quota_of(call))
        quota_throttled(quota_of(call), call->attempted_us);
    if (answer->outcome == LAMBDA_OK)
        retry_give_back(&call->control->budget, call->retry_cost);
    if (may_sign_again(call, result, answer->code)) {
        call->signed_again = true;
        schedule(call, SIGN_AGAIN_US);
        return true;
    }
    if (answer->outcome != LAMBDA_UNAVAILABLE || call->attempt >= RETRY_MAX_ATTEMPTS ||
        call->once || may_have_happened(call, result, throttled) ||
        !retry_take(&call->control->budget, throttled, &call->retry_cost))
        return false;
    bool hinted = outgoing_header(result->call, "x-amz-retry-after", &header) &&
                  view_to_u64(header, MAX_HINT_MS, &hint_ms) == ERROR_NONE;
    random_bytes(&random, sizeof random);
    schedule(call,
             retry_delay_us(call->attempt, throttled, random, hinted ? (int64_t)hint_ms : -1));
    return true;
}

/* Bytes of a streamed answer. Its owner may have enough of them. */
static bool on_piece(struct view bytes, const struct outgoing_result *so_far, void *context)
{
    struct lambda_call *call = context;
    struct view header;
    char id[64] = "";
    struct lambda_answer answer = {.outcome = LAMBDA_OK,
                                   .status = so_far->status,
                                   .body = VIEW(""),
                                   .log = VIEW(""),
                                   .code = VIEW(""),
                                   .message = VIEW(""),
                                   .request_id = VIEW(""),
                                   .took_us = clock_monotonic_us() - call->attempted_us};
    if (so_far->status != 200)
        return true;
    /* The header goes with the transfer. */
    if (outgoing_header(so_far->call, "x-amzn-requestid", &header))
        snprintf(id, sizeof id, "%.*s", VIEW_FORMAT(view_slice(header, 0, sizeof id - 1)));
    answer.request_id = view_of(id);
    call->once = true;
    if (call->on_bytes(bytes, call->context))
        return true;
    outgoing_cancel(call->outgoing);
    call->outgoing = NULL;
    finish(call, &answer);
    return true;
}

static void on_answer(const struct outgoing_result *result, void *context)
{
    struct lambda_call *call = context;
    struct lambda_answer answer = {.status = result->status,
                                   .body = result->body,
                                   .code = VIEW(""),
                                   .message = VIEW(""),
                                   .request_id = VIEW(""),
                                   .log = VIEW(""),
                                   .error = result->error,
                                   .sent = result->reach != OUTGOING_NOT_SENT,
                                   .took_us = result->total_us};
    struct json *json = NULL;
    struct view header;
    call->outgoing = NULL;
    bool is_function_output = is_invocation(call->operation) && result->status == 200;
    if (!result->error && !is_function_output && result->body.length &&
        json_parse(result->body, 50, &json, NULL))
        json = NULL;
    answer.json = json;
    if (outgoing_header(result->call, "x-amzn-errortype", &header))
        answer.code = plain_code(header);
    if (outgoing_header(result->call, "x-amzn-requestid", &header))
        answer.request_id = header;
    if (outgoing_header(result->call, "x-amz-log-result", &header))
        answer.log = header;
    answer.function_error = outgoing_header(result->call, "x-amz-function-error", &header);
    answer.outcome = classify(result, answer.code);
    if (answer.outcome != LAMBDA_OK) {
        if (!json_get_string(json, "message", &answer.message))
            json_get_string(json, "Message", &answer.message);
        if (result->error) {
            answer.code = view_of(error_name(result->error));
            answer.message = view_of(result->reason);
        }
        call->control->failures[call->operation]++;
    }
    if (!tried_again(call, result, &answer))
        finish(call, &answer);
    json_free(json);
}

static size_t on_read(uint64_t offset, char *out, size_t room, void *context)
{
    struct lambda_call *call = context;
    return call->stream->read(call->stream, offset, out, room);
}

static void send_signed(struct lambda_call *call, const struct sigv4_signature *signature,
                        bool has_body)
{
    struct incoming_header headers[6];
    size_t count = 0;
    headers[count++] = (struct incoming_header){VIEW("X-Amz-Date"), view_of(signature->amz_date)};
    headers[count++] = (struct incoming_header){VIEW("Authorization"), signature->authorization};
    if (signature->session_token.length)
        headers[count++] =
            (struct incoming_header){VIEW("X-Amz-Security-Token"), signature->session_token};
    if (has_body)
        headers[count++] = (struct incoming_header){VIEW("Content-Type"), VIEW("application/json")};
    if (call->stream)
        headers[count++] =
            (struct incoming_header){VIEW(CONTENT_HASH), view_of(call->stream->sha256)};
    if (call->tail)
        headers[count++] = (struct incoming_header){VIEW("X-Amz-Log-Type"), VIEW("Tail")};
    struct outgoing_request request = {
        .method = lambda_operation_method(call->operation),
        .url = call->url,
        .headers = headers,
        .header_count = count,
        .body = view_from(call->body, call->body_length),
        .has_body = has_body,
        .read_body = call->stream ? on_read : NULL,
        .body_length = call->stream ? call->stream->length : 0,
        .deadline_ms = call->deadline_ms,
        .max_answer_bytes = MAX_ANSWER_BYTES,
        .on_done = on_answer,
        .on_bytes = call->on_bytes ? on_piece : NULL,
        .context = call,
    };
    call->attempt++;
    call->attempted_us = clock_monotonic_us();
    call->control->attempts[call->operation]++;
    call->outgoing = outgoing_send(call->control->outgoing, &request);
}

static void send_attempt(struct lambda_call *call, struct credentials *credentials,
                         enum error error)
{
    struct lambda_control *control = call->control;
    struct lambda_answer failed = {.outcome = LAMBDA_UNAVAILABLE,
                                   .code = VIEW("NoCredentials"),
                                   .message = VIEW("There are no AWS credentials."),
                                   .request_id = VIEW("")};
    struct credentials_status status;
    if (!credentials || error) {
        credentials_source_status(control->source, &status);
        if (status.problem[0])
            failed.message = view_of(status.problem);
        finish(call, &failed);
        return;
    }
    struct arena arena;
    arena_init(&arena, 1u << 20);
    bool has_body = lambda_operation_has_body(call->operation);
    /* Only invocations want a tail, only packages stream. */
    struct sigv4_header headers[2] = {{VIEW("content-type"), VIEW("application/json")}};
    if (call->stream)
        headers[1] = (struct sigv4_header){VIEW(CONTENT_HASH), view_of(call->stream->sha256)};
    else if (call->tail)
        headers[1] = (struct sigv4_header){VIEW("x-amz-log-type"), VIEW("Tail")};
    struct sigv4_request request = {
        .method = view_of(lambda_operation_method(call->operation)),
        .path = view_of(call->path),
        .query = view_of(call->query),
        .host = control->endpoint.host,
        .headers = headers,
        .header_count = call->stream || call->tail ? 2
                        : has_body                 ? 1
                                                   : 0,
        .body = view_from(call->body, call->body_length),
        .region = control->endpoint.region,
        .service = VIEW("lambda"),
    };
    struct sigv4_signature signature;
    credentials_release(call->credentials);
    call->credentials = credentials;
    error = sigv4_sign(control->signer, &request, credentials,
                       clock_wall_ms() + credentials_clock_offset_ms(control->provider), &arena,
                       &signature);
    if (error) {
        failed.message = VIEW("The request could not be signed.");
        finish(call, &failed);
    } else {
        send_signed(call, &signature, has_body);
    }
    arena_release(&arena);
}

static void append_parameter(struct buffer *query, const char *name, struct view value)
{
    if (!value.length)
        return;
    buffer_append_string(query, query->length ? "&" : "");
    buffer_append_string(query, name);
    buffer_append_byte(query, '=');
    percent_encode(query, value, "");
}

static void make_target(struct lambda_call *call, const struct lambda_request *request)
{
    struct buffer path, query, url;
    buffer_init(&path, 4096);
    buffer_init(&query, 4096);
    buffer_init(&url, 16384);
    buffer_append_view(&path, call->control->endpoint.path);
    lambda_operation_path(&path, request->operation, request->function);
    if (request->operation == LAMBDA_LIST_PROVISIONED)
        append_parameter(&query, "List", VIEW("ALL"));
    append_parameter(&query, "Qualifier", request->qualifier);
    append_parameter(&query, "Marker", request->marker);
    for (size_t i = 0; i < request->tag_key_count; i++)
        append_parameter(&query, "tagKeys", request->tag_keys[i]);
    /* The endpoint's URL holds its path already. */
    buffer_append_view(&url, call->control->endpoint.url);
    buffer_append_view(
        &url, view_slice(buffer_view(&path), call->control->endpoint.path.length, SIZE_MAX));
    if (query.length) {
        buffer_append_byte(&url, '?');
        buffer_append_view(&url, buffer_view(&query));
    }
    REQUIRE(!path.error && !query.error && !url.error);
    call->path = buffer_take(&path, NULL);
    call->query = buffer_take(&query, NULL);
    call->url = buffer_take(&url, NULL);
}

struct lambda_call *lambda_send(struct lambda_control *control,
                                const struct lambda_request *request,
                                void (*on_done)(const struct lambda_answer *answer, void *context),
                                void *context)
{
    struct lambda_call *call = calloc(1, sizeof *call);
    REQUIRE(call);
    call->control = control;
    call->operation = request->operation;
    call->deadline_ms = request->deadline_ms ? request->deadline_ms : DEFAULT_DEADLINE;
    call->once = request->once;
    call->tail = request->tail;
    call->on_bytes = request->on_bytes;
    call->on_done = on_done;
    call->context = context;
    if (request->body)
        call->body = buffer_take(request->body, &call->body_length);
    call->stream = request->stream;
    make_target(call, request);
    call->timer = evtimer_new(control->base, on_timer, call);
    REQUIRE(call->timer);
    schedule(call, 0);
    return call;
}
