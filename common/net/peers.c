/* Counts open connections by client address. */
#include "common/net/peers.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024

struct peer {
    struct peer_key key;
    unsigned count;
    struct peer *next;
};

struct peers {
    struct peer *buckets[BUCKETS];
};

struct peers *peers_new(void)
{
    struct peers *peers = calloc(1, sizeof(*peers));

    REQUIRE(peers);
    return peers;
}

void peers_free(struct peers *peers)
{
    if (!peers)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (peers->buckets[i]) {
            struct peer *peer = peers->buckets[i];

            peers->buckets[i] = peer->next;
            free(peer);
        }
    }
    free(peers);
}

/* Byte 0 tells the family apart; an address that is none of both shares one key. */
static void make_key(const char *address, struct peer_key *key)
{
    unsigned char binary[16];
    char plain[INET6_ADDRSTRLEN];
    size_t length = strcspn(address, "%"); /* without an IPv6 scope */

    memset(key, 0, sizeof(*key));
    if (length >= sizeof(plain))
        return;
    memcpy(plain, address, length);
    plain[length] = '\0';
    if (inet_pton(AF_INET, plain, binary) == 1) {
        key->bytes[0] = 4;
        memcpy(key->bytes + 1, binary, 4);
    } else if (inet_pton(AF_INET6, plain, binary) == 1) {
        key->bytes[0] = 6;
        memcpy(key->bytes + 1, binary, 8);
    }
}

static struct peer **find(struct peers *peers, const struct peer_key *key)
{
    uint32_t hash = 2166136261U; /* FNV-1a */
    struct peer **link;

    for (size_t i = 0; i < sizeof(key->bytes); i++)
        hash = (hash ^ key->bytes[i]) * 16777619U;
    link = &peers->buckets[hash % BUCKETS];
    while (*link && memcmp(&(*link)->key, key, sizeof(*key)) != 0)
        link = &(*link)->next;
    return link;
}

unsigned peers_add(struct peers *peers, const char *address, struct peer_key *key)
{
    struct peer **link;

    make_key(address, key);
    link = find(peers, key);
    if (!*link) {
        *link = calloc(1, sizeof(**link));
        REQUIRE(*link);
        (*link)->key = *key;
    }
    return ++(*link)->count;
}

void peers_remove(struct peers *peers, const struct peer_key *key)
{
    struct peer **link = find(peers, key);
    struct peer *peer = *link;

    REQUIRE(peer && peer->count > 0);
    if (--peer->count == 0) {
        *link = peer->next;
        free(peer);
    }
}
