/*
 * The guard: a strict RFC 9112 scanner that reads every byte of a client before anything else does.
 * Pure.
 *
 * It refuses, never repairs. It is fed bytes as they come (any split, down to one by one) and says
 * how many of them are legal so far, where a message's head ends, what it holds, and when the
 * message is complete. Bytes behind the end of a message are not looked at until guard_next.
 * Refused: bare LF or CR, white space tricks, obs-fold, control bytes, bad tokens, zero or two
 * Hosts, an invalid Host, fragments and raw illegal bytes in the target, Content-Length that is
 * repeated, signed, listed or overflowing, Content- Length with Transfer-Encoding, any
 * Transfer-Encoding but exactly `chunked`, chunked in HTTP/1.0, bad chunk sizes, chunk extensions,
 * trailers (unless allowed), over-long lines, heads and counts, absolute-form whose authority
 * disagrees with Host, HEAD with a body, CONNECT and TRACE, other versions than 1.0 and 1.1.
 * Design and measurements: RFC 9112, RFC 9110.
 */
#ifndef COMMON_NET_GUARD_H
#define COMMON_NET_GUARD_H

#include "common/base/bytes.h"

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
    X(BODY_UNEXPECTED, "body-unexpected", 400)                                                     \
    X(EXPECTATION, "expectation", 417)                                                             \
    X(SLOW, "slow", 408)                                                                           \
    X(DISAGREEMENT, "disagreement", 400)

enum guard_reason {
#define GUARD_ENUM(code, name, status) GUARD_##code,
    GUARD_REASON_LIST(GUARD_ENUM)
#undef GUARD_ENUM
};
const char *guard_reason_name(enum guard_reason reason);
int guard_reason_status(enum guard_reason reason);

#endif
