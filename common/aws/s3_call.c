/* Takes one call to S3 through its attempts: hashes, signs, sends, and decides what comes of the answer. */
#include "common/aws/s3_parts.h"

#include "common/aws/s3_answer.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#define SLICE_BYTES      65536
#define SLICES_AT_ONCE   4 /* hashed in one turn of the loop: about a millisecond */
#define MAX_ANSWER_BYTES ((size_t)8 << 20)
#define ARENA_BYTES      ((size_t)1 << 20)
#define SIGN_AGAIN_US    200000
#define MAX_HINT_MS      86400000

static void on_timer(evutil_socket_t fd, short what, void *context);

struct s3_call *s3_send(struct s3 *s3, const struct s3_request *request,
                        void (*on_done)(const struct s3_answer *answer, void *context),
                        void *context)
{
    struct s3_call *call = calloc(1, sizeof *call);

    REQUIRE(call != NULL && (request->on_bytes || request->operation != S3_GET_OBJECT));
    call->s3 = s3;
    call->on_done = on_done;
    call->context = context;
    call->object = (struct s3_object){.etag = VIEW(""), .version = VIEW(""), .sha256 = VIEW("")};
    arena_init(&call->arena, ARENA_BYTES);
    arena_init(&call->sending, ARENA_BYTES);
    s3_request_take(call, request);
    TAILQ_INSERT_TAIL(&s3->calls, call, all);
    call->timer = evtimer_new(s3->base, on_timer, call);
    REQUIRE(call->timer != NULL);
    event_active(call->timer, EV_TIMEOUT, 0);
    return call;
}

void s3_call_free(struct s3_call *call)
{
    if (call->s3)
        TAILQ_REMOVE(&call->s3->calls, call, all);
    if (call->waiting_for_credentials)
        credentials_forget(call->s3->credentials, call);
    if (call->outgoing)
        outgoing_cancel(call->outgoing);
    event_free(call->timer);
    credentials_release(call->credentials);
    s3_digest_free(call->digest);
    buffer_release(&call->body);
    arena_release(&call->arena);
    arena_release(&call->sending);
    free(call);
}

void s3_cancel(struct s3_call *call)
{
    if (call && !call->over)
        s3_call_free(call);
}

bool s3_header(const struct s3_answer *answer, const char *name, struct view *value)
{
    return answer->call && answer->call->answered &&
           outgoing_header(answer->call->answered, name, value);
}

/* The last word. The client may be freed in there: the call is none of its own any more. */
static void finish(struct s3_call *call, struct s3_answer *answer)
{
    struct s3 *s3 = call->s3;

    if (answer->outcome != S3_OK)
        s3->failures[call->request.operation]++;
    call->over = true;
    answer->call = call;
    call->on_done(answer, call->context);
    s3_call_free(call);
}

static void fail(struct s3_call *call, enum s3_outcome outcome, enum error error,
                 const char *message)
{
    struct s3_answer answer;

    s3_answer_empty(&answer);
    answer.outcome = outcome;
    answer.error = error;
    answer.code = view_of(error_name(error));
    answer.message = view_of(message);
    answer.object = call->object;
    finish(call, &answer);
}

/* ---- before it is sent ---- */

static size_t read_content(const struct s3_content *content, uint64_t offset, char *out,
                           size_t room)
{
    if (!content->in_file) {
        memcpy(out, content->bytes + offset, room);
        return room;
    }
    ssize_t got = pread(content->fd, out, room, (off_t)(content->offset + offset));
    return got > 0 ? (size_t)got : 0;
}

