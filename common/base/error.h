/*
 * Error codes of the world's faults, and the check for our own bugs.
 *
 * Three kinds of error, never mixed: our bug (REQUIRE: aborts, also in release), the world's fault
 * (a value of enum error that must be looked at), and "cannot start" (one sentence and an exit
 * code, in main.c only). This header must not learn what a client is told: HTTP statuses belong to
 * the daemons.
 */
#ifndef COMMON_BASE_ERROR_H
#define COMMON_BASE_ERROR_H

#define MUST_CHECK           __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, va) __attribute__((format(printf, fmt, va)))

/* One list gives the enum, the name for logs, and a sentence. */
#define ERROR_LIST(X)                                                                              \
    X(NONE, "none", "no error")                                                                    \
    X(NO_MEMORY, "no-memory", "memory ran out")                                                    \
    X(TOO_BIG, "too-big", "larger than its ceiling")                                               \
    X(INVALID, "invalid", "not well-formed")                                                       \
    X(TRUNCATED, "truncated", "ended too early")                                                   \
    X(NOT_FOUND, "not-found", "does not exist")                                                    \
    X(EXISTS, "exists", "exists already")                                                          \
    X(CONFLICT, "conflict", "changed by someone else meanwhile")                                   \
    X(FULL, "full", "no space left")                                                               \
    X(BUSY, "busy", "in use by another process")                                                   \
    X(DENIED, "denied", "not permitted")                                                           \
    X(IO, "io", "reading or writing failed")                                                       \
    X(DAMAGED, "damaged", "stored data is damaged")                                                \
    X(FROM_FUTURE, "from-future", "written by a newer release in a way that must not be ignored")  \
    X(UNSUPPORTED, "unsupported", "not supported")                                                 \
    X(UNREACHABLE, "unreachable", "could not be reached")                                          \
    X(BROKEN, "broken", "the connection broke")                                                    \
    X(TIMEOUT, "timeout", "took too long")                                                         \
    X(CANCELLED, "cancelled", "was cancelled")

enum error {
#define ERROR_ENUM(code, name, text) ERROR_##code,
    ERROR_LIST(ERROR_ENUM)
#undef ERROR_ENUM
};

/* The code's name in lower case with dashes ("too-big"), for logs. */
const char *error_name(enum error error);
/* The code's sentence part ("larger than its ceiling"). */
const char *error_text(enum error error);
/* The nearest code for an errno value; 0 gives ERROR_NONE. */
enum error error_from_errno(int number);

/* Our bug: prints file:line and aborts. Stays on in release builds. */
#define REQUIRE(condition) ((condition) ? (void)0 : require_failed(#condition, __FILE__, __LINE__))
_Noreturn void require_failed(const char *condition, const char *file, int line);

#endif
