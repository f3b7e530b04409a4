/* AUTHORIZE: lets through who brings a token that the app's issuer signed for it. */
#include "proxyd/steps.h"

#include "common/contract/jwt.h"
#include "proxyd/signatures.h"

/* RFC 6750 section 3. `error` NULL: there was no token, so that nothing is said about one. */
static void challenge(struct request *request, const char *error, const char *description)
{
    struct arena *arena = &request->arena;
    const struct route_jwt *jwt = &request->route.access.jwt;
    struct buffer text;

    buffer_init(&text, 8192);
    buffer_append_format(&text, "Bearer realm=\"%.*s\"", VIEW_FORMAT(request->route.app));
    if (error)
        buffer_append_format(&text, ", error=\"%s\", error_description=\"%s\"", error, description);
    for (size_t i = 0; error && i < jwt->scope_count; i++) {
        buffer_append_string(&text, i ? " " : ", scope=\"");
        buffer_append_view(&text, jwt->scopes[i]);
        if (i + 1 == jwt->scope_count)
            buffer_append_byte(&text, '"');
    }
    request->challenge = arena_copy(arena, buffer_view(&text));
    buffer_release(&text);
}

/* The token of the one Authorization header. */
static bool presented_token(const struct request *request, struct view *token, bool *any)
{
    struct view name, value, only = {0};
    unsigned count = 0;

    for (size_t i = 0; incoming_header_at(request->incoming, i, &name, &value); i++) {
        if (view_equal_nocase(name, VIEW("Authorization"))) {
            only = value;
            count++;
        }
    }
    *any = count > 0;
    return count == 1 && jwt_in_authorization(only, token);
}

static bool check_signature(const struct signature_key *key, enum signature_algorithm algorithm,
                            struct view message, struct view signature, void *context)
{
    struct request *request = context;

    return signatures_good(request->worker->signatures, key, algorithm, message, signature);
}

static enum progress refuse(struct request *request, enum jwt_verdict verdict)
{
    const char *description = jwt_verdict_description(verdict);
    const char *log_detail = arena_format(&request->arena, "token: %s", jwt_verdict_name(verdict));

    request->detail = arena_format(&request->arena, "The app refuses the token: %s.", description);
    if (verdict == JWT_NO_SCOPE) {
        challenge(request, "insufficient_scope", description);
        return request_fail(request, FAULT_FORBIDDEN, log_detail);
    }
    challenge(request, "invalid_token", description);
    return request_fail(request, FAULT_UNAUTHORIZED, log_detail);
}

enum progress authorize_bearer(struct request *request)
{
    const struct route_jwt *route = &request->route.access.jwt;
    const struct jwt_rules rules = {
        .issuer = route->issuer,
        .audiences = route->audiences,
        .audience_count = route->audience_count,
        .scopes = route->scopes,
        .scope_count = route->scope_count,
        .algorithms = route->algorithms,
        .leeway_s = route->leeway_s,
        .keys = route->keys,
        .key_count = route->key_count,
    };
    int64_t now_ms = request->time_ms + worker_clock_offset_ms(request->worker);
    struct view token;
    struct jwt jwt;
    bool any;

    if (!presented_token(request, &token, &any)) {
        if (any)
            challenge(request, "invalid_request",
                      "one Authorization header with one bearer token is wanted");
        else
            challenge(request, NULL, NULL);
        request->detail = "The app asks for a bearer token in the header Authorization.";
        return request_fail(request, FAULT_UNAUTHORIZED, any ? "no bearer token" : "no token");
    }
    if (route->key_count == 0)
        return request_fail(request, FAULT_KEYS_MISSING, NULL);
    enum jwt_verdict verdict =
        jwt_verify(&request->arena, token, &rules, now_ms, check_signature, request, &jwt);
    metrics_add(&request->worker->metrics.tokens[verdict], 1);
    if (verdict != JWT_GOOD)
        return refuse(request, verdict);
    request->claims = jwt.claims;
    return PROGRESS_NEXT;
}
