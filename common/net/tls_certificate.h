/*
 * One certificate with its chain and key, read from PEM files and checked: an SSL_CTX that serves it,
 * the host names in it, its end. Immutable and reference-counted, so thread-safe. For tls.c alone.
 */
#ifndef COMMON_NET_TLS_CERTIFICATE_H
#define COMMON_NET_TLS_CERTIFICATE_H

#include "common/net/tls.h"

#include <openssl/ssl.h>

struct certificate {
    struct tls_certificate facts;
    char *path;
    char **names; /* lower case, "*." in front of wildcards; may be none */
    size_t name_count;
    SSL_CTX *context;
    uint64_t stamp; /* of its source */
    int64_t written_ns;
};

/* `context` is taken, also on failure: a fresh one with all settings but the certificate. On failure
 * one sentence that names the file goes to `problem`. */
enum error certificate_read(const struct tls_source *source, SSL_CTX *context,
                            struct certificate **certificate, struct buffer *problem) MUST_CHECK;
struct certificate *certificate_keep(struct certificate *certificate);
void certificate_release(struct certificate *certificate);

#endif
