/*
 * HTTP requests that go out: libcurl multi on the caller's event loop, one `struct outgoing` per
 * loop. Only outgoing.c and its own parts know of curl.h.
 *
 * At most once: a request whose kept-alive connection turns out dead is never sent twice by libcurl
 * (CURLOPT_PREREQFUNCTION refuses the second try); the result says what is known of it: surely not
 * read by the peer, or perhaps read. "Surely" takes two proofs: TCP_INFO's tcpi_bytes_acked did not
 * move, and the peer had closed its side in order (a FIN carries its last acknowledgement; a bare
 * reset does not, a peer may read and reset before its delayed acknowledgement leaves).
 * on_done always comes from the loop, never from inside outgoing_send. Completion, cancel and free
 * in any order are safe, also from inside on_done and on_bytes; a call dies once. HTTP/1.1
 * kept-alive pool, HTTP/2 on request; no proxies from the environment; no redirects; TLS always
 * verified, its sessions resumed. Answers may have 64 KiB of headers. Programs that use this must ignore SIGPIPE.
 */
#ifndef COMMON_NET_OUTGOING_H
#define COMMON_NET_OUTGOING_H

#include "common/base/bytes.h"
#include "common/net/incoming.h" /* struct incoming_header */

struct event_base;
struct sockaddr;
struct outgoing;
struct outgoing_call;

struct outgoing_options {
    struct budget *budget;    /* counts answers as they come; borrowed; NULL: nothing is counted */
    unsigned max_connections; /* kept open; default 1,024 */
    int64_t connect_timeout_ms; /* default 3,000 */
    int64_t max_idle_ms;     /* a kept connection older than this is not reused; default 60,000 */
    int64_t max_lifetime_ms; /* default 600,000: names are resolved again in time */
    const char *ca_file;    /* NULL: the system's bundle (AWS_CA_BUNDLE is the caller's business) */
    const char *user_agent; /* NULL: none */
    bool
        http2; /* over TLS, where the server offers it, requests share connections; then what breaks
                   after it was sent is always OUTGOING_MAYBE */
};

struct outgoing *outgoing_new(struct event_base *base, const struct outgoing_options *options);
/* Cancels what is under way (no on_done) and closes all connections. */
void outgoing_free(struct outgoing *outgoing);

/* What is known of a request that brought no whole answer. */
enum outgoing_reach {
    OUTGOING_NOT_SENT, /* no connection, or closed by the peer before it took one byte */
    OUTGOING_MAYBE,    /* sent, at least in part: the peer may have read it */
    OUTGOING_ANSWERED, /* a status line came back */
};

struct outgoing_result {
    enum error error; /* NONE: a whole answer; UNREACHABLE (no connection, TLS failure, name),
                         BROKEN, TIMEOUT, TOO_BIG (answer over its ceiling), INVALID (a URL or
                         header that cannot be sent) */
    enum outgoing_reach reach;
    int status;            /* 0 without a status line */
    struct view body;      /* borrowed during on_done; outgoing_take_body to keep */
    const char *reason;    /* libcurl's sentence, for logs; never NULL */
    uint64_t connected_us; /* 0: a kept connection was used; else time to connect */
    uint64_t first_byte_us, total_us;
    const struct outgoing_call *call; /* for outgoing_header */
};

struct outgoing_request {
    const char *method;
    const char *url; /* borrowed until the call is over. Path and query are sent as they are. */
    const char
        *target; /* path and query, when they are not in the URL (libcurl takes each URL apart and
                           puts it together again, at 80 instructions a byte); NULL: the URL's */
    const struct incoming_header *headers; /* copied. Host is made from the URL unless given */
    size_t header_count;
    struct view body; /* by reference: must live until the call is over */
    bool has_body;    /* false: no body and no Content-Length (GET, DELETE, HEAD) */
    /* When set, the body is made as it goes out: `body_length` bytes in all. Up to `room` of them from
     * `offset` on, which only rises; 0: they cannot be had, the call ends as BROKEN. */
    size_t (*read_body)(uint64_t offset, char *out, size_t room, void *context);
    uint64_t body_length;
    int64_t deadline_ms;     /* the whole call from now; 0: none */
    size_t max_answer_bytes; /* ceiling of the collected body */
    bool fresh_connection;   /* no kept connection: for the second try after a stale one */
    void (*on_done)(const struct outgoing_result *result, void *context);
    /* Streams: when set, body bytes of answers with a 2xx status go here instead of being
     * collected. Return false to pause after these bytes; outgoing_resume goes on (on_done waits
     * as well when bytes are left). */
    bool (*on_bytes)(struct view bytes, const struct outgoing_result *so_far, void *context);
    /* When set: whether a connection may be opened to this address, a name having been resolved.
     * UNREACHABLE when none of a name's may. Connections that are kept are not asked about. */
    bool (*may_connect)(const struct sockaddr *address, void *context);
    void *context;
};

/* Starts a call. Never fails at once: what cannot start ends through on_done. */
struct outgoing_call *outgoing_send(struct outgoing *outgoing,
                                    const struct outgoing_request *request);
/* Ends a call without on_done. The connection is closed when the call was under way. Inside the
 * call's own on_done it does nothing: that call is over. */
void outgoing_cancel(struct outgoing_call *call);
void outgoing_resume(struct outgoing_call *call);
/* A header of the answer (any case, the last one of that name); valid during on_bytes and on_done.
 */
bool outgoing_header(const struct outgoing_call *call, const char *name, struct view *value);
/* During on_done: the body's malloc'ed bytes, given to the caller; NUL behind. */
char *outgoing_take_body(const struct outgoing_result *result, size_t *length);
/* Calls under way. */
unsigned outgoing_active(const struct outgoing *outgoing);
/* Connections open, idle ones included. */
unsigned outgoing_connections(const struct outgoing *outgoing);

#endif
