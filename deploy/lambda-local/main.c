/* Starts lambda-local: options, functions from disk, the API; and ends it in good order. */
#include "common/base/id.h"
#include "common/base/log.h"
#include "deploy/lambda-local/config.h"
#include "deploy/lambda-local/async_queue.h"
#include "deploy/lambda-local/function_store.h"
#include "deploy/lambda-local/function_log.h"
#include "deploy/lambda-local/keeper.h"
#include "deploy/lambda-local/pool.h"
#include "deploy/lambda-local/server/api.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct program {
    struct config config;
    struct event_base *base;
    struct keeper keeper;
    char instance[ID_SIZE]; /* marks our processes */
    struct function_store *store;
    struct pools *pools;
    struct async_queue *async_queue;
    struct api *api;
    struct event *terminate, *interrupt, *hang_up, *drained;
    char **arguments;
    int argument_count;
    bool ending;
};

static int fail(int code, const struct buffer *problem)
{
    fprintf(stderr, "lambda-local: %.*s\n", VIEW_FORMAT(buffer_view(problem)));
    return code;
}

static void on_drained(int descriptor, short what, void *context)
{
    struct program *program = context;

    (void)descriptor;
    (void)what;
    event_base_loopbreak(program->base);
}

/* From inside of the last invocation's end: its answer must still go out. */
static void on_idle(void *context)
{
    struct program *program = context;
    struct timeval soon = {0, 20000};

    evtimer_add(program->drained, &soon);
}

/* Invocations under way may end, for a while. */
static void drain(struct program *program)
{
    int64_t most_ms = program->config.drain_timeout_ms;
    struct timeval most = {most_ms / 1000, most_ms % 1000 * 1000};

    program->drained = evtimer_new(program->base, on_drained, program);
    REQUIRE(program->drained);
    evtimer_add(program->drained, &most);
    pools_on_idle(program->pools, on_idle, program);
}

/* The first signal ends the program in good order, a second one at once. */
static void on_end_signal(int number, short what, void *context)
{
    struct program *program = context;

    (void)what;
    if (program->ending)
        _exit(0);
    program->ending = true;
    log_write(LOG_INFO, "ending", LOG_INTEGER("signal", number));
    api_drain(program->api);
    drain(program);
}

/* Secrets that came from files are read again. */
static void on_hang_up(int number, short what, void *context)
{
    struct program *program = context;
    struct buffer problem;

    (void)number;
    (void)what;
    buffer_init(&problem, 4096);
    if (option_reread_secrets(&config_options, program->argument_count, program->arguments,
                              &program->config, &problem) == ERROR_NONE)
        log_write(LOG_INFO, "secrets-read");
    else
        log_write(LOG_ERROR, "secrets-not-read", LOG_VIEW("problem", buffer_view(&problem)));
    buffer_release(&problem);
}

static void catch_signals(struct program *program)
{
    signal(SIGPIPE, SIG_IGN);
    program->terminate = evsignal_new(program->base, SIGTERM, on_end_signal, program);
    program->interrupt = evsignal_new(program->base, SIGINT, on_end_signal, program);
    program->hang_up = evsignal_new(program->base, SIGHUP, on_hang_up, program);
    REQUIRE(program->terminate && program->interrupt && program->hang_up);
    evsignal_add(program->hang_up, NULL);
    evsignal_add(program->terminate, NULL);
    evsignal_add(program->interrupt, NULL);
}

static void on_retired(struct version *version, void *context)
{
    struct program *program = context;

    if (program->pools)
        pools_retire(program->pools, version);
}

static char *folder_of(const struct program *program, const char *below)
{
    struct buffer folder;

    buffer_init(&folder, 16384);
    buffer_append_format(&folder, "%s/lambda-local%s", program->config.data_dir, below);
    REQUIRE(folder.error == ERROR_NONE);
    return buffer_take(&folder, NULL);
}

