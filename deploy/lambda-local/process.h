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
/* The next child that has ended and was not yet reaped; 0 when there is none. Until process_reap its
 * number, and so its group's, cannot become another's. Children may be orphans of sandboxes. */
pid_t process_ended(void);
/* Gives waitpid's status. */
int process_reap(pid_t pid);

struct process_memory {
    int64_t resident_bytes;  /* all of it */
    int64_t anonymous_bytes; /* without file pages: what counts against the limit */
};
/* Of the process and all its descendants (bounded); false when it is gone. */
bool process_measure(pid_t pid, struct process_memory *memory);
/* Calls `visit` for each direct child of this process. */
void process_children(void (*visit)(pid_t pid, void *context), void *context);
/* A variable of the environment that a process was started with; false when it has none, or is gone.
 */
bool process_variable(pid_t pid, const char *name, char *out, size_t size);
/* "exit status 3", "signal: killed", as the runtime's supervisor words it; exit 0: NULL. */
const char *process_ending(int status, char *out, size_t size);

#endif
