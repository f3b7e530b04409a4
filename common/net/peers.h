/*
 * How many connections each client address has open. IPv6 clients are counted by their /64, since a
 * single host owns all of it. Thread-safe: the servers of a process may share one, as a client's
 * connections come to whatever thread the kernel picks. A short lock at a connection's begin and end.
 */
#ifndef COMMON_NET_PEERS_H
#define COMMON_NET_PEERS_H

#include "common/base/bytes.h"

struct peers;

/* The key of a numeric address: "203.0.113.7", "2001:db8::1". */
struct peer_key {
    unsigned char bytes[9];
};

struct peers *peers_new(void);
void peers_free(struct peers *peers);
/* Counts one more, and gives how many there are now. */
unsigned peers_add(struct peers *peers, const char *address, struct peer_key *key);
void peers_remove(struct peers *peers, const struct peer_key *key);

#endif
