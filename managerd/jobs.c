/* Runs slow work on a few threads and brings each completion back to the event loop. */
#include "managerd/jobs.h"

#include "common/base/error.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct job {
    void (*run)(void *context);
    void (*done)(void *context);
    void *context;
    struct job *next;
};

struct job_list {
    struct job *first, **end;
};

struct jobs {
    pthread_mutex_t lock;
    pthread_cond_t wake;     /* a job was queued, or stop */
    pthread_cond_t finished; /* a job has run */
    struct job_list queued, complete;
    unsigned unfinished; /* queued or running */
    bool stop;
    pthread_t *threads;
    unsigned thread_count;
    int notify; /* eventfd: something is complete */
    struct event *on_notify;
};

static void list_init(struct job_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void list_append(struct job_list *list, struct job *job)
{
    job->next = NULL;
    *list->end = job;
    list->end = &job->next;
}

static struct job *list_take(struct job_list *list)
{
    struct job *job = list->first;
    if (job) {
        list->first = job->next;
        if (!list->first)
            list->end = &list->first;
    }
    return job;
}

static void *work(void *context)
{
    struct jobs *jobs = context;
    pthread_mutex_lock(&jobs->lock);
    for (;;) {
        struct job *job;
        while (!(job = list_take(&jobs->queued)) && !jobs->stop)
            pthread_cond_wait(&jobs->wake, &jobs->lock);
        if (!job)
            break;
        pthread_mutex_unlock(&jobs->lock);
        job->run(job->context);
        pthread_mutex_lock(&jobs->lock);
        list_append(&jobs->complete, job);
        jobs->unfinished--;
        pthread_cond_broadcast(&jobs->finished);
        uint64_t one = 1;
        REQUIRE(write(jobs->notify, &one, sizeof one) == sizeof one);
    }
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

/* Calls `done` of what is complete now; false when there was nothing. */
static bool deliver(struct jobs *jobs)
{
    bool delivered = false;
    for (;;) {
        pthread_mutex_lock(&jobs->lock);
        struct job *job = list_take(&jobs->complete);
        pthread_mutex_unlock(&jobs->lock);
        if (!job)
            return delivered;
        delivered = true;
        job->done(job->context);
        free(job);
    }
}

static void on_notify(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got; /* a spurious wake-up reads nothing, and delivers nothing */
    deliver(context);
}

struct jobs *jobs_new(struct event_base *base, unsigned threads)
{
    struct jobs *jobs = calloc(1, sizeof *jobs);
    REQUIRE(jobs);
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->wake, NULL);
    pthread_cond_init(&jobs->finished, NULL);
    list_init(&jobs->queued);
    list_init(&jobs->complete);
    jobs->notify = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    REQUIRE(jobs->notify >= 0);
    jobs->on_notify = event_new(base, jobs->notify, EV_READ | EV_PERSIST, on_notify, jobs);
    REQUIRE(jobs->on_notify && event_add(jobs->on_notify, NULL) == 0);
    jobs->threads = calloc(threads, sizeof *jobs->threads);
    REQUIRE(jobs->threads);
    for (unsigned i = 0; i < threads; i++)
        REQUIRE(pthread_create(&jobs->threads[i], NULL, work, jobs) == 0);
    jobs->thread_count = threads;
    return jobs;
}

void jobs_submit(struct jobs *jobs, void (*run)(void *context), void (*done)(void *context),
                 void *context)
{
    struct job *job = calloc(1, sizeof *job);
    REQUIRE(job);
    job->run = run;
    job->done = done;
    job->context = context;
    pthread_mutex_lock(&jobs->lock);
    list_append(&jobs->queued, job);
    jobs->unfinished++;
    pthread_cond_signal(&jobs->wake);
    pthread_mutex_unlock(&jobs->lock);
}

void jobs_drain(struct jobs *jobs)
{
    do {
        pthread_mutex_lock(&jobs->lock);
        while (jobs->unfinished)
            pthread_cond_wait(&jobs->finished, &jobs->lock);
        pthread_mutex_unlock(&jobs->lock);
    } while (deliver(jobs));
}

void jobs_free(struct jobs *jobs)
{
    if (!jobs)
        return;
    pthread_mutex_lock(&jobs->lock);
    jobs->stop = true;
    pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->lock);
    for (unsigned i = 0; i < jobs->thread_count; i++)
        pthread_join(jobs->threads[i], NULL);
    REQUIRE(!jobs->queued.first && !jobs->complete.first);
    event_free(jobs->on_notify);
    close(jobs->notify);
    pthread_cond_destroy(&jobs->finished);
    pthread_cond_destroy(&jobs->wake);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs->threads);
    free(jobs);
}
