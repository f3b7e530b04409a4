/*
 * A file with one JSON line for each call of the API, so that what a client asks for can be held against
 * AWS's own description of it:
 *
 *   {"operation":"CreateFunction","method":"POST","target":"/2015-…","headers":{"user-agent":"…"},
 *    "bodyBytes":123,"body":"{…}"}
 *
 * Header names are in lower case; the values of Authorization and X-Amz-Security-Token are left out,
 * and so are payloads of invocations, bodies over CALL_LOG_BODY_BYTES and what is not UTF-8: their "body" is absent.
 * Environments of functions are in it: the file is the user's alone (mode 0600). It ends at CALL_LOG_BYTES.
 */
#ifndef LAMBDA_LOCAL_SERVER_CALL_LOG_H
#define LAMBDA_LOCAL_SERVER_CALL_LOG_H

#include "common/net/front.h"

#define CALL_LOG_BYTES      (64u << 20)
#define CALL_LOG_BODY_BYTES (256u << 10)

struct call_log;

/* Appends to the file at `path`; one sentence in `problem`. */
enum error call_log_open(const char *path, struct call_log **log,
                         struct buffer *problem) MUST_CHECK;
/* `operation` is NULL for what is no operation; `payload`: the body belongs to a function. A line that
 * cannot be written is lost. NULL is fine. */
void call_log_add(struct call_log *log, const struct front_exchange *exchange,
                  const char *operation, struct view body, bool payload);
void call_log_close(struct call_log *log);

#endif
