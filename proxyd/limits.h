/*
 * Limits that hold for the whole process, exactly, over all workers: requests in flight (of the
 * process and of each app), each app's rate, and its share of memory. Atomics, no lock; apps are told apart by
 * their route's slot. What is counted in must be counted out by limits_leave. The counts of apps are
 * sequentially consistent: the queue in front of them hangs on their order (queue.c).
 */
#ifndef PROXYD_LIMITS_H
#define PROXYD_LIMITS_H

#include "common/base/bytes.h"

struct limits;

enum limits_verdict { LIMITS_ENTERED, LIMITS_PROCESS_FULL, LIMITS_APP_FULL };

/* An app's rate. */
struct limits_pace {
    uint32_t slot;
    uint64_t rate_milli;      /* requests per 1000 s; not 0 */
    uint32_t burst;           /* how many may come at once within the rate; at least 1 */
    uint64_t now_us;          /* monotonic */
    uint64_t most_wait_us;    /* for how long the request may be held back */
    uint64_t longest_wait_us; /* the same of any request of the app */
};

struct limits *limits_new(uint32_t max_in_flight);
void limits_free(struct limits *limits);
/* A place in flight, of the process and of the app. */
enum limits_verdict limits_enter(struct limits *limits, uint32_t slot, uint32_t max_in_flight);
void limits_leave(struct limits *limits, uint32_t slot);
/*
 * GCRA. True: a turn of the app's rate is the request's, in `*wait_us` from now (0: at once). Turns
 * are given out in the order of asking, over all workers, and not taken back. False: it would have
 * to wait for longer than it may; in `*wait_us` there is a turn without waiting. What was given out
 * under a slower rate or a larger burst is forgotten as soon as the new ones could not have given it.
 */
bool limits_take_turn(struct limits *limits, const struct limits_pace *pace, uint64_t *wait_us);
/* Undoes limits_take_turn for a request that needed not wait and was then refused at once. */
void limits_return_turn(struct limits *limits, const struct limits_pace *pace);
/* Bytes that an app's requests hold, against the most that one app may: false when they would pass it.
 * Who is alone is let through, however large. */
bool limits_hold(struct limits *limits, uint32_t slot, uint64_t bytes, uint64_t most) MUST_CHECK;
void limits_drop(struct limits *limits, uint32_t slot, uint64_t bytes);
uint32_t limits_in_flight(const struct limits *limits);
bool limits_full(const struct limits *limits);
uint32_t limits_app_in_flight(struct limits *limits, uint32_t slot);
/* A place for what the queue keeps for an app, NULL at first; freed (by free) with the limits. */
void *_Atomic *limits_attachment(struct limits *limits, uint32_t slot);

#endif
