/*
 * HTTP requests that come in: evhttp behind the guard, one `struct incoming` per event loop.
 *
 * Every connection is read through the guard before evhttp parses a byte. A request is handed over
 * when it is whole (head and body). The user answers exactly once (incoming_reply, or
 * incoming_stream_begin … _end), from any later turn of the same loop or from inside the callback;
 * the request is gone after that call (for streams after _end or _abort). A client that leaves
 * while the answer is pending is told by on_gone; the user must still answer (the answer is
 * dropped). Not thread-safe: all calls come from the loop's thread.
 *
 * Refusals by the guard end through on_refused, so that the user can log and count them; the answer
 * is ours. All limits are on by default. Only incoming.c and
 * incoming_answer.c include event2/http.h.
 */
#ifndef COMMON_NET_INCOMING_H
#define COMMON_NET_INCOMING_H

#include "common/base/budget.h"
#include "common/base/bytes.h"
#include "common/net/guard.h"

struct event_base;
struct incoming;
struct incoming_request;
struct peers;
struct tls;
struct tls_shown;

struct incoming_limits {
    struct guard_limits guard;
    int64_t head_timeout_ms;       /* whole head, from its first byte: 408; as long for a TLS
                                     handshake, then cut. default 10 s */
    int64_t idle_timeout_ms;       /* kept-alive connection without a byte: closed. default 75 s */
    int64_t body_timeout_ms;       /* whole body at the least: default 30 s, and … */
    int64_t body_min_bytes_per_s;  /* … longer while this rate is kept, over all of it and over
                                   * each body_timeout_ms. default 1000 */
    int64_t spool_min_bytes_per_s; /* the same of bodies that are spooled. default 8192 */
    int64_t drain_idle_ms;    /* draining: a silent connection is kept for so long. default 1 s */
    int64_t write_timeout_ms; /* no byte of the answer taken for so long: cut. default 30 s */
    unsigned max_connections; /* default 10,000; at it the one that was idle for longest is
                               * closed, or else accepting pauses */
    unsigned max_connections_per_address; /* default 1,000; beyond: closed at once. 0: no limit */
    /* Counts bodies as they come and while they wait for their answers, and answers that their clients
     * have not taken yet (but not those sent by reference). A body that would pass it is refused with
     * 503. Borrowed; NULL: nothing is counted. */
    struct budget *budget;
    /* Counts connections by address, for several servers together. Borrowed; NULL: this one alone. */
    struct peers *peers;
};
extern const struct incoming_limits incoming_default_limits;

struct incoming_refusal {
    enum guard_reason reason;
    int status;
    struct view peer_address;         /* "203.0.113.7" */
    struct view method, target, host; /* what is known of them; may be empty */
    uint64_t started_us;              /* monotonic: its first byte came */
    uint64_t max_body_bytes;          /* what would have been taken of a body */
    const char *request_id; /* the id that the answer names: the client's when it is lawful */
    const char *own_id;     /* of ours, a UUID; the same when the client gave none */
};

/* What the head alone allows to decide, before the body is read (and before 100 Continue). */
struct incoming_head {
    struct view method, target, host;
    struct view content_type, authorization; /* empty: absent */
    uint64_t content_length;                 /* UINT64_MAX when chunked */
    bool expects_continue;                   /* the body is not on its way yet */
    struct view peer_address;
};

struct incoming_header {
    struct view name, value;
};

/*
 * Takes the body of a message as it comes, so that it never lies in memory as a whole. Embedded by the
 * user, who makes it at the head (incoming_handlers.spool), and owns it again when the request is
 * there (incoming_take_spool). The members below `drop` are incoming's.
 */
