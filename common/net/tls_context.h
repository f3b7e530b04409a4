/*
 * What all TLS sessions have in common: versions, ciphers, protocols, and what is asked of clients. For
 * tls.c alone, which adds what it wants to be asked, and the certificate.
 */
#ifndef COMMON_NET_TLS_CONTEXT_H
#define COMMON_NET_TLS_CONTEXT_H

#include <openssl/ssl.h>

struct tls_clients;

/* `clients` (may be NULL) is borrowed during the call. */
SSL_CTX *tls_context_new(const struct tls_clients *clients);

#endif
