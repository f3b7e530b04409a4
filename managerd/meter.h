/*
 * Meters: whose time it is. What the loop and the store's thread spend on one call or operation, and how
 * long it waited for the disk and for AWS.
 *
 * Own time is loop_us + store_us, in processor time: what the loop did between meter_enter and
 * meter_leave, and what the transactions did that the commits were part of, both with what the kernel
 * did for them. A transaction that holds the changes of several is told to each of them in full. Turns
 * nest: while an inner meter is entered the outer one stands still. Loop thread only.
 */
#ifndef MANAGERD_METER_H
#define MANAGERD_METER_H

#include <stdint.h>

struct meter {
    uint64_t loop_us;  /* turns that are over */
    uint64_t store_us; /* of the store's thread, without waiting for the disk */
    uint64_t sync_us;  /* waiting for the disk */
    uint64_t aws_us;   /* waiting for AWS, its quota and back-offs included */
};

/* What one transaction took. */
struct store_times {
    uint64_t store_us, sync_us;
};
/* Takes that time, on any thread: what is not processor time of the thread was waiting for the disk. */
struct store_watch {
    uint64_t begun_us, begun_thread_us;
};
void store_watch_begin(struct store_watch *watch);
void store_watch_end(const struct store_watch *watch, struct store_times *times);

/* From now on it is this one's time, until meter_leave; then it is that of before again. */
void meter_enter(struct meter *meter);
void meter_leave(void);
/* It ends, maybe within its own turn. */
void meter_forget(const struct meter *meter);
/* With what the turn under way has taken so far. */
uint64_t meter_own_us(const struct meter *meter);
void meter_add(struct meter *meter, struct store_times times);

#endif
