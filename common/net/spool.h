/*
 * Bodies that go to a spool (incoming.h) as they come, and never lie in memory as a whole. What
 * connection.c, incoming.c and incoming_request.c need of it; for these alone.
 *
 * The parser behind the gate sees a body of one byte in their place, when the message is complete.
 */
#ifndef COMMON_NET_SPOOL_H
#define COMMON_NET_SPOOL_H

#include "common/base/bytes.h"

#include <stddef.h>

struct connection;
struct incoming_spool;

#define SPOOL_STAND_IN VIEW("x") /* the body that the parser sees */

/* Gate handlers; the context is the connection. */
bool spool_begin(void *context);
bool spool_take(struct view piece, void *context);
/* Whether reading rests until the spool has room: the client is not slow. */
bool spool_is_full(const struct incoming_spool *spool);
/* The message is complete: the connection's spool, which is the request's now. */
struct incoming_spool *spool_hand_over(struct connection *connection);
/* Nothing more comes. NULL is fine. */
void spool_drop(struct incoming_spool *spool);

#endif
