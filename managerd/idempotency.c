/* Keeps answers by Idempotency-Key, and gives them again. */
#include "managerd/idempotency.h"

#include "common/base/clock.h"
#include "managerd/credential.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/secrets.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEPT_MS       (24ll * 3600 * 1000)
#define MAX_KEY_BYTES 255

static struct key record_key(const char *hash)
{
    struct key key;
    snprintf(key.text, sizeof key.text, "idempotency/%s", hash);
    return key;
}

static bool key_valid(struct view key)
{
    for (size_t i = 0; i < key.length; i++)
        if (key.data[i] < 0x20 || key.data[i] > 0x7e)
            return false;
    return key.length >= 1 && key.length <= MAX_KEY_BYTES;
}

/* Method, target and body make the request; of the body its hash is there already. */
static void make_fingerprint(struct call *call)
{
    char *text = arena_format(&call->arena, "%.*s %.*s\n%s", VIEW_FORMAT(call->method),
                              VIEW_FORMAT(incoming_target(call->incoming)), call->fingerprint);
    credential_hash(view_of(text), call->fingerprint);
}

static bool runs_already(const struct call *call)
{
    for (const struct call *other = call->server->calls; other; other = other->next)
        if (other != call && strcmp(other->idempotency_key, call->idempotency_key) == 0)
            return true;
    return false;
}

/* A text that was kept sealed. */
static enum progress replay_text(struct call *call, const struct json *kept)
{
    int status = (int)integer_of(kept, "status");
    if (truth_of(kept, "begun"))
        return call_fail(call, PROBLEM_ANSWER_LOST,
                         "The first request began, and managerd stopped before it had an answer: "
                         "it may have done its work.");
    if (json_get(kept, "unkeptBytes"))
        return call_fail(call, PROBLEM_ANSWER_LOST,
                         "The first request was answered with %d; its answer had %lld bytes, and "
                         "at most %u are kept.",
                         status, (long long)integer_of(kept, "unkeptBytes"), SECRETS_MAX_ANSWER);
    if (secrets_unseal_answer(call->server->secrets, call->idempotency_key, text_of(kept, "sealed"),
                              &call->text))
        return call_fail(call, PROBLEM_ANSWER_LOST,
                         "The first request was answered with %d; the key that its answer was "
                         "sealed by is gone.",
                         status);
    return call_answer_text(call, status,
                            status < 400 ? "application/json" : "application/problem+json");
}

static enum progress replay(struct call *call, struct record *kept)
{
    struct view operation = text_of(kept->json, "operation");
    if (json_get(kept->json, "begun")) {
        enum progress verdict = replay_text(call, kept->json);
        call->replayed = verdict == PROGRESS_NEXT;
        return verdict;
    }
    call->replayed = true;
    if (operation.length) {
        struct record record;
        struct key key = key_operation(operation);
        enum error error = record_read(call->server->state, key.text, &record);
        if (error == ERROR_NOT_FOUND)
            return call_fail(call, PROBLEM_OPERATION_NOT_FOUND,
                             "The operation of this Idempotency-Key has ended, and is kept no "
                             "more.");
        if (error)
            return call_fail_error(call, error);
        call->operation = record.json;
        return call->endpoint->flags & ENDPOINT_FIRST_API ? compatibility_replay(call)
                                                          : call_wait_operation(call);
    }
    const struct json *result = json_get(kept->json, "result");
    int status = (int)integer_of(kept->json, "status");
    int64_t unchanged = integer_of(kept->json, "revision");
    struct view location = text_of(kept->json, "location");
    if (location.length)
        call->location = arena_string(&call->arena, location);
    if (truth_of(kept->json, "tagged"))
        return call_answer_tagged(call, status, json_copy(result),
                                  unchanged ? (uint64_t)unchanged : kept->revision);
    return call_answer(call, status, json_copy(result));
}

