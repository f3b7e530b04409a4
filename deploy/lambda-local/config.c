/* Reads the options of lambda-local and finds what the machine offers: shims, node, python3. */
#include "deploy/lambda-local/config.h"

#include "common/base/file.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIELD(member) offsetof(struct config, member)
#define DAY_MS        (24 * 3600 * INT64_C(1000))

static const struct option_row rows[] = {
    {.name = "listen",
     .type = OPTION_ADDRESS,
     .offset = FIELD(listen),
     .default_text = "127.0.0.1:9001",
     .help = "Address of the Lambda API. Whoever reaches it with the key runs code here."},
    {.name = "data-dir",
     .type = OPTION_STRING,
     .offset = FIELD(data_dir),
     .default_text = "/var/lib/app-orchestrator",
     .variable = "ORCHESTRATOR_DATA_DIR",
     .help = "Folder of all data; functions are kept in lambda-local/ below it."},
    {.name = "runtimes-dir",
     .type = OPTION_STRING,
     .offset = FIELD(runtimes_dir),
     .help = "Folder of the runtime shims; default: ../share/app-orchestrator/runtimes seen from "
             "the executable."},
    {.name = "node",
     .type = OPTION_STRING,
     .offset = FIELD(node),
     .default_text = "node",
     .help = "Program that runs nodejs* functions (18 or later): a path, or a name in PATH."},
    {.name = "python",
     .type = OPTION_STRING,
     .offset = FIELD(python),
     .default_text = "python3",
     .help = "Program that runs python3* functions: a path, or a name in PATH."},
    {.name = "access-key-id",
     .type = OPTION_STRING,
     .offset = FIELD(access_key_id),
     .default_text = "local",
     .help = "The access key id that requests must be signed with."},
    {.name = "secret-access-key",
     .type = OPTION_STRING,
     .offset = FIELD(secret_access_key),
     .default_text = "local",
     .secret = true,
     .help = "The secret that belongs to the access key id."},
    {.name = "verify-signatures",
     .type = OPTION_BOOL,
     .offset = FIELD(verify_signatures),
     .default_text = "true",
     .help = "Whether requests without a right SigV4 signature are refused, as AWS does."},
    {.name = "ready-delay-ms",
     .type = OPTION_DURATION,
     .offset = FIELD(ready_delay_ms),
     .default_text = "0",
     .min = 0,
     .max = 3600 * 1000,
     .help = "How long a function stays Pending after its creation, and InProgress after an "
             "update."},
    {.name = "control-rate",
     .type = OPTION_INTEGER,
     .offset = FIELD(control_rate),
     .default_text = "0",
     .min = 0,
     .max = 100000,
     .help =
         "Calls per second, invocations and GetFunction apart; more get 429, as on AWS (15). 0: "
         "not limited."},
    {.name = "get-rate",
     .type = OPTION_INTEGER,
     .offset = FIELD(get_rate),
     .default_text = "0",
     .min = 0,
     .max = 100000,
     .help = "The same of GetFunction (on AWS: 100)."},
    {.name = "concurrency",
     .type = OPTION_INTEGER,
     .offset = FIELD(concurrency),
     .default_text = "1000",
     .min = 1,
     .max = 100000,
     .help = "The account's concurrent executions; more are refused with 429."},
    {.name = "max-sandboxes",
     .type = OPTION_INTEGER,
     .offset = FIELD(max_sandboxes),
     .default_text = "64",
     .min = 1,
     .max = 10000,
     .help = "Most function processes at one time; further invocations wait for one."},
    {.name = "init-timeout",
     .type = OPTION_DURATION,
     .offset = FIELD(init_timeout_ms),
     .default_text = "10s",
     .min = 100,
     .max = 900 * 1000,
     .help = "How long a new sandbox may take until it asks for its first event."},
    {.name = "idle-timeout",
     .type = OPTION_DURATION,
     .offset = FIELD(idle_timeout_ms),
     .default_text = "5m",
     .min = 10,
     .max = DAY_MS,
     .help = "A sandbox without an invocation for so long is ended."},
    {.name = "queue-timeout",
     .type = OPTION_DURATION,
     .offset = FIELD(queue_timeout_ms),
     .default_text = "30s",
     .min = 10,
     .max = 900 * 1000,
     .help = "How long an invocation waits for a free sandbox before it is refused with 429."},
    {.name = "async-queue",
     .type = OPTION_INTEGER,
     .offset = FIELD(async_queue),
     .default_text = "1000",
     .min = 1,
     .max = 100000,
     .help = "Event invocations that may be accepted and not yet done; more get 429."},
    {.name = "async-retry-delay",
     .type = OPTION_DURATION,
     .offset = FIELD(async_retry_delay_ms),
     .default_text = "60s",
     .min = 10,
     .max = DAY_MS,
     .help = "Wait before the first retry of a failed Event invocation; the second waits twice "
             "as long."},
    {.name = "log-bytes",
     .type = OPTION_BYTES,
     .offset = FIELD(log_bytes),
     .default_text = "20M",
     .min = 1024 * 1024,
     .max = INT64_C(1) << 40,
     .help = "How much is kept of what each function printed."},
    {.name = "log-age",
     .type = OPTION_DURATION,
     .offset = FIELD(log_age_ms),
     .default_text = "168h",
     .min = 1000,
     .max = 3650 * DAY_MS,
     .help = "For how long that is kept."},
    {.name = "drain-timeout",
     .type = OPTION_DURATION,
     .offset = FIELD(drain_timeout_ms),
     .default_text = "5s",
     .min = 0,
     .max = 900 * 1000,
     .help = "How long invocations may go on after SIGTERM before their sandboxes are ended."},
    {.name = "log-level",
     .type = OPTION_STRING,
     .offset = FIELD(log_level),
     .default_text = "info",
     .help = "Least level that is logged: debug, info, warn or error."},
    {.name = "call-log",
     .type = OPTION_STRING,
     .offset = FIELD(call_log),
     .help = "File that gets one line of JSON for each call of the API, with what was asked for "
             "(environments of functions too), up to 64 MiB. Not given: none."},
};

