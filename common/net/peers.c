/* Counts open connections by client address. */
#include "common/net/peers.h"

#include "common/base/crypto.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096
#define LOCKS   64

struct peer {
    struct peer_key key;
    unsigned count;
    struct peer *next;
};

struct peers {
    uint64_t seed; /* nobody can choose addresses that meet in one bucket */
    pthread_mutex_t locks[LOCKS];
    struct peer *buckets[BUCKETS];
};

struct peers *peers_new(void)
{
    struct peers *peers = calloc(1, sizeof(*peers));

    REQUIRE(peers);
    random_bytes(&peers->seed, sizeof(peers->seed));
    for (size_t i = 0; i < LOCKS; i++)
        REQUIRE(pthread_mutex_init(&peers->locks[i], NULL) == 0);
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
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&peers->locks[i]);
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

/* splitmix64's last steps. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static size_t bucket_of(const struct peers *peers, const struct peer_key *key)
{
    uint64_t address;

    memcpy(&address, key->bytes + 1, sizeof(address));
    return mix(mix(address ^ peers->seed) + key->bytes[0]) % BUCKETS;
}

/* Under the bucket's lock. */
static struct peer **find(struct peers *peers, size_t bucket, const struct peer_key *key)
{
    struct peer **link = &peers->buckets[bucket];

    while (*link && memcmp(&(*link)->key, key, sizeof(*key)) != 0)
        link = &(*link)->next;
    return link;
}

unsigned peers_add(struct peers *peers, const char *address, struct peer_key *key)
{
    struct peer **link;
    unsigned count;

    make_key(address, key);
    size_t bucket = bucket_of(peers, key);
    pthread_mutex_lock(&peers->locks[bucket % LOCKS]);
    link = find(peers, bucket, key);
    if (!*link) {
        *link = calloc(1, sizeof(**link));
        REQUIRE(*link);
        (*link)->key = *key;
    }
    count = ++(*link)->count;
    pthread_mutex_unlock(&peers->locks[bucket % LOCKS]);
    return count;
}

void peers_remove(struct peers *peers, const struct peer_key *key)
{
    size_t bucket = bucket_of(peers, key);

    pthread_mutex_lock(&peers->locks[bucket % LOCKS]);
    struct peer **link = find(peers, bucket, key), *peer = *link;
    REQUIRE(peer && peer->count > 0);
    if (--peer->count == 0) {
        *link = peer->next;
        free(peer);
    }
    pthread_mutex_unlock(&peers->locks[bucket % LOCKS]);
}
