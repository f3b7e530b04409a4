/* What credentials_source.c and credentials_provider.c share; nobody else includes this. */
#ifndef COMMON_AWS_CREDENTIALS_PARTS_H
#define COMMON_AWS_CREDENTIALS_PARTS_H

#include "common/aws/credentials_source.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

struct choice;
struct event;
struct fetch;
struct fetcher;

TAILQ_HEAD(waiters, waiter);

struct credentials_provider {
    LIST_ENTRY(credentials_provider) link;
    struct credentials_source *source;
    struct credentials *snapshot; /* a copy of the source's */
    uint64_t of_serial;           /* the source's own */
    int wake_fd;
    struct event *wake;
    uint64_t outcomes; /* of the source, as seen last */
    struct waiters waiters;
};

struct credentials_source {
    struct event_base *base;
    const char *(*variable)(const char *name);
    struct choice *choice;
    struct fetcher *fetcher;
    struct fetch *fetch;                 /* under way */
    struct event *ask_timer, *end_timer; /* the next asking; the end of what is in force */
    int poke_fd;                         /* from providers */
    struct event *poke;
    int64_t retry_ms; /* the next pause after a failure; 0: the last asking went well */
    uint64_t failed_at_us, refused_at_us;
    _Atomic int64_t clock_offset_ms; /* AWS's time minus ours */
    pthread_mutex_t lock;            /* over all below */
    struct credentials *current;
    uint64_t outcomes; /* askings that have ended */
    bool wanted, refused;
    LIST_HEAD(, credentials_provider) providers;
    struct credentials_status status;
};

/* An eventfd by which one thread wakes another's loop. */
int wakeup_new(void);
void wakeup_signal(int fd);
void wakeup_drain(int fd);

#endif