const struct option_table config_options = {
    .program = "lambda-local",
    .prefix = "LAMBDA_LOCAL",
    .summary = "Stands in for AWS Lambda in development and tests: its API, and its functions as "
               "local processes.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

static enum error find_runtimes(struct config *config, struct buffer *problem)
{
    char self[PATH_MAX], path[PATH_MAX + 64];
    ssize_t length;
    char *slash;

    if (config->runtimes_dir) {
        snprintf(path, sizeof path, "%s", config->runtimes_dir);
    } else {
        length = readlink("/proc/self/exe", self, sizeof self - 1);
        if (length <= 0) {
            buffer_append_string(problem, "cannot find the own executable; give --runtimes-dir");
            return ERROR_NOT_FOUND;
        }
        self[length] = '\0';
        slash = strrchr(self, '/');
        *slash = '\0';
        snprintf(path, sizeof path, "%s/../share/app-orchestrator/runtimes", self);
    }
    free(config->runtimes_dir);
    config->runtimes_dir = realpath(path, NULL);
    if (!config->runtimes_dir) {
        config->runtimes_dir = view_duplicate(view_of(path));
        buffer_append_format(problem, "the runtime shims are not in %s; give --runtimes-dir", path);
        return ERROR_NOT_FOUND;
    }
    return ERROR_NONE;
}

/* Replaces a program's name by its path; a name that is nowhere in PATH stays. */
static void find_program(char **program)
{
    struct view folders = view_of(getenv("PATH")), folder;

    if (strchr(*program, '/'))
        return;
    while (view_split(&folders, ':', &folder)) {
        char path[PATH_MAX];

        if (folder.length == 0 || snprintf(path, sizeof path, "%.*s/%s", VIEW_FORMAT(folder),
                                           *program) >= (int)sizeof path)
            continue;
        if (access(path, X_OK) == 0) {
            free(*program);
            *program = view_duplicate(view_of(path));
            return;
        }
    }
}

enum error config_complete(struct config *config, struct buffer *problem)
{
    enum error error = find_runtimes(config, problem);

    if (error)
        return error;
    find_program(&config->node);
    find_program(&config->python);
    return ERROR_NONE;
}
