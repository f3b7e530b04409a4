/* Assumes a role of STS: signed by another identity's keys, or with a web identity's token. */
#include "common/aws/fetch_parts.h"

#include "common/aws/endpoint.h"
#include "common/aws/refusal.h"
#include "common/aws/sigv4.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/file.h"

#define TRIES      3
#define TIMEOUT_MS 5000

static void ask(struct fetch *fetch);

/* STS is asked thrice at most, with a pause of up to a quarter, then half a second. */
static void try_again(struct fetch *fetch)
{
    uint32_t random;

    if (++fetch->tries >= TRIES) {
        fetch_finish(fetch, NULL);
        return;
    }
    random_bytes(&random, sizeof random);
    fetch_pause(fetch, random % (250u << (fetch->tries - 1)), ask);
}

static bool may_pass(const struct outgoing_result *result, struct view code)
{
    static const char *const codes[] = {"IDPCommunicationError", "Throttling",
                                        "ThrottlingException", "RequestLimitExceeded",
                                        "TooManyRequestsException"};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (view_equal_string(code, codes[i]))
            return true;
    return result->status >= 500 || result->status == 429;
}

/* Whether our clock is why it was refused; from now on AWS's counts. */
static bool clock_was_wrong(struct fetch *fetch, const struct outgoing_result *result,
                            struct view code)
{
    struct view date;

    if (fetch->clock_corrected || !refusal_doubts_clock(code) ||
        !outgoing_header(result->call, "Date", &date) ||
        !refusal_corrects_clock(date, &fetch->fetcher->clock_offset_ms))
        return false;
    fetch->clock_corrected = true;
    return true;
}

static void on_refusal(struct fetch *fetch, const struct outgoing_result *result)
{
    struct view role = fetch->identity->role_arn;
    struct aws_failure failure;

    aws_failure_read(result->body, &fetch->arena, &failure);
    fetch_blame(fetch, "was refused ", role);
    buffer_append_format(&fetch->problem, " by STS with status %d", result->status);
    if (failure.code.length)
        buffer_append_format(&fetch->problem, ", %.*s: %.*s",
                             VIEW_FORMAT(view_slice(failure.code, 0, 128)),
                             VIEW_FORMAT(view_slice(failure.message, 0, 512)));
    if (clock_was_wrong(fetch, result, failure.code))
        ask(fetch);
    else if (may_pass(result, failure.code))
        try_again(fetch);
    else
        fetch_finish(fetch, NULL);
}

static void on_answer(const struct outgoing_result *result, void *context)
{
    struct fetch *fetch = context;
    struct credentials *credentials;
    struct buffer problem;

    fetch->call = NULL;
    if (result->error) {
        fetch_blame(fetch, "cannot ask STS: ", view_of(result->reason));
        try_again(fetch);
        return;
    }
    if (result->status != 200) {
        on_refusal(fetch, result);
        return;
    }
    buffer_init(&problem, 1024);
    if (credentials_from_sts(result->body, &credentials, &problem) == ERROR_NONE) {
        fetch_finish(fetch, credentials);
    } else {
        fetch_blame(fetch, "asked STS, which ", buffer_view(&problem));
        fetch_finish(fetch, NULL);
    }
    buffer_release(&problem);
}

/* ---- the request ---- */

static void add(struct fetch *fetch, const char *name, struct view value)
{
    if (fetch->form.length)
        buffer_append_byte(&fetch->form, '&');
    buffer_append_string(&fetch->form, name);
    buffer_append_byte(&fetch->form, '=');
    percent_encode(&fetch->form, value, "");
}

/* The token is read anew each time: whoever gives it replaces it. */
static bool add_token(struct fetch *fetch)
{
    struct buffer token;

    buffer_init(&token, FETCH_ANSWER_MAX);
    enum error error = file_read(arena_string(&fetch->arena, fetch->identity->token_file), &token);
    while (token.length && strchr("\r\n", token.data[token.length - 1]))
        token.length--;
    if (error == ERROR_NONE && token.length == 0)
        error = ERROR_INVALID;
    if (error == ERROR_NONE)
        add(fetch, "WebIdentityToken", buffer_view(&token));
    else
        fetch_blame(fetch, "cannot use its token file: it is ", view_of(error_text(error)));
    if (token.data)
        wipe(token.data, token.capacity);
    buffer_release(&token);
    return error == ERROR_NONE;
}

