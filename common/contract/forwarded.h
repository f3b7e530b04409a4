/*
 * Who sent a request that came through proxies: X-Forwarded-For, -Proto and -Port, believed from
 * trusted networks only. Pure.
 *
 * The header is a list to which each proxy adds the address that it saw, so it is read from its
 * end: as long as an address is a trusted proxy's, the one before it is true as well; the first that
 * is not is the client's. An entry that is no address ends the walk at the last one that was.
 */
#ifndef COMMON_CONTRACT_FORWARDED_H
#define COMMON_CONTRACT_FORWARDED_H

#include "common/base/bytes.h"

#define FORWARDED_MAX_ENTRIES  100 /* what is further from the end is not looked at */
#define FORWARDED_ADDRESS_SIZE 46  /* INET6_ADDRSTRLEN */

/* Addresses of which the first bits are the same; IPv4 is kept as ::ffff:a.b.c.d. */
struct forwarded_network {
    uint8_t address[16];
    uint8_t bits; /* of 128 */
};

/* "10.0.0.0/8", "fd00::/8", or one address. ERROR_INVALID: none of these, or bits behind the
 * prefix are set (RFC 4632 section 3.1). */
enum error forwarded_network_parse(struct view text, struct forwarded_network *network) MUST_CHECK;

enum forwarded_scheme { FORWARDED_SCHEME_UNKNOWN, FORWARDED_HTTP, FORWARDED_HTTPS };

struct forwarded_ask {
    const struct forwarded_network *trusted;
    size_t trusted_count;
    struct view peer;        /* the connection's other end, "203.0.113.7" */
    struct view chain;       /* X-Forwarded-For: all lines in the order sent, joined with "," */
    struct view proto, port; /* the same of X-Forwarded-Proto and -Port */
};

struct forwarded_sender {
    bool trusted; /* whether the peer is; else the rest is empty, the peer is the client */
    char client[FORWARDED_ADDRESS_SIZE]; /* as inet_ntop writes it, IPv4 dotted */
    enum forwarded_scheme scheme;        /* what the peer said last; UNKNOWN when nothing lawful */
    uint16_t port;                       /* the same; 0 when nothing lawful */
};

void forwarded_read(const struct forwarded_ask *ask, struct forwarded_sender *sender);

#endif
