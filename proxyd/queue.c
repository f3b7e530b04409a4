/* Hands places in flight over to the requests that wait for them, in order, over all workers. */
#include "proxyd/queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

TAILQ_HEAD(queue_waiters, queue_waiter);

/*
 * The waiters of one app on one worker. For each: waiters = waiting + granted (and due) - owed, and
 * owed is not 0 only while waiting is.
 */
struct queue_seat {
    /* shared */
    _Atomic uint32_t waiting; /* for whom no place is on its way */
    _Atomic uint64_t first;   /* ticket of the one who has waited longest; may be behind a little */
    _Atomic uint32_t granted; /* places that are the worker's now */
    struct queue_seat *next;  /* on the worker's list of those with places granted */
    /* the worker's own */
    struct queue_line *line;
    unsigned worker;
    struct queue_waiters waiters;
    unsigned count;
    unsigned owed; /* places on their way to waiters that gave up */
};

/* Made for an app when its first request has to wait; lives as long as the limits. */
struct queue_line {
    uint32_t slot;
    _Atomic uint32_t max_in_flight; /* as the last newcomer had it */
    _Atomic uint64_t tickets;
    struct queue_seat seats[];
};

struct queue_desk {
    _Alignas(64) struct queue_seat *_Atomic due; /* with places granted; pushed by all */
    int wake_fd;
    unsigned owed; /* the worker's own: the sum over its seats */
};

struct queue {
    struct limits *limits;
    unsigned workers;
    struct queue_desk *desks;
};

struct queue *queue_new(struct limits *limits, unsigned workers)
{
    struct queue *queue = calloc(1, sizeof *queue);

    REQUIRE(queue != NULL);
    queue->limits = limits;
    queue->workers = workers;
    queue->desks = aligned_alloc(64, workers * sizeof *queue->desks);
    REQUIRE(queue->desks != NULL);
    for (unsigned i = 0; i < workers; i++) {
        queue->desks[i] = (struct queue_desk){.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
        REQUIRE(queue->desks[i].wake_fd >= 0);
    }
    return queue;
}

void queue_free(struct queue *queue)
{
    if (!queue)
        return;
    for (unsigned i = 0; i < queue->workers; i++)
        close(queue->desks[i].wake_fd);
    free(queue->desks);
    free(queue);
}

int queue_descriptor(const struct queue *queue, unsigned worker)
{
    return queue->desks[worker].wake_fd;
}

bool queue_settled(const struct queue *queue, unsigned worker)
{
    return queue->desks[worker].owed == 0;
}

/* ---- lines ---- */

/* NULL: nobody ever waited for this app. */
static struct queue_line *line_of(const struct queue *queue, uint32_t slot)
{
    return atomic_load(limits_attachment(queue->limits, slot));
}

static struct queue_line *make_line(const struct queue *queue, uint32_t slot)
{
    void *_Atomic *place = limits_attachment(queue->limits, slot);
    void *present = NULL;
    struct queue_line *line = calloc(1, sizeof *line + queue->workers * sizeof(struct queue_seat));

    REQUIRE(line != NULL);
    line->slot = slot;
    for (unsigned i = 0; i < queue->workers; i++) {
        line->seats[i].line = line;
        line->seats[i].worker = i;
        TAILQ_INIT(&line->seats[i].waiters);
    }
    if (atomic_compare_exchange_strong(place, &present, line))
        return line;
    free(line); /* another worker was faster */
    return present;
}

static bool somebody_waits(const struct queue *queue, const struct queue_line *line)
{
    for (unsigned i = 0; i < queue->workers; i++) {
        if (atomic_load(&line->seats[i].waiting) > 0)
            return true;
    }
    return false;
}

static bool take_one(_Atomic uint32_t *count)
{
    uint32_t now = atomic_load(count);

    while (now > 0) {
        if (atomic_compare_exchange_weak(count, &now, now - 1))
            return true;
    }
    return false;
}

/* ---- handing over ---- */

/* The seat whose first waiter has waited longest, of which one is now the caller's to give a place
 * to; NULL when nobody waits. */
static struct queue_seat *claim(const struct queue *queue, struct queue_line *line)
{
    for (;;) {
        struct queue_seat *oldest = NULL;
        uint64_t first = UINT64_MAX;

        for (unsigned i = 0; i < queue->workers; i++) {
            struct queue_seat *seat = &line->seats[i];
            uint64_t ticket = atomic_load_explicit(&seat->first, memory_order_relaxed);

            if (atomic_load(&seat->waiting) > 0 && (!oldest || ticket < first)) {
                oldest = seat;
                first = ticket;
            }
        }
        if (!oldest || take_one(&oldest->waiting))
            return oldest;
    }
}

static void wake(const struct queue_desk *desk)
{
    const uint64_t one = 1;

    REQUIRE(write(desk->wake_fd, &one, sizeof one) == sizeof one || errno == EAGAIN);
}

/* The caller's place is the seat's. `collecting`: a worker that will look by itself; else none. */
static void grant(struct queue *queue, struct queue_seat *seat, unsigned collecting)
{
    struct queue_desk *desk = &queue->desks[seat->worker];

    if (atomic_fetch_add(&seat->granted, 1) > 0)
        return; /* it is on the list */
    struct queue_seat *first = atomic_load(&desk->due);
    do
        seat->next = first; /* from the exchange on the seat is its worker's again */
    while (!atomic_compare_exchange_weak(&desk->due, &first, seat));
    if (!first && seat->worker != collecting)
        wake(desk);
}

/* Gives places that are free to those who wait. */
static void hand_out(struct queue *queue, struct queue_line *line, unsigned collecting)
{
    while (somebody_waits(queue, line)) {
        uint32_t most = atomic_load_explicit(&line->max_in_flight, memory_order_relaxed);
        struct queue_seat *seat;

        if (limits_enter(queue->limits, line->slot, most) != LIMITS_ENTERED)
            return;
        seat = claim(queue, line);
        if (seat)
            grant(queue, seat, collecting);
        else
            limits_leave(queue->limits, line->slot); /* and look again: somebody may have come */
    }
}

void queue_leave(struct queue *queue, unsigned worker, uint32_t slot)
{
    struct queue_line *line = line_of(queue, slot);

    if (line && limits_app_in_flight(queue->limits, slot) <=
                    atomic_load_explicit(&line->max_in_flight, memory_order_relaxed)) {
        struct queue_seat *seat = claim(queue, line);

        if (seat) {
            grant(queue, seat, worker);
            return;
        }
    }
    limits_leave(queue->limits, slot);
    line = line_of(queue, slot);
    if (line)
        hand_out(queue, line, worker);
}

/* ---- waiting ---- */

static void remove_waiter(struct queue_waiter *waiter)
{
    struct queue_seat *seat = waiter->seat;

    TAILQ_REMOVE(&seat->waiters, waiter, link);
    seat->count--;
    waiter->seat = NULL;
    waiter = TAILQ_FIRST(&seat->waiters);
    if (waiter)
        atomic_store_explicit(&seat->first, waiter->ticket, memory_order_relaxed);
}

static enum queue_verdict stand_in_line(struct queue *queue, const struct queue_ask *ask,
                                        struct queue_line *line, struct queue_waiter *waiter)
{
    struct queue_seat *seat;

