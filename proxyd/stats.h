/*
 * Figures of each version, for those who judge it (canaries): how many calls it had, how many of them
 * it failed, and how long they took. `GET /stats?app=` on the admin address shows them.
 *
 * Each worker has a table of its own and writes it with relaxed atomics; the admin thread reads all.
 * A table holds at most STATS_VERSIONS versions; what has had no request for STATS_IDLE_US gives its
 * place away when others need it, and requests that find no place are counted as missed: the figures
 * are then not whole, and say so. Figures only rise while a process lives, but for a version that
 * gave its place away.
 */
#ifndef PROXYD_STATS_H
#define PROXYD_STATS_H

#include "common/base/bytes.h"
#include "proxyd/fault.h"

#define STATS_VERSIONS 32768 /* of each worker; a power of two */
#define STATS_IDLE_US  (600ull * 1000000)
#define STATS_SHOWN    1000 /* versions of one app in an answer */

struct stats;

/* One request that has ended. */
struct stats_request {
    struct view app;
    uint32_t slot, version;
    int status; /* 100 to 599 */
    enum fault fault;
    uint64_t duration_us; /* from the whole request to the beginning of its answer */
};

struct stats *stats_new(void);
/* NULL is fine. */
void stats_free(struct stats *stats);

/* The worker's thread only. `now_us` is monotonic. */
void stats_count(struct stats *stats, const struct stats_request *request, uint64_t now_us);

/* Appends the app's figures, the workers' added up, as one JSON object; any thread. `start` is the
 * process's id: figures of another start begin at 0 again. */
void stats_write(struct buffer *out, const struct stats *const *workers, size_t count,
                 struct view app, const char *start);

#endif
