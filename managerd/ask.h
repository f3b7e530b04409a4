/*
 * Asking a version of an app as proxyd would: a request becomes the event of the version's payload
 * format, and what comes back by InvokeWithResponseStream is taken apart. Pure; sending is
 * lambda_control's.
 */
#ifndef MANAGERD_ASK_H
#define MANAGERD_ASK_H

#include "common/base/json.h"
#include "common/contract/event.h"
#include "common/contract/event_stream.h"
#include "common/contract/prelude.h"
#include "managerd/lambda_control.h"

#define ASK_MAX_EVENT_BYTES ((size_t)6 * 1024 * 1024) /* Lambda's limit */
#define ASK_MAX_HEADERS     64

struct ask_request {
    struct view method, target; /* path and query as a client sends them: lawful */
    struct event_header headers[ASK_MAX_HEADERS]; /* lawful; the rest is added */
    size_t header_count;
    struct view body;
    struct view user_agent;
    struct view id;   /* the request's own */
    struct view host; /* without port; empty: probe.invalid */
    struct view peer; /* the client's address; empty: 127.0.0.1 */
};

#define ASK_MAX_TARGET_BYTES 8192
bool ask_method_valid(struct view text);
/* What the guard would let by, and a path that routes. */
bool ask_target_valid(struct view text);

enum event_format ask_format(const struct json *version);
/* How proxyd reads a version's streams; only for those that may stream. */
enum prelude_mode ask_prelude_mode(const struct json *version);
/* Whether the version is called by InvokeWithResponseStream. */
bool ask_streams(const struct json *version);
/* Appends the event. ERROR_TOO_BIG: over the buffer's ceiling. */
enum error ask_encode(const struct json *version, struct view app,
                      const struct ask_request *request, struct buffer *event) MUST_CHECK;

/* A streamed answer being read. Read it, leave changing to the functions. */
struct ask_stream {
    struct event_stream_decoder decoder;
    struct buffer output; /* what the function wrote, at most ASK_MAX_OUTPUT_BYTES */
    bool full;            /* there was more */
    bool ended;           /* its end was seen, a good or a bad one */
    bool failed;          /* the function, or Lambda, said so: */
    char code[128], details[1024];
    bool timed_out;
    struct buffer log;   /* base64 of the end of the function's log, where that was asked for */
    const char *problem; /* the frames are not well-formed: why; static */
};
#define ASK_MAX_OUTPUT_BYTES ((size_t)6 * 1024 * 1024)

void ask_stream_init(struct ask_stream *stream);
void ask_stream_release(struct ask_stream *stream);
/* False: there is nothing more to learn (it is full, or broken). */
bool ask_stream_feed(struct ask_stream *stream, struct view bytes);

#endif
