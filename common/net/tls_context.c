/* Makes the settings of TLS sessions: versions, ciphers and protocols that may be spoken. */
#include "common/net/tls_context.h"

#include "common/base/bytes.h"
#include "common/net/tls_clients.h"
#include "common/net/tls_tickets.h"

/* Forward secrecy and AEAD; 1.3 has nothing else anyway. */
#define CIPHERS                                                                                    \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

static int on_protocols(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_length,
                        const unsigned char *offered, unsigned length, void *context)
{
    const struct view wanted = VIEW("http/1.1");

    (void)ssl;
    (void)context;
    for (unsigned i = 0; i < length && i + offered[i] < length; i += 1u + offered[i]) {
        if (view_equal(view_from(offered + i + 1, offered[i]), wanted)) {
            *chosen = offered + i + 1;
            *chosen_length = offered[i];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

SSL_CTX *tls_context_new(const struct tls_clients *clients)
{
    static const unsigned char purpose[] = "incoming";
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    REQUIRE(context);
    REQUIRE(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
            SSL_CTX_set_cipher_list(context, CIPHERS) == 1 &&
            SSL_CTX_set_session_id_context(context, purpose, sizeof(purpose) - 1) == 1);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* No partial writes: libevent would take a part for the whole. */
    SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets hold the sessions */
    SSL_CTX_set_timeout(context, TICKET_LIFE_S);
    SSL_CTX_set_alpn_select_cb(context, on_protocols, NULL);
    if (clients)
        tls_clients_apply(clients, context);
    return context;
}
