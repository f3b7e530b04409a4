/*
 * The connections of incoming: their gate and guard, deadlines, caps, refusals and ends.
 *
 * A connection lives from accept until evhttp closes it; evhttp owns it, we hang on it. Whatever
 * must not happen inside a callback of evhttp or of the buffer (closing, taking over) is noted and
 * done in the set's next turn. It knows nothing of answers, and of evhttp only that somebody can
 * close a connection: that is incoming.c's part. Not thread-safe.
 */
#ifndef COMMON_NET_CONNECTION_H
#define COMMON_NET_CONNECTION_H

#include "common/net/gate.h"
#include "common/net/incoming.h"
#include "common/net/listener.h"
#include "common/net/peers.h"

#include <event2/event_struct.h>
#include <sys/queue.h>

struct bufferevent;
struct evhttp_connection;
struct connection_set;

#define CONNECTION_SPARE_GUARDS 64

/* What a connection is doing. Only connection.c changes it. */
enum connection_state {
    CONNECTION_FRESH,    /* made by accept, evhttp has not finished with it */
    CONNECTION_IDLE,     /* no byte of a message is here */
    CONNECTION_READING,  /* part of a message is here */
    CONNECTION_PENDING,  /* a whole message is with evhttp or the user, or its answer under way */
    CONNECTION_REFUSED,  /* a refusal is to be, or is being, written */
    CONNECTION_LINGERING /* it is written and shut; what comes is dropped */
};

struct connection {
    struct connection_set *set;
    enum connection_state state;
    struct bufferevent *bufferevent;
    struct ssl_st *tls; /* the bufferevent's; NULL without TLS */
    struct evhttp_connection *evhttp;
    struct incoming_request *request; /* handed over and not yet answered to the end */
    struct incoming_spool *spool;     /* of the present message; NULL: its body is for evhttp */
    struct guard *guard;              /* of the present message; NULL while idle */
    struct gate gate;
    struct event *deadline; /* made only when a message does not come in one read */
    uint64_t state_since_us;
    uint64_t started_us;          /* first byte of the message */
    uint64_t mark_us, mark_bytes; /* how far its body was, some time ago */
    uint64_t look_us, look_bytes; /* relief.c's, of the present state */
    size_t held;                  /* bytes of a body that is coming in, as the budget knows */
    bool in_body;
    bool counted;    /* in the set's peers */
    bool must_close; /* in the next turn */
    bool reset;      /* … by a reset */
    bool late;       /* its TLS handshake took too long */
    bool in_turn;
    struct peer_key peer_key;
    char peer_address[LISTENER_ADDRESS_SIZE];
    uint16_t peer_port, local_port;
    int descriptor;
    TAILQ_ENTRY(connection) all, idle, turn;
};

TAILQ_HEAD(connection_list, connection);

struct connection_hooks {
    /* evhttp has made the connection: fill in evhttp, descriptor and peer, set its close callback.
     */
    void (*adopt)(struct connection *connection, void *context);
    uint64_t (*body_limit)(struct connection *connection, void *context);
    /* Tells the user of the refusal and writes the body of its answer, which goes out with
     * X-Request-Id: request_id, and with the header that it gives back (no name: none). */
    struct incoming_header (*refuse)(struct connection *connection, const char *request_id,
                                     const char *own_id, struct buffer *body, void *context);
    /* Where the body goes that follows; NULL: to evhttp. May refuse the message. */
    struct incoming_spool *(*spool)(struct connection *connection, void *context);
    /* Makes evhttp free the connection (connection_free follows from its close callback). */
    void (*close)(struct connection *connection, void *context);
};

struct connection_set {
    struct event_base *base;
    const struct incoming_limits *limits;
    struct connection_hooks hooks;
    void *context;
    struct listener *listener; /* paused while the set is full; NULL before listening */
    struct connection_list all, idle, turn;
    struct event turn_event, sweep_event;
    struct peers *peers;
    struct guard *spares[CONNECTION_SPARE_GUARDS]; /* of messages that are over */
    unsigned spare_count;
    unsigned count;
    uint64_t turned_away; /* closed at once: too many of one address */
    uint64_t displaced;   /* closed while idle, to make room for others */
    uint64_t relieved;    /* cut by relief.c */
    bool draining;
};

/* `limits` is borrowed for the set's life. */
void connection_set_init(struct connection_set *set, struct event_base *base,
                         const struct incoming_limits *limits, const struct connection_hooks *hooks,
                         void *context);
/* Does now what would be done in the next turn. */
void connection_set_settle(struct connection_set *set);
/* All connections must be gone. */
void connection_set_release(struct connection_set *set);
/* Idle connections are closed when they stay silent for drain_idle_ms, the others with their answer. May
 * be called again. */
void connection_set_drain(struct connection_set *set);

/* At accept; `tls` is the bufferevent's session, NULL without one. It is adopted in the next turn: by
 * then evhttp has given it its callbacks. */
struct connection *connection_new(struct connection_set *set, struct bufferevent *bufferevent,
                                  struct ssl_st *tls);
/* From evhttp's close callback only. */
void connection_free(struct connection *connection);
/* The answer to its message has been written: on with the next, if it has one. */
void connection_next(struct connection *connection);
/* The last answer has been written: evhttp closes it next, and nothing more is read. */
void connection_end(struct connection *connection);
/* Gives the message's guard to the caller, who frees it with guard_release and free. */
struct guard *connection_take_guard(struct connection *connection);
/* Refuses what it sends, from outside the guard; the answer goes out in the next turn. */
void connection_refuse(struct connection *connection, enum guard_reason reason);
/* Closes it in the next turn, by a reset when the client shall see a truncation. */
void connection_close(struct connection *connection, bool reset);
/* Watches for the client's leaving while the answer is pending. */
void connection_watch(struct connection *connection);

#endif
