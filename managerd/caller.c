/* Asks STS who the credentials belong to. */
#include "managerd/caller.h"

#include "common/aws/credentials.h"
#include "common/aws/endpoint.h"
#include "common/aws/sigv4.h"
#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/net/outgoing.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS      5000
#define MAX_ANSWER_BYTES 65536
#define CONTENT_TYPE     "application/x-www-form-urlencoded; charset=utf-8"
#define BODY             "Action=GetCallerIdentity&Version=2011-06-15"

struct caller {
    struct event_base *base;
    struct arena arena; /* of the endpoint */
    struct endpoint endpoint;
    struct credentials_provider *(*provider)(const void *context);
    const void *context;
    struct sigv4_signer *signer;
    struct outgoing *outgoing;
    char *url, *path;
    bool known;
};

struct caller_call {
    struct caller *caller;
    void (*on_done)(const struct lambda_answer *answer, const struct caller_identity *identity,
                    void *context);
    void *context;
    struct event *start;
    struct outgoing_call *outgoing;
    bool waiting_for_credentials;
};

bool endpoint_is_aws(const char *url)
{
    return strstr(url, ".amazonaws.com") || strstr(url, ".api.aws") ||
           strstr(url, ".amazonwebservices.com");
}

static char *with_slash(struct view text)
{
    struct buffer out;
    buffer_init(&out, 16384);
    buffer_append_view(&out, text);
    buffer_append_byte(&out, '/');
    return buffer_take(&out, NULL);
}

enum error caller_new(struct event_base *base, const char *(*variable)(const char *name),
                      const char *lambda_endpoint,
                      struct credentials_provider *(*provider)(const void *context),
                      const void *context, struct caller **out, struct buffer *problem)
{
    struct caller *caller = calloc(1, sizeof *caller);
    REQUIRE(caller);
    arena_init(&caller->arena, 65536);
    enum error error =
        endpoint_resolve("sts", variable, &caller->arena, &caller->endpoint, problem);
    if (error) {
        caller_free(caller);
        return error;
    }
    struct outgoing_options options = {.max_connections = 1,
                                       .connect_timeout_ms = 3000,
                                       .max_idle_ms = 20000,
                                       .ca_file = caller->endpoint.ca_file,
                                       .user_agent = "app-orchestrator/" RELEASE_VERSION};
    caller->base = base;
    caller->provider = provider;
    caller->context = context;
    caller->outgoing = outgoing_new(base, &options);
    caller->signer = sigv4_signer_new(caller->endpoint.region, VIEW("sts"));
    caller->url = with_slash(caller->endpoint.url);
    caller->path = with_slash(caller->endpoint.path);
    caller->known = !endpoint_is_aws(caller->url) || endpoint_is_aws(lambda_endpoint);
    *out = caller;
    return ERROR_NONE;
}

void caller_free(struct caller *caller)
{
    if (!caller)
        return;
    if (caller->outgoing)
        outgoing_free(caller->outgoing);
    if (caller->signer)
        sigv4_signer_free(caller->signer);
    arena_release(&caller->arena);
    free(caller->url);
    free(caller->path);
    free(caller);
}

bool caller_known(const struct caller *caller)
{
    return caller->known;
}

/* ---- reading ---- */

/* The text of the first such element that holds nothing else; false: there is none. */
static bool element(struct view xml, const char *open, struct view *text)
{
    const char *at = memmem(xml.data, xml.length, open, strlen(open));
    if (!at)
        return false;
    struct view rest = view_slice(xml, (size_t)(at - xml.data) + strlen(open), SIZE_MAX);
    *text = view_trim(view_slice(rest, 0, view_find(rest, '<')));
    return text->length < rest.length && text->length > 0 && text->length < 2048;
}

static bool is_plain(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '&')
            return false;
    return true;
}

bool caller_read(struct view body, struct caller_identity *identity)
{
    return memmem(body.data, body.length, "<GetCallerIdentityResult>", 25) &&
           element(body, "<Account>", &identity->account) &&
           element(body, "<Arn>", &identity->arn) && element(body, "<UserId>", &identity->user) &&
           is_plain(identity->account) && is_plain(identity->arn) && is_plain(identity->user);
}

/* ---- asking ---- */

static void call_free(struct caller_call *call)
{
    if (call->outgoing)
        outgoing_cancel(call->outgoing);
    event_free(call->start);
    free(call);
}

void caller_cancel(struct caller_call *call)
{
    if (!call)
        return;
    if (call->waiting_for_credentials)
        credentials_forget(call->caller->provider(call->caller->context), call);
    call_free(call);
}

