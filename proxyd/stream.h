/*
 * A streamed reply being read: frames -> the function's output -> the head of the response, and its
 * body. Pure; what it holds is the prelude (16 KB), one frame's headers, and in `auto` a reply that
 * turned out to be a buffered one (6 MB).
 *
 *     stream_init(&stream, PRELUDE_AUTO, &arena);
 *     while bytes come: do event = stream_next(&stream, &bytes) until STREAM_MORE
 *     the call is over: event = stream_finish(&stream)
 */
#ifndef PROXYD_STREAM_H
#define PROXYD_STREAM_H

#include "common/contract/event_stream.h"
#include "common/contract/prelude.h"
#include "proxyd/fault.h"

#define STREAM_COLLECTED_MAX ((size_t)6 * 1024 * 1024)

enum stream_event {
    STREAM_MORE,     /* all bytes are used up */
    STREAM_HEAD,     /* prelude.reply is the response's head, and its body's first bytes; once */
    STREAM_OUTPUT,   /* `output` is the next piece of the body; never before the head */
    STREAM_BUFFERED, /* at the end: `collected` is the payload of a buffered reply */
    STREAM_DONE,     /* at the end: it ended well */
    STREAM_FAILED    /* `fault` and `detail` say how */
};

/* Read `prelude.reply`, `output`, `collected`, `fault` and `detail`; leave the rest alone. */
struct stream {
    struct arena *arena;
    struct event_stream_decoder decoder;
    struct prelude prelude;
    struct buffer collected;
    struct view rest;   /* of the output that came last */
    struct view output; /* borrowed from the bytes given */
    enum fault fault;   /* also what the function or Lambda said at the end of the stream */
    const char *detail; /* for the log */
};

/* The arena must outlive the stream, and be large enough for a prelude. */
void stream_init(struct stream *stream, enum prelude_mode mode, struct arena *arena);
void stream_release(struct stream *stream);
/* Takes bytes off the front of `bytes`, which must stay until STREAM_MORE. */
enum stream_event stream_next(struct stream *stream, struct view *bytes);
/* The answer ended, in good order by HTTP. STREAM_HEAD only when it was not given yet: the body is
 * what the head holds. */
enum stream_event stream_finish(struct stream *stream);

#endif
