/* What managerd counts. One list of counters; the rest is read from its owners when asked. */
#ifndef MANAGERD_METRICS_H
#define MANAGERD_METRICS_H

#include "common/base/bytes.h"

struct server;

#define METRICS_MAX_ENDPOINTS 128
#define METRICS_BUCKETS       12
#define METRICS_OWN_BUCKETS   14

/* Loop thread only. */
struct metrics {
    uint64_t calls[METRICS_MAX_ENDPOINTS][5]; /* by endpoint and status class (1xx … 5xx) */
    uint64_t unmatched[5];
    uint64_t refused;
    uint64_t attempts_limited;
    uint64_t seconds[METRICS_BUCKETS + 1]; /* of calls that did not wait for an operation */
    double seconds_sum;
    uint64_t own[METRICS_OWN_BUCKETS + 1]; /* the same calls, managerd's own time */
    double own_sum;
    uint64_t turns[METRICS_OWN_BUCKETS + 1]; /* of the loop */
    double turns_sum;
};

/* `endpoint` is an index into the endpoint table, or SIZE_MAX. */
void metrics_count_call(struct metrics *metrics, size_t endpoint, int status, uint64_t took_us,
                        uint64_t own_us);
/* What the loop did between two looks at its sockets, in processor time. */
void metrics_count_turn(struct metrics *metrics, uint64_t turn_us);
void metrics_write(const struct server *server, struct buffer *out);

#endif
