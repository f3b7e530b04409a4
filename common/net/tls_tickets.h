/*
 * The keys of session tickets (RFC 5077, RFC 8446 section 4.6.1), shared by all threads and contexts
 * of a process: made at random, replaced every eight hours, good for opening tickets for sixteen more.
 * They never leave the process's memory. Thread-safe. For tls.c alone.
 */
#ifndef COMMON_NET_TLS_TICKETS_H
#define COMMON_NET_TLS_TICKETS_H

#include <openssl/ssl.h>

#define TICKET_LIFE_S (8 * 3600) /* of a ticket, and between replacements of the key */

struct tickets;

struct tickets *tickets_new(void);
void tickets_free(struct tickets *tickets);
/* What SSL_CTX_set_tlsext_ticket_key_evp_cb's callback has to do. */
int tickets_apply(struct tickets *tickets, SSL *ssl, unsigned char *name, unsigned char *iv,
                  EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing);

#endif
