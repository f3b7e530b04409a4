/* The answer to what was refused on a connection: tells the user, and has the user's words in it. */
#ifndef COMMON_NET_REFUSAL_H
#define COMMON_NET_REFUSAL_H

#include "common/net/connection.h"

/* For the reason that the connection's guard has. Both are initialised here, to be released by the
 * caller; they go out one after the other, and the connection closes after them. */
void refusal_compose(struct connection *connection, struct buffer *head, struct buffer *body);

#endif