/* False: it cannot be read. */
static bool hash_some(struct s3_call *call)
{
    const struct s3_content *content = &call->request.content;
    char slice[SLICE_BYTES];

    for (int i = 0; i < SLICES_AT_ONCE && call->hashed < content->length; i++) {
        uint64_t left = content->length - call->hashed;
        size_t room = left < sizeof slice ? (size_t)left : sizeof slice;
        size_t got = read_content(content, call->hashed, slice, room);

        if (got == 0)
            return false;
        s3_digest_update(call->digest, slice, got);
        call->hashed += got;
    }
    if (call->hashed == content->length) {
        s3_digest_finish(call->digest, &call->proof);
        call->digest = NULL;
    }
    return true;
}

/* What a list tells of a part is just what would be sent. */
static bool there_already(const struct s3_call *call)
{
    const struct s3_item *present = call->request.present;

    if (!present || present->size != call->request.content.length)
        return false;
    if (present->sha256.length)
        return view_equal_string(present->sha256, call->proof.sha256_base64);
    return call->proof.md5[0] && view_equal_string(present->etag, call->proof.md5);
}

static void send_attempt(struct s3_call *call, struct credentials *credentials, enum error error);

static void on_credentials(struct credentials *credentials, enum error error, void *context)
{
    struct s3_call *call = context;

    call->waiting_for_credentials = false;
    send_attempt(call, credentials, error);
}

static void go_on(struct s3_call *call)
{
    struct s3_answer answer;

    if (there_already(call)) {
        s3_answer_empty(&answer);
        answer.object.etag = call->request.present->etag;
        answer.object.sha256 = call->request.present->sha256;
        finish(call, &answer);
        return;
    }
    call->waiting_for_credentials = true;
    struct credentials *credentials = credentials_get(call->s3->credentials, on_credentials, call);
    if (credentials)
        on_credentials(credentials, ERROR_NONE, call);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct s3_call *call = context;

    (void)fd, (void)what;
    if (call->fault) {
        fail(call, S3_REFUSED, ERROR_INVALID, call->fault);
    } else if (call->digest && !hash_some(call)) {
        fail(call, S3_STOPPED, ERROR_IO, "The file to send cannot be read, or is shorter.");
    } else if (call->digest) {
        struct timeval soon = {0, 0};

        evtimer_add(call->timer, &soon);
    } else {
        go_on(call);
    }
}

static void schedule(struct s3_call *call, int64_t delay_us)
{
    struct timeval delay = {delay_us / 1000000, delay_us % 1000000};

    evtimer_add(call->timer, &delay);
}

/* ---- the answer ---- */

/* A HEAD tells no code: a 403 with another time than ours may be our clock's, a 400 an expired key's. */
static struct view doubt(const struct s3_call *call, const struct s3_answer *answer)
{
    if (answer->code.length || strcmp(s3_row(call->request.operation)->method, "HEAD") != 0)
        return answer->code;
    return answer->status == 403   ? VIEW("RequestTimeTooSkewed")
           : answer->status == 400 ? VIEW("ExpiredToken")
                                   : VIEW("");
}

static bool may_sign_again(struct s3_call *call, const struct outgoing_result *result,
                           const struct s3_answer *answer)
{
    struct view date = VIEW("");

    if (result->error || answer->status < 400 || answer->status >= 500 || call->signed_again)
        return false;
    outgoing_header(result->call, "Date", &date);
    return credentials_refused(call->s3->credentials, call->credentials, doubt(call, answer), date);
}

/* AWS tells once where the bucket is, and we go there. */
static bool may_move(struct s3_call *call, const struct s3_answer *answer, struct view region)
{
    bool elsewhere = answer->status == 301 || answer->status == 307 || answer->status == 400;

    if (!elsewhere || call->moved || !s3_region_lawful(region) ||
        view_equal(region, s3_home_of(call->s3, call->request.bucket)->region))
        return false;
    s3_home_move(call->s3, call->request.bucket, region);
    call->moved = true;
    return true;
}