    if (ask->max_waiting == 0)
        return QUEUE_APP_FULL;
    if (!line)
        line = make_line(queue, ask->slot);
    seat = &line->seats[ask->worker];
    if (seat->count >= ask->max_waiting)
        return QUEUE_APP_FULL;
    atomic_store_explicit(&line->max_in_flight, ask->max_in_flight, memory_order_relaxed);
    waiter->seat = seat;
    waiter->ticket = atomic_fetch_add_explicit(&line->tickets, 1, memory_order_relaxed);
    TAILQ_INSERT_TAIL(&seat->waiters, waiter, link);
    if (++seat->count == 1)
        atomic_store_explicit(&seat->first, waiter->ticket, memory_order_relaxed);
    if (seat->owed > 0) { /* the place that another one left behind is this one's */
        seat->owed--;
        queue->desks[ask->worker].owed--;
    } else {
        atomic_fetch_add(&seat->waiting, 1);
    }
    hand_out(queue, line, queue->workers);
    return QUEUE_WAITS;
}

enum queue_verdict queue_enter(struct queue *queue, const struct queue_ask *ask,
                               struct queue_waiter *waiter)
{
    struct queue_line *line = line_of(queue, ask->slot);

    REQUIRE(!waiter->seat);
    /* Who came earlier goes first, also when there is a place just now. */
    if (line && (line->seats[ask->worker].count > 0 || somebody_waits(queue, line))) {
        if (limits_full(queue->limits))
            return QUEUE_PROCESS_FULL;
        return stand_in_line(queue, ask, line, waiter);
    }
    switch (limits_enter(queue->limits, ask->slot, ask->max_in_flight)) {
    case LIMITS_ENTERED:
        return QUEUE_ENTERED;
    case LIMITS_PROCESS_FULL:
        return QUEUE_PROCESS_FULL;
    case LIMITS_APP_FULL:
        break;
    }
    return stand_in_line(queue, ask, line, waiter);
}

void queue_give_up(struct queue *queue, struct queue_waiter *waiter)
{
    struct queue_seat *seat = waiter->seat;

    REQUIRE(seat);
    remove_waiter(waiter);
    if (!take_one(&seat->waiting)) {
        seat->owed++;
        queue->desks[seat->worker].owed++;
    }
}

static void serve(struct queue *queue, struct queue_seat *seat, uint32_t places)
{
    for (; places > 0; places--) {
        struct queue_waiter *waiter = TAILQ_FIRST(&seat->waiters);

        if (waiter) {
            remove_waiter(waiter);
            waiter->on_place(waiter);
        } else {
            REQUIRE(seat->owed > 0);
            seat->owed--;
            queue->desks[seat->worker].owed--;
            queue_leave(queue, seat->worker, seat->line->slot);
        }
    }
}

void queue_collect(struct queue *queue, unsigned worker)
{
    struct queue_desk *desk = &queue->desks[worker];
    struct queue_seat *seat;

    while (atomic_load_explicit(&desk->due, memory_order_relaxed) &&
           (seat = atomic_exchange(&desk->due, NULL)) != NULL) {
        while (seat) {
            /* Read first: once nothing is granted any more it may be put on the list again. */
            struct queue_seat *next = seat->next;

            serve(queue, seat, atomic_exchange(&seat->granted, 0));
            seat = next;
        }
    }
}
