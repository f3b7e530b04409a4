/*
 * Lambda reply -> HTTP response: pure. 2.0 with response inference, 1.0 and alb without. Sources:
 * aws-contract section 2.
 */
#ifndef COMMON_CONTRACT_REPLY_H
#define COMMON_CONTRACT_REPLY_H

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/contract/event.h"

struct reply_header {
    struct view name, value; /* lawful: token name, no CR, LF, NUL or control bytes */
};

struct reply {
    int status;                   /* 200–599 (1xx from a function is a fault) */
    struct reply_header *headers; /* without hop-by-hop, Content-Length, Date; Set-Cookie once per
                                     cookie; Content-Type defaulted */
    size_t header_count;
    struct view body; /* decoded; in the arena or borrowed from the payload */
};

#define REPLY_MAX_HEADERS 200

/* Everything in `reply` lives in the arena, or in `payload` (which must live as long).
 * ERROR_INVALID or ERROR_TOO_BIG: one sentence for the log in `problem` (never shown to clients).
 */
enum error reply_decode(enum event_format format, struct view payload, struct arena *arena,
                        struct reply *reply, struct buffer *problem) MUST_CHECK;
/* Whether a response with this status to this method carries no body (HEAD, 204, 304). */
bool reply_has_no_body(struct view method, int status);
/* The function's own error object ({"errorMessage","errorType"}): true when it is one. `timed_out`:
 * Sandbox.Timedout, or the message of a timeout. */
bool reply_function_error(struct view payload, struct arena *arena, struct view *type,
                          struct view *message, bool *timed_out);

#endif
