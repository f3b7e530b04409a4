/* AUTHORIZE: lets through who may call the app, by the rules of its route. */
#include "proxyd/steps.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"

#define API_KEY_MAX 512 /* ours have 52 characters; what is longer is none of them */

/* ---- API keys ---- */

/* `what` says what is wrong with the key, to the client. */
static enum progress refuse_key(struct request *request, const char *what, const char *log_detail)
{
    struct arena *arena = &request->arena;
    struct view header = request->route.access.api_key_header;

    request->challenge =
        view_of(arena_format(arena, "ApiKey realm=\"%.*s\", header=\"%.*s\"",
                             VIEW_FORMAT(request->route.app), VIEW_FORMAT(header)));
    request->detail = arena_format(arena, "The app asks for an API key in the header %.*s%s.",
                                   VIEW_FORMAT(header), what);
    return request_fail(request, FAULT_UNAUTHORIZED, log_detail);
}

/* The header's value; false when it is not there exactly once. */
static bool presented_key(const struct request *request, struct view *key)
{
    struct view name, value;
    unsigned count = 0;

    for (size_t i = 0; incoming_header_at(request->incoming, i, &name, &value); i++) {
        if (view_equal_nocase(name, request->route.access.api_key_header)) {
            *key = value;
            count++;
        }
    }
    return count == 1;
}

/* All are compared, so that the time tells nothing about which one came near. */
static const struct route_api_key *find_key(const struct route_access *access, struct view key)
{
    const struct route_api_key *found = NULL;
    uint8_t digest[SHA256_BYTES];

    sha256(key, digest);
    for (size_t i = 0; i < access->api_key_count; i++)
        if (constant_time_equal(view_from(digest, sizeof digest), access->api_keys[i].hash))
            found = &access->api_keys[i];
    return found;
}

static enum progress check_api_key(struct request *request)
{
    const struct route_api_key *found = NULL;
    struct view key;

    if (!presented_key(request, &key))
        return refuse_key(request, "", "no API key");
    if (key.length <= API_KEY_MAX)
        found = find_key(&request->route.access, key);
    if (!found)
        return refuse_key(request, "; this one is not known", "unknown API key");
    if (found->expires_at_ms && (uint64_t)request->time_ms >= found->expires_at_ms)
        return refuse_key(
            request, "; this one has expired",
            arena_format(&request->arena, "API key %.*s has expired", VIEW_FORMAT(found->id)));
    request->api_key = found;
    return PROGRESS_NEXT;
}

/* ---- pages of other origins ---- */

/* Copied: the answer's headers are made when the request's are gone with its connection. */
static struct view sent(struct request *request, const char *name)
{
    struct view value;

    return incoming_header(request->incoming, name, &value) ? arena_copy(&request->arena, value)
                                                            : VIEW("");
}

static void decide_cors(struct request *request)
{
    const struct route_cors *cors = request->route.access.cors;
    const struct cors_policy policy = {
        .origins = cors->origins,
        .origin_count = cors->origin_count,
        .methods = cors->methods,
        .headers = cors->headers,
        .exposed = cors->exposed,
        .has_max_age = cors->has_max_age,
        .max_age_s = cors->max_age_s,
        .credentials = cors->credentials,
        .private_network = cors->private_network,
    };
    const struct cors_request asked = {
        .method = request->method,
        .origin = sent(request, "Origin"),
        .requested_method = sent(request, "Access-Control-Request-Method"),
        .requested_headers = sent(request, "Access-Control-Request-Headers"),
        .asks_private_network =
            view_equal(sent(request, "Access-Control-Request-Private-Network"), VIEW("true")),
    };

    cors_decide(&policy, &asked, &request->cors);
}

/* A browser sends no credentials with a preflight, so no rule is asked about it. */
static enum progress answer_preflight(struct request *request)
{
    metrics_add(&request->worker->metrics.preflights, 1);
    request->reply = (struct reply){.status = 204};
    return PROGRESS_ANSWER;
}

/* Each rule that the route has must be met; a rule gives NEXT or fails the request. */
enum progress authorize_request(struct request *request)
{
    const struct route_access *access = &request->route.access;
    enum progress progress = PROGRESS_NEXT;

    if (access->cors)
        decide_cors(request);
    if (request->arena.error != ERROR_NONE)
        return request_fail(request, FAULT_INTERNAL, "memory ran out");
    if (request->cors.preflight)
        return answer_preflight(request);
    if (access->api_key_header.length)
        progress = check_api_key(request);
    if (progress == PROGRESS_NEXT && access->jwt.issuer.length)
        progress = authorize_bearer(request);
    return progress;
}
