/*
 * Domains: hosts and paths in the form that routes want, and the record that is published. Pure:
 * JSON of the API in, JSON of state or bytes of the route store out.
 */
#ifndef MANAGERD_DOMAINS_H
#define MANAGERD_DOMAINS_H

#include "managerd/shape.h"

#define DOMAIN_PATHS_LIMIT    100
#define DOMAIN_HOSTS_PER_APP  1000
#define DOMAIN_PREFIX_BYTES   1024
#define DOMAIN_HOST_MAX_BYTES 253

/* Appends lower case without a trailing dot. ERROR_INVALID: neither a host name nor "*." and one of
 * two labels at least. */
enum error domain_normalize_host(struct view host, struct buffer *out) MUST_CHECK;
/* Whether it would take hosts of {app}.BASE_DOMAIN for itself: it is at or under the base domain,
 * or a wildcard above it. "*" as base domain leaves every host to domains. */
bool domain_takes_base(struct view host, struct view base_domain);
/* The paths of a request (of the right shape) in full, prefixes in normal form. Faults: unlawful
 * prefixes, and prefixes that are the same. */
struct json *domain_paths(const struct json *paths, struct faults *faults);
/* Whether a path of it leads to the app. */
bool domain_names(const struct json *domain, struct view app);
/* Notes who changes it now, and who made it: as `present` (NULL: it is new) says it. */
void domain_sign(struct json *domain, const struct json *present, struct view by, int64_t now_ms);
/* As the API shows it, but for the revision: with the URL of each path, which the public URL's scheme and
 * port make (none for wildcards), and tls null without a certificate. */
struct json *domain_public(const struct json *domain, struct view public_url);
/* The route store's record of a domain of state. ERROR_TOO_BIG, or ERROR_INVALID and why. */
enum error domain_encode(const struct json *domain, struct buffer *out,
                         struct buffer *problem) MUST_CHECK;
/* The hosts of an app, in order, with or without this one. `hosts` may be NULL. */
struct json *domain_hosts_set(const struct json *hosts, struct view host, bool present);

#endif
