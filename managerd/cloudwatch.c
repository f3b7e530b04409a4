/* Asks CloudWatch Logs for what functions printed. */
#include "managerd/cloudwatch.h"

#include "common/aws/credentials.h"
#include "common/aws/endpoint.h"
#include "common/aws/sigv4.h"
#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/log.h"
#include "common/net/outgoing.h"
#include "managerd/quota.h"
#include "common/aws/retry.h"

#include <event2/event.h>
#include <stdlib.h>

#define MAX_DEPTH        20
#define CALLS_PER_SECOND 5
#define DEADLINE_MS      20000
#define MAX_ANSWER_BYTES (16u << 20) /* 1 MiB of messages, each escaped, and 10,000 frames */
#define TARGET           "Logs_20140328.FilterLogEvents"
#define CONTENT_TYPE     "application/x-amz-json-1.1"

struct cloudwatch {
    struct event_base *base;
    struct arena arena; /* of the endpoint */
    struct endpoint endpoint;
    struct credentials_provider *(*provider)(const void *context);
    const void *context;
    struct sigv4_signer *signer;
    struct outgoing *outgoing;
    struct quota *quota;
    struct retry_budget budget;
    char *url, *path;
    uint64_t attempts, failures;
};

struct cloudwatch_call {
    struct cloudwatch *cloudwatch;
    char *body;
    size_t body_length;
    void (*on_done)(const struct lambda_answer *answer, void *context);
    void *context;
    unsigned attempt;
    int retry_cost;
    uint64_t attempted_us;
    struct event *timer; /* the wait before a retry */
    struct quota_place place;
    struct outgoing_call *outgoing;
    bool waiting_for_credentials;
};

enum error cloudwatch_new(struct event_base *base, const char *(*variable)(const char *name),
                          struct credentials_provider *(*provider)(const void *context),
                          const void *context, struct cloudwatch **out, struct buffer *problem)
{
    struct cloudwatch *cloudwatch = calloc(1, sizeof *cloudwatch);
    struct buffer text;
    REQUIRE(cloudwatch);
    arena_init(&cloudwatch->arena, 65536);
    enum error error =
        endpoint_resolve("logs", variable, &cloudwatch->arena, &cloudwatch->endpoint, problem);
    if (error) {
        cloudwatch_free(cloudwatch);
        return error;
    }
    struct outgoing_options options = {.max_connections = 8,
                                       .connect_timeout_ms = 3000,
                                       .max_idle_ms = 20000,
                                       .max_lifetime_ms = 600000,
                                       .ca_file = cloudwatch->endpoint.ca_file,
                                       .user_agent = "app-orchestrator/" RELEASE_VERSION};
    cloudwatch->base = base;
    cloudwatch->provider = provider;
    cloudwatch->context = context;
    cloudwatch->outgoing = outgoing_new(base, &options);
    cloudwatch->signer = sigv4_signer_new(cloudwatch->endpoint.region, VIEW("logs"));
    cloudwatch->quota = quota_new(base, CALLS_PER_SECOND);
    cloudwatch->budget.tokens = RETRY_TOKENS;
    buffer_init(&text, 16384);
    buffer_append_view(&text, cloudwatch->endpoint.url);
    buffer_append_byte(&text, '/');
    cloudwatch->url = buffer_take(&text, NULL);
    buffer_init(&text, 16384);
    buffer_append_view(&text, cloudwatch->endpoint.path);
    buffer_append_byte(&text, '/');
    cloudwatch->path = buffer_take(&text, NULL);
    *out = cloudwatch;
    return ERROR_NONE;
}

void cloudwatch_free(struct cloudwatch *cloudwatch)
{
    if (!cloudwatch)
        return;
    if (cloudwatch->outgoing)
        outgoing_free(cloudwatch->outgoing);
    if (cloudwatch->signer)
        sigv4_signer_free(cloudwatch->signer);
    quota_free(cloudwatch->quota);
    arena_release(&cloudwatch->arena);
    free(cloudwatch->url);
    free(cloudwatch->path);
    free(cloudwatch);
}

void cloudwatch_count(const struct cloudwatch *cloudwatch, uint64_t *attempts, uint64_t *failures)
{
    *attempts = cloudwatch->attempts;
    *failures = cloudwatch->failures;
}

static void call_free(struct cloudwatch_call *call)
{
    quota_leave(call->cloudwatch->quota, &call->place);
    if (call->outgoing)
        outgoing_cancel(call->outgoing);
    event_free(call->timer);
    free(call->body);
    free(call);
}

void cloudwatch_cancel(struct cloudwatch_call *call)
{
    if (!call)
        return;
    if (call->waiting_for_credentials)
        credentials_forget(call->cloudwatch->provider(call->cloudwatch->context), call);
    call_free(call);
}

