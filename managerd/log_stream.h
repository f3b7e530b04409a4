/*
 * How logged lines are told to a client: a JSON object a line (application/x-ndjson), or
 * server-sent events (`log` and, last, `end`). Docs: docs/logs.md.
 *
 * An answer in lines holds nothing else when it is whole; when it is not, its last line is
 * {"end": …}, which says why and from when to ask again. Server-sent events always end with `end`.
 * The answer begins with the first thing that is told. Loop thread only.
 */
#ifndef MANAGERD_LOG_STREAM_H
#define MANAGERD_LOG_STREAM_H

#include "managerd/call.h"
#include "managerd/log_lines.h"

struct log_stream {
    struct call *call;
    bool events; /* server-sent */
    void (*on_writable)(void *context);
    void *context;
    bool begun;
    int64_t cursor_ms; /* of the latest line told */
    uint64_t wrote_us;
};

struct log_line {
    int64_t time_ms;
    struct view message, id, stream;
    struct view request_id, lambda_version; /* empty: none */
    int64_t version;                        /* 0: none of the app's */
};

enum log_end {
    LOG_END_NONE,
    LOG_END_COMPLETE,
    LOG_END_LIMIT,    /* more lines than were asked for */
    LOG_END_TIME,     /* longer than a call may last */
    LOG_END_DRAINING, /* managerd stops */
    LOG_END_PROBLEM,  /* call->problem says which */
};

/* Sends the head, if that was not done yet. */
void log_stream_begin(struct log_stream *stream);
void log_stream_tell(struct log_stream *stream, const struct log_line *line);
/* A comment, where the form knows them; NULL: only when nothing was said for long. */
void log_stream_comment(struct log_stream *stream, const char *text);
/* Ends the answer; `since_ms`, or `after` (a cursor; empty: none): from where to ask again. */
void log_stream_end(struct log_stream *stream, enum log_end end, int64_t since_ms,
                    const char *after);
/* Cuts it. */
void log_stream_abort(struct log_stream *stream);
/* Bytes that the client has not taken yet. */
size_t log_stream_unsent(const struct log_stream *stream);

extern const struct shape log_line_shape, log_end_shape;

#endif