struct incoming_spool {
    /* Bytes of the body, inside the read: to be copied. False: enough for now; the client waits until
     * incoming_spool_resume (some that are read already still come). */
    bool (*take)(struct incoming_spool *spool, struct view piece);
    /* The message was refused, its client left, or nobody took the spool from its request. It is the
     * user's to free, and nobody else knows it any more. */
    void (*drop)(struct incoming_spool *spool);
    struct connection *connection; /* NULL: nothing more comes */
    struct event *pause;
    bool full;
};
void incoming_spool_resume(struct incoming_spool *spool);
/* Refuses the message whose body is still coming: GUARD_STORAGE_FULL, GUARD_STORAGE_FAILED. */
void incoming_spool_refuse(struct incoming_spool *spool, enum guard_reason reason);

struct incoming_handlers {
    /* A whole request. Owned by the user until answered. */
    void (*on_request)(struct incoming_request *request, void *context);
    /* The guard refused; may be NULL. */
    void (*on_refused)(const struct incoming_refusal *refusal, void *context);
    /* At the end of the head of a request with a body: the largest to take, in bytes (at most
     * guard.max_body_bytes); may be NULL. Return 0 to take none: the request then gets
     * 413, or the status of `*over` when that is set to GUARD_UNAUTHORIZED: the body would be taken
     * from somebody who may send it; or to GUARD_BUSY: it would be taken at another time. */
    uint64_t (*body_limit)(const struct incoming_head *head, enum guard_reason *over,
                           void *context);
    /* Right behind body_limit, when that lets the body come: what takes it; NULL: it is collected in
     * memory. With `*over` set the request is refused (BUSY, STORAGE_FULL …). May be NULL. */
    struct incoming_spool *(*spool)(const struct incoming_head *head, enum guard_reason *over,
                                    void *context);
    /* Writes the answer body for a refusal (a problem document); may be NULL: a short JSON problem
     * is made. */
    void (*refusal_body)(const struct incoming_refusal *refusal, struct buffer *body,
                         void *context);
    /* Goes out with each refusal; static; no name: none. */
    struct incoming_header refusal_header;
};

struct incoming *incoming_new(struct event_base *base, const struct incoming_limits *limits,
                              const struct incoming_handlers *handlers, void *context);
/* All connections are TLS. Before listening; `tls` is borrowed, and must outlive the event loop. */
void incoming_use_tls(struct incoming *incoming, struct tls *tls);
/* Binds and listens: TCP_NODELAY, SO_REUSEADDR, and SO_REUSEPORT when asked. `address` is
 * "HOST:PORT" or "[IPv6]:PORT"; port 0 allowed. On failure one sentence goes to `problem`. */
enum error incoming_listen(struct incoming *incoming, const char *address, bool reuse_port,
                           struct buffer *problem) MUST_CHECK;
/* Listens on sockets of bound_socket.h, at least one; takes the descriptors. */
void incoming_adopt(struct incoming *incoming, const int *fds, size_t count);
/* What was really bound (the first of several), "127.0.0.1:43211"; borrowed. */
const char *incoming_address(const struct incoming *incoming);
/* Stops accepting (what is queued in the kernel is still accepted first), answers with
 * `Connection: close`, and closes connections that stay silent for drain_idle_ms. */
void incoming_drain(struct incoming *incoming);
/* The same, but accepts nothing more: what is queued is for those who hold the sockets as well. */
void incoming_leave(struct incoming *incoming);
/* Connections open, and requests handed over but not yet answered. */
unsigned incoming_connections(const struct incoming *incoming);
unsigned incoming_pending(const struct incoming *incoming);
/* Times that evhttp and the guard disagreed on a message; must stay 0. */
uint64_t incoming_disagreements(const struct incoming *incoming);
/* Connections closed at once, over max_connections_per_address. */
uint64_t incoming_turned_away(const struct incoming *incoming);
/* Connections closed while idle, as max_connections were open. */
uint64_t incoming_displaced(const struct incoming *incoming);
/* To be called a few times a second: cuts clients that sit on memory while the budget is nearly used
 * up. Gives how many it has cut so far. */
uint64_t incoming_relieve(struct incoming *incoming);
/* Ends all connections, those of unfinished streams by a reset; requests still pending are dropped
 * (their on_gone is not called, their handles die). */