enum progress idempotency_begin(struct call *call)
{
    struct view key, method = call->method;
    struct record kept;
    if (!view_equal(method, VIEW("POST")) ||
        !incoming_header(call->incoming, "Idempotency-Key", &key))
        return PROGRESS_NEXT;
    if (!key_valid(key)) {
        fault_parameter(&call->faults, "Idempotency-Key",
                        "must have 1 to %d printable ASCII characters", MAX_KEY_BYTES);
        return call_fail_faults(call);
    }
    char *owned = arena_format(&call->arena, "%s\n%.*s", call->principal.id, VIEW_FORMAT(key));
    make_fingerprint(call);
    credential_hash(view_of(owned), call->idempotency_key);
    if (runs_already(call)) {
        call->idempotency_key[0] = 0;
        return call_fail(call, PROBLEM_IDEMPOTENCY_RUNNING,
                         "The first request with this Idempotency-Key has not been answered yet.");
    }
    struct key name = record_key(call->idempotency_key);
    enum error error = record_read(call->server->state, name.text, &kept);
    if (error == ERROR_NOT_FOUND)
        return PROGRESS_NEXT;
    if (error)
        return call_fail_error(call, error);
    enum progress verdict = PROGRESS_NEXT;
    if (integer_of(kept.json, "expiresAtMs") > clock_wall_ms()) {
        if (view_equal_string(text_of(kept.json, "fingerprint"), call->fingerprint))
            verdict = replay(call, &kept);
        else
            verdict = call_fail(call, PROBLEM_IDEMPOTENCY_REUSED,
                                "This Idempotency-Key was used for another request.");
    }
    record_release(&kept);
    return verdict;
}

/* What may be seen once is not kept: an answer that is given again has null in its place. */
static struct json *without_secrets(const struct call *call, const struct json *result)
{
    const struct shape *shape = call->endpoint->gives;
    struct json *kept = json_copy(result);
    for (size_t i = 0; shape && i < shape->count; i++)
        if (shape->fields[i].flags & SHAPE_SHOWN_ONCE && json_get(kept, shape->fields[i].name))
            json_set_null(kept, shape->fields[i].name);
    return kept;
}

static struct json *begin_record(const struct call *call, int status)
{
    struct json *kept = json_new_object();
    json_set_string(kept, "fingerprint", view_of(call->fingerprint));
    json_set_integer(kept, "expiresAtMs", clock_wall_ms() + KEPT_MS);
    json_set_integer(kept, "status", status);
    return kept;
}

void idempotency_keep_begun(struct call *call)
{
    struct key name = record_key(call->idempotency_key);
    struct json *kept = begin_record(call, 0);
    json_set_bool(kept, "begun", true);
    change_put(&call->change, name.text, kept);
    json_free(kept);
}

void idempotency_keep_text(struct call *call, int status, struct view text)
{
    struct key name = record_key(call->idempotency_key);
    struct json *kept = begin_record(call, status);
    struct buffer sealed;
    json_set_bool(kept, "begun", false);
    buffer_init(&sealed, 2 * SECRETS_MAX_ANSWER);
    if (text.length > SECRETS_MAX_ANSWER) {
        json_set_integer(kept, "unkeptBytes", (int64_t)text.length);
    } else {
        secrets_seal_answer(call->server->secrets, call->idempotency_key, text, &sealed);
        json_set_string(kept, "sealed", buffer_view(&sealed));
    }
    change_put(&call->change, name.text, kept);
    buffer_release(&sealed);
    json_free(kept);
}

void idempotency_forget(struct call *call)
{
    struct key name = record_key(call->idempotency_key);
    change_remove(&call->change, name.text);
}

void idempotency_keep(struct call *call, int status, const struct json *result)
{
    if (!call->idempotency_key[0])
        return;
    struct key name = record_key(call->idempotency_key);
    struct json *kept = begin_record(call, status);
    if (call->operation)
        json_set_string(kept, "operation", text_of(call->operation, "id"));
    if (result) {
        json_set(kept, "result", without_secrets(call, result));
        json_set_bool(kept, "tagged", call->tagged);
        if (call->location)
            json_set_string(kept, "location", view_of(call->location));
        if (call->unchanged)
            json_set_integer(kept, "revision", (int64_t)call->unchanged);
    }
    change_put(&call->change, name.text, kept);
    json_free(kept);
}
