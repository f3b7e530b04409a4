/*
 * A certificate with its chain and key as somebody hands it in: PEM text (RFC 7468), checked in each
 * respect for which clients or our own TLS would refuse it.
 *
 * Chain: the host's own certificate first, then each one that signed the one before; the root may be
 * left out. Keys: RSA of 2048 to 8192 bits, EC on P-256, P-384 or P-521, Ed25519, without a passphrase.
 * Names: DNS names among the subject alternative names alone (RFC 9525 section 6.3); a wildcard stands
 * for one label. Pure, thread-safe, and slow: a signature is made.
 */
#ifndef COMMON_NET_TLS_PAIR_H
#define COMMON_NET_TLS_PAIR_H

#include "common/base/bytes.h"
#include "common/net/tls.h"

#define TLS_PAIR_MAX_CHAIN       10
#define TLS_PAIR_MAX_CERTIFICATE (64 * 1024) /* bytes of PEM text */
#define TLS_PAIR_MAX_KEY         (16 * 1024)
#define TLS_PAIR_EARLY_S         300 /* a clock may be so far behind the authority's */

struct tls_pair_wish {
    struct view certificate_pem, key_pem;
    struct view host; /* lower case; "*.example.com" wants that very name in it */
    int64_t now_s;
};

/* What is known of it when it is good. */
struct tls_pair {
    struct buffer pem;             /* chain and key, written anew, for one file. Secret. */
    struct buffer subject, issuer; /* RFC 2253 */
    struct buffer names;           /* lower case, each with a line feed behind it */
    int64_t not_before_s, not_after_s;
    char key_type[16]; /* "RSA 2048", "EC P-256", "Ed25519" */
    char fingerprint[TLS_FINGERPRINT_HEX_SIZE];
};

enum tls_pair_part { TLS_PAIR_CERTIFICATE, TLS_PAIR_KEY };

/* False: it cannot be served, and on_fault was told why, once or more; `pair` is to be released all the
 * same. Sentences go on behind the name of the part ("expired on …"), and hold nothing of the key. */
bool tls_pair_check(const struct tls_pair_wish *wish, struct tls_pair *pair,
                    void (*on_fault)(enum tls_pair_part part, const char *sentence, void *context),
                    void *context) MUST_CHECK;
/* Wipes what is secret. */
void tls_pair_release(struct tls_pair *pair);

#endif
