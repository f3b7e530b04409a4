/*
 * A function's log file: what its invocations printed, a line each, with time and log stream before
 * it: "2026-01-02T03:04:05.678Z 2026/01/02/[$LATEST]0123… START RequestId: …".
 *
 * Lines are gathered and written by function_log_flush. The file is replaced when it has half of
 * what a function's log may have, or is half as old as lines may become; one former file is kept
 * beside it (function.log.1) until it is too old. Losing a line never stops an invocation.
 */
#ifndef LAMBDA_LOCAL_FUNCTION_LOG_H
#define LAMBDA_LOCAL_FUNCTION_LOG_H

#include "deploy/lambda-local/function.h"

/* For all functions, before anything is logged: how much is kept of each, and for how long. */
void function_log_bound(int64_t max_bytes, int64_t max_age_ms);

/* Adds one line (without its end); longer than 256 KiB it is cut, as by CloudWatch. */
void function_log_line(struct function *function, const char *stream, struct view line);
void function_log_flush(struct function *function);
void function_log_free(struct function_log *log); /* NULL is fine */

/* A place between lines, good also after the file was replaced: a file and an offset in it. Zeros:
 * the beginning. */
struct function_log_place {
    uint64_t file, offset;
};
struct function_log_event {
    int64_t time_ms;
    struct view stream, message;     /* as logged, which need not be UTF-8 */
    struct function_log_place place; /* where it begins: names the event */
};
/* Shows the lines from `place` on, oldest first, until `visit` gives false (that line is then read
 * again next time), `max_bytes` were read or all are shown; `place` is where to go on. ERROR_NOT_FOUND:
 * nothing was ever logged, or all of it is too old. `*more`: there may be further lines. */
enum error function_log_read(struct function *function, struct function_log_place *place,
                             size_t max_bytes,
                             bool (*visit)(const struct function_log_event *event, void *context),
                             void *context, bool *more) MUST_CHECK;

#endif
