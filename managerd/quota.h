/*
 * One quota of an AWS API: calls wait in line for their turn, and no second holds more of them than
 * the quota allows, wherever that second begins. Source: Lambda's API quotas (aws-contract 4.6).
 *
 * A token bucket (the quota's rate, a third of a second's worth at once) spaces the calls; a window
 * over the last turns keeps every second below the quota, with 5 % to spare for the way to AWS.
 * Turns go first come, first served; an operation has one call at a time, so all operations advance
 * evenly. When AWS says that it is too much, the rate falls to 70 %, once for all calls that were
 * sent before it fell; it is back within ten seconds. No turn is taken before its time and none is
 * held while waiting for anything else. Loop thread only.
 */
#ifndef MANAGERD_QUOTA_H
#define MANAGERD_QUOTA_H

#include "common/base/bytes.h"

struct event_base;
struct quota;

/* A place in the line; lives in its call. */
struct quota_place {
    struct quota_place *next;
    bool waiting;
    uint64_t since_us;
    void (*on_turn)(void *context);
    void *context;
};

struct quota *quota_new(struct event_base *base, int64_t per_second);
/* Nobody hears of a turn any more. NULL is fine. */
void quota_free(struct quota *quota);

/* on_turn comes from the loop, once: the call is to be sent then. */
void quota_wait(struct quota *quota, struct quota_place *place, void (*on_turn)(void *context),
                void *context);
/* Leaves the line; nothing happens when it is not in it. */
void quota_leave(struct quota *quota, struct quota_place *place);
/* AWS refused, for being too much, a call whose turn was at that time. */
void quota_throttled(struct quota *quota, uint64_t turn_us);

struct quota_figures {
    uint64_t turns, throttles;
    uint64_t waits, wait_us; /* turns that did not come at once, and their waiting in sum */
    unsigned waiting;        /* now */
    double rate;             /* now, calls per second */
};
void quota_count(const struct quota *quota, struct quota_figures *figures);

#endif
