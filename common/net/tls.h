/*
 * TLS for incoming connections: certificates by host name (SNI), tickets that all threads share, and
 * what became of handshakes. OpenSSL behind a narrow door.
 *
 * One `struct tls` serves all threads of a process. What was loaded last is an immutable,
 * reference-counted set: a connection keeps the one it began with, a reload changes what later ones
 * get. TLS 1.2 with forward secrecy and AEAD ciphers, and 1.3; no renegotiation, no early data; ALPN
 * is http/1.1 (a client that offers protocols, and not this one, is refused: RFC 7301). A client that
 * names no host, or an unknown one, gets the default certificate; without one it is refused.
 * A handshake takes no lock on a thread that has said tls_thread_begin, but for a moment after a load.
 * Everything here is thread-safe, but the calls on one session, which belong to its loop's thread.
 */
#ifndef COMMON_NET_TLS_H
#define COMMON_NET_TLS_H

#include "common/base/bytes.h"

#define TLS_MAX_CERTIFICATES     4096
#define TLS_MAX_NAMES            256          /* of one certificate */
#define TLS_MAX_FILE_BYTES       (256 * 1024) /* of one PEM file */
#define TLS_FINGERPRINT_HEX_SIZE 65
#define TLS_SUBJECT_SIZE         257

struct tls;
struct ssl_st; /* OpenSSL's SSL: one connection's session */

/* PEM files, RFC 7468: the certificate and its chain in order, and its key without a passphrase. Both
 * paths may name the same file. */
struct tls_source {
    const char *certificate_path, *key_path;
    bool is_default; /* at most one: for clients that name no host that we know */
    /* Of the files as they are now, by the caller's choice; 0: unknown. While it stays as it was at
     * the load before, the files are not read again. */
    uint64_t stamp;
    bool anew; /* read them all the same */
    int64_t
        written_ns; /* when they were written: of two with the same name the later one is meant */
};

/* What is known of a loaded certificate. */
struct tls_certificate {
    const char *name; /* the first host name in it; "" without one */
    const char *path;
    char fingerprint[TLS_FINGERPRINT_HEX_SIZE]; /* SHA-256 of its DER form, lower case */
    int64_t not_after_s;                        /* since 1970 */
    bool is_new;                                /* read by the latest load */
};

enum tls_result {
    TLS_DONE,      /* handshakes that ended well, resumed ones among them */
    TLS_RESUMED,   /* those of them that took up an earlier session */
    TLS_REFUSED,   /* no common version, cipher, protocol or certificate; no TLS at all */
    TLS_LEFT,      /* the client went away */
    TLS_TIMED_OUT, /* it took too long */
    TLS_RESULT_COUNT
};

struct tls *tls_new(void);
/* All sessions must be gone. NULL is fine. */
void tls_free(struct tls *tls);
/*
 * Loads all sources and lets them be in force for connections from now on. For each that cannot be
 * used on_problem gets one sentence that names the file; in its place the certificate that was loaded
 * from that path before stays, if there is one. Gives the number of such sources. One at a time:
 * calls must not overlap.
 */
size_t tls_load(struct tls *tls, const struct tls_source *sources, size_t count,
                void (*on_problem)(const struct tls_source *source, const char *sentence,
                                   void *context),
                void *context);
/*
 * What loads from now on ask of clients: a certificate that a certificate of this PEM file vouches for,
 * directly or over others that the client sends along, and that is meant for clients (RFC 5280 section
 * 4.2.1.12). `required`: who shows none is refused; else he is let in, but never with a bad one. Such
 * sessions are never resumed: each connection is looked at. To be followed by a load that reads all
 * anew. On failure, with one sentence that names the file, everything stays as it was.
 */
enum error tls_ask_clients(struct tls *tls, const char *authorities_path, bool required,
                           struct buffer *problem) MUST_CHECK;
/* Tells of each handshake that we refused, from its loop's thread, with a static reason. Set before the
 * first session. */
void tls_tell_refusals(struct tls *tls,
                       void (*on_refused)(struct view peer_address, const char *reason,
                                          void *context),
                       void *context);
/* Visits the certificates in force; what is shown is borrowed during the call. */
void tls_each_certificate(struct tls *tls,
                          void (*visit)(const struct tls_certificate *certificate, void *context),
                          void *context);
uint64_t tls_count(const struct tls *tls, enum tls_result result);

/* The fingerprint of the certificate that is meant for a host (lower case, without a dot at its end),
 * or false. It is taken when it is loaded and one of its names covers the host; else the names
 * decide. */
typedef bool (*tls_choose)(struct view host, char fingerprint[TLS_FINGERPRINT_HEX_SIZE],
                           void *context);
/* From now on `choose` (may be NULL) is asked in the handshakes of this thread, and the set in force
 * is kept at hand. End it before the thread, and before tls_free. */
void tls_thread_begin(struct tls *tls, tls_choose choose, void *context);
void tls_thread_end(void);

/* A session for a connection that was accepted. Its owner frees it with SSL_free (a bufferevent with
 * BEV_OPT_CLOSE_ON_FREE does). */
struct ssl_st *tls_session_new(struct tls *tls);
/* Whether the handshake is over, well. */
bool tls_session_ready(const struct ssl_st *session);
/* Whether a handshake has begun and is not over. */
bool tls_session_shakes_hands(const struct ssl_st *session);
/* Whether bytes of the peer wait inside the session: the socket does not show them. */
bool tls_session_holds_bytes(const struct ssl_st *session);
/* Static strings, as OpenSSL names them: "TLSv1.3", "TLS_AES_256_GCM_SHA384". */
const char *tls_session_version(const struct ssl_st *session);
const char *tls_session_cipher(const struct ssl_st *session);
/* Tells the peer that nothing more comes: only with it is an end no truncation (RFC 8446 section 6.1).
 * Does nothing before the end of the handshake. */
void tls_session_say_end(struct ssl_st *session);
/* The connection ends: counts a handshake that did not. `openssl_error`: the first error that was met,
 * or 0. Once, before the session is freed. */
void tls_session_count_end(struct ssl_st *session, bool timed_out, unsigned long openssl_error,
                           struct view peer_address);

/* What a client has shown, and was found good. */
struct tls_shown {
    char subject[TLS_SUBJECT_SIZE]; /* RFC 2253, ASCII; cut when it is longer; may be empty */
    char fingerprint[TLS_FINGERPRINT_HEX_SIZE];
};
/* False: nothing. */
bool tls_session_shown(const struct ssl_st *session, struct tls_shown *shown);
/* Whether the client would be let in now: its certificate has not ended since the handshake, and what is
 * asked for since a later load would be met. Cheap while nothing has changed. */
bool tls_session_welcome(const struct ssl_st *session);

#endif