static enum error open_store(struct program *program, struct buffer *problem)
{
    struct function_store_options options = {
        .ready_delay_ms = program->config.ready_delay_ms,
        .on_retired = on_retired,
        .context = program,
    };
    char *folder = folder_of(program, "");
    enum error error;

    options.folder = folder;
    error = function_store_open(program->base, &options, &program->store, problem);
    free(folder);
    return error;
}

static enum error open_pools(struct program *program, struct buffer *problem)
{
    char *folder = folder_of(program, "/sandboxes");
    enum error error = pools_new(program->base, &program->config, program->instance, folder,
                                 program->keeper.pid, &program->pools, problem);

    free(folder);
    if (!error)
        program->async_queue = async_queue_new(program->base, &program->config, program->pools);
    return error;
}

static int serve(struct program *program, struct buffer *problem)
{
    struct api_options options = {.config = &program->config};

    function_log_bound(program->config.log_bytes, program->config.log_age_ms);
    enum error error = open_store(program, problem);

    if (!error)
        error = open_pools(program, problem);
    if (error)
        return fail(1, problem);
    options.store = program->store;
    options.pools = program->pools;
    options.async_queue = program->async_queue;
    catch_signals(program);
    error = api_start(program->base, &options, &program->api, problem);
    if (error)
        return fail(1, problem);
    log_write(LOG_INFO, "purpose",
              LOG_STRING("text", "for development and tests only: whoever reaches this address "
                                 "with the key runs code on this machine"));
    log_write(LOG_INFO, "ready", LOG_STRING("listen", api_address(program->api)),
              LOG_INTEGER("functions", function_store_count(program->store)));
    event_base_dispatch(program->base);
    return 0;
}

static void release(struct program *program)
{
    if (program->api)
        api_stop(program->api);
    if (program->pools)
        pools_free(program->pools);
    if (program->async_queue)
        async_queue_free(program->async_queue);
    program->pools = NULL; /* versions that the store lets go have none any more */
    if (program->store)
        function_store_close(program->store);
    if (program->drained)
        event_free(program->drained);
    if (program->hang_up)
        event_free(program->hang_up);
    if (program->terminate)
        event_free(program->terminate);
    if (program->interrupt)
        event_free(program->interrupt);
    if (program->base)
        event_base_free(program->base);
    libevent_global_shutdown();
}

/* A sandbox costs us some five: its output, its Runtime API, the calls on both sides. Its own limit
 * is Lambda's. */
static void allow_descriptors(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int run(struct program *program, struct buffer *problem)
{
    enum log_level level;
    int code;

    if (!log_level_parse(view_of(program->config.log_level), &level)) {
        buffer_append_string(problem, "--log-level must be debug, info, warn or error");
        return fail(2, problem);
    }
    if (config_complete(&program->config, problem) != ERROR_NONE)
        return fail(1, problem);
    allow_descriptors();
    id_make(program->instance);
    if (keeper_start(&program->keeper, program->instance) != ERROR_NONE) {
        buffer_append_string(problem, "cannot start a process");
        return fail(1, problem);
    }
    log_start("lambda-local", level);
    program->base = event_base_new();
    REQUIRE(program->base);
    code = serve(program, problem);
    release(program);
    keeper_stop(&program->keeper);
    log_stop();
    return code;
}

int main(int argc, char **argv)
{
    struct program program = {.arguments = argv, .argument_count = argc};
    struct buffer problem;
    int code = 0;

    buffer_init(&problem, 4096);
    switch (option_read(&config_options, argc, argv, &program.config, &problem)) {
    case OPTION_RUN:
        code = run(&program, &problem);
        break;
    case OPTION_CHECK:
        code = config_complete(&program.config, &problem) == ERROR_NONE ? 0 : fail(2, &problem);
        break;
    case OPTION_EXIT:
        break;
    case OPTION_WRONG:
        code = fail(2, &problem);
        break;
    }
    option_release(&config_options, &program.config);
    buffer_release(&problem);
    return code;
}
