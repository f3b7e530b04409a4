/* What lambda-local was told: the option table of LAMBDA_LOCAL_… and the values read from it. */
#ifndef LAMBDA_LOCAL_CONFIG_H
#define LAMBDA_LOCAL_CONFIG_H

#include "common/base/option.h"

/* Lambda's own account and region, as every ARN here names them. */
#define CONFIG_REGION  "us-east-1"
#define CONFIG_ACCOUNT "000000000000"

struct config {
    char *listen;            /* the API */
    char *data_dir;          /* functions live in lambda-local/ below it */
    char *runtimes_dir;      /* the shims: nodejs/ and python/ below it */
    char *node;              /* program that runs nodejs*; a path, or a name looked up in PATH */
    char *python;            /* program that runs python3* */
    char *access_key_id;     /* the one key that requests may be signed with */
    char *secret_access_key; /* secret */
    bool verify_signatures;
    int64_t ready_delay_ms;         /* how long a function stays Pending or InProgress */
    int64_t control_rate, get_rate; /* calls of the API per second; 0: not limited */
    int64_t concurrency;            /* the account's: invocations under way or waiting */
    int64_t max_sandboxes;          /* processes, over all functions */
    int64_t init_timeout_ms;        /* a sandbox must ask for its first event within it */
    int64_t idle_timeout_ms;        /* a sandbox without work so long is ended */
    int64_t queue_timeout_ms;       /* an invocation waits at most so long for a sandbox */
    int64_t async_queue;            /* Event invocations accepted and not yet done */
    int64_t async_retry_delay_ms;   /* before the first retry of a failed one; the second: twice */
    int64_t log_bytes, log_age_ms;  /* of what a function printed */
    int64_t drain_timeout_ms;       /* at SIGTERM: how long invocations may go on */
    char *log_level;
    char *call_log; /* a line for each call goes to this file; NULL: none */
};

extern const struct option_table config_options;

/* Fills in what depends on the machine: the runtimes' folder next to the executable, programs found
 * in PATH. ERROR_NOT_FOUND and a sentence in `problem` when the shims are nowhere; a missing node
 * or python is not an error here (their functions fail with a clear message). */
enum error config_complete(struct config *config, struct buffer *problem) MUST_CHECK;

#endif