void incoming_free(struct incoming *incoming);

/* Reading a request; views are borrowed until it is answered (that of the body: until a stream is
 * begun). */
struct view incoming_method(const struct incoming_request *request);
struct view incoming_target(
    const struct incoming_request *request); /* origin-form as sent: "/a%20b?x=1" or "*" */
struct view incoming_host(const struct incoming_request *request); /* Host as sent */
bool incoming_is_http_1_0(const struct incoming_request *request);
struct view incoming_body(struct incoming_request *request); /* contiguous */
/* The body, when it was spooled: the user's from now on. NULL: it was not, or was taken before. */
struct incoming_spool *incoming_take_spool(struct incoming_request *request);
struct view incoming_peer_address(const struct incoming_request *request); /* "203.0.113.7" */
uint16_t incoming_peer_port(const struct incoming_request *request);
uint16_t incoming_local_port(const struct incoming_request *request);
bool incoming_is_tls(const struct incoming_request *request);
/* As OpenSSL names them ("TLSv1.3", "TLS_AES_256_GCM_SHA384"); static; empty without TLS. */
struct view incoming_tls_version(const struct incoming_request *request);
struct view incoming_tls_cipher(const struct incoming_request *request);
/* The certificate that the client has shown (tls.h); false: none. Until the client leaves. */
bool incoming_client_shown(const struct incoming_request *request, struct tls_shown *shown);
/* False: what the client has shown would not let it in any more. True without TLS. */
bool incoming_client_welcome(const struct incoming_request *request);
/* Microseconds (monotonic): first byte of the head seen; whole request there. */
uint64_t incoming_started_us(const struct incoming_request *request);
uint64_t incoming_received_us(const struct incoming_request *request);
/* The first header of that name (any case); false when absent. */
bool incoming_header(const struct incoming_request *request, const char *name, struct view *value);
/* All headers in the order sent: index from 0; false past the end. */
bool incoming_header_at(const struct incoming_request *request, size_t index, struct view *name,
                        struct view *value);
/* on_gone is called at most once, from the loop, when the client leaves before the answer. */
void incoming_watch(struct incoming_request *request, void (*on_gone)(void *context),
                    void *context);

/*
 * Answers with a whole body. `headers` must be lawful: names and values are checked, an unlawful
 * one is our bug. Content-Length, Date and Connection are ours: do not pass them. No body goes out
 * for HEAD, 204 and 304 (Content-Length of the body is kept for HEAD, where there is a body). With `free_body` non-NULL
 * the body is sent by reference and freed with it when written; else it is copied.
 */
void incoming_reply(struct incoming_request *request, int status,
                    const struct incoming_header *headers, size_t header_count, struct view body,
                    void (*free_body)(const void *data, size_t length, void *context),
                    void *free_context);
/* To HEAD: the length that GET would bring, for an answer whose own body is empty (RFC 9110 section
 * 8.6). Nothing to other methods. Call before answering. */
void incoming_tell_length(struct incoming_request *request, uint64_t length);
/* The connection is closed after the answer. Call before answering. */
void incoming_close_after(struct incoming_request *request);

/* Answers in pieces (chunked for 1.1, until close for 1.0). The request's body is gone with the begin. `on_writable` is called from the loop
 * when what was written has gone to the kernel below a low mark (64 KiB): the user's signal to send
 * on. */
void incoming_stream_begin(struct incoming_request *request, int status,
                           const struct incoming_header *headers, size_t header_count,
                           void (*on_writable)(void *context), void *context);
void incoming_stream_write(struct incoming_request *request, struct view bytes);
/* Bytes handed over and not yet taken by the kernel. */
size_t incoming_stream_unsent(const struct incoming_request *request);
void incoming_stream_end(struct incoming_request *request);
/* Cuts the connection so that the client sees the truncation. */
void incoming_stream_abort(struct incoming_request *request);

#endif
