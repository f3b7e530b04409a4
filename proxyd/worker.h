/*
 * One worker: a thread with its own event loop, listening socket, connections, route reader, signing
 * key and figures. Workers share only what `struct shared` names: immutable settings, atomic limits.
 */
#ifndef PROXYD_WORKER_H
#define PROXYD_WORKER_H

#include "common/aws/credentials.h"
#include "common/aws/sigv4.h"
#include "common/net/incoming.h"
#include "common/net/outgoing.h"
#include "common/net/tls.h"
#include "proxyd/breaker.h"
#include "proxyd/config.h"
#include "proxyd/limits.h"
#include "proxyd/listening.h"
#include "proxyd/metrics.h"
#include "proxyd/queue.h"
#include "proxyd/routes.h"
#include "proxyd/stats.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/queue.h>

struct event_base;
struct event;
struct peers;
struct request;
struct signatures;

TAILQ_HEAD(request_list, request);

struct shared {
    const struct config *config;
    struct credentials_source *credentials; /* of the main thread */
    struct limits *limits;
    struct budget *budget;
    struct peers *peers;       /* clients' connections by address */
    struct breakers *breakers; /* NULL: they are off */
    struct queue *queue;
    struct routes *routes;
    struct tls *tls; /* NULL without TLS */
    const struct listening *listening;
    atomic_bool draining;
    /* When it drains: those sockets stay open elsewhere, by systemd or the next process. */
    atomic_bool held_by_others[LISTENING_KINDS];
};

/* Attempts beyond the first that a worker may make: a bucket that successes refill. */
#define RETRY_BUDGET_MOST 100

struct worker {
    struct shared *shared;
    unsigned number;
    struct event_base *base;
    struct incoming *incoming;
    struct incoming *secure; /* over TLS; NULL without it */
    struct outgoing *outgoing;
    struct routes_reader *routes;
    struct sigv4_signer *signer;
    struct signatures *signatures; /* of tokens */
    struct credentials_provider *credentials;
    struct metrics metrics;
    struct stats *stats;          /* of each version */
    struct request_list requests; /* under way */
    struct request_list finished; /* to be freed at the end of this turn of the loop */
    struct event *reap_event;
    unsigned under_way;
    unsigned waiting; /* of them: not let in yet */
    double retry_budget;
    uint64_t random_state;
    /* the worker's own business */
    struct event *tick, *drain_tick, *wake, *place_wake;
    unsigned drain_ticks;
    int wake_fd;
    pthread_t thread;
    sem_t started;
    struct buffer *problem; /* of the start */
    enum error start_error;
    atomic_bool ended;
    atomic_uint orders; /* enum worker_order bits, from other threads */
};

/* Starts the thread; returns when it listens on its share of the sockets, and runs. All of it is made,
 * used and freed in that thread. ERROR_*: one sentence in `problem`. */
enum error worker_start(struct shared *shared, unsigned number, struct worker **worker,
                        struct buffer *problem) MUST_CHECK;
/* From any thread. Drain: takes no more connections, ends the loop when the last request is over.
 * End: ends the loop at once; what is under way is dropped. */
void worker_drain(struct worker *worker);
void worker_end(struct worker *worker);
/* Whether the loop is over. */
bool worker_ended(const struct worker *worker);
/* Waits for the end, and frees it. */
void worker_join(struct worker *worker);

/* For steps, in the worker's thread. */
uint32_t worker_random(struct worker *worker, uint32_t below);
/* Whether another attempt may be made; takes it from the budget. */
bool worker_may_retry(struct worker *worker);
void worker_succeeded(struct worker *worker);
/* AWS's time minus ours; 0 while they agree. */
static inline int64_t worker_clock_offset_ms(const struct worker *worker)
{
    return credentials_clock_offset_ms(worker->credentials);
}

#endif
