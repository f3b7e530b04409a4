/*
 * A TLS client on the loop of the server under test, and certificates made at test time. Every wait is
 * bounded; one that runs out fails the test.
 */
#ifndef TESTS_UNIT_COMMON_NET_TLS_CLIENT_H
#define TESTS_UNIT_COMMON_NET_TLS_CLIENT_H

#include "common/base/bytes.h"

#include <openssl/ssl.h>

struct event_base;

struct tls_client {
    struct event_base *base;
    SSL_CTX *context;
    SSL *ssl;
    SSL_SESSION *ticket; /* the last that came; the test's to free */
    int fd;
    struct buffer in; /* all that came */
    bool ready;       /* the handshake is over, well */
    bool ended;       /* the server has closed or reset, or the handshake failed */
    bool told;        /* … and has said that it is the end */
};

struct tls_client_wish {
    const char *host;      /* SNI; NULL: none */
    int version;           /* 0: any */
    const char *protocols; /* ALPN in wire form; NULL: none */
    SSL_SESSION *ticket;   /* to resume; borrowed */
    bool any_security;     /* also what nobody should speak any more */
};

/* `address` is "127.0.0.1:PORT". Connects, and shakes hands until that is over. */
void tls_client_open(struct tls_client *client, struct event_base *base, const char *address,
                     const struct tls_client_wish *wish);
void tls_client_close(struct tls_client *client);
/* Sends in one record for each `piece` bytes (0: in one write), turning the loop behind each; stops
 * early when the server ends. */
void tls_client_send(struct tls_client *client, struct view bytes, size_t piece);
void tls_client_until(struct tls_client *client, const char *text);
void tls_client_until_end(struct tls_client *client);
/* Turns the loop so often, and takes what is there. */
void tls_client_turn(struct tls_client *client, unsigned times);
bool tls_client_has(const struct tls_client *client, const char *text);
/* The common name of the certificate that the server showed. */
void tls_client_peer(const struct tls_client *client, char name[64]);

/* Writes a self-signed certificate with the common name `name`, the alternative names ("DNS:a,DNS:b"; NULL:
 * none) and the days to live, and its key, in PEM form; with a passphrase when given. */
void write_certificate(const char *certificate_path, const char *key_path, const char *name,
                       const char *alternatives, int days, const char *passphrase);

#endif
