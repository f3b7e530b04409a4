/*
 * The guard: a strict RFC 9112 scanner that reads every byte of a client before anything else does.
 * Pure.
 *
 * It refuses, never repairs. It is fed bytes as they come (any split, down to one by one) and says
 * how many of them are legal so far, where a message's head ends, what it holds, and when the
 * message is complete. Bytes behind the end of a message are not looked at until guard_next.
 * Refused: bare LF or CR, white space tricks, obs-fold, control bytes, bad tokens, zero or two
 * Hosts, an invalid Host, fragments and raw illegal bytes in the target, Content-Length that is
 * repeated, signed, listed or overflowing, Content-Length with Transfer-Encoding, any
 * Transfer-Encoding but exactly `chunked`, chunked in HTTP/1.0, bad chunk sizes, chunk extensions,
 * trailers (unless allowed), over-long lines, heads and counts, absolute-form whose authority
 * disagrees with Host, HEAD with a body, CONNECT and TRACE, other versions than 1.0 and 1.1.
 * Design and measurements: RFC 9112, RFC 9110.
 */
#ifndef COMMON_NET_GUARD_H
#define COMMON_NET_GUARD_H

#include "common/base/bytes.h"
#include "common/net/fields.h"

struct guard_limits {
    size_t max_target_bytes;    /* request target; beyond: 414 */
    size_t max_line_bytes;      /* one header line; beyond: 431 */
    size_t max_head_bytes;      /* request line and headers; beyond: 431 */
    unsigned max_headers;       /* beyond: 431 */
    uint64_t max_body_bytes;    /* beyond: 413 */
    bool allow_trailers;        /* the Runtime API needs them; off at every edge */
    bool allow_unknown_methods; /* any RFC 9110 token in upper case; off: 501 */
};
/* 8 KiB target, 16 KiB line, 32 KiB head, 100 headers, 6 MiB body, no trailers, unknown methods
 * allowed. */
extern const struct guard_limits guard_default_limits;

/* Why something was refused: one list gives enum, the word for logs and metrics, and the status. */
#define GUARD_REASON_LIST(X)                                                                       \
    X(NONE, "none", 0)                                                                             \
    X(LINE_END, "line-end", 400)                                                                   \
    X(METHOD, "method", 400)                                                                       \
    X(METHOD_UNKNOWN, "method-unknown", 501)                                                       \
    X(TARGET, "target", 400)                                                                       \
    X(TARGET_TOO_LONG, "target-too-long", 414)                                                     \
    X(VERSION, "version", 505)                                                                     \
    X(HEADER_NAME, "header-name", 400)                                                             \
    X(HEADER_VALUE, "header-value", 400)                                                           \
    X(HEADER_FOLDED, "header-folded", 400)                                                         \
    X(HEAD_TOO_LARGE, "head-too-large", 431)                                                       \
    X(TOO_MANY_HEADERS, "too-many-headers", 431)                                                   \
    X(HOST_MISSING, "host-missing", 400)                                                           \
    X(HOST_REPEATED, "host-repeated", 400)                                                         \
    X(HOST_INVALID, "host-invalid", 400)                                                           \
    X(HOST_MISMATCH, "host-mismatch", 400)                                                         \
    X(CONTENT_LENGTH, "content-length", 400)                                                       \
    X(LENGTH_AND_CODING, "length-and-coding", 400)                                                 \
    X(TRANSFER_ENCODING, "transfer-encoding", 501)                                                 \
    X(CHUNK, "chunk", 400)                                                                         \
    X(TRAILER, "trailer", 400)                                                                     \
    X(BODY_TOO_LARGE, "body-too-large", 413)                                                       \
    X(UNAUTHORIZED, "unauthorized", 401)                                                           \
    X(BODY_UNEXPECTED, "body-unexpected", 400)                                                     \
    X(EXPECTATION, "expectation", 417)                                                             \
    X(BUSY, "busy", 503)                                                                           \
    X(STORAGE_FULL, "storage-full", 507)                                                           \
    X(STORAGE_FAILED, "storage-failed", 500)                                                       \
    X(SLOW, "slow", 408)                                                                           \
    X(DISAGREEMENT, "disagreement", 400)

enum guard_reason {
#define GUARD_ENUM(code, name, status) GUARD_##code,
    GUARD_REASON_LIST(GUARD_ENUM)
#undef GUARD_ENUM
};
const char *guard_reason_name(enum guard_reason reason);
int guard_reason_status(enum guard_reason reason);

/*
 * How a message is fed: guard_feed looks at bytes until something is worth telling, and says how
 * many it took. Call it again with the rest until it says MORE (all was taken, or bytes are needed),
 * END or REFUSED. HEAD comes alone, so that a policy can act before the body (guard_restrict_body).
 * The same bytes give the same steps for every way of cutting them, but that BODY comes in the
 * pieces that were fed.
 */
