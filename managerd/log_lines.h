/*
 * What is known of logged lines: when one was told before, which invocation it belongs to, where a
 * stream of them is to go on, and how people say since when. Pure.
 *
 * A sandbox serves one invocation at a time, so the lines of a log stream between START and REPORT
 * are one invocation's (aws-contract 7; Lambda developer guide, "Log and monitor"). Lines in JSON,
 * and those of the Node.js runtime, name it themselves.
 */
#ifndef MANAGERD_LOG_LINES_H
#define MANAGERD_LOG_LINES_H

#include "common/base/bytes.h"

#define LOG_SEEN_MAX    8192
#define LOG_SEEN_CHAINS 4096

/* The ids of the lines that were seen last; all zeros: none. */
struct log_seen {
    struct {
        uint64_t hash;
        int64_t time_ms;
        uint64_t before; /* number of the line before it in its chain; 0: none */
    } lines[LOG_SEEN_MAX];
    uint64_t chains[LOG_SEEN_CHAINS]; /* number of the latest line of each, by hash */
    uint64_t count;                   /* lines so far; they are numbered from 1 */
    int64_t forgotten_ms;             /* what is not later may have been seen and forgotten */
};
/* Notes the line. False when it was noted before; and, for lines that are looked at `again`, when
 * that cannot be known any more. */
bool log_seen_add(struct log_seen *seen, struct view id, int64_t time_ms, bool again);

#define LOG_STREAMS_KEPT 256
#define LOG_REQUEST_SIZE 48

/* Which invocation each log stream is at; all zeros: none. */
struct log_streams {
    struct {
        uint64_t stream; /* its hash */
        uint64_t used;   /* the streams used last are kept */
        char request[LOG_REQUEST_SIZE];
    } places[LOG_STREAMS_KEPT];
    uint64_t clock;
};
/* The invocation's request id for the line, which must be the stream's next; empty: of none.
 * Borrowed until the next call. */
struct view log_streams_request(struct log_streams *streams, struct view stream,
                                struct view message);
/* The Lambda version in a stream's name, "2026/01/02/[3]ab…": "3", or "$LATEST"; empty: none. */
struct view log_stream_version(struct view stream);

/* Where a stream of lines goes on: behind the line of that time and id, "1767322800000-ID". */
#define LOG_CURSOR_SIZE   160
#define LOG_CURSOR_MAX_ID 128
/* False: the id cannot be part of one. */
bool log_cursor_write(char out[LOG_CURSOR_SIZE], int64_t time_ms, struct view id);
/* `id` is borrowed from `text`. False: it is none. */
bool log_cursor_read(struct view text, int64_t *time_ms, struct view *id);

/* RFC 3339, or how long before `now_ms`: "90s", "15m", "2h", "1d". Never below 0. False: neither. */
bool log_since_read(struct view text, int64_t now_ms, int64_t *time_ms);

#endif