/* Whether the call is made once more, which is then under way. */
static bool tried_again(struct s3_call *call, const struct outgoing_result *result,
                        const struct s3_answer *answer, struct view region)
{
    struct retry_budget *budget = &call->s3->budget;
    bool throttled =
        answer->status == 429 || answer->status == 503 || retry_is_throttle(answer->code);
    struct view header;
    uint32_t random;
    uint64_t hint_ms;

    if (answer->outcome == S3_OK)
        retry_give_back(budget, call->retry_cost);
    if (may_move(call, answer, region)) {
        schedule(call, 0);
        return true;
    }
    if (may_sign_again(call, result, answer)) {
        call->signed_again = true;
        schedule(call, SIGN_AGAIN_US);
        return true;
    }
    if (answer->outcome != S3_UNAVAILABLE || answer->error == ERROR_TOO_BIG || call->request.once ||
        call->attempt >= RETRY_MAX_ATTEMPTS || !retry_take(budget, throttled, &call->retry_cost))
        return false;
    bool hinted = outgoing_header(result->call, "x-amz-retry-after", &header) &&
                  view_to_u64(header, MAX_HINT_MS, &hint_ms) == ERROR_NONE;
    random_bytes(&random, sizeof random);
    schedule(call,
             retry_delay_us(call->attempt, throttled, random, hinted ? (int64_t)hint_ms : -1));
    return true;
}

static void on_answer(const struct outgoing_result *result, void *context)
{
    struct s3_call *call = context;
    struct s3_answer answer;
    struct view region;
    struct arena arena;

    call->outgoing = NULL;
    call->answered = result->call;
    arena_init(&arena, 4 * MAX_ANSWER_BYTES);
    s3_answer_read(call, result, &arena, &answer, &region);
    if (call->got_head)
        answer.object = call->object;
    if (!tried_again(call, result, &answer, region))
        finish(call, &answer);
    arena_release(&arena);
}

/* ---- objects that are read ---- */

static void stop(struct s3_call *call, enum s3_outcome outcome, const char *message)
{
    outgoing_cancel(call->outgoing);
    call->outgoing = NULL;
    fail(call, outcome, outcome == S3_STOPPED ? ERROR_CANCELLED : ERROR_CONFLICT, message);
}

/* The head of an answer that brings bytes: of the same object as the answers before it. */
static bool head_fits(struct s3_call *call, const struct outgoing_result *so_far)
{
    struct s3_object object;

    s3_object_read(so_far, &object, &call->at);
    if (call->got_head &&
        (!view_equal(object.etag, call->object.etag) || object.size != call->object.size))
        return false;
    if (!call->got_head) {
        call->object = object;
        call->object.etag = arena_copy(&call->arena, object.etag);
        call->object.version = arena_copy(&call->arena, object.version);
        call->object.sha256 = arena_copy(&call->arena, object.sha256);
        call->got_head = true;
    }
    call->got_head_now = true;
    return call->at <= call->request.offset + call->received;
}

static bool on_piece(struct view bytes, const struct outgoing_result *so_far, void *context)
{
    struct s3_call *call = context;
    uint64_t wanted = call->request.offset + call->received;

    if (!call->got_head_now && !head_fits(call, so_far)) {
        stop(call, S3_CONFLICT, "The object changed while it was read.");
        return true;
    }
    if (call->at + bytes.length <= wanted) { /* a server that knows no ranges sends all of it */
        call->at += bytes.length;
        return true;
    }
    bytes = view_slice(bytes, (size_t)(wanted - call->at), SIZE_MAX);
    if (call->request.length)
        bytes = view_slice(bytes, 0, call->request.length - call->received);
    call->at = wanted + bytes.length;
    call->received += bytes.length;
    call->object.offset = wanted;
    if (bytes.length && !call->request.on_bytes(bytes, &call->object, call->context))
        stop(call, S3_STOPPED, "Enough of the object was read.");
    return true;
}

/* ---- sending ---- */

static size_t on_read(uint64_t offset, char *out, size_t room, void *context)
{
    struct s3_call *call = context;
    size_t got = read_content(&call->request.content, offset, out, room);

    call->unreadable = call->unreadable || got == 0;
    return got;
}

