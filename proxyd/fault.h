/*
 * What can go wrong with a request, and what the client is told: the one table. docs/faults.md shows
 * it; a test keeps both the same.
 *
 * Each fault names the side that failed. `class` answers "did the function run?". `retried` says that
 * another attempt may follow while the deadline and the budget allow it; only what certainly did not
 * start is retried.
 */
#ifndef PROXYD_FAULT_H
#define PROXYD_FAULT_H

#include "common/base/bytes.h"

enum fault_class { CLASS_NONE, CLASS_NOT_STARTED, CLASS_UNKNOWN, CLASS_RAN };

/* X(code, name, status, class, retried, Retry-After in seconds (0: none), title, sentence) */
#define FAULT_LIST(X)                                                                              \
    X(NONE, "none", 200, NONE, false, 0, "OK", "")                                                 \
    X(REFUSED, "refused", 400, NOT_STARTED, false, 0, "Bad Request",                               \
      "The request is not well-formed HTTP.")                                                      \
    X(BAD_TARGET, "bad-target", 400, NOT_STARTED, false, 0, "Bad Request",                         \
      "The host or the path of the request is not lawful.")                                        \
    X(HTTPS_REQUIRED, "https-required", 308, NONE, false, 0, "Permanent Redirect",                 \
      "This address is served over HTTPS only.")                                                   \
    X(UNKNOWN_APP, "unknown-app", 404, NONE, false, 0, "Not Found",                                \
      "No app answers at this address.")                                                           \
    X(UNAUTHORIZED, "unauthorized", 401, NOT_STARTED, false, 0, "Unauthorized",                    \
      "The app answers only to callers that say who they are.")                                    \
    X(FORBIDDEN, "forbidden", 403, NOT_STARTED, false, 0, "Forbidden",                             \
      "The caller may not do this.")                                                               \
    X(KEYS_MISSING, "keys-missing", 503, NOT_STARTED, false, 5, "Service Unavailable",             \
      "The keys of the app's token issuer are not known yet.")                                     \
    X(APP_BUSY, "app-busy", 429, NOT_STARTED, false, 1, "Too Many Requests",                       \
      "The app has as many requests in flight as it may have.")                                    \
    X(APP_RATE, "app-rate", 429, NOT_STARTED, false, 1, "Too Many Requests",                       \
      "The app gets requests faster than it may.")                                                 \
    X(CLIENT_LEFT, "client-left", 499, NOT_STARTED, false, 0, "Client Closed Request",             \
      "The client left while the request waited.")                                                 \
    X(PROXY_BUSY, "proxy-busy", 503, NOT_STARTED, false, 1, "Service Unavailable",                 \
      "The proxy has as many requests in hand, or as many bytes of them, as it may have.")         \
    X(BREAKER_OPEN, "breaker-open", 503, NOT_STARTED, false, 1, "Service Unavailable",             \
      "The function keeps failing to start, and is not called for a moment.")                      \
    X(BODY_TOO_LARGE, "body-too-large", 413, NOT_STARTED, false, 0, "Content Too Large",           \
      "The body of the request is larger than the app takes.")                                     \
    X(EVENT_TOO_LARGE, "event-too-large", 413, NOT_STARTED, false, 0, "Content Too Large",         \
      "The request, as an event for the function, is larger than 6 MB (6291456 bytes).")           \
    X(THROTTLED, "throttled", 429, NOT_STARTED, true, 1, "Too Many Requests",                      \
      "The function runs as often as it may at this moment.")                                      \
    X(UNREACHABLE, "unreachable", 503, NOT_STARTED, true, 1, "Service Unavailable",                \
      "The function could not be reached.")                                                        \
    X(LAMBDA_NOT_READY, "lambda-not-ready", 503, NOT_STARTED, true, 1, "Service Unavailable",      \
      "The function could not be started.")                                                        \
    X(LAMBDA_REFUSED, "lambda-refused", 502, NOT_STARTED, false, 0, "Bad Gateway",                 \
      "The function could not be called.")                                                         \
    X(LAMBDA_FAILED, "lambda-failed", 502, UNKNOWN, false, 0, "Bad Gateway",                       \
      "The call of the function broke.")                                                           \
    X(DEADLINE, "deadline", 504, UNKNOWN, false, 0, "Gateway Timeout",                             \
      "The function did not answer in time.")                                                      \
    X(FUNCTION_TIMEOUT, "function-timeout", 504, RAN, false, 0, "Gateway Timeout",                 \
      "The function ran into its own time limit.")                                                 \
    X(FUNCTION_ERROR, "function-error", 502, RAN, false, 0, "Bad Gateway", "The function failed.") \
    X(BAD_REPLY, "bad-reply", 502, RAN, false, 0, "Bad Gateway",                                   \
      "The function's reply is not a usable response.")                                            \
    X(RECORD_UNREADABLE, "record-unreadable", 503, NOT_STARTED, false, 5, "Service Unavailable",   \
      "The route of this app cannot be used by this proxy.")                                       \
    X(NO_ROUTES, "no-routes", 503, NOT_STARTED, false, 1, "Service Unavailable",                   \
      "The proxy has no routes yet.")                                                              \
    X(NO_CREDENTIALS, "no-credentials", 503, NOT_STARTED, false, 5, "Service Unavailable",         \
      "The proxy cannot call functions at this moment.")                                           \
    X(STOPPED, "stopped", 503, UNKNOWN, false, 0, "Service Unavailable",                           \
      "The proxy ended before the request did.")                                                   \
    X(NOT_SERVED, "not-served", 503, NOT_STARTED, false, 0, "Service Unavailable",                 \
      "The proxy ended before the request was let in.")                                            \
    X(INTERNAL, "internal", 500, NOT_STARTED, false, 0, "Internal Server Error",                   \
      "The proxy could not handle this request.")

enum fault {
#define FAULT_ENUM(code, name, status, class, retried, retry_after_s, title, sentence) FAULT_##code,
    FAULT_LIST(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_COUNT
};

struct fault_row {
    const char *name; /* for logs, metrics, and the problem's type */
    int status;
    enum fault_class class;
    bool retried;
    unsigned retry_after_s;
    const char *title;
    const char *sentence; /* what the client reads: nothing internal */
};

const struct fault_row *fault_row(enum fault fault);
/* "not-started", "unknown", "ran"; "" for none. */
const char *fault_class_name(enum fault_class class);

/* Appends an RFC 9457 problem document. `detail` replaces the fault's sentence when not NULL;
 * `status` the table's when not 0. */
void fault_problem(struct buffer *out, enum fault fault, int status, const char *detail,
                   const char *request_id);

#endif
