/*
 * What both servers say in the head of an answer: status phrases, lawful headers, the Date, and a
 * problem document for refusals. Pure but for the clock.
 */
#ifndef COMMON_NET_RESPONSE_H
#define COMMON_NET_RESPONSE_H

#include "common/net/incoming.h" /* struct incoming_header, struct incoming_refusal */

/* "OK", "Not Found"; "Unknown" for statuses without a registered phrase. */
const char *response_phrase(int status);
/* Whether the answer may carry a body at all (RFC 9110 section 6.4.1). */
bool response_has_body(int status, bool head_request);
/* Our bug when a name is no token, a value holds control bytes, or a header is not the caller's
 * to set (Content-Length, Transfer-Encoding, Connection, Date). */
void response_require_lawful(int status, const struct incoming_header *headers, size_t count);
/* "Fri, 02 Jan 2026 03:04:05 GMT", made once a second; borrowed until the next call. */
struct view response_date(void);

enum response_framing {
    RESPONSE_LENGTH,      /* Content-Length */
    RESPONSE_CHUNKED,     /* Transfer-Encoding: chunked */
    RESPONSE_UNTIL_CLOSE, /* neither: HTTP/1.0 */
    RESPONSE_BODILESS,    /* neither: 1xx, 204, 304 */
};
/* Status line, Date, headers, framing, "Connection: close" when `close`, and the empty line. */
void response_write_head(struct buffer *out, int status, const struct incoming_header *headers,
                         size_t count, enum response_framing framing, uint64_t length, bool close);
/* A short problem document (RFC 9457) for a refusal. */
void response_write_problem(struct buffer *out, const struct incoming_refusal *refusal);

#endif
