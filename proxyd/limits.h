/*
 * Limits that hold for the whole process, exactly, over all workers: requests in flight (of the
 * process and of each app) and each app's rate. Relaxed atomics, no lock; apps are told apart by
 * their route's slot. What is counted in must be counted out by limits_leave.
 */
#ifndef PROXYD_LIMITS_H
#define PROXYD_LIMITS_H

#include "common/base/bytes.h"

struct limits;

enum limits_verdict { LIMITS_ENTERED, LIMITS_PROCESS_FULL, LIMITS_APP_FULL, LIMITS_APP_RATE };

struct limits_ask {
    uint32_t slot;
    uint32_t max_in_flight; /* of the app */
    uint64_t rate_milli;    /* requests per 1000 s; 0: no limit */
    uint32_t burst;         /* how many may come at once within the rate; at least 1 */
    uint64_t now_us;        /* monotonic */
};

struct limits *limits_new(uint32_t max_in_flight);
void limits_free(struct limits *limits);
/* `*wait_us` says, for LIMITS_APP_RATE, when the next request would be let in. */
enum limits_verdict limits_enter(struct limits *limits, const struct limits_ask *ask,
                                 uint64_t *wait_us);
void limits_leave(struct limits *limits, uint32_t slot);
uint32_t limits_in_flight(const struct limits *limits);

#endif
