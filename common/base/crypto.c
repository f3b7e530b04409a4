/* Hashes, seals and draws random bytes with OpenSSL. */
#include "common/base/crypto.h"

#include "common/base/memory.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define SHA256_BLOCK_BYTES 64
#define NONCE_BYTES        12
#define TAG_BYTES          16

/* Fetched once: in OpenSSL 3 an implicit fetch costs more than hashing a short text. */
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *sha256_method;
static EVP_CIPHER *gcm_method;

static void fetch_methods(void)
{
    sha256_method = EVP_MD_fetch(NULL, "SHA256", NULL);
    gcm_method = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    REQUIRE(sha256_method != NULL && gcm_method != NULL);
}

static const EVP_MD *sha256_md(void)
{
    REQUIRE(pthread_once(&fetched, fetch_methods) == 0);
    return sha256_method;
}

static const EVP_CIPHER *gcm_cipher(void)
{
    REQUIRE(pthread_once(&fetched, fetch_methods) == 0);
    return gcm_method;
}

static void *get_memory(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return memory_get(size);
}

static void *resize_memory(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return memory_resize(memory, size);
}

static void release_memory(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    memory_release(memory);
}

void crypto_use_wiping_memory(void)
{
    REQUIRE(CRYPTO_set_mem_functions(get_memory, resize_memory, release_memory) == 1);
}

void sha256(struct view data, uint8_t out[SHA256_BYTES])
{
    REQUIRE(EVP_Digest(data.data, data.length, out, NULL, sha256_md(), NULL) == 1);
}

/* An EVP_MD_CTX under a name that keeps OpenSSL out of our headers. */
struct sha256_stream *sha256_new(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    REQUIRE(context != NULL);
    REQUIRE(EVP_DigestInit_ex2(context, sha256_md(), NULL) == 1);
    return (struct sha256_stream *)context;
}

void sha256_update(struct sha256_stream *stream, const void *data, size_t length)
{
    REQUIRE(EVP_DigestUpdate((EVP_MD_CTX *)stream, data, length) == 1);
}

void sha256_finish(struct sha256_stream *stream, uint8_t out[SHA256_BYTES])
{
    EVP_MD_CTX *context = (EVP_MD_CTX *)stream;

    REQUIRE(EVP_DigestFinal_ex(context, out, NULL) == 1);
    EVP_MD_CTX_free(context);
}

/* One pass of HMAC: hash of the key, each byte changed by `pad`, and the text. */
static void hmac_pass(EVP_MD_CTX *context, const uint8_t key[SHA256_BLOCK_BYTES], uint8_t pad,
                      struct view text, uint8_t out[SHA256_BYTES])
{
    uint8_t padded[SHA256_BLOCK_BYTES];

    for (size_t i = 0; i < sizeof(padded); i++)
        padded[i] = key[i] ^ pad;
    REQUIRE(EVP_DigestInit_ex2(context, sha256_md(), NULL) == 1);
    REQUIRE(EVP_DigestUpdate(context, padded, sizeof(padded)) == 1);
    REQUIRE(EVP_DigestUpdate(context, text.data, text.length) == 1);
    REQUIRE(EVP_DigestFinal_ex(context, out, NULL) == 1);
    wipe(padded, sizeof(padded));
}

/* RFC 2104 by hand: EVP_MAC looks its digest up by name at each start, and a signature is made of
 * several of these for each request. */
void hmac_sha256(struct view key, struct view data, uint8_t out[SHA256_BYTES])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t block[SHA256_BLOCK_BYTES] = {0};
    uint8_t inner[SHA256_BYTES];

    REQUIRE(context != NULL);
    if (key.length > sizeof(block))
        sha256(key, block);
    else if (key.length)
        memcpy(block, key.data, key.length);
    hmac_pass(context, block, 0x36, data, inner);
    hmac_pass(context, block, 0x5C, view_from(inner, sizeof(inner)), out);
    wipe(block, sizeof(block));
    wipe(inner, sizeof(inner));
    EVP_MD_CTX_free(context);
}

