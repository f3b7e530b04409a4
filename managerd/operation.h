/*
 * Operations: the long life. A persisted plan of steps that survives a crash.
 *
 * One commit per step: the result of this one and the intent of the next. Each step is idempotent:
 * it is begun again from its start after a crash (or when a compare of its commit did not hold).
 * The operations of one app run one after another, in the order they were accepted; of different
 * apps side by side, a bounded number at once. When the process stops, what runs stays as it was
 * persisted and goes on at the next start.
 *
 * A step ends by exactly one of operation_step_done, operation_step_failed (or its short forms), at
 * once or from the loop. Loop thread only.
 */
#ifndef MANAGERD_OPERATION_H
#define MANAGERD_OPERATION_H

#include "common/base/id.h"
#include "managerd/lambda_control.h"
#include "managerd/meter.h"
#include "managerd/problem.h"
#include "managerd/state.h"

struct event;
struct event_base;
struct observer;
struct operation;
struct operations;
struct package_sweep;
struct packages;
struct proxies;
struct prune;
struct publisher;
struct roster;
struct secrets;

/* What steps work with; outlives the operations. */
struct operation_environment {
    struct event_base *base;
    struct state *state;
    struct publisher *publisher;
    struct lambda_control *control;
    struct packages *packages;
    const struct secrets *secrets;
    struct proxies *proxies;             /* who measure versions; NULL: nobody */
    struct package_sweep *package_sweep; /* told when versions are gone; NULL: nobody */
    struct roster *roster;               /* gives new apps their slots */
    struct prune *prune;                 /* told of deployments that ended; NULL: nobody */
    struct observer *observer;           /* told when what it knows is over; NULL: nobody */
    const char *installation;
    const char *default_role;
    int64_t drain_ms; /* how long to wait for requests under way; <0: the longest deadline */
    unsigned max_running;
};

struct operation_step {
    const char *name;
    void (*run)(struct operation *operation);
    bool cancellable; /* while this step is under way the operation can still be cancelled */
};

/* A kind of operation. The hooks add writes to operation->change, for the commit that ends it. */
struct operation_type {
    const char *name;
    const struct operation_step *steps; /* ends with an empty name */
    void (*on_success)(struct operation *operation);
    /* Failed or cancelled; `problem` is its document. */
    void (*on_failure)(struct operation *operation, const struct json *problem);
    void (*after_success)(struct operation *operation); /* committed; may be NULL */
    void (*after_failure)(struct operation *operation); /* the same */
};

struct operation {
    struct operations *operations;
    const struct operation_environment *environment;
    const struct operation_type *type;
    char id[ID_SIZE];
    char app[64];
    struct json *document; /* as last committed, but for "work", which steps may change */
    uint64_t revision;

    /* The step under way. */
    struct arena arena;   /* dies with the step */
    struct change change; /* what its result writes besides the operation itself */
    struct json *result;  /* for the document's "result"; NULL: none */
    struct lambda_call *call;
    struct ask_stream *stream; /* of a streamed answer; NULL: none */
    struct meter meter;
    uint64_t asked_us; /* AWS, the call under way */
    struct event *timer;
    void (*on_timer)(struct operation *operation);
    void (*on_answer)(struct operation *operation, const struct lambda_answer *answer);
    uint64_t step_began_us;
    void *step_data; /* the step's own, freed with it; NULL: none */
    void (*free_step_data)(void *data);
    int64_t patience_ms; /* for polling; 0: 300 s */
    unsigned polls;      /* looks taken in this step, for the rising delay */
    unsigned tries;      /* changes that AWS accepted in this step */
    unsigned repeats;    /* times that this step was begun again because AWS gave no answer */

    bool repeatable; /* the call under way: without an answer the step is begun again, */
    bool only_asks;  /* it changes nothing: so it is when the function is busy */
    bool started;    /* holds one of the places, */
    bool resting;    /* but for those that only watch */
    bool cancel;
    uint64_t paused_until_us; /* 0: it never was */
    /* The commit under way. */
    struct json *next_document;
    unsigned commit_failures;
    bool ending;
    bool noting;                                     /* the step goes on when it is committed, */
    void (*after_note)(struct operation *operation); /* here */
    struct operation *next;
};

