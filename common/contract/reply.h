/*
 * Lambda reply -> HTTP response: pure. 2.0 with response inference, 1.0 and alb without. Sources:
 * aws-contract section 2; docs/http-contract.md says what is refused, and why.
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
                                     cookie; one Content-Type, defaulted (not for 204 and 304) */
    size_t header_count;
    struct view body; /* decoded; in the arena or borrowed from the payload */
    bool
        has_own_length; /* Content-Length as the function gave it, once and lawful: of use for HEAD */
    uint64_t own_length;
};

#define REPLY_MAX_HEADERS      200
#define REPLY_MAX_HEADER_BYTES ((size_t)65536) /* of all names and values together */
/* What the arena's ceiling must allow for a payload of that length: the body, unescaped once, and
 * the headers. Less works for small replies; ERROR_TOO_BIG says when it did not. */
#define REPLY_ARENA_BYTES(payload_length) ((payload_length) + 4 * REPLY_MAX_HEADER_BYTES)

/* Everything in `reply` lives in the arena, or in `payload` (which must live as long).
 * ERROR_INVALID, ERROR_TOO_BIG or ERROR_NO_MEMORY: one sentence for the log is appended to
 * `problem` (never shown to clients; it may quote a header's name). */
enum error reply_decode(enum event_format format, struct view payload, struct arena *arena,
                        struct reply *reply, struct buffer *problem) MUST_CHECK;
/* The JSON prelude of a streamed reply (prelude.h): statusCode (200 when absent), headers,
 * multiValueHeaders and cookies, by the rules of 2.0, and nothing else. The type defaults to
 * application/octet-stream; the body stays empty. Errors as above, and ERROR_NOT_FOUND,
 * without a sentence: `text` is no JSON object. */
enum error reply_decode_prelude(struct view text, struct arena *arena, struct reply *reply,
                                struct buffer *problem) MUST_CHECK;
/* Whether a response with this status to this method carries no body (HEAD, 1xx, 204, 304). */
bool reply_has_no_body(struct view method, int status);
/* The function's own error object ({"errorMessage","errorType"}): true when it is one, that is an
 * object with one of the two as a string. `timed_out`: Sandbox.Timedout, or the message of a
 * timeout without any type. What is absent or no string comes out empty; views are in the arena or
 * in the payload. */
bool reply_function_error(struct view payload, struct arena *arena, struct view *type,
                          struct view *message, bool *timed_out);

#endif
