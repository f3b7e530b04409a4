/* Starts lambda-local: options, functions from disk, the API; and ends it in good order. */
#include "common/base/log.h"
#include "deploy/lambda-local/config.h"
#include "deploy/lambda-local/function_store.h"
#include "deploy/lambda-local/server/api.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct program {
    struct config config;
    struct event_base *base;
    struct function_store *store;
    struct api *api;
    struct event *terminate, *interrupt;
    bool ending;
};

static int fail(int code, const struct buffer *problem)
{
    fprintf(stderr, "lambda-local: %.*s\n", VIEW_FORMAT(buffer_view(problem)));
    return code;
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
    event_base_loopbreak(program->base);
}

static void catch_signals(struct program *program)
{
    signal(SIGPIPE, SIG_IGN);
    program->terminate = evsignal_new(program->base, SIGTERM, on_end_signal, program);
    program->interrupt = evsignal_new(program->base, SIGINT, on_end_signal, program);
    REQUIRE(program->terminate && program->interrupt);
    evsignal_add(program->terminate, NULL);
    evsignal_add(program->interrupt, NULL);
}

static enum error open_store(struct program *program, struct buffer *problem)
{
    struct function_store_options options = {.ready_delay_ms = program->config.ready_delay_ms};
    struct buffer folder;
    enum error error;

    buffer_init(&folder, 4096);
    buffer_append_format(&folder, "%s/lambda-local", program->config.data_dir);
    options.folder = folder.data;
    error = folder.error ? folder.error
                         : function_store_open(program->base, &options, &program->store, problem);
    buffer_release(&folder);
    return error;
}

static int serve(struct program *program, struct buffer *problem)
{
    struct api_options options = {.config = &program->config};
    enum error error = open_store(program, problem);

    if (error)
        return fail(1, problem);
    options.store = program->store;
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
    if (program->store)
        function_store_close(program->store);
    if (program->terminate)
        event_free(program->terminate);
    if (program->interrupt)
        event_free(program->interrupt);
    if (program->base)
        event_base_free(program->base);
    libevent_global_shutdown();
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
    log_start("lambda-local", level);
    program->base = event_base_new();
    REQUIRE(program->base);
    code = serve(program, problem);
    release(program);
    log_stop();
    return code;
}

int main(int argc, char **argv)
{
    struct program program = {0};
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
