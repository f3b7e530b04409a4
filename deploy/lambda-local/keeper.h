/*
 * The keeper: a small process that outlives lambda-local by a moment when it is killed, and ends
 * what its sandboxes left behind.
 *
 * A sandbox's first process dies with lambda-local by PR_SET_PDEATHSIG; what that process started
 * does not. The keeper waits on a pipe whose other end only lambda-local has; when it breaks, every
 * process whose environment bears this lambda-local's mark is killed, until there is none.
 */
#ifndef LAMBDA_LOCAL_KEEPER_H
#define LAMBDA_LOCAL_KEEPER_H

#include "common/base/error.h"

#include <sys/types.h>

struct keeper {
    pid_t pid;
    int line; /* closing it calls the keeper */
};

/* Forks; call before any thread is started. `instance` is the value of the mark. */
enum error keeper_start(struct keeper *keeper, const char *instance) MUST_CHECK;
/* Lets it do its work and waits for its end. */
void keeper_stop(struct keeper *keeper);

#endif
