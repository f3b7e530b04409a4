/*
 * Host names as routes see them: lower case, without port, one trailing dot dropped. Pure.
 * RFC 9110 section 7.2, RFC 3986 section 3.2.2.
 */
#ifndef COMMON_CONTRACT_HOST_H
#define COMMON_CONTRACT_HOST_H

#include "common/base/bytes.h"

#define HOST_MAX_BYTES 255
#define APP_NAME_MAX   63

/* Appends the normal form to `out` (its ceiling must allow 255 more). ERROR_INVALID: empty, `%`,
 * bytes other than letters, digits, "-", "_" and ".", an empty label, more than 255 bytes, a port
 * that is no number up to 65535 (an empty one is lawful). IPv6 literals keep their brackets and
 * must be addresses without a zone. */
enum error host_normalize(struct view host, struct buffer *out) MUST_CHECK;
/* ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$ without "--". */
bool app_name_valid(struct view name);
/* Takes {app}.BASE_DOMAIN apart: `host` is normal, `base_domain` in lower case or "*" (first label
 * of any host with two or more labels). False when it is not below the base domain, more than one
 * label is left, or the label names no lawful app. `version` gets n of "v{n}--app", else 0; `app`
 * is a part of `host`. */
bool host_app(struct view host, struct view base_domain, struct view *app, uint32_t *version);
/* A lawful domain for /v1/domains: exact or "*." + two labels at least. Labels are lower-case
 * letters, digits and "-" (RFC 1123 section 2.1), so the caller normalises case first. */
bool domain_host_valid(struct view host);

#endif
