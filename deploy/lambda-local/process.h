/* Processes of sandboxes: started with nothing of ours but what is given, measured, killed in
 * groups. */
#ifndef LAMBDA_LOCAL_PROCESS_H
#define LAMBDA_LOCAL_PROCESS_H

#include "common/base/bytes.h"

#include <sys/types.h>

struct process_plan {
    char *const *arguments;
    char *const *environment;
    const char *folder; /* working directory */
};

/* Starts it in a session of its own, so that it dies with us; both of its outputs go to `*output`
 * (non-blocking). A program that cannot be executed ends with 127 and a line on its output. */
enum error process_start(const struct process_plan *plan, pid_t *pid, int *output) MUST_CHECK;
/* Kills the group and the process itself. */
void process_kill(pid_t pid);
/* The next child that has ended, reaped after what is left of its group was killed; false when
 * there is none. Children may be orphans that sandboxes left to us. */
bool process_reap(pid_t *pid, int *status);

struct process_memory {
    int64_t resident_bytes;  /* all of it */
    int64_t anonymous_bytes; /* without file pages: what counts against the limit */
};
/* Of the process and all its descendants (bounded); false when it is gone. */
bool process_measure(pid_t pid, struct process_memory *memory);
/* Calls `visit` for each direct child of this process. */
void process_children(void (*visit)(pid_t pid, void *context), void *context);
/* "exit status 3", "signal: killed", as the runtime's supervisor words it; exit 0: NULL. */
const char *process_ending(int status, char *out, size_t size);

#endif
