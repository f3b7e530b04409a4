/*
 * Requests that were handed over to the user: what they know, and the notices their users get. For
 * incoming.c alone, which begins, answers and ends them. It knows nothing of evhttp but the name.
 */
#ifndef COMMON_NET_INCOMING_REQUEST_H
#define COMMON_NET_INCOMING_REQUEST_H

#include "common/net/connection.h"
#include "common/net/incoming.h"

#include <event2/event_struct.h>
#include <sys/queue.h>

struct evbuffer;
struct evhttp_request;

TAILQ_HEAD(incoming_request_list, incoming_request);

struct incoming_request_set {
    struct incoming_request_list all, notices; /* notices: those whose users are to be told */
    struct event notice_event;
    struct budget *budget; /* NULL: none */
    unsigned pending;      /* handed over and not yet answered */
};

/* Facts of a request's life, each told once: answered says that the user is through with it. */
struct incoming_request {
    struct incoming *incoming;
    struct incoming_request_set *set;
    struct connection *connection; /* NULL once the client has left */
    struct evhttp_request *evhttp; /* NULL once evhttp has freed it */
    struct guard *guard;           /* the connection's; the request's own once it is gone */
    struct evbuffer *body;         /* NULL without one */
    struct incoming_spool *spool;  /* the body when it was spooled and is not taken yet */
    size_t held;                   /* of the body or the answer, as the budget knows */
    uint64_t started_us, received_us;
    char peer_address[LISTENER_ADDRESS_SIZE];
    uint16_t peer_port, local_port;
    const char *tls_version, *tls_cipher; /* static; NULL without TLS */
    void (*on_gone)(void *context);
    void *gone_context;
    void (*on_writable)(void *context);
    void *writable_context;
    uint64_t told_length; /* to HEAD, when tells_length */
    bool tells_length;
    bool answered, streaming, bodiless, close_after, closes, wants_writable, noticed;
    TAILQ_ENTRY(incoming_request) all, notice;
};

void incoming_request_set_init(struct incoming_request_set *set, struct event_base *base,
                               struct budget *budget);
void incoming_request_set_release(struct incoming_request_set *set);
/* A whole message of the connection; `body` (may be NULL) is now the request's. */
struct incoming_request *incoming_request_new(struct incoming_request_set *set,
                                              struct connection *connection, struct evbuffer *body);
/* Does not touch evhttp's request. */
void incoming_request_free(struct incoming_request *request);
/* Holds `bytes` of the connections' budget: of its body, or of its answer. */
void incoming_request_hold(struct incoming_request *request, size_t bytes);
/* The user is through with it: it is no longer pending. */
void incoming_request_answered(struct incoming_request *request);
/* The connection dies before the answer: the request keeps what its user may read. */
void incoming_request_orphan(struct incoming_request *request);
/* Tells the user in a turn of its own that the client is gone, or else that more may be written. */
void incoming_request_notice(struct incoming_request *request);
/* At once, when something was written since the last time. */
void incoming_request_tell_writable(struct incoming_request *request);
/*
 * A small piece behind others of the stream that still wait (and whose callback evhttp has), not
 * bodiless: evhttp would give it a buffer chain of its own, half a KiB of memory for each byte that a
 * slow reader lets wait. False when memory ran out: the connection must be cut.
 */
bool incoming_request_add_small(struct incoming_request *request, struct view bytes,
                                bool *added) MUST_CHECK;
/* Streams that are not written out: their connections are to be reset, as a close in order would be
 * the body's end where it has no framing (HTTP/1.0). */
void incoming_request_cut_streams(struct incoming_request_set *set);

#endif
