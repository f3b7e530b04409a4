/*
 * The gate: lets bytes of one connection through to the parser behind it (evhttp) only once the
 * guard has found them legal.
 *
 * It hangs on the input buffer of a bufferevent: its callback runs inside the read, before the
 * parser's. What is scanned but not yet legal as a unit (half a head, half a chunk-size line) is
 * withheld and put back later; when a request comes in one read, nothing is moved. The parser sees
 * one message at a time: bytes behind a complete one stay unscanned until gate_next. After a
 * refusal nothing gets through any more. Of a legal head the parser sees a canonical one with the
 * same framing and nothing else; body bytes reach it as they are.
 */
#ifndef COMMON_NET_GATE_H
#define COMMON_NET_GATE_H

#include "common/net/guard.h"

struct bufferevent;
struct evbuffer;
struct evbuffer_cb_entry;

/* Called from inside the read, or from gate_next: note the fact, do nothing to the connection. */
struct gate_handlers {
    /* Bytes came, and are scanned next: gate.guard must be there from now on. */
    void (*on_bytes)(size_t count, void *context);
    /* The head is complete: the most body bytes to take. */
    uint64_t (*on_head)(void *context);
    /* There is a body, within that: true when it goes to on_piece instead of the parser, which then
     * sees one byte when the message is complete. May refuse the message. */
    bool (*on_body)(void *context);
    /* False: enough for now (what was read already comes nevertheless). */
    bool (*on_piece)(struct view piece, void *context);
    /* Whatever came has been scanned: the guard's state tells the rest. */
    void (*on_scanned)(void *context);
};

/* Embedded in the connection. */
struct gate {
    struct guard *guard; /* of the present message; the owner's, set and unset by it */
    struct bufferevent *bufferevent;
    struct evbuffer *held; /* withheld; NULL most of the time */
    struct evbuffer_cb_entry *entry;
    size_t unscanned; /* the last so many bytes of the input buffer */
    size_t shown;     /* spooling: the first so many are the parser's */
    bool spooling;    /* the body goes to on_piece */
    bool sated;       /* … which has enough */
    bool swallowing;  /* all input is dropped */
    bool tls;         /* the socket's bytes are not the message's */
    uint64_t swallowed;
    const struct gate_handlers *handlers;
    void *context;
};

/* The bufferevent is borrowed. */
void gate_init(struct gate *gate, struct bufferevent *bufferevent,
               const struct gate_handlers *handlers, void *context);
/* Leaves the bufferevent alone for good. */
void gate_release(struct gate *gate);
/* The parser has finished with the message: scans what has come behind it, by a fresh guard. */
void gate_next(struct gate *gate);
/* Nothing gets through any more: drops what is there and what comes, counting it. */
void gate_swallow(struct gate *gate);
/* Bytes in the input buffer that the parser must have left there after the message. */
size_t gate_unscanned(const struct gate *gate);
/* Headers of the message that the parser must have found. */
unsigned gate_headers_shown(const struct gate *gate);

#endif
