/*
 * A sandbox: one process that serves one invocation at a time, with its own process group, folder
 * for temporary files, environment, Runtime API port, and limits of time and memory.
 *
 * Life: STARTING until the runtime asks for its first event, then IDLE and BUSY in turn, ENDING
 * once it was killed or ended by itself. Whoever made it tells it of the process's end
 * (sandbox_reaped); a few milliseconds later, when what it sent last has been read, on_ended comes,
 * and the sandbox is gone after that call.
 */
#ifndef LAMBDA_LOCAL_SANDBOX_H
#define LAMBDA_LOCAL_SANDBOX_H

#include "deploy/lambda-local/config.h"
#include "deploy/lambda-local/invocation.h"
#include "deploy/lambda-local/runtimes.h"

#include <sys/types.h>

struct event_base;

enum sandbox_state {
    SANDBOX_STARTING,
    SANDBOX_IDLE,
    SANDBOX_BUSY,
    SANDBOX_ANSWERED,
    SANDBOX_ENDING
};

struct sandbox;
TAILQ_HEAD(sandbox_list, sandbox);

struct sandbox_handlers {
    /* It asks for an event: now IDLE. Also after each invocation. */
    void (*on_idle)(struct sandbox *sandbox, void *context);
    /* It was IDLE and is of no use any more. */
    void (*on_lost)(struct sandbox *sandbox, void *context);
    /* An invocation is over; the caller finishes it. The sandbox is ANSWERED or ENDING. */
    void (*on_result)(struct sandbox *sandbox, struct invocation *invocation,
                      enum invocation_outcome outcome, void *context);
    /* Nothing runs any more. `init_error` is the error object when it never became IDLE. */
    void (*on_ended)(struct sandbox *sandbox, struct view init_error, void *context);
};

struct sandbox_place {
    struct event_base *base;
    const struct config *config;
    const char *instance; /* marks all processes of this lambda-local */
    const char *folder;   /* scratch folders are made below it */
};

/* What the pool looks at; all else is sandbox.c's. */
struct sandbox {
    TAILQ_ENTRY(sandbox) in_pool;
    TAILQ_ENTRY(sandbox) in_idle;
    void *context; /* the pool */
    struct version *version;
    enum sandbox_state state;
    pid_t pid;                    /* 0: never started, or reaped */
    char mark[RUNTIME_MARK_SIZE]; /* what its processes bear */
    uint64_t idle_since_us;
    bool init_pending; /* the pool counts it among those that start */
    bool counted;      /* … and among those that live */
    struct sandbox_private *more;
};

/* Never NULL: what goes wrong comes by on_ended, from the loop. */
struct sandbox *sandbox_start(const struct sandbox_place *place, struct version *version,
                              const struct sandbox_handlers *handlers, void *context);
/* Only when IDLE. The sandbox has the invocation until on_result. */
void sandbox_run(struct sandbox *sandbox, struct invocation *invocation);
/* Ends it; an invocation under way fails. */
void sandbox_kill(struct sandbox *sandbox);
/* Its process has ended (waitpid's status), and its group with it. */
void sandbox_reaped(struct sandbox *sandbox, int status);
/* What it logged last and no invocation was told of; at most INVOCATION_TAIL_BYTES. */
struct view sandbox_tail(const struct sandbox *sandbox);
/* Measures its memory; beyond the function's limit it is killed. */
void sandbox_watch_memory(struct sandbox *sandbox);
/* At the end of the program, after its process was killed and reaped: no callbacks. */
void sandbox_free(struct sandbox *sandbox);

#endif
