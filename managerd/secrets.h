/*
 * Secrets at rest: environment variables of apps, and certificates of domains with their keys, sealed
 * with AES-256-GCM under a key that lies apart from state (keys/environment.key, made once; or
 * MANAGERD_SECRET_KEY_FILE). The file may hold the key before it on a second line: that opens, and what
 * it opens is sealed anew at the start (reseal.h).
 */
#ifndef MANAGERD_SECRETS_H
#define MANAGERD_SECRETS_H

#include "common/base/bytes.h"
#include "common/base/json.h"

struct secrets;

/* Reads the key, or makes it when `made_at` is used for the first time. `key_file` NULL: the key
 * lies at `made_at`. A key file holds 64 hex digits, once or twice. One sentence in `problem`. */
enum error secrets_open(const char *key_file, const char *made_at, struct secrets **secrets,
                        struct buffer *problem) MUST_CHECK;
/* Wipes the key. */
void secrets_free(struct secrets *secrets);

/* Of the key that seals; tells nothing about it. */
const char *secrets_key_id(const struct secrets *secrets);
size_t secrets_key_count(const struct secrets *secrets);

struct resealed {
    unsigned done, unreadable;
};
/* Seals anew whatever in the tree is not sealed by the first key; it all is bound to the same. What was
 * equal stays equal: history compares it. */
void secrets_reseal(const struct secrets *secrets, struct view bound_to, struct json *tree,
                    struct resealed *count);

/* {"NAME": "value"} -> {"names": [...], "sealed": "…"}; bound to the app's name. */
struct json *secrets_seal(const struct secrets *secrets, struct view app,
                          const struct json *variables);
/* And back, as a new object; an environment that was never set gives an empty one. */
enum error secrets_unseal(const struct secrets *secrets, struct view app,
                          const struct json *environment, struct json **variables) MUST_CHECK;

/* Tells two sets of values apart without telling any of them: 32 hex digits and NUL, by the first key and
 * bound to the app; whatever the order of names. */
#define SECRETS_FINGERPRINT_SIZE 33
void secrets_fingerprint(const struct secrets *secrets, struct view app,
                         const struct json *variables, char out[SECRETS_FINGERPRINT_SIZE]);

/* A certificate of a domain with its key: PEM text of at most SECRETS_MAX_PEM bytes -> base64, bound to
 * the host; and back, appended. */
#define SECRETS_MAX_PEM (512u * 1024)
void secrets_seal_certificate(const struct secrets *secrets, struct view host, struct view pem,
                              struct buffer *sealed);
enum error secrets_unseal_certificate(const struct secrets *secrets, struct view host,
                                      struct view sealed, struct buffer *pem) MUST_CHECK;

/* An answer that is kept for an Idempotency-Key (idempotency.h), bound to the key's hash: of at most
 * SECRETS_MAX_ANSWER bytes. It is not sealed anew: it is gone in a day, or with its key. */
#define SECRETS_MAX_ANSWER (256u * 1024)
void secrets_seal_answer(const struct secrets *secrets, const char *hash, struct view text,
                         struct buffer *sealed);
enum error secrets_unseal_answer(const struct secrets *secrets, const char *hash,
                                 struct view sealed, struct buffer *text) MUST_CHECK;

#endif
