/* Where keys of token issuers may be fetched: people who deploy name the place, and must not reach
 * through this process what only this machine can. Pure. */
#ifndef MANAGERD_ISSUER_ADDRESS_H
#define MANAGERD_ISSUER_ADDRESS_H

#include "common/base/bytes.h"

struct sockaddr;

/* https; with `loopback` also plain http to localhost, 127.0.0.0/8 and [::1] by name. */
bool issuer_url_allowed(struct view url, bool loopback);
/* Not: unspecified, multicast and reserved addresses; loopback, and link-local ones with the
 * metadata services of clouds (169.254.0.0/16, fe80::/10, fd00:ec2::/32 and single ones of others),
 * unless allowed. IPv4 within IPv6 counts as what it is. Private networks are fine: issuers live there. */
bool issuer_address_allowed(const struct sockaddr *address, bool loopback, bool link_local);

#endif
