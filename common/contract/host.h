/* Host names as routes see them: lower case, without port, one trailing dot dropped. RFC 9110
 * section 7.2, RFC 3986 section 3.2.2. */
#ifndef COMMON_CONTRACT_HOST_H
#define COMMON_CONTRACT_HOST_H

#include "common/base/bytes.h"

#define HOST_MAX_BYTES 255
#define APP_NAME_MAX   63

/* Writes the normal form into out (its ceiling must allow 255). ERROR_INVALID: empty, `%`, bad
 * bytes, bad port. IPv6 literals keep their brackets. */
enum error host_normalize(struct view host, struct buffer *out) MUST_CHECK;
/* ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$ without "--". */
bool app_name_valid(struct view name);
/* Takes {app}.BASE_DOMAIN apart: `host` is normal, `base_domain` in lower case or "*" (first label
 * of any host with two or more labels). False when it is not below the base domain or more than one
 * label is left. `version` gets n of "v{n}--app", else 0. */
bool host_app(struct view host, struct view base_domain, struct view *app, uint32_t *version);
/* A lawful domain for /v1/domains: exact or "*." + two labels at least. */
bool domain_host_valid(struct view host);

#endif
