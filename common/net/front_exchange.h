/*
 * What front.c and front_exchange.c share: a connection of the small server, and the one exchange on
 * it at a time. front.c reads and decides when things end; front_exchange.c writes and answers.
 */
#ifndef COMMON_NET_FRONT_EXCHANGE_H
#define COMMON_NET_FRONT_EXCHANGE_H

#include "common/net/front.h"
#include "common/net/guard.h"
#include "common/net/listener.h"

#define FRONT_READ_BYTES (64 * 1024)

struct evbuffer;
struct event;

struct front {
    struct event_base *base;
    struct guard_limits limits;
    struct front_handlers handlers;
    void *context;
    struct listener *listener;
    int64_t timeout_ms;
    struct front_exchange *connections;
    unsigned connection_count;
    struct buffer head; /* scratch for heads of answers */
    char block[FRONT_READ_BYTES];
};

/* A connection, and the one exchange on it. All flags are facts, told by the exchange's life:
 * told -> ended -> answer_begun -> answer_whole, each at most once. */
struct front_exchange {
    struct front *front;
    struct front_exchange *next, **link;
    int fd;
    struct event *reading, *writing, *turn;
    struct guard guard;
    struct evbuffer *ahead; /* read, not yet scanned */
    struct evbuffer *out;   /* not yet taken by the kernel */
    uint64_t swallowed;     /* while lingering */
    void *data;
    void (*on_writable)(struct front_exchange *exchange, void *context);
    bool told;  /* on_head was called: on_close is owed */
    bool ended; /* the message is complete */
    bool answer_begun, answer_whole;
    bool chunked;  /* the answer is */
    bool bodiless; /* the answer must have no body */
    bool wants_writable;
    bool paused;    /* by the user */
    bool closing;   /* no further exchange on this connection */
    bool lingering; /* answered and shut: what still comes is dropped */
    bool gone;      /* the client left, or the socket failed */
    bool cut;       /* end it with a reset, so that nobody takes the part for the whole */
    bool stalled;   /* scanning stopped for the pause, though bytes may not be lacking */
    bool timed_reading;
    bool inside; /* in one of our callbacks: progress is made at its end */
    char peer[LISTENER_ADDRESS_SIZE];
};

/* Asks for a turn, in which front.c moves the exchange on; within our callbacks it comes anyway. */
void exchange_want_turn(struct front_exchange *exchange);
/* The client has left, or the socket failed. */
void exchange_lose(struct front_exchange *exchange);
/* Adds the event with the server's timeout. */
void exchange_add_timed(struct front_exchange *exchange, struct event *event);
/* Calls on_close, if it is owed. */
void exchange_tell_close(struct front_exchange *exchange, bool complete);
/* Writes the answer for what the guard has refused; nothing when an answer has begun already. */
void exchange_refuse(struct front_exchange *exchange);
/* "100 Continue". */
void exchange_send_continue(struct front_exchange *exchange);

#endif
