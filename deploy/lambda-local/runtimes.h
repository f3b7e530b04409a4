/*
 * Runtimes: which names are known, which command runs them, and the environment a sandbox gets.
 * Source: aws-contract.md section 7.
 */
#ifndef LAMBDA_LOCAL_RUNTIMES_H
#define LAMBDA_LOCAL_RUNTIMES_H

#include "deploy/lambda-local/config.h"
#include "deploy/lambda-local/function.h"

/* Names to show in messages. */
extern const char runtime_names[];

/* nodejs*, python3*, provided*. */
bool runtime_known(struct view name);
/* Names that functions may not set: those that Lambda itself sets. */
bool runtime_variable_reserved(struct view name);

/* What a sandbox is started with; strings and arrays are malloc'ed. */
struct runtime_command {
    char **arguments;   /* NULL-ended; the first is the program's path */
    char **environment; /* NULL-ended */
};

struct runtime_place {
    const char *runtime_api; /* "127.0.0.1:43211" */
    const char *log_stream;  /* "2026/11/23/[$LATEST]…" */
    const char *scratch;     /* folder for TMPDIR */
    const char *mark;        /* tells all processes of this sandbox */
};

void runtime_command_make(const struct config *config, const struct version *version,
                          const struct runtime_place *place, struct runtime_command *command);
void runtime_command_release(struct runtime_command *command);
/* False when a `provided` function has no executable bootstrap. */
bool runtime_entry_valid(const struct version *version);
/* The variable that every process of a sandbox has: which lambda-local, which sandbox. */
#define RUNTIME_MARK_VARIABLE "LAMBDA_LOCAL_SANDBOX"
#define RUNTIME_MARK_SIZE     96

#endif
