/* Server-sent events of an operation: one for each change, the last one is `done`. */
#ifndef MANAGERD_EVENTS_H
#define MANAGERD_EVENTS_H

#include "managerd/call.h"

/* Streams call->operation until it has ended or the client has gone. */
enum progress events_stream(struct call *call);

#endif
