/* Decides whether the caller may do what it asks for. */
#include "managerd/authorize.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "managerd/attempts.h"
#include "managerd/scope.h"
#include "managerd/tokens.h"

static const struct json *scope_of(const struct call *call)
{
    return principal_scope(&call->principal);
}

bool call_may_see(const struct call *call, struct view app)
{
    return scope_holds(scope_of(call), app);
}

bool call_may_see_domain(const struct call *call, const struct json *domain)
{
    const struct json *path = json_first(json_get(domain, "paths"));
    for (; path; path = json_next(path))
        if (!call_may_see(call, text_of(path, "app")))
            return false;
    return true;
}

static enum progress refuse_app(struct call *call, struct view app)
{
    return call_fail(call, PROBLEM_FORBIDDEN, "The app %.*s is not among those of the token.",
                     VIEW_FORMAT(view_slice(app, 0, 63)));
}

/* A token that nobody knows is a guess. */
static bool guesses_too_much(struct call *call)
{
    static struct log_limit limit;
    struct attempts *attempts = call->server->attempts;
    struct view authorization, address = view_of(call->peer);
    uint64_t now_ms = clock_monotonic_us() / 1000;
    unsigned held = 0;
    if (!incoming_header(call->incoming, "Authorization", &authorization))
        return false;
    bool over = attempts_over(attempts, address, now_ms);
    attempts_failed(attempts, address, now_ms);
    if (log_allow(&limit, 1, &held))
        log_write(LOG_WARN, "token-unknown", LOG_STRING("peer", call->peer),
                  LOG_STRING("requestId", call->request_id), LOG_BOOL("limited", over),
                  LOG_INTEGER("held", held));
    call->server->metrics.attempts_limited += over;
    return over;
}

static enum progress refuse_nobody(struct call *call)
{
    if (call->principal.expired)
        return call_fail(call, PROBLEM_UNAUTHENTICATED, "The token has expired.");
    if (guesses_too_much(call))
        return call_fail(call, PROBLEM_TOO_MANY_ATTEMPTS,
                         "Too many wrong tokens came from this address; try again in %d seconds.",
                         ATTEMPTS_EACH_MS / 1000);
    return call_fail(call, PROBLEM_UNAUTHENTICATED,
                     "Send Authorization: Bearer TOKEN with a token of this installation.");
}

enum progress authorize_call(struct call *call)
{
    const struct endpoint *endpoint = call->endpoint;
    enum role needed = endpoint ? endpoint->role : ROLE_VIEWER;
    enum endpoint_scope scope = endpoint ? endpoint->scope : ENDPOINT_OF_NO_APP;
    if (call->principal.role < needed) {
        if (call->principal.role == ROLE_NONE)
            return refuse_nobody(call);
        return call_fail(call, PROBLEM_FORBIDDEN, "This needs the role %s; the token has %s.",
                         role_name(needed), role_name(call->principal.role));
    }
    if (scope == ENDPOINT_OF_ALL && !scope_is_all(scope_of(call)))
        return call_fail(call, PROBLEM_FORBIDDEN, "This needs a token of all apps.");
    if (scope == ENDPOINT_OF_APP && !call_may_see(call, call_app(call)))
        return refuse_app(call, call_app(call));
    return PROGRESS_NEXT;
}

/* Reads what the path names; what cannot be read is left to the one who acts. */
static struct json *read_named(struct call *call, const char *folder)
{
    struct record record;
    struct view name = call->parameters.values[0];
    if (name.length > 256)
        return NULL;
    const char *key = arena_format(&call->arena, "%s/%.*s", folder, VIEW_FORMAT(name));
    return record_read(call->server->state, key, &record) ? NULL : record.json;
}

static enum progress authorize_operation(struct call *call)
{
    struct json *operation = read_named(call, "operations");
    bool good = !operation || call_may_see(call, text_of(operation, "app"));
    json_free(operation);
    return good ? PROGRESS_NEXT
                : call_fail(call, PROBLEM_OPERATION_NOT_FOUND, "There is no operation of this id.");
}

static enum progress authorize_token(struct call *call)
{
    struct json *token = read_named(call, "tokens");
    bool good = !token || scope_covers(scope_of(call), json_get(token, "apps"));
    json_free(token);
    return good ? PROGRESS_NEXT : call_fail_token(call);
}

/* What it leads to now, and what it shall lead to. */
static enum progress authorize_domain(struct call *call)
{
    struct json *domain = read_named(call, "domains");
    bool good = call_may_see_domain(call, domain) && call_may_see_domain(call, call->body);
    json_free(domain);
    return good ? PROGRESS_NEXT
                : call_fail(call, PROBLEM_FORBIDDEN,
                            "The domain leads to apps that are not among those of the token.");
}

enum progress authorize_act(struct call *call)
{
    if (scope_is_all(scope_of(call)))
        return PROGRESS_NEXT;
    switch (call->endpoint->scope) {
    case ENDPOINT_OF_BODY:
        if (call_may_see(call, text_of(call->body, "name")))
            return PROGRESS_NEXT;
        return refuse_app(call, text_of(call->body, "name"));
    case ENDPOINT_OF_OPERATION:
        return authorize_operation(call);
    case ENDPOINT_OF_DOMAIN:
        return authorize_domain(call);
    case ENDPOINT_OF_TOKEN:
        return authorize_token(call);
    case ENDPOINT_OF_NO_APP:
    case ENDPOINT_OF_ALL:
    case ENDPOINT_OF_APP:
    case ENDPOINT_OF_LIST:
        break;
    }
    return PROGRESS_NEXT;
}
