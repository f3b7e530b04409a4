/* Finds out who calls, by token, or by being on this machine. */
#include "managerd/authenticate.h"

#include "common/base/crypto.h"
#include "managerd/credential.h"
#include "managerd/scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOKENS 1000

struct authenticator {
    struct token **tokens;
    size_t count;
};

static const char *const role_names[] = {"none", "viewer", "deployer", "admin"};

const char *role_name(enum role role)
{
    return role_names[role];
}

enum role role_find(struct view name)
{
    for (unsigned role = ROLE_VIEWER; role <= ROLE_ADMIN; role++)
        if (view_equal_string(name, role_names[role]))
            return (enum role)role;
    return ROLE_NONE;
}

struct authenticator *authenticator_new(void)
{
    struct authenticator *authenticator = calloc(1, sizeof *authenticator);
    REQUIRE(authenticator);
    return authenticator;
}

static void drop(struct token *token)
{
    if (!token || --token->references)
        return;
    json_free(token->apps);
    free(token);
}

void authenticator_free(struct authenticator *authenticator)
{
    if (!authenticator)
        return;
    for (size_t i = 0; i < authenticator->count; i++)
        drop(authenticator->tokens[i]);
    free(authenticator->tokens);
    free(authenticator);
}

bool authenticator_full(const struct authenticator *authenticator)
{
    return authenticator->count >= MAX_TOKENS;
}

bool authenticator_add(struct authenticator *authenticator, const struct token *description)
{
    if (authenticator_full(authenticator) || strlen(description->sha256) != 64)
        return false;
    struct token *token = malloc(sizeof *token);
    authenticator->tokens =
        realloc(authenticator->tokens, (authenticator->count + 1) * sizeof *authenticator->tokens);
    REQUIRE(token && authenticator->tokens);
    *token = *description;
    token->references = 1;
    token->revoked = false;
    token->apps = scope_is_all(description->apps) ? NULL : json_copy(description->apps);
    authenticator->tokens[authenticator->count++] = token;
    return true;
}

void authenticator_remove(struct authenticator *authenticator, const char *id)
{
    for (size_t i = 0; i < authenticator->count; i++)
        if (strcmp(authenticator->tokens[i]->id, id) == 0) {
            authenticator->tokens[i]->revoked = true;
            drop(authenticator->tokens[i]);
            authenticator->tokens[i--] = authenticator->tokens[--authenticator->count];
        }
}

bool authenticator_open(const struct authenticator *authenticator)
{
    return authenticator->count == 0;
}

struct token *authenticator_find(struct authenticator *authenticator, struct view id)
{
    for (size_t i = 0; i < authenticator->count; i++)
        if (view_equal_string(id, authenticator->tokens[i]->id))
            return authenticator->tokens[i];
    return NULL;
}

void authenticator_each(struct authenticator *authenticator,
                        void (*visit)(struct token *token, void *context), void *context)
{
    for (size_t i = 0; i < authenticator->count; i++)
        visit(authenticator->tokens[i], context);
}

static void become(struct principal *principal, const char *id, enum role role)
{
    *principal = (struct principal){.role = role};
    snprintf(principal->id, sizeof principal->id, "%s", id);
    snprintf(principal->label, sizeof principal->label, "%s", id);
}

static void act_with(struct principal *principal, struct token *token)
{
    become(principal, token->id, token->role);
    if (token->name[0])
        snprintf(principal->label, sizeof principal->label, "%s (%s)", token->id, token->name);
    principal->token = token;
    token->references++;
}

void authenticate(struct authenticator *authenticator, struct view authorization, int64_t now_ms,
                  struct principal *principal)
{
    char hash[65];
    struct token *found = NULL;
    struct view scheme = view_slice(authorization, 0, 7);
    become(principal, "anonymous", ROLE_NONE);
    if (authenticator_open(authenticator)) {
        become(principal, "local", ROLE_ADMIN);
        return;
    }
    if (!view_equal_nocase(scheme, VIEW("Bearer ")))
        return;
    credential_hash(view_trim(view_slice(authorization, 7, SIZE_MAX)), hash);
    /* All are compared, so that the time tells nothing about which one came near. */
    for (size_t i = 0; i < authenticator->count; i++)
        if (constant_time_equal(view_of(hash), view_of(authenticator->tokens[i]->sha256)))
            found = authenticator->tokens[i];
    if (found && found->expires_at_ms <= now_ms)
        principal->expired = true;
    else if (found)
        act_with(principal, found);
}

void principal_release(struct principal *principal)
{
    drop(principal->token);
    principal->token = NULL;
}

void principal_forget(struct principal *principal)
{
    principal_release(principal);
    become(principal, "anonymous", ROLE_NONE);
}

void principal_used(struct principal *principal, const char *address, int64_t now_ms)
{
    struct token *token = principal->token;
    if (!token)
        return;
    token->last_used_ms = now_ms;
    snprintf(token->last_used_from, sizeof token->last_used_from, "%s", address);
    token->use_unsaved = true;
}

bool principal_ended(const struct principal *principal, int64_t now_ms)
{
    const struct token *token = principal->token;
    return token && (token->revoked || token->expires_at_ms <= now_ms);
}

const struct json *principal_scope(const struct principal *principal)
{
    return principal->token ? principal->token->apps : NULL;
}

/* The host without its port; brackets stay. */
static struct view without_port(struct view host)
{
    if (view_starts_with(host, VIEW("["))) {
        size_t end = view_find(host, ']');
        struct view rest = end == SIZE_MAX ? host : view_slice(host, end + 1, SIZE_MAX);
        bool port_or_nothing = rest.length == 0 || rest.data[0] == ':';
        return port_or_nothing ? view_slice(host, 0, end + 1) : host;
    }
    return view_slice(host, 0, view_find(host, ':'));
}

/* 127.0.0.0/8, written as four numbers. */
static bool is_loopback_ipv4(struct view host)
{
    struct view part;
    int parts = 0;
    if (!view_starts_with(host, VIEW("127.")))
        return false;
    while (view_split(&host, '.', &part)) {
        uint64_t number;
        if (++parts > 4 || part.length == 0 || view_to_u64(part, 255, &number))
            return false;
    }
    return parts == 4;
}

bool host_is_loopback(struct view host)
{
    host = without_port(host);
    return view_equal_nocase(host, VIEW("localhost")) || view_equal(host, VIEW("[::1]")) ||
           is_loopback_ipv4(host);
}

bool origin_is_own(struct view origin, struct view host)
{
    if (origin.length == 0)
        return true;
    if (view_starts_with(origin, VIEW("http://")))
        return view_equal_nocase(view_slice(origin, 7, SIZE_MAX), host);
    if (view_starts_with(origin, VIEW("https://")))
        return view_equal_nocase(view_slice(origin, 8, SIZE_MAX), host);
    return false;
}
