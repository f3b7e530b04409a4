/*
 * Lambda's streamed replies on the wire, both ways: application/vnd.amazon.eventstream, as
 * InvokeWithResponseStream answers. Pure; CRC-32 is zlib's. Sources: aws-contract section 3.5
 * (botocore's eventstream.py; AWS's event stream encoding in the Transcribe developer guide).
 *
 * The function's output is handed out as it arrives, before the CRC at the end of its message has
 * been seen: a message may be 24 MiB long, and waiting for its end would cost its length in memory
 * and delay its first byte by the whole message. The price: bytes that turn out to be wrong have
 * been handed out already. So whoever passes them on must cut the connection on an error, and may
 * end it well only when event_stream_ended() says so. The lengths are never believed before their
 * own CRC was checked, and nothing but output is handed out before its message's CRC was.
 */
#ifndef COMMON_CONTRACT_EVENT_STREAM_H
#define COMMON_CONTRACT_EVENT_STREAM_H

#include "common/base/bytes.h"

#define EVENT_STREAM_MAX_HEADER_BYTES  ((size_t)128 * 1024)
#define EVENT_STREAM_MAX_PAYLOAD_BYTES ((size_t)24 * 1024 * 1024)
#define EVENT_STREAM_MAX_HEADERS       64
/* Of the messages that end a stream: they are held whole. */
#define EVENT_STREAM_MAX_END_BYTES ((size_t)256 * 1024)

enum event_stream_kind {
    EVENT_STREAM_NONE,      /* all bytes are used up, more are needed */
    EVENT_STREAM_OUTPUT,    /* `output`: the next bytes of the function's output, never none */
    EVENT_STREAM_COMPLETE,  /* the function ended; with a `code` it failed (InvokeComplete) */
    EVENT_STREAM_EXCEPTION, /* Lambda failed with an error of its API; `code` is the type */
    EVENT_STREAM_ERROR      /* Lambda failed with any other error */
};

/* What came out. `output` is part of the bytes given; the other views are the decoder's and live
 * until its next call. What was absent is empty. */
struct event_stream_item {
    enum event_stream_kind kind;
    struct view output;
    struct view code;    /* ErrorCode, :exception-type, :error-code */
    struct view details; /* ErrorDetails, message, :error-message; any bytes; not for clients */
    struct view log;     /* LogResult: base64 of the last 4 KB of the function's log */
};

enum event_stream_step {
    EVENT_STREAM_BETWEEN,
    EVENT_STREAM_PRELUDE,
    EVENT_STREAM_HEADERS,
    EVENT_STREAM_PAYLOAD,
    EVENT_STREAM_CRC
};

/* One stream being decoded. It holds a message's prelude and headers, and the payload of one that
 * ends the stream: some hundred bytes as a rule, never more than the ceilings above. Read `error`
 * and `problem`, leave the rest alone. */
struct event_stream_decoder {
    enum error error;    /* sticks */
    const char *problem; /* with an error: one sentence for the log */
    enum event_stream_step step;
    enum event_stream_kind kind; /* of the message being read; NONE for one to pass over */
    bool complete;               /* the message that ends the stream was seen */
    uint32_t headers_length, payload_length;
    uint32_t payload_left;
    uint32_t crc; /* of the message so far */
    struct buffer held;
};

void event_stream_init(struct event_stream_decoder *decoder);
void event_stream_release(struct event_stream_decoder *decoder);
/* Takes bytes off the front of `bytes`, split anywhere, until something comes out or none are left
 * (EVENT_STREAM_NONE); call again for the rest. Events of unknown type are passed over.
 * ERROR_INVALID (a wrong CRC, lengths that contradict, a header twice, a message of no known kind,
 * one after the end), ERROR_TOO_BIG or ERROR_NO_MEMORY: nothing more will come out. */
enum error event_stream_next(struct event_stream_decoder *decoder, struct view *bytes,
                             struct event_stream_item *item) MUST_CHECK;
/* Whether the stream may end here: one of the three ends was seen and no message is open. A stream
 * that ends otherwise was truncated. */
bool event_stream_ended(const struct event_stream_decoder *decoder);

/* The other way: each appends one message, or nothing when it does not fit (out->error, also when a
 * message that ends a stream would be longer than the decoder takes). */

/* At most EVENT_STREAM_MAX_PAYLOAD_BYTES. */
void event_stream_append_output(struct buffer *out, struct view output);
/* Empty views are left out; without a code the function succeeded. */
void event_stream_append_complete(struct buffer *out, struct view code, struct view details,
                                  struct view log);
/* As an error of Lambda's API, say ("ServiceException", "..."). */
void event_stream_append_exception(struct buffer *out, struct view type, struct view message);

#endif