static void finish(struct cloudwatch_call *call, const struct lambda_answer *answer)
{
    if (answer->outcome != LAMBDA_OK)
        log_write(LOG_INFO, "logs-call-failed", LOG_INTEGER("status", answer->status),
                  LOG_VIEW("code", answer->code), LOG_VIEW("message", answer->message),
                  LOG_INTEGER("attempts", call->attempt));
    call->on_done(answer, call->context);
    call_free(call);
}

static enum lambda_outcome classify(const struct outgoing_result *result, struct view code)
{
    int status = result->status;
    if (result->error || status >= 500 || status == 429 || status == 408 ||
        retry_is_throttle(code) || view_equal_string(code, "ServiceUnavailableException"))
        return LAMBDA_UNAVAILABLE;
    if (status >= 200 && status < 300)
        return LAMBDA_OK;
    if (view_equal_string(code, "ResourceNotFoundException"))
        return LAMBDA_NOT_FOUND;
    static const char *const denials[] = {
        "AccessDeniedException",        "UnrecognizedClientException",
        "InvalidSignatureException",    "MissingAuthenticationTokenException",
        "IncompleteSignatureException", "ExpiredTokenException"};
    for (size_t i = 0; i < sizeof denials / sizeof denials[0]; i++)
        if (view_equal_string(code, denials[i]))
            return LAMBDA_DENIED;
    return status == 401 || status == 403 ? LAMBDA_DENIED : LAMBDA_REFUSED;
}

static bool tried_again(struct cloudwatch_call *call, const struct lambda_answer *answer)
{
    struct cloudwatch *cloudwatch = call->cloudwatch;
    bool throttled = answer->status == 429 || retry_is_throttle(answer->code);
    uint32_t random;
    if (throttled)
        quota_throttled(cloudwatch->quota, call->attempted_us);
    if (answer->outcome == LAMBDA_OK)
        retry_give_back(&cloudwatch->budget, call->retry_cost);
    else
        cloudwatch->failures++;
    if (answer->outcome != LAMBDA_UNAVAILABLE || call->attempt >= RETRY_MAX_ATTEMPTS ||
        !retry_take(&cloudwatch->budget, throttled, &call->retry_cost))
        return false;
    random_bytes(&random, sizeof random);
    int64_t delay_us = retry_delay_us(call->attempt, throttled, random, -1);
    struct timeval delay = {.tv_sec = delay_us / 1000000, .tv_usec = delay_us % 1000000};
    REQUIRE(evtimer_add(call->timer, &delay) == 0);
    return true;
}

/* "com.amazonaws.logs#ResourceNotFoundException" and "ResourceNotFoundException:http://…". */
static struct view plain_code(struct view code)
{
    code = view_slice(code, 0, view_find(code, ':'));
    size_t hash = view_find(code, '#');
    return hash == SIZE_MAX ? code : view_slice(code, hash + 1, SIZE_MAX);
}

/* Functions may print NUL, which a tree cannot hold: the escape of it becomes that of U+FFFD. */
static void replace_nul(struct buffer *out, struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] != '\\' || i + 1 == text.length) {
            buffer_append_byte(out, text.data[i]);
        } else if (view_starts_with(view_slice(text, i, SIZE_MAX), VIEW("\\u0000"))) {
            buffer_append_string(out, "\\ufffd");
            i += 5;
        } else {
            buffer_append(out, text.data + i, 2);
            i++;
        }
    }
}

/* NULL: no JSON. */
static struct json *read_document(struct view body)
{
    struct json *json = NULL;
    struct buffer replaced;
    if (json_parse(body, MAX_DEPTH, &json, NULL) == ERROR_NONE)
        return json;
    buffer_init(&replaced, body.length + 1);
    replace_nul(&replaced, body);
    if (replaced.error || json_parse(buffer_view(&replaced), MAX_DEPTH, &json, NULL))
        json = NULL;
    buffer_release(&replaced);
    return json;
}

static void on_answer(const struct outgoing_result *result, void *context)
{
    struct cloudwatch_call *call = context;
    struct lambda_answer answer = {.status = result->status,
                                   .body = result->body,
                                   .code = VIEW(""),
                                   .message = VIEW(""),
                                   .request_id = VIEW(""),
                                   .error = result->error,
                                   .took_us = result->total_us};
    struct json *json = NULL;
    struct view text;
    call->outgoing = NULL;
    if (!result->error && result->body.length)
        json = read_document(result->body);
    answer.json = json;
    if (outgoing_header(result->call, "x-amzn-errortype", &text) ||
        json_get_string(json, "__type", &text))
        answer.code = plain_code(text);
    if (outgoing_header(result->call, "x-amzn-requestid", &text))
        answer.request_id = text;
    answer.outcome = classify(result, answer.code);
    if (answer.outcome == LAMBDA_OK && json_type_of(json) != JSON_OBJECT) {
        answer.outcome = LAMBDA_REFUSED;
        answer.message = VIEW("The answer of CloudWatch Logs is no JSON object.");
    } else if (answer.outcome != LAMBDA_OK) {
        if (!json_get_string(json, "message", &answer.message))
            json_get_string(json, "Message", &answer.message);
        if (result->error) {
            answer.code = view_of(error_name(result->error));
            answer.message = view_of(result->reason);
        }
    }
    if (!tried_again(call, &answer))
        finish(call, &answer);
    json_free(json);
}

