/* Counts wrong tokens by address. */
#include "managerd/attempts.h"

#include "common/base/crypto.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define SETS      256
#define WAYS      8
#define KEY_BYTES 16

struct entry {
    uint8_t key[KEY_BYTES];
    uint64_t due_ms; /* when all its attempts are forgiven (GCRA); 0: free */
};

struct attempts {
    uint8_t seed[16]; /* nobody chooses addresses that fall into one set */
    struct entry entries[SETS][WAYS];
};

struct attempts *attempts_new(void)
{
    struct attempts *attempts = calloc(1, sizeof *attempts);
    REQUIRE(attempts);
    random_bytes(attempts->seed, sizeof attempts->seed);
    return attempts;
}

void attempts_free(struct attempts *attempts)
{
    free(attempts);
}

/* IPv4 as it is mapped into IPv6; of IPv6 the first half, which is one customer's; anything else is one
 * place. */
static void make_key(struct view address, uint8_t key[KEY_BYTES])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[64] = "";
    memset(key, 0, KEY_BYTES);
    if (address.length >= sizeof text)
        return;
    memcpy(text, address.data, address.length);
    text[strcspn(text, "%")] = 0; /* a zone */
    if (inet_pton(AF_INET, text, key + sizeof mapped) == 1)
        memcpy(key, mapped, sizeof mapped);
    else if (inet_pton(AF_INET6, text, key) == 1 && memcmp(key, mapped, sizeof mapped) != 0)
        memset(key + 8, 0, 8);
}

static size_t set_of(const struct attempts *attempts, const uint8_t key[KEY_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    hmac_sha256(view_from((const char *)attempts->seed, sizeof attempts->seed),
                view_from((const char *)key, KEY_BYTES), digest);
    return digest[0] % SETS;
}

/* The entry of the key; NULL: none. */
static const struct entry *find(const struct attempts *attempts, const uint8_t key[KEY_BYTES])
{
    const struct entry *set = attempts->entries[set_of(attempts, key)];
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].due_ms && memcmp(set[i].key, key, KEY_BYTES) == 0)
            return &set[i];
    return NULL;
}

static bool is_over(const struct entry *entry, uint64_t now_ms)
{
    return entry->due_ms > now_ms + (uint64_t)(ATTEMPTS_BURST - 1) * ATTEMPTS_EACH_MS;
}

void attempts_failed(struct attempts *attempts, struct view address, uint64_t now_ms)
{
    uint8_t key[KEY_BYTES];
    make_key(address, key);
    struct entry *set = attempts->entries[set_of(attempts, key)], *entry = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].due_ms && memcmp(set[i].key, key, KEY_BYTES) == 0) {
            entry = &set[i];
            break;
        }
        if (set[i].due_ms < entry->due_ms)
            entry = &set[i];
    }
    if (entry->due_ms < now_ms || memcmp(entry->key, key, KEY_BYTES) != 0)
        entry->due_ms = now_ms;
    memcpy(entry->key, key, KEY_BYTES);
    /* What was not even looked at does not count: whoever goes on is let in no later than whoever waits. */
    if (!is_over(entry, now_ms))
        entry->due_ms += ATTEMPTS_EACH_MS;
}

bool attempts_over(const struct attempts *attempts, struct view address, uint64_t now_ms)
{
    uint8_t key[KEY_BYTES];
    make_key(address, key);
    const struct entry *entry = find(attempts, key);
    return entry && is_over(entry, now_ms);
}
