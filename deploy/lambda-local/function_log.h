/*
 * A function's log file: what its invocations printed, a line each, with time and log stream before
 * it: "2026-01-02T03:04:05.678Z 2026/01/02/[$LATEST]0123… START RequestId: …".
 *
 * Lines are gathered and written by function_log_flush. The file is replaced when it has 10 MiB;
 * one former file is kept beside it (function.log.1). Losing a line never stops an invocation.
 */
#ifndef LAMBDA_LOCAL_FUNCTION_LOG_H
#define LAMBDA_LOCAL_FUNCTION_LOG_H

#include "deploy/lambda-local/function.h"

/* Adds one line (without its end); longer than 256 KiB it is cut, as by CloudWatch. */
void function_log_line(struct function *function, const char *stream, struct view line);
void function_log_flush(struct function *function);
void function_log_free(struct function_log *log); /* NULL is fine */

#endif
