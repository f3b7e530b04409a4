/*
 * Who calls: bearer tokens, hashed at rest, compared in constant time; each with a role, the apps it
 * reaches, and perhaps an end.
 *
 * Without any token, on a loopback address, everybody on this machine is an admin: then the Host
 * must be a loopback name and the Origin absent or loopback, so that no web page can drive the API.
 */
#ifndef MANAGERD_AUTHENTICATE_H
#define MANAGERD_AUTHENTICATE_H

#include "common/base/bytes.h"
#include "common/base/json.h"

enum role { ROLE_NONE, ROLE_VIEWER, ROLE_DEPLOYER, ROLE_ADMIN };
const char *role_name(enum role role);
/* NONE when it is no role's name. */
enum role role_find(struct view name);

#define PRINCIPAL_ID_SIZE   64
#define PRINCIPAL_NAME_SIZE 101
#define NEVER               INT64_MAX

/* Lives as long as somebody acts with it. */
struct token {
    unsigned references;
    char id[PRINCIPAL_ID_SIZE];
    char name[PRINCIPAL_NAME_SIZE]; /* may be empty */
    enum role role;
    struct json *apps;     /* scope.h; NULL: all */
    int64_t expires_at_ms; /* NEVER: it does not */
    char sha256[65];
    bool guessable; /* short enough: attempts.h */
    bool revoked;
    int64_t last_used_ms; /* 0: never */
    char last_used_from[64];
    bool use_unsaved;
};

struct principal {
    char id[PRINCIPAL_ID_SIZE]; /* "local", "admin", a token's id; "anonymous" */
    char
        label[PRINCIPAL_ID_SIZE + PRINCIPAL_NAME_SIZE + 4]; /* "ID (NAME)", or the id: for people */
    enum role role;
    bool expired;        /* nobody, since the token is one no more */
    struct token *token; /* NULL: none */
};

struct authenticator;

/* No token: open (loopback only). */
struct authenticator *authenticator_new(void);
void authenticator_free(struct authenticator *authenticator);
/* Adds a token; `description` gives id, name, role, end and SHA-256 in hex, and apps, which are copied.
 * False when the hash is none, or there are too many. */
bool authenticator_add(struct authenticator *authenticator, const struct token *description);
bool authenticator_full(const struct authenticator *authenticator);
/* Takes away a token by id, also for those who act with it. */
void authenticator_remove(struct authenticator *authenticator, const char *id);
bool authenticator_open(const struct authenticator *authenticator);
/* NULL: there is none. Borrowed until the loop goes on. */
struct token *authenticator_find(struct authenticator *authenticator, struct view id);
void authenticator_each(struct authenticator *authenticator,
                        void (*visit)(struct token *token, void *context), void *context);

/* The caller of a request with this Authorization header (empty: none), in milliseconds of wall time.
 * Unknown: role NONE. Release it. */
void authenticate(struct authenticator *authenticator, struct view authorization, int64_t now_ms,
                  struct principal *principal);
void principal_release(struct principal *principal);
/* Makes it nobody. */
void principal_forget(struct principal *principal);
/* Notes that the token was used from this address. */
void principal_used(struct principal *principal, const char *address, int64_t now_ms);
/* Whether its token has been revoked, or has expired, since. */
bool principal_ended(const struct principal *principal, int64_t now_ms);
/* The apps it reaches; NULL: all. */
const struct json *principal_scope(const struct principal *principal);

/* For open authenticators. Whether Host is this machine's own. */
bool host_is_loopback(struct view host);
/* Whether Origin (empty: none) is that of our own pages: the very host and port that is asked. A
 * page of another port of this machine, such as an app's, is as foreign as any other. */
bool origin_is_own(struct view origin, struct view host);

#endif
