/* SHA-256, HMAC-SHA-256, random bytes, constant-time comparison, authenticated encryption: OpenSSL
 * behind a narrow door. Failure of OpenSSL itself is our bug (REQUIRE). */
#ifndef COMMON_BASE_CRYPTO_H
#define COMMON_BASE_CRYPTO_H

#include "common/base/bytes.h"

#define SHA256_BYTES 32

void sha256(struct view data, uint8_t out[SHA256_BYTES]);

/* In pieces. */
struct sha256_stream;
struct sha256_stream *sha256_new(void);
void sha256_update(struct sha256_stream *stream, const void *data, size_t length);
/* Finishes and frees. */
void sha256_finish(struct sha256_stream *stream, uint8_t out[SHA256_BYTES]);

void hmac_sha256(struct view key, struct view data, uint8_t out[SHA256_BYTES]);

void random_bytes(void *out, size_t length);
/* Time depends on the lengths alone. */
bool constant_time_equal(struct view a, struct view b);
/* Overwrites, not optimised away. */
void wipe(void *data, size_t length);
/* OpenSSL frees by memory_release (memory.h) from now on. Before its first use. */
void crypto_use_wiping_memory(void);

/* AES-256-GCM: out gets nonce (12) || ciphertext || tag (16). */
void seal(struct buffer *out, const uint8_t key[32], struct view plain, struct view associated);
/* The same, but what was sealed `earlier` under another key to the same thing always becomes the same
 * again: copies stay equal. `earlier` must be what it was sealed to, whole: its nonce makes it unique. */
void seal_again(struct buffer *out, const uint8_t key[32], struct view plain,
                struct view associated, struct view earlier);
/* ERROR_DAMAGED when key, text or associated data differ. */
enum error unseal(struct buffer *out, const uint8_t key[32], struct view sealed,
                  struct view associated) MUST_CHECK;

#endif