static bool write_form(struct fetch *fetch)
{
    const struct identity *identity = fetch->identity;
    bool web = identity->kind == IDENTITY_WEB_IDENTITY;

    buffer_clear(&fetch->form);
    add(fetch, "Action", web ? VIEW("AssumeRoleWithWebIdentity") : VIEW("AssumeRole"));
    add(fetch, "Version", VIEW("2011-06-15"));
    add(fetch, "RoleArn", identity->role_arn);
    add(fetch, "RoleSessionName", identity->session_name);
    if (identity->external_id.length)
        add(fetch, "ExternalId", identity->external_id);
    if (identity->duration_s)
        add(fetch, "DurationSeconds",
            view_of(arena_format(&fetch->arena, "%d", (int)identity->duration_s)));
    if (web && !add_token(fetch))
        return false;
    if (fetch->form.error)
        fetch_blame(fetch, "has a request that is too long", VIEW(""));
    return !fetch->form.error;
}

#define MOST_HEADERS 4

/* Gives how many headers there are. */
static size_t sign(struct fetch *fetch, const char *path,
                   struct incoming_header headers[MOST_HEADERS])
{
    const struct sigv4_header type = {VIEW("Content-Type"),
                                      VIEW("application/x-www-form-urlencoded; charset=utf-8")};
    const struct endpoint *endpoint = fetch->endpoint;
    struct sigv4_request request = {
        .method = VIEW("POST"),
        .path = view_of(path),
        .query = VIEW(""),
        .host = endpoint->host,
        .headers = &type,
        .header_count = 1,
        .body = buffer_view(&fetch->form),
        .region = endpoint->region,
        .service = VIEW("sts"),
    };
    struct sigv4_signature signature;
    size_t count = 0;

    headers[count++] = (struct incoming_header){type.name, type.value};
    if (!fetch->signing)
        return count;
    struct sigv4_signer *signer = sigv4_signer_new(endpoint->region, VIEW("sts"));
    enum error error =
        sigv4_sign(signer, &request, fetch->signing,
                   clock_wall_ms() + fetch->fetcher->clock_offset_ms, &fetch->arena, &signature);
    sigv4_signer_free(signer);
    if (error != ERROR_NONE)
        return 0;
    headers[count++] = (struct incoming_header){
        VIEW("X-Amz-Date"), arena_copy(&fetch->arena, view_of(signature.amz_date))};
    headers[count++] = (struct incoming_header){VIEW("Authorization"), signature.authorization};
    if (signature.session_token.length)
        headers[count++] =
            (struct incoming_header){VIEW("X-Amz-Security-Token"), signature.session_token};
    return count;
}

static void ask(struct fetch *fetch)
{
    struct incoming_header headers[MOST_HEADERS];
    const char *path = arena_format(&fetch->arena, "%.*s/", VIEW_FORMAT(fetch->endpoint->path));
    const char *url = arena_format(&fetch->arena, "%.*s/", VIEW_FORMAT(fetch->endpoint->url));

    if (!write_form(fetch)) {
        fetch_finish(fetch, NULL);
        return;
    }
    size_t count = path && url ? sign(fetch, path, headers) : 0;
    if (count == 0) {
        fetch_blame(fetch, "has a request that is too long", VIEW(""));
        fetch_finish(fetch, NULL);
        return;
    }
    struct outgoing_request request = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .header_count = count,
        .body = buffer_view(&fetch->form),
        .has_body = true,
        .deadline_ms = TIMEOUT_MS,
        .max_answer_bytes = FETCH_ANSWER_MAX,
        .on_done = on_answer,
        .context = fetch,
    };
    fetch->call = outgoing_send(fetch->fetcher->outgoing, &request);
}

/* ---- before it ---- */

static void on_source(struct credentials *credentials, struct view problem, void *context)
{
    struct fetch *fetch = context;

    fetch->source = NULL;
    fetch->signing = credentials;
    if (credentials) {
        ask(fetch);
        return;
    }
    fetch_blame(fetch, "has no keys to ask STS with. ", problem);
    fetch_finish(fetch, NULL);
}

void fetch_role(struct fetch *fetch)
{
    struct buffer problem;

    buffer_init(&problem, 1024);
    fetch->endpoint = arena_alloc(&fetch->arena, sizeof *fetch->endpoint);
    REQUIRE(fetch->endpoint != NULL);
    if (endpoint_resolve("sts", fetch->fetcher->variable, &fetch->arena, fetch->endpoint,
                         &problem) != ERROR_NONE) {
        fetch_blame(fetch, "does not know where STS is. ", buffer_view(&problem));
        fetch_finish(fetch, NULL);
    } else if (fetch->identity->source) {
        fetch->source = fetch_start(fetch->fetcher, fetch->identity->source, on_source, fetch);
    } else {
        ask(fetch);
    }
    buffer_release(&problem);
}
