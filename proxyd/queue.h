/*
 * The lines in front of apps that have as many requests in flight as they may have.
 *
 * Each worker keeps its own waiters of an app, first come, first served. Who gives up a place hands it
 * to the worker whose first waiter has waited longest, without ever counting it out, so that no
 * newcomer on another worker slips in between; the worker is woken by its descriptor, and only when
 * it has waiters. No lock: a line is a row of counters that workers share, and of lists that are each
 * one worker's own.
 *
 * Nothing is lost between "full" and "free": a waiter makes itself known and then looks once more
 * whether there is a place; who leaves counts out and then looks whether somebody waits
 * (sequentially consistent, so that one of the two sees the other). A waiter that gives up when a
 * place is on its way to it leaves a debt: the place is given on when it comes.
 *
 * What waits has no place in flight, neither of the app nor of the process. Should the process be full
 * when a place of the app comes free, and the app's last, waiters stay until the app's next request,
 * or until they give up.
 *
 * A worker is a number from 0 up; calls with its number come from its own thread.
 */
#ifndef PROXYD_QUEUE_H
#define PROXYD_QUEUE_H

#include "common/base/bytes.h"
#include "proxyd/limits.h"

#include <sys/queue.h>

struct queue;
struct queue_seat;

/* Embedded in what waits. */
struct queue_waiter {
    /* A place is its own now, to be given up by queue_leave. */
    void (*on_place)(struct queue_waiter *waiter);
    struct queue_seat *seat; /* NULL: it does not wait */
    uint64_t ticket;
    TAILQ_ENTRY(queue_waiter) link;
};

enum queue_verdict { QUEUE_ENTERED, QUEUE_WAITS, QUEUE_PROCESS_FULL, QUEUE_APP_FULL };

struct queue_ask {
    unsigned worker;
    uint32_t slot;
    uint32_t max_in_flight; /* of the app */
    unsigned max_waiting;   /* of the app, on this worker; 0: nobody waits */
};

/* `limits` is borrowed, and must be freed after the queue. */
struct queue *queue_new(struct limits *limits, unsigned workers);
/* All workers must have ended. */
void queue_free(struct queue *queue);
/* Readable when places have come for waiters of this worker: queue_collect. */
int queue_descriptor(const struct queue *queue, unsigned worker);

/* A place at once, or the waiter (its on_place set) stands in line. */
enum queue_verdict queue_enter(struct queue *queue, const struct queue_ask *ask,
                               struct queue_waiter *waiter);
/* It waits no longer; on_place will not be called. */
void queue_give_up(struct queue *queue, struct queue_waiter *waiter);
/* Gives a place back. When it goes to a waiter of the same worker, that one is told by the
 * queue_collect which the caller owes before it returns to its loop. */
void queue_leave(struct queue *queue, unsigned worker, uint32_t slot);
/* Calls on_place for each place that has come. */
void queue_collect(struct queue *queue, unsigned worker);
/* Whether no place is on its way to a waiter that gave up: the worker may end. */
bool queue_settled(const struct queue *queue, unsigned worker);

#endif
