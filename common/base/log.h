/*
 * Structured log: one JSON object a line, `{"time":…,"level":"info","event":"ready",…}`.
 *
 * The event is a constant word with dashes; what varies is a field. Lines go to a bounded ring and
 * are written by one thread of this module, so that a full pipe never stops a worker: when the ring
 * is full lines are dropped and counted, and the next line that fits says how many. Before
 * log_start (and after log_stop) lines are written at once. Thread-safe. Secrets are the callers'
 * duty: never pass one.
 *
 * A line is at most 32 KiB: a longer one keeps time, level, program and event and says
 * "truncated":true; a longer access line is dropped and counted. A thread's lines keep their order;
 * lines of several threads may change places.
 *
 * Access lines go to standard output (log_access), everything else to standard error.
 */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include "common/base/bytes.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *name;
    enum { LOG_FIELD_STRING, LOG_FIELD_INTEGER, LOG_FIELD_BOOL, LOG_FIELD_RAW } type;
    struct view string; /* RAW: JSON text */
    int64_t integer;
};

#define LOG_STRING(name, cstring)                                                                  \
    ((struct log_field){(name), LOG_FIELD_STRING, view_of(cstring), 0})
#define LOG_VIEW(name, v) ((struct log_field){(name), LOG_FIELD_STRING, (v), 0})
#define LOG_INTEGER(name, number)                                                                  \
    ((struct log_field){(name), LOG_FIELD_INTEGER, {0}, (int64_t)(number)})
#define LOG_BOOL(name, truth) ((struct log_field){(name), LOG_FIELD_BOOL, {0}, (truth)})
#define LOG_RAW(name, json)   ((struct log_field){(name), LOG_FIELD_RAW, (json), 0})

/* log_write(LOG_INFO, "ready", LOG_STRING("listen", text), LOG_INTEGER("workers", 2)); fields may
 * be absent. */
#define log_write(level, event, ...)                                                               \
    log_write_fields((level), (event), (struct log_field[]){{0}, ##__VA_ARGS__},                   \
                     sizeof((struct log_field[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_field))
/* The first field is a placeholder and skipped (the macro needs it). */
void log_write_fields(enum log_level level, const char *event, const struct log_field *fields,
                      size_t count);

/* Starts the writing thread and has a normal exit call log_stop. Call it after daemonising (threads
 * do not survive fork). `program` (borrowed for good) becomes the member "program" of each line. */
void log_start(const char *program, enum log_level least);
/* Writes what is queued and stops the thread; bounded: gives up after 2 s when nobody reads. */
void log_stop(void);
bool log_enabled(enum log_level level);
/* Parses "debug", "info", "warn", "error". */
bool log_level_parse(struct view text, enum log_level *level);

/* One finished line (a JSON object without line end) to standard output. */
void log_access(struct view line);
/* Lines dropped since the start, for metrics. */
uint64_t log_dropped(void);

/* Allows `burst` lines a second for one place in the code; use: static struct log_limit l; if
 * (log_allow(&l, 5)) … `suppressed` (may be NULL) gets how many were held back since the last
 * allowed one. */
struct log_limit {
    uint64_t window; /* the second it counts for */
    unsigned used;
    unsigned held;
};
bool log_allow(struct log_limit *limit, unsigned burst, unsigned *suppressed);

#endif