static void send_signed(struct cloudwatch_call *call, const struct sigv4_signature *signature)
{
    struct incoming_header headers[5] = {{VIEW("X-Amz-Date"), view_of(signature->amz_date)},
                                         {VIEW("Authorization"), signature->authorization},
                                         {VIEW("Content-Type"), VIEW(CONTENT_TYPE)},
                                         {VIEW("X-Amz-Target"), VIEW(TARGET)},
                                         {VIEW("X-Amz-Security-Token"), signature->session_token}};
    struct outgoing_request request = {.method = "POST",
                                       .url = call->cloudwatch->url,
                                       .headers = headers,
                                       .header_count = signature->session_token.length ? 5 : 4,
                                       .body = view_from(call->body, call->body_length),
                                       .has_body = true,
                                       .deadline_ms = DEADLINE_MS,
                                       .max_answer_bytes = MAX_ANSWER_BYTES,
                                       .on_done = on_answer,
                                       .context = call};
    call->attempt++;
    call->attempted_us = clock_monotonic_us();
    call->cloudwatch->attempts++;
    call->outgoing = outgoing_send(call->cloudwatch->outgoing, &request);
}

static void sign_and_send(struct cloudwatch_call *call, struct credentials *credentials)
{
    struct cloudwatch *cloudwatch = call->cloudwatch;
    struct lambda_answer failed = {.outcome = LAMBDA_DENIED,
                                   .code = VIEW("NoCredentials"),
                                   .message = VIEW("There are no AWS credentials."),
                                   .request_id = VIEW("")};
    struct sigv4_header headers[] = {{VIEW("content-type"), VIEW(CONTENT_TYPE)},
                                     {VIEW("x-amz-target"), VIEW(TARGET)}};
    struct sigv4_request request = {.method = VIEW("POST"),
                                    .path = view_of(cloudwatch->path),
                                    .query = VIEW(""),
                                    .host = cloudwatch->endpoint.host,
                                    .headers = headers,
                                    .header_count = 2,
                                    .body = view_from(call->body, call->body_length),
                                    .region = cloudwatch->endpoint.region,
                                    .service = VIEW("logs")};
    struct sigv4_signature signature;
    struct arena arena;
    if (!credentials) {
        finish(call, &failed);
        return;
    }
    arena_init(&arena, 1u << 20);
    if (sigv4_sign(cloudwatch->signer, &request, credentials,
                   clock_wall_ms() +
                       credentials_clock_offset_ms(cloudwatch->provider(cloudwatch->context)),
                   &arena, &signature)) {
        failed.message = VIEW("The request could not be signed.");
        finish(call, &failed);
    } else {
        send_signed(call, &signature);
    }
    arena_release(&arena);
    credentials_release(credentials);
}

static void on_credentials(struct credentials *credentials, enum error error, void *context)
{
    struct cloudwatch_call *call = context;
    (void)error;
    call->waiting_for_credentials = false;
    sign_and_send(call, credentials);
}

static void on_turn(void *context)
{
    struct cloudwatch_call *call = context;
    call->waiting_for_credentials = true;
    struct credentials *credentials = credentials_get(
        call->cloudwatch->provider(call->cloudwatch->context), on_credentials, call);
    if (credentials)
        on_credentials(credentials, ERROR_NONE, call);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct cloudwatch_call *call = context;
    (void)fd, (void)what;
    quota_wait(call->cloudwatch->quota, &call->place, on_turn, call);
}

static void write_body(struct cloudwatch_call *call, const struct cloudwatch_request *request)
{
    struct buffer body;
    struct json_writer w;
    buffer_init(&body, 65536);
    json_begin(&w, &body);
    json_open_object(&w, NULL);
    json_write_string(&w, "logGroupName", request->group);
    json_write_integer(&w, "startTime", request->start_ms);
    if (request->end_ms)
        json_write_integer(&w, "endTime", request->end_ms);
    json_write_integer(&w, "limit", request->limit);
    if (request->token.length)
        json_write_string(&w, "nextToken", request->token);
    json_close_object(&w);
    REQUIRE(!body.error);
    call->body = buffer_take(&body, &call->body_length);
}

struct cloudwatch_call *cloudwatch_filter(
    struct cloudwatch *cloudwatch, const struct cloudwatch_request *request,
    void (*on_done)(const struct lambda_answer *answer, void *context), void *context)
{
    struct cloudwatch_call *call = calloc(1, sizeof *call);
    REQUIRE(call);
    call->cloudwatch = cloudwatch;
    call->on_done = on_done;
    call->context = context;
    write_body(call, request);
    call->timer = evtimer_new(cloudwatch->base, on_timer, call);
    REQUIRE(call->timer);
    quota_wait(cloudwatch->quota, &call->place, on_turn, call);
    return call;
}