void random_bytes(void *out, size_t length)
{
    REQUIRE(length <= INT_MAX);
    REQUIRE(RAND_bytes(out, (int)length) == 1);
}

bool constant_time_equal(struct view a, struct view b)
{
    return a.length == b.length && (a.length == 0 || CRYPTO_memcmp(a.data, b.data, a.length) == 0);
}

void wipe(void *data, size_t length)
{
    OPENSSL_cleanse(data, length);
}

static void seal_with(struct buffer *out, const uint8_t key[32], struct view plain,
                      struct view associated, const uint8_t nonce[NONCE_BYTES])
{
    EVP_CIPHER_CTX *context;
    unsigned char *room;
    int length = 0;

    REQUIRE(plain.length <= INT_MAX - NONCE_BYTES - TAG_BYTES && associated.length <= INT_MAX);
    room = (unsigned char *)buffer_reserve(out, NONCE_BYTES + plain.length + TAG_BYTES);
    if (!room)
        return;
    memcpy(room, nonce, NONCE_BYTES);
    context = EVP_CIPHER_CTX_new();
    REQUIRE(context != NULL);
    REQUIRE(EVP_EncryptInit_ex2(context, gcm_cipher(), key, room, NULL) == 1);
    if (associated.length)
        REQUIRE(EVP_EncryptUpdate(context, NULL, &length, (const unsigned char *)associated.data,
                                  (int)associated.length) == 1);
    if (plain.length)
        REQUIRE(EVP_EncryptUpdate(context, room + NONCE_BYTES, &length,
                                  (const unsigned char *)plain.data, (int)plain.length) == 1);
    REQUIRE(EVP_EncryptFinal_ex(context, room + NONCE_BYTES + plain.length, &length) == 1);
    REQUIRE(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_BYTES,
                                room + NONCE_BYTES + plain.length) == 1);
    EVP_CIPHER_CTX_free(context);
    buffer_commit(out, NONCE_BYTES + plain.length + TAG_BYTES);
}

void seal(struct buffer *out, const uint8_t key[32], struct view plain, struct view associated)
{
    uint8_t nonce[NONCE_BYTES];
    random_bytes(nonce, sizeof nonce);
    seal_with(out, key, plain, associated, nonce);
}

void seal_again(struct buffer *out, const uint8_t key[32], struct view plain,
                struct view associated, struct view earlier)
{
    uint8_t digest[SHA256_BYTES];
    hmac_sha256(view_from((const char *)key, 32), earlier, digest);
    seal_with(out, key, plain, associated, digest);
}

enum error unseal(struct buffer *out, const uint8_t key[32], struct view sealed,
                  struct view associated)
{
    const unsigned char *from = (const unsigned char *)sealed.data;
    unsigned char tag[TAG_BYTES];
    EVP_CIPHER_CTX *context;
    unsigned char *room;
    size_t plain;
    int length = 0;
    bool genuine;

    if (sealed.length < NONCE_BYTES + TAG_BYTES || sealed.length > INT_MAX ||
        associated.length > INT_MAX)
        return ERROR_DAMAGED;
    plain = sealed.length - NONCE_BYTES - TAG_BYTES;
    room = (unsigned char *)buffer_reserve(out, plain);
    if (!room)
        return out->error;
    memcpy(tag, from + NONCE_BYTES + plain, sizeof(tag));
    context = EVP_CIPHER_CTX_new();
    REQUIRE(context != NULL);
    REQUIRE(EVP_DecryptInit_ex2(context, gcm_cipher(), key, from, NULL) == 1);
    if (associated.length)
        REQUIRE(EVP_DecryptUpdate(context, NULL, &length, (const unsigned char *)associated.data,
                                  (int)associated.length) == 1);
    if (plain)
        REQUIRE(EVP_DecryptUpdate(context, room, &length, from + NONCE_BYTES, (int)plain) == 1);
    REQUIRE(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1);
    genuine = EVP_DecryptFinal_ex(context, room + plain, &length) == 1;
    EVP_CIPHER_CTX_free(context);
    if (!genuine) {
        wipe(room, plain);
        return ERROR_DAMAGED;
    }
    buffer_commit(out, plain);
    return ERROR_NONE;
}
