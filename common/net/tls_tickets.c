/* Makes, replaces and applies the keys that seal session tickets. */
#include "common/net/tls_tickets.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"

#include <openssl/core_names.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEYS       3 /* the newest seals */
#define NAME_BYTES 16
#define IV_BYTES   16

struct ticket_key {
    unsigned char name[NAME_BYTES], cipher[32], mac[32];
    uint64_t made_us; /* 0: none */
};

struct tickets {
    pthread_mutex_t mutex;
    struct ticket_key keys[KEYS]; /* newest first */
};

static void make_key(struct ticket_key *key)
{
    random_bytes(key->name, sizeof(key->name));
    random_bytes(key->cipher, sizeof(key->cipher));
    random_bytes(key->mac, sizeof(key->mac));
    key->made_us = clock_monotonic_us();
}

struct tickets *tickets_new(void)
{
    struct tickets *tickets = calloc(1, sizeof(*tickets));

    REQUIRE(tickets && pthread_mutex_init(&tickets->mutex, NULL) == 0);
    make_key(&tickets->keys[0]);
    return tickets;
}

void tickets_free(struct tickets *tickets)
{
    pthread_mutex_destroy(&tickets->mutex);
    wipe(tickets, sizeof(*tickets));
    free(tickets);
}

/* Keys that may open no more are forgotten, also those that nobody has asked for in a long time. */
static void replace_old(struct tickets *tickets)
{
    const uint64_t life_us = (uint64_t)TICKET_LIFE_S * 1000000;
    uint64_t now_us = clock_monotonic_us();

    if (now_us - tickets->keys[0].made_us >= life_us) {
        memmove(&tickets->keys[1], &tickets->keys[0], sizeof(tickets->keys[0]) * (KEYS - 1));
        make_key(&tickets->keys[0]);
    }
    for (size_t i = 1; i < KEYS; i++) {
        if (tickets->keys[i].made_us && now_us - tickets->keys[i].made_us >= life_us * KEYS)
            wipe(&tickets->keys[i], sizeof(tickets->keys[i]));
    }
}

/* Copies the key to seal with, or the one of that name; its age counted from the newest, or -1. */
static int choose(struct tickets *tickets, const unsigned char *name, struct ticket_key *key)
{
    int found = -1;

    pthread_mutex_lock(&tickets->mutex);
    replace_old(tickets);
    for (int i = 0; i < KEYS && found < 0; i++) {
        if (tickets->keys[i].made_us &&
            (!name || memcmp(tickets->keys[i].name, name, NAME_BYTES) == 0))
            found = i;
    }
    if (found >= 0)
        *key = tickets->keys[found];
    pthread_mutex_unlock(&tickets->mutex);
    return found;
}

int tickets_apply(struct tickets *tickets, SSL *ssl, unsigned char *name, unsigned char *iv,
                  EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    char digest[] = "SHA256";
    struct ticket_key key;
    int age = choose(tickets, sealing ? NULL : name, &key), outcome;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac, sizeof(key.mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    if (age < 0)
        return 0; /* a full handshake */
    if (sealing) {
        memcpy(name, key.name, NAME_BYTES);
        random_bytes(iv, IV_BYTES);
    }
    /* 2: opened, and to be replaced. In 1.3 a ticket is for one use, so it always is. */
    outcome = sealing || (age == 0 && SSL_version(ssl) < TLS1_3_VERSION) ? 1 : 2;
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv, sealing) != 1 ||
        EVP_MAC_CTX_set_params(mac, params) != 1)
        outcome = -1;
    wipe(&key, sizeof(key));
    return outcome;
}
