/*
 * What a call of /invoke asks of a version: an event as it was given, byte by byte, or the event that
 * proxyd would make of a request. Pure. Docs: docs/invoke.md.
 */
#ifndef MANAGERD_INVOKE_EVENT_H
#define MANAGERD_INVOKE_EVENT_H

#include "managerd/ask.h"
#include "managerd/shape.h"

/* What the shape cannot say of the body: either an event or a request, at most ASK_MAX_HEADERS
 * headers, one query. */
void invoke_check(const struct json *body, struct faults *faults);

struct invoke_origin {
    struct view app;
    struct view host; /* the app's own, without port */
    struct view peer; /* who asks */
    struct view id;   /* the call's */
};
/* Appends the event that `body` (checked; `given` is its event as it is written) asks for.
 * ERROR_TOO_BIG: more than the buffer's ceiling. */
enum error invoke_event(const struct json *body, struct view given, const struct json *version,
                        const struct invoke_origin *origin, struct buffer *event) MUST_CHECK;

extern const struct shape invoke_shape, invoke_request_shape, invoke_result_shape;

#endif
