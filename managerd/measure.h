/*
 * What the proxies have measured of one version since a moment, added up, and what follows from it.
 * Pure: answers of the proxies in, a verdict out.
 *
 * Each process's first answer is where its counting begins; later ones add what came since. Processes
 * are told apart by their start id, so one that is reached by two addresses counts once, and one that
 * was started again begins anew.
 */
#ifndef MANAGERD_MEASURE_H
#define MANAGERD_MEASURE_H

#include "common/base/json.h"

#define MEASURE_BOUNDS    64  /* at most, of the buckets of times */
#define MEASURE_PROCESSES 256 /* at most, in one step */
#define MEASURE_P99_CALLS 100 /* a 99th percentile of fewer calls means nothing */

/* One version's figures, as one process shows them or as all add up to. */
struct measure_figures {
    uint64_t calls, errors, proxy_errors;
    uint64_t counts[MEASURE_BOUNDS + 1];
};

/* One process's answer to /stats?app=. */
struct measure_answer {
    char start[64];
    uint32_t bounds_ms[MEASURE_BOUNDS];
    size_t bound_count;
    struct measure_figures figures; /* all 0 when it knows nothing of the version */
};
/* Reads the body of an answer; ERROR_INVALID: it is none. */
enum error measure_read(struct view body, int64_t version,
                        struct measure_answer *answer) MUST_CHECK;

struct measure_process {
    char start[64];
    struct measure_figures last;
    unsigned round; /* the last in which it answered */
};
struct measure {
    size_t process_count;
    uint32_t bounds_ms[MEASURE_BOUNDS];
    size_t bound_count;
    struct measure_figures sum;
    unsigned round;
    size_t answered, silent; /* in this round */
    char silent_one[128];    /* address of the first that was silent */
    size_t began_later;      /* processes that were first seen after the first round */
    struct measure_process processes[MEASURE_PROCESSES]; /* touched only as far as there are any */
};

void measure_begin(struct measure *measure);
/* A round asks every address once: begin it, then take what each said. */
void measure_begin_round(struct measure *measure);
/* What the address answered; NULL: nothing usable. */
void measure_take(struct measure *measure, const char *address,
                  const struct measure_answer *answer);

/* From now on it is about all that the processes counted since they were started. After one round. */
void measure_take_all(struct measure *measure);

struct measure_limits {
    double max_error_rate; /* 0 to 1 */
    int64_t max_p99_ms;    /* 0: none */
    int64_t min_calls;     /* before anything is judged */
    int64_t interval_ms;   /* for how long at least */
    int64_t max_hold_ms;   /* for how long beyond that it may hold; 0: without end */
};
enum measure_verdict {
    MEASURE_GO_ON,   /* too early to tell */
    MEASURE_HOLD,    /* it is time, but the figures do not tell: `why` says what is missing */
    MEASURE_ADVANCE, /* it is time, and all is well */
    MEASURE_BACK,    /* a limit is crossed, or it held for too long: `why` says which */
};
#define MEASURE_WHY 300
enum measure_verdict measure_judge(const struct measure *measure,
                                   const struct measure_limits *limits, int64_t elapsed_ms,
                                   char why[MEASURE_WHY]);
/* Milliseconds by linear interpolation within its bucket; 0 without calls; the last bound when it is
 * beyond. */
double measure_p99_ms(const struct measure *measure);
/* {"calls", "errors", "errorRate", "proxyErrors", "latencyP99Ms", "proxies", "silent", "restarts",
 * "seconds"} */
struct json *measure_show(const struct measure *measure, int64_t elapsed_ms);

#endif
