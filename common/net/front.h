/*
 * A second, small HTTP/1.1 server over the same guard: bodies by callback, trailers, chunked
 * requests of any length.
 *
 * For servers whose clients stream requests in (the Lambda Runtime API) or send bodies that must
 * not sit in evhttp. One exchange at a time on a connection, keep-alive, Expect: 100-continue
 * honoured. The user answers exactly once; answering before the body is over is allowed (the rest
 * is read and dropped, bounded, then the connection is closed). Single-threaded.
 */
#ifndef COMMON_NET_FRONT_H
#define COMMON_NET_FRONT_H

#include "common/base/bytes.h"
#include "common/net/guard.h"
#include "common/net/incoming.h" /* struct incoming_header */

struct event_base;
struct front;
struct front_exchange;

struct front_handlers {
    /* The head is there. May answer at once. Set user data with front_set_data. */
    void (*on_head)(struct front_exchange *exchange, void *context);
    /* A piece of the body. */
    void (*on_body)(struct front_exchange *exchange, struct view piece, void *context);
    /* The message is complete (trailers can be read). Not called after a refusal or an early
     * answer. */
    void (*on_end)(struct front_exchange *exchange, void *context);
    /* The exchange dies (answered and sent, client gone, refused, server freed): forget it. Exactly
     * once after on_head. `complete` tells whether the whole answer went out. */
    void (*on_close)(struct front_exchange *exchange, bool complete, void *context);
};

struct front *front_new(struct event_base *base, const struct guard_limits *limits,
                        const struct front_handlers *handlers, void *context);
enum error front_listen(struct front *front, const char *address,
                        struct buffer *problem) MUST_CHECK;
const char *front_address(const struct front *front);
/* Time without any byte while one is due (head, body, or taking the answer). 0: none. Waiting for
 * the user's answer never times out. */
void front_set_timeout(struct front *front, int64_t timeout_ms);
void front_free(struct front *front);

void front_set_data(struct front_exchange *exchange, void *data);
void *front_data(const struct front_exchange *exchange);
/* Borrowed for the life of the exchange. */
struct view front_method(const struct front_exchange *exchange);
struct view front_target(const struct front_exchange *exchange);
bool front_header(const struct front_exchange *exchange, const char *name, struct view *value);
bool front_header_at(const struct front_exchange *exchange, size_t index, struct view *name,
                     struct view *value);
/* After on_end. */
bool front_trailer(const struct front_exchange *exchange, const char *name, struct view *value);
struct view front_peer_address(const struct front_exchange *exchange);
/* Stops and resumes reading the body (back-pressure). */
void front_pause(struct front_exchange *exchange, bool paused);

/* The body is copied; Content-Length, Date, Connection are ours. */
void front_reply(struct front_exchange *exchange, int status, const struct incoming_header *headers,
                 size_t header_count, struct view body);
/* In pieces, chunked. on_writable as in incoming.h. */
void front_stream_begin(struct front_exchange *exchange, int status,
                        const struct incoming_header *headers, size_t header_count,
                        void (*on_writable)(struct front_exchange *exchange, void *context));
void front_stream_write(struct front_exchange *exchange, struct view bytes);
size_t front_stream_unsent(const struct front_exchange *exchange);
void front_stream_end(struct front_exchange *exchange);
void front_stream_abort(struct front_exchange *exchange);

#endif
