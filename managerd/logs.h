/*
 * What an app's function printed, read from CloudWatch Logs page by page and told to the client as
 * it comes (log_stream.h). Docs: docs/logs.md.
 *
 * Bounds: LOGS_MAX_READERS at a time; pages one by one, no further one while the client has more
 * than 256 KiB still to take (who takes nothing for 30 s is cut off by incoming.h); a read lasts
 * LOGS_READ_MS, following LOGS_FOLLOW_MS. It ends as well when the client leaves, its token ends
 * or the process drains. Following asks each second while lines come, each 5 s while none do,
 * each 30 s while CloudWatch fails; since CloudWatch shows some lines late, it looks 10 s back and leaves
 * out what it has told. Loop thread only.
 */
#ifndef MANAGERD_LOGS_H
#define MANAGERD_LOGS_H

#include "managerd/call.h"

#define LOGS_MAX_READERS   32
#define LOGS_DEFAULT_LINES 1000
#define LOGS_MAX_LINES     10000
#define LOGS_READ_MS       300000
#define LOGS_FOLLOW_MS     3600000

struct logs_wish {
    struct view function;       /* its name */
    int64_t since_ms, until_ms; /* until 0: none */
    struct view after;          /* the id of a line at since_ms: only what is behind it; empty */
    struct view request_id;     /* empty: all */
    struct view lambda_version; /* empty: all */
    int64_t limit;              /* lines in all; not when following */
    bool follow, events;        /* events: server-sent */
};

/* Streams; the views of `wish` live in the call's arena. */
enum progress logs_stream(struct call *call, const struct logs_wish *wish);

#endif
