/*
 * Certificates of clients: whose word counts, and what clients have shown. Immutable once read, so
 * thread-safe. For tls.c and tls_context.c alone.
 */
#ifndef COMMON_NET_TLS_CLIENTS_H
#define COMMON_NET_TLS_CLIENTS_H

#include "common/net/tls.h"

#include <openssl/ssl.h>

#define TLS_MAX_AUTHORITIES 64

struct tls_clients;

/* Reads the certificates (PEM, no keys needed) that vouch for clients; 1 to TLS_MAX_AUTHORITIES. */
enum error tls_clients_read(const char *path, bool required, struct tls_clients **clients,
                            struct buffer *problem) MUST_CHECK;
/* NULL is fine. Contexts that it was applied to live on. */
void tls_clients_free(struct tls_clients *clients);
void tls_clients_apply(const struct tls_clients *clients, SSL_CTX *context);
/* Whether the session's client would be let in with the settings of `present`. */
bool tls_clients_welcome(const SSL *ssl, SSL_CTX *present);
/* Why a handshake was refused; static. */
const char *tls_clients_reason(const SSL *ssl, unsigned long openssl_error);

#endif
