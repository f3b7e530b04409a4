/* Finds out who calls, by token, or by being on this machine. */
#include "managerd/authenticate.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOKENS 1000

struct token {
    char id[64];
    enum role role;
    char sha256[65];
};

struct authenticator {
    struct token *tokens;
    size_t count;
};

const char *role_name(enum role role)
{
    static const char *const names[] = {"none", "viewer", "deployer", "admin"};
    return names[role];
}

struct authenticator *authenticator_new(void)
{
    struct authenticator *authenticator = calloc(1, sizeof *authenticator);
    REQUIRE(authenticator);
    return authenticator;
}

void authenticator_free(struct authenticator *authenticator)
{
    if (!authenticator)
        return;
    free(authenticator->tokens);
    free(authenticator);
}

bool authenticator_add(struct authenticator *authenticator, const char *id, enum role role,
                       struct view sha256_hex)
{
    if (authenticator->count == MAX_TOKENS || sha256_hex.length != 64)
        return false;
    authenticator->tokens =
        realloc(authenticator->tokens, (authenticator->count + 1) * sizeof *authenticator->tokens);
    REQUIRE(authenticator->tokens);
    struct token *token = &authenticator->tokens[authenticator->count++];
    snprintf(token->id, sizeof token->id, "%s", id);
    token->role = role;
    memcpy(token->sha256, sha256_hex.data, 64);
    token->sha256[64] = 0;
    return true;
}

void authenticator_remove(struct authenticator *authenticator, const char *id)
{
    for (size_t i = 0; i < authenticator->count; i++)
        if (strcmp(authenticator->tokens[i].id, id) == 0)
            authenticator->tokens[i--] = authenticator->tokens[--authenticator->count];
}

bool authenticator_open(const struct authenticator *authenticator)
{
    return authenticator->count == 0;
}

void token_hash(struct view token, char out[65])
{
    uint8_t digest[SHA256_BYTES];
    sha256(token, digest);
    hex_write(out, digest, sizeof digest);
    out[64] = 0;
}

static void become(struct principal *principal, const char *id, enum role role)
{
    snprintf(principal->id, sizeof principal->id, "%s", id);
    principal->role = role;
}

void authenticate(const struct authenticator *authenticator, struct view authorization,
                  struct principal *principal)
{
    char hash[65];
    struct view scheme = view_slice(authorization, 0, 7);
    become(principal, "anonymous", ROLE_NONE);
    if (authenticator_open(authenticator)) {
        become(principal, "local", ROLE_ADMIN);
        return;
    }
    if (!view_equal_nocase(scheme, VIEW("Bearer ")))
        return;
    token_hash(view_trim(view_slice(authorization, 7, SIZE_MAX)), hash);
    /* All are compared, so that the time tells nothing about which one came near. */
    for (size_t i = 0; i < authenticator->count; i++)
        if (constant_time_equal(view_of(hash), view_of(authenticator->tokens[i].sha256)))
            become(principal, authenticator->tokens[i].id, authenticator->tokens[i].role);
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
