/*
 * Who calls: bearer tokens, hashed at rest, compared in constant time.
 *
 * Without any token, on a loopback address, everybody on this machine is an admin: then the Host
 * must be a loopback name and the Origin absent or loopback, so that no web page can drive the API.
 */
#ifndef MANAGERD_AUTHENTICATE_H
#define MANAGERD_AUTHENTICATE_H

#include "common/base/bytes.h"

enum role { ROLE_NONE, ROLE_VIEWER, ROLE_DEPLOYER, ROLE_ADMIN };
const char *role_name(enum role role);

struct principal {
    char id[64]; /* "local", "admin", a token's id; "anonymous" */
    enum role role;
};

struct authenticator;

/* No token: open (loopback only). */
struct authenticator *authenticator_new(void);
void authenticator_free(struct authenticator *authenticator);
/* Adds a token by its SHA-256 in hex. False when it is none, or there are too many. */
bool authenticator_add(struct authenticator *authenticator, const char *id, enum role role,
                       struct view sha256_hex);
void token_hash(struct view token, char out[65]);
/* Takes away a token by id (when it is configured anew). */
void authenticator_remove(struct authenticator *authenticator, const char *id);
bool authenticator_open(const struct authenticator *authenticator);

/* The caller of a request with this Authorization header (empty: none). Unknown: role NONE. */
void authenticate(const struct authenticator *authenticator, struct view authorization,
                  struct principal *principal);
/* For open authenticators. Whether Host is this machine's own. */
bool host_is_loopback(struct view host);
/* Whether Origin (empty: none) is that of our own pages: the very host and port that is asked. A
 * page of another port of this machine, such as an app's, is as foreign as any other. */
bool origin_is_own(struct view origin, struct view host);

#endif
