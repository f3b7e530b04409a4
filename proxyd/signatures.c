/* Checks signatures, and remembers keys and good signatures. */
#include "proxyd/signatures.h"

#include "common/base/crypto.h"

#include <stdlib.h>
#include <string.h>

struct known_key {
    enum signature_kind kind;
    struct view der; /* owned; empty: the place is free */
    struct public_key *key;
};

struct signatures {
    struct known_key keys[SIGNATURES_KEYS];
    uint8_t known[SIGNATURES_KNOWN][SHA256_BYTES]; /* zeros: free; no digest is that */
    uint64_t checked, recalled;
};

struct signatures *signatures_new(void)
{
    struct signatures *signatures = calloc(1, sizeof *signatures);

    REQUIRE(signatures != NULL);
    return signatures;
}

static void forget_key(struct known_key *known)
{
    public_key_free(known->key);
    free((char *)(uintptr_t)known->der.data);
    *known = (struct known_key){.key = NULL};
}

void signatures_free(struct signatures *signatures)
{
    if (!signatures)
        return;
    for (size_t i = 0; i < SIGNATURES_KEYS; i++)
        forget_key(&signatures->keys[i]);
    free(signatures);
}

/* FNV-1a: only spreads keys over the table, which are then compared whole. */
static size_t place_of(struct view der)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < der.length; i++)
        hash = (hash ^ (unsigned char)der.data[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash % SIGNATURES_KEYS);
}

static const struct public_key *find_key(struct signatures *signatures,
                                         const struct signature_key *key)
{
    struct known_key *known = &signatures->keys[place_of(key->der)];
    struct public_key *made;

    if (known->key && known->kind == key->kind && view_equal(known->der, key->der))
        return known->key;
    if (public_key_from_der(key->kind, key->der, &made) != ERROR_NONE)
        return NULL;
    forget_key(known);
    *known =
        (struct known_key){key->kind, view_from(view_duplicate(key->der), key->der.length), made};
    return made;
}

/* Each part with its length in front, so that no two cases give the same bytes. */
static void digest_of(const struct signature_key *key, enum signature_algorithm algorithm,
                      struct view message, struct view signature, uint8_t digest[SHA256_BYTES])
{
    const uint64_t head[] = {(uint64_t)key->kind, (uint64_t)algorithm, key->der.length,
                             message.length};
    struct sha256_stream *stream = sha256_new();

    sha256_update(stream, head, sizeof head);
    sha256_update(stream, key->der.data, key->der.length);
    sha256_update(stream, message.data, message.length);
    sha256_update(stream, signature.data, signature.length);
    sha256_finish(stream, digest);
}

bool signatures_good(struct signatures *signatures, const struct signature_key *key,
                     enum signature_algorithm algorithm, struct view message, struct view signature)
{
    const struct public_key *public;
    uint8_t digest[SHA256_BYTES], *place;
    uint32_t number;

    digest_of(key, algorithm, message, signature, digest);
    memcpy(&number, digest, sizeof number);
    place = signatures->known[number % SIGNATURES_KNOWN];
    if (memcmp(place, digest, sizeof digest) == 0) {
        signatures->recalled++;
        return true;
    }
    public = find_key(signatures, key);
    signatures->checked++;
    if (!public || !public_key_verify(public, algorithm, message, signature))
        return false;
    memcpy(place, digest, sizeof digest);
    return true;
}

uint64_t signatures_checked(const struct signatures *signatures)
{
    return signatures->checked;
}

uint64_t signatures_recalled(const struct signatures *signatures)
{
    return signatures->recalled;
}