static void send_signed(struct s3_call *call, const struct s3_place *place, const char *target,
                        struct sigv4_header *rows, size_t count)
{
    const struct s3_row *row = s3_row(call->request.operation);
    struct incoming_header headers[S3_MAX_HEADERS + 3];
    bool stream = row->has_body && call->request.content.length > 0 && call->body.length == 0;

    for (size_t i = 0; i < count; i++)
        headers[i] = (struct incoming_header){rows[i].name, rows[i].value};
    struct outgoing_request request = {
        .method = row->method,
        .url = place->url.data,
        .target = target,
        .headers = headers,
        .header_count = count,
        .body = buffer_view(&call->body),
        .has_body = row->has_body,
        .read_body = stream ? on_read : NULL,
        .body_length = stream ? call->request.content.length : 0,
        .deadline_ms = s3_request_deadline_ms(call),
        .max_answer_bytes = MAX_ANSWER_BYTES,
        .on_done = on_answer,
        .on_bytes = call->request.operation == S3_GET_OBJECT ? on_piece : NULL,
        .context = call,
    };
    call->attempt++;
    call->got_head_now = false;
    call->s3->attempts[call->request.operation]++;
    call->outgoing = outgoing_send(call->s3->outgoing, &request);
}

static enum error sign_and_send(struct s3_call *call, struct arena *arena, struct buffer *query)
{
    struct sigv4_header rows[S3_MAX_HEADERS + 3];
    size_t count = s3_request_headers(call, arena, rows);
    struct s3_home *home = s3_home_of(call->s3, call->request.bucket);
    struct sigv4_signature signature;
    struct s3_place place;

    s3_request_query(call, query);
    s3_place(&call->s3->endpoint, home->region, call->request.bucket,
             s3_row(call->request.operation)->of_object ? call->request.key : VIEW(""), arena,
             &place);
    if (query->error || arena->error)
        return ERROR_TOO_BIG;
    struct sigv4_request request = {.method = view_of(s3_row(call->request.operation)->method),
                                    .path = place.path,
                                    .query = buffer_view(query),
                                    .host = place.host,
                                    .headers = rows,
                                    .header_count = count,
                                    .region = home->region,
                                    .service = VIEW("s3"),
                                    .s3 = true};
    int64_t now_ms = clock_wall_ms() + credentials_clock_offset_ms(call->s3->credentials);
    enum error error =
        sigv4_sign(home->signer, &request, call->credentials, now_ms, arena, &signature);
    char *target = arena_format(arena, "%s%s%.*s", place.path.data, query->length ? "?" : "",
                                VIEW_FORMAT(buffer_view(query)));
    if (error || !target)
        return error ? error : ERROR_TOO_BIG;
    rows[count++] = (struct sigv4_header){VIEW("x-amz-date"), view_of(signature.amz_date)};
    rows[count++] = (struct sigv4_header){VIEW("authorization"), signature.authorization};
    if (signature.session_token.length)
        rows[count++] =
            (struct sigv4_header){VIEW("x-amz-security-token"), signature.session_token};
    send_signed(call, &place, target, rows, count);
    return ERROR_NONE;
}

static void send_attempt(struct s3_call *call, struct credentials *credentials, enum error error)
{
    struct buffer query;

    if (!credentials || error) {
        fail(call, S3_DENIED, error ? error : ERROR_NOT_FOUND, "There are no AWS credentials.");
        return;
    }
    credentials_release(call->credentials);
    call->credentials = credentials;
    arena_release(&call->sending);
    arena_init(&call->sending, ARENA_BYTES);
    buffer_init(&query, S3_MAX_QUERY);
    error = sign_and_send(call, &call->sending, &query);
    buffer_release(&query);
    if (error)
        fail(call, S3_REFUSED, ERROR_INVALID, "The request is too long to be signed.");
}