struct operations *operations_new(const struct operation_environment *environment);
/* Borrowed. */
const struct operation_environment *operations_environment(const struct operations *operations);
/* Loads what is unfinished, and goes on with it. */
enum error operations_resume(struct operations *operations, struct buffer *problem) MUST_CHECK;
/* Stops: no step goes on; commits under way still complete. Then drain the jobs, then free. */
void operations_stop(struct operations *operations);
void operations_free(struct operations *operations);

/* A committed, queued operation (the document is copied). */
void operations_accept(struct operations *operations, const struct json *document,
                       uint64_t revision);
/* Whether an operation of this type is queued or running for the app; its id, borrowed, or NULL. */
const char *operations_find(const struct operations *operations, struct view app, const char *type);
/* Whether another operation of its app comes behind this one. */
bool operation_is_awaited(const struct operation *operation);
/* Whether anything of the app is queued or running. */
bool operations_busy(const struct operations *operations, struct view app);
/* Begins no cancellable step of it for a moment, so that a wish to cancel it comes to be written. */
void operations_pause(struct operations *operations, struct view id);
/* ERROR_NOT_FOUND (it is finished or unknown), ERROR_CONFLICT (past the point of return). */
enum error operations_may_cancel(const struct operations *operations, struct view id) MUST_CHECK;
/* Once key_cancel is committed, together with a compare of the operation's record: it comes to no further
 * step, also after a crash. The same errors. */
enum error operations_cancel(struct operations *operations, struct view id) MUST_CHECK;
unsigned operations_running(const struct operations *operations);
unsigned operations_queued(const struct operations *operations);
uint64_t operations_ended(const struct operations *operations, bool well);

/* For steps. */
struct json *operation_work(struct operation *operation);
/* The step under way, as the document holds it; what is set here is committed with its end. */
struct json *operation_step(struct operation *operation);
/* The step goes on for long without work to do: its place is free for others from now on. */
void operation_rest(struct operation *operation);
/* Commits what operation_step and operation->change have been given so far, then calls `next`. When a
 * compare of the change does not hold, the step is begun again instead. */
void operation_note(struct operation *operation, void (*next)(struct operation *operation));
void operation_step_done(struct operation *operation, const char *format, ...) PRINTF_LIKE(2, 3);
void operation_step_failed(struct operation *operation, const struct problem *problem);
void operation_step_problem(struct operation *operation, enum problem_type type, const char *format,
                            ...) PRINTF_LIKE(3, 4);
/* Calls `next` after the delay, unless it is cancelled or stopped before. */
void operation_after(struct operation *operation, int64_t delay_ms,
                     void (*next)(struct operation *operation));
/* Whether a wish to cancel is being written: then `next` is called a moment later, as above. For steps
 * that come to places where they may be cancelled. */
bool operation_gives_way(struct operation *operation,
                         void (*next)(struct operation *operation)) MUST_CHECK;
/* As operation_after, with the rising delay of polling: 50 ms, doubled up to 1 s; after 300 s, or the
 * patience that was asked for since the step began, the step fails with `late`. */
void operation_have_patience(struct operation *operation, int64_t patience_ms);
void operation_poll(struct operation *operation, void (*next)(struct operation *operation),
                    const char *late);
/* Begins the step under way again after the delay: it looks first at what is there. */
void operation_repeat(struct operation *operation, int64_t delay_ms);
/* A call to AWS. When it brings no answer after its own retries, or a change may have been made that
 * nobody heard of, the step is repeated, up to six times within some 20 s; on_answer comes after
 * that, or with any other answer. */
void operation_send(struct operation *operation, const struct lambda_request *request,
                    void (*on_answer)(struct operation *operation,
                                      const struct lambda_answer *answer));
/* Before a call whose answer streams: makes `stream`, which dies with the step. */
void operation_open_stream(struct operation *operation);
/* Fails the step with what AWS said. */
void operation_step_refused(struct operation *operation, const struct lambda_answer *answer,
                            const char *what);
/* True when the process is stopping: the callback must return at once. */
bool operation_stopped(const struct operation *operation);

/* The kinds. */
extern const struct operation_type deploy_type;
extern const struct operation_type delete_type;
extern const struct operation_type delete_version_type;
extern const struct operation_type apply_type;
extern const struct operation_type sync_type;
extern const struct operation_type configure_type;

#endif