enum guard_event {
    GUARD_EVENT_MORE,
    GUARD_EVENT_HEAD, /* head complete: the accessors below are good */
    GUARD_EVENT_BODY, /* `piece` is decoded body, inside the bytes that were fed */
    GUARD_EVENT_END,  /* message complete; what follows is the next one's: guard_next first */
    GUARD_EVENT_REFUSED,
};

struct guard_step {
    enum guard_event event;
    struct view piece;
};

enum guard_state {
    GUARD_STATE_START, /* before a message; one empty line is skipped here (RFC 9112 section 2.2) */
    GUARD_STATE_REQUEST_LINE,
    GUARD_STATE_HEADER_LINE,
    GUARD_STATE_BODY, /* head told; what the body is like is still to be looked at */
    GUARD_STATE_LENGTH_DATA,
    GUARD_STATE_CHUNK_SIZE,
    GUARD_STATE_CHUNK_DATA,
    GUARD_STATE_CHUNK_DATA_END,
    GUARD_STATE_TRAILER_LINE,
    GUARD_STATE_COMPLETE,
    GUARD_STATE_REFUSED,
};

/* Embedded by those who read connections. Read through the functions below. */
struct guard {
    const struct guard_limits *limits; /* borrowed for the guard's life */
    enum guard_state state;
    enum guard_reason reason;
    bool after_cr; /* a CR was the last byte: only LF may follow */
    bool http_1_0;
    bool has_host, has_length, has_coding, expects_continue;
    bool says_close, says_keep_alive; /* tokens of Connection, all its lines together */
    unsigned leading_bytes;           /* of a skipped empty line: 0 or 2 */
    uint64_t scanned, committed;      /* bytes of this message; see guard_committed */
    uint64_t length;                  /* Content-Length, or the size of the present chunk */
    uint64_t left;                    /* of the body or chunk */
    uint64_t body_bytes;              /* decoded and seen */
    uint64_t max_body_bytes;
    enum guard_reason over_limit; /* why a body beyond that is refused */
    unsigned chunk_digits;
    size_t method_length;                      /* these lie in head.text, the method at its start */
    size_t target_offset, target_length;       /* in origin-form, or "*" */
    size_t authority_offset, authority_length; /* of an absolute-form target; else length 0 */
    unsigned host_index;                       /* in head, when has_host */
    struct fields head, trailer;
};

void guard_init(struct guard *guard, const struct guard_limits *limits);
/* Frees its memory; it may be used again at once, for a new message. */
void guard_release(struct guard *guard);
/* Ready for the next message of the connection. Keeps memory for it. */
void guard_next(struct guard *guard);

/* Takes bytes of the message. While guard_opaque is not 0, data may be NULL for that many bytes:
 * they are body and are not looked at. Out of memory refuses with HEAD_TOO_LARGE. */
size_t guard_feed(struct guard *guard, struct view bytes, struct guard_step *step);
/* Body bytes that come next and need no look. */
uint64_t guard_opaque(const struct guard *guard);
/* After HEAD: takes no more than `max_bytes` of body (never more than the limits allow). False when
 * the head announced more: the message is refused with `over_limit` (BODY_TOO_LARGE unless set). */
bool guard_restrict_body(struct guard *guard, uint64_t max_bytes) MUST_CHECK;
/* Refuses from outside: BUSY, STORAGE_FULL, STORAGE_FAILED, SLOW, DISAGREEMENT. */
void guard_refuse(struct guard *guard, enum guard_reason reason);
/*
 * Bytes of this message, from its start, that may be shown to another parser without ever having
 * to be taken back: whole head; whole chunk-size line; body data as it comes; the line end behind
 * it; the last chunk with its trailers. Stays behind `scanned` in between.
 */
uint64_t guard_committed(const struct guard *guard);

/* Good from HEAD on, borrowed until guard_next or guard_release. After a refusal in the head,
 * method and target may be empty. */
struct view guard_method(const struct guard *guard);
/* In origin-form ("/a%20b?x=1"), also when it came in absolute-form, or "*". */
struct view guard_target(const struct guard *guard);
struct view guard_host(const struct guard *guard); /* empty when absent (HTTP/1.0) */
bool guard_header(const struct guard *guard, const char *name, struct view *value);
bool guard_header_at(const struct guard *guard, size_t index, struct view *name,
                     struct view *value);
bool guard_trailer(const struct guard *guard, const char *name, struct view *value);
bool guard_chunked(const struct guard *guard);
/* UINT64_MAX when chunked; 0 without a body. */
uint64_t guard_content_length(const struct guard *guard);
bool guard_has_body(const struct guard *guard);
/* Whether the client lets the connection live on after this exchange (RFC 9112 section 9.3);
 * HTTP/1.0 never does here. */
bool guard_keeps_alive(const struct guard *guard);

#endif
