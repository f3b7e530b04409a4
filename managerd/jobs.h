/*
 * Work off the loop: a few threads, jobs in, completions back on the loop.
 *
 * A job's `run` gets what it needs through its context and touches nothing that the loop changes
 * meanwhile; `done` is called from the loop, once, after `run` has returned. Jobs of a one-thread
 * pool run in the order of submission. The queue is unbounded: callers bound what they submit.
 */
#ifndef MANAGERD_JOBS_H
#define MANAGERD_JOBS_H

struct event_base;
struct jobs;

struct jobs *jobs_new(struct event_base *base, unsigned threads);
void jobs_submit(struct jobs *jobs, void (*run)(void *context), void (*done)(void *context),
                 void *context);
/* Blocks until everything submitted has run, and calls what `done` is due (which may submit more).
 * For shutting down. */
void jobs_drain(struct jobs *jobs);
/* Nothing may be under way. NULL is fine. */
void jobs_free(struct jobs *jobs);

#endif