static void finish(struct caller_call *call, const struct lambda_answer *answer,
                   const struct caller_identity *identity)
{
    call->on_done(answer, identity, call->context);
    call_free(call);
}

static void on_answer(const struct outgoing_result *result, void *context)
{
    struct caller_call *call = context;
    struct caller_identity identity;
    struct lambda_answer answer = {.status = result->status,
                                   .body = result->body,
                                   .code = VIEW(""),
                                   .message = VIEW(""),
                                   .request_id = VIEW(""),
                                   .error = result->error,
                                   .took_us = result->total_us};
    int status = result->status;
    call->outgoing = NULL;
    if (result->error || status >= 500 || status == 429) {
        answer.outcome = LAMBDA_UNAVAILABLE;
        answer.code = view_of(result->error ? error_name(result->error) : "Unavailable");
        answer.message = result->error ? view_of(result->reason) : VIEW("STS cannot answer now.");
    } else if (status == 200 && caller_read(result->body, &identity)) {
        finish(call, &answer, &identity);
        return;
    } else {
        answer.outcome = status == 403 ? LAMBDA_DENIED : LAMBDA_REFUSED;
        if (!element(result->body, "<Code>", &answer.code))
            answer.code = VIEW("Unreadable");
        if (!element(result->body, "<Message>", &answer.message))
            answer.message = VIEW("STS gave an answer that tells no identity.");
    }
    finish(call, &answer, NULL);
}

static void sign_and_send(struct caller_call *call, struct credentials *credentials)
{
    struct caller *caller = call->caller;
    struct lambda_answer failed = {.outcome = LAMBDA_DENIED,
                                   .code = VIEW("NoCredentials"),
                                   .message = VIEW("There are no AWS credentials."),
                                   .request_id = VIEW("")};
    struct sigv4_header type = {VIEW("content-type"), VIEW(CONTENT_TYPE)};
    struct sigv4_request request = {.method = VIEW("POST"),
                                    .path = view_of(caller->path),
                                    .query = VIEW(""),
                                    .host = caller->endpoint.host,
                                    .headers = &type,
                                    .header_count = 1,
                                    .body = VIEW(BODY),
                                    .region = caller->endpoint.region,
                                    .service = VIEW("sts")};
    struct sigv4_signature signature;
    struct arena arena;
    if (!credentials) {
        finish(call, &failed, NULL);
        return;
    }
    arena_init(&arena, 1u << 20);
    if (sigv4_sign(caller->signer, &request, credentials,
                   clock_wall_ms() + credentials_clock_offset_ms(caller->provider(caller->context)),
                   &arena, &signature)) {
        failed.message = VIEW("The request could not be signed.");
        finish(call, &failed, NULL);
    } else {
        struct incoming_header headers[] = {
            {VIEW("X-Amz-Date"), view_of(signature.amz_date)},
            {VIEW("Authorization"), signature.authorization},
            {VIEW("Content-Type"), VIEW(CONTENT_TYPE)},
            {VIEW("X-Amz-Security-Token"), signature.session_token}};
        struct outgoing_request sent = {.method = "POST",
                                        .url = caller->url,
                                        .headers = headers,
                                        .header_count = signature.session_token.length ? 4 : 3,
                                        .body = VIEW(BODY),
                                        .has_body = true,
                                        .deadline_ms = DEADLINE_MS,
                                        .max_answer_bytes = MAX_ANSWER_BYTES,
                                        .on_done = on_answer,
                                        .context = call};
        call->outgoing = outgoing_send(caller->outgoing, &sent);
    }
    arena_release(&arena);
    credentials_release(credentials);
}

static void on_credentials(struct credentials *credentials, enum error error, void *context)
{
    struct caller_call *call = context;
    (void)error;
    call->waiting_for_credentials = false;
    sign_and_send(call, credentials);
}

static void on_start(evutil_socket_t fd, short what, void *context)
{
    struct caller_call *call = context;
    (void)fd, (void)what;
    call->waiting_for_credentials = true;
    struct credentials *credentials =
        credentials_get(call->caller->provider(call->caller->context), on_credentials, call);
    if (credentials)
        on_credentials(credentials, ERROR_NONE, call);
}

struct caller_call *caller_ask(struct caller *caller,
                               void (*on_done)(const struct lambda_answer *answer,
                                               const struct caller_identity *identity,
                                               void *context),
                               void *context)
{
    struct caller_call *call = calloc(1, sizeof *call);
    REQUIRE(call);
    call->caller = caller;
    call->on_done = on_done;
    call->context = context;
    call->start = event_new(caller->base, -1, 0, on_start, call);
    REQUIRE(call->start);
    event_active(call->start, 0, 0);
    return call;
}
