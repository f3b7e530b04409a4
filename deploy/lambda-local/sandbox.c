/* Runs one process of a function: its life, its limits, what it prints. */
#include "deploy/lambda-local/sandbox.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "deploy/lambda-local/function_log.h"
#include "deploy/lambda-local/process.h"
#include "deploy/lambda-local/runtime_api.h"

#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_LINE_BYTES   (256 * 1024)
#define MAX_INIT_ERROR   (64 * 1024)
#define MAX_DRAIN_BYTES  (4 * 1024 * 1024) /* of output, in one go */
#define SETTLE_MS        10   /* after the process's end: its last bytes are still on their way */
#define FAREWELL_MS      1000 /* after an init error the process should end by itself */
#define STREAM_NAME_SIZE 80

/* Why it is being ended by us. The memory's is told in the report, the timeout's too. */
enum cause { CAUSE_NONE, CAUSE_TIMEOUT, CAUSE_MEMORY, CAUSE_KILLED };

struct sandbox_private {
    struct sandbox_place place;
    struct sandbox_handlers handlers;
    struct runtime_api *runtime_api;
    struct invocation *invocation;
    struct event *timer;  /* start, invocation, idleness or settling, as the state says */
    struct event *output; /* what the process prints */
    int output_pipe;      /* -1: closed */
    char *scratch;
    char stream[STREAM_NAME_SIZE];
    struct buffer line; /* begun, not yet ended */
    struct buffer tail; /* what was logged last */
    struct buffer init_error;
    int64_t memory_peak_bytes;
    uint64_t started_us, init_us; /* init_us: how long it took; told in the first report */
    enum cause cause;
    bool reported; /* the first REPORT line is written */
    int status;    /* waitpid's */
};

static void start(struct sandbox *sandbox);
static void on_timer(int descriptor, short what, void *context);
static void on_output(int descriptor, short what, void *context);

static void arm(struct sandbox *sandbox, int64_t delay_ms)
{
    struct timeval delay = {delay_ms / 1000, delay_ms % 1000 * 1000};

    evtimer_add(sandbox->more->timer, &delay);
}

/* -- what is logged -- */

/* Keeps the last bytes, always from the start of a line or of a cut. */
static void add_to_tail(struct buffer *tail, struct view line)
{
    if (line.length > INVOCATION_TAIL_BYTES)
        line = view_slice(line, line.length - INVOCATION_TAIL_BYTES, SIZE_MAX);
    if (tail->length + line.length + 1 > tail->ceiling)
        buffer_consume(tail, tail->length > INVOCATION_TAIL_BYTES
                                 ? tail->length - INVOCATION_TAIL_BYTES
                                 : tail->length);
    buffer_append_view(tail, line);
    buffer_append_byte(tail, '\n');
}

static void log_line(struct sandbox *sandbox, struct view line)
{
    function_log_line(sandbox->version->function, sandbox->more->stream, line);
    add_to_tail(&sandbox->more->tail, line);
}

static void log_format(struct sandbox *sandbox, const char *format, ...) PRINTF_LIKE(2, 3);

static void log_format(struct sandbox *sandbox, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_line(sandbox, view_of(text));
}

static void end_line(struct sandbox *sandbox)
{
    struct buffer *line = &sandbox->more->line;

    log_line(sandbox, buffer_view(line));
    buffer_clear(line);
}

/* Cuts what was printed into lines. */
static void take_output(struct sandbox *sandbox, struct view bytes)
{
    struct buffer *line = &sandbox->more->line;

    while (bytes.length > 0) {
        size_t end = view_find(bytes, '\n');
        struct view piece = view_slice(bytes, 0, end);

        buffer_append_view(line, view_slice(piece, 0, MAX_LINE_BYTES - line->length));
        if (end == SIZE_MAX) {
            if (line->length >= MAX_LINE_BYTES)
                end_line(sandbox);
            return;
        }
        end_line(sandbox);
        bytes = view_slice(bytes, end + 1, SIZE_MAX);
    }
}

/* Reads what is there, up to a bound. */
static void drain_output(struct sandbox *sandbox)
{
    struct sandbox_private *more = sandbox->more;
    char block[65536];
    size_t sum = 0;

    while (more->output_pipe >= 0 && sum < MAX_DRAIN_BYTES) {
        ssize_t got = read(more->output_pipe, block, sizeof block);

        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            event_del(more->output);
        if (got <= 0)
            return;
        sum += (size_t)got;
        take_output(sandbox, view_from(block, (size_t)got));
        if ((size_t)got < sizeof block)
            return;
    }
}

static void on_output(int descriptor, short what, void *context)
{
    struct sandbox *sandbox = context;

    (void)descriptor;
    (void)what;
    drain_output(sandbox);
    function_log_flush(sandbox->version->function);
}

/* -- invocations -- */

static void log_report(struct sandbox *sandbox, const struct invocation *invocation,
                       struct view error_type)
{
    struct sandbox_private *more = sandbox->more;
    double duration_ms = (double)(clock_monotonic_us() - invocation->started_us) / 1000;
    int64_t peak_mb = (more->memory_peak_bytes + 1024 * 1024 - 1) / (1024 * 1024);
    char init[64] = "", status[160] = "";

    if (!more->reported)
        snprintf(init, sizeof init, "Init Duration: %.2f ms\t", (double)more->init_us / 1000);
    more->reported = true;
    if (more->cause == CAUSE_TIMEOUT)
        snprintf(status, sizeof status, "Status: timeout\t");
    else if (more->cause == CAUSE_MEMORY)
        snprintf(status, sizeof status, "Status: error\tError Type: Runtime.OutOfMemory\t");
    else if (error_type.length > 0)
        snprintf(status, sizeof status, "Status: error\tError Type: %.*s\t",
                 VIEW_FORMAT(view_slice(error_type, 0, 100)));
    log_format(sandbox, "END RequestId: %s", invocation->request_id);
    log_format(
        sandbox,
        "REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %lld ms\t"
        "Memory Size: %lld MB\tMax Memory Used: %lld MB\t%s%s",
        invocation->request_id, duration_ms, (long long)duration_ms + 1,
        (long long)sandbox->version->memory_mb,
        (long long)(peak_mb < sandbox->version->memory_mb ? peak_mb : sandbox->version->memory_mb),
        init, status);
}

struct view sandbox_tail(const struct sandbox *sandbox)
{
    struct view tail = buffer_view(&sandbox->more->tail);
    size_t over = tail.length > INVOCATION_TAIL_BYTES ? tail.length - INVOCATION_TAIL_BYTES : 0;

    return view_slice(tail, over, SIZE_MAX);
}

/* The invocation leaves the sandbox with its result. */
static void finish(struct sandbox *sandbox, enum invocation_outcome outcome, struct view error_type)
{
    struct sandbox_private *more = sandbox->more;
    struct invocation *invocation = more->invocation;

    more->invocation = NULL;
    drain_output(sandbox);
    if (more->line.length > 0)
        end_line(sandbox);
    log_report(sandbox, invocation, error_type);
    function_log_flush(sandbox->version->function);
    buffer_append_view(&invocation->tail, sandbox_tail(sandbox));
    buffer_clear(&more->tail);
    more->handlers.on_result(sandbox, invocation, outcome, sandbox->context);
}

void sandbox_run(struct sandbox *sandbox, struct invocation *invocation)
{
    struct sandbox_private *more = sandbox->more;
    int64_t timeout_ms = sandbox->version->timeout_s * 1000;
    char label[24];

    REQUIRE(sandbox->state == SANDBOX_IDLE);
    sandbox->state = SANDBOX_BUSY;
    more->invocation = invocation;
    invocation->started_us = clock_monotonic_us();
    invocation->deadline_ms = clock_wall_ms() + timeout_ms;
    arm(sandbox, timeout_ms);
    version_label(sandbox->version->number, label);
    log_format(sandbox, "START RequestId: %s Version: %s", invocation->request_id, label);
    runtime_api_deliver(more->runtime_api, invocation);
}

static void on_next(void *context)
{
    struct sandbox *sandbox = context;
    struct sandbox_private *more = sandbox->more;

    if (sandbox->state == SANDBOX_ENDING)
        return;
    if (sandbox->state == SANDBOX_STARTING) {
        more->init_us = clock_monotonic_us() - more->started_us;
        sandbox_watch_memory(sandbox);
        if (sandbox->state == SANDBOX_ENDING)
            return;
    }
    sandbox->state = SANDBOX_IDLE;
    sandbox->idle_since_us = clock_monotonic_us();
    arm(sandbox, more->place.config->idle_timeout_ms);
    more->handlers.on_idle(sandbox, sandbox->context);
}

static void on_result(enum invocation_outcome outcome, struct view error_type, void *context)
{
    struct sandbox *sandbox = context;

    if (sandbox->state == SANDBOX_BUSY) {
        sandbox->state = SANDBOX_ANSWERED;
        arm(sandbox, sandbox->more->place.config->init_timeout_ms);
    }
    finish(sandbox, outcome, error_type);
}

static void on_init_error(struct view body, void *context)
{
    struct sandbox *sandbox = context;

    buffer_append_view(&sandbox->more->init_error, body);
    arm(sandbox, FAREWELL_MS);
}

/* A runtime that waits no more is of no use. */
static void on_lost(void *context)
{
    struct sandbox *sandbox = context;

    if (sandbox->state == SANDBOX_IDLE)
        sandbox_kill(sandbox);
}

/* -- the start -- */

static void word_init_error(struct sandbox *sandbox, const char *type, const char *message)
{
    struct json_writer w;

    buffer_clear(&sandbox->more->init_error);
    json_begin(&w, &sandbox->more->init_error);
    json_open_object(&w, NULL);
    json_write_string(&w, "errorType", view_of(type));
    json_write_string(&w, "errorMessage", view_of(message));
    json_close_object(&w);
}

/* Nothing runs; the loop will tell. */
static void start_failed(struct sandbox *sandbox, const char *type, const char *message)
{
    word_init_error(sandbox, type, message);
    log_line(sandbox, view_of(message));
    sandbox->state = SANDBOX_ENDING;
    arm(sandbox, 0);
}

static void name_stream(struct sandbox *sandbox, const char *id)
{
    char date[CLOCK_RFC3339_SIZE], label[24];

    clock_format_rfc3339(clock_wall_ms(), date);
    version_label(sandbox->version->number, label);
    snprintf(sandbox->more->stream, sizeof sandbox->more->stream, "%.4s/%.2s/%.2s/[%s]%.8s%.4s%.4s",
             date, date + 5, date + 8, label, id, id + 9, id + 14);
}

struct sandbox *sandbox_start(const struct sandbox_place *place, struct version *version,
                              const struct sandbox_handlers *handlers, void *context)
{
    struct sandbox *sandbox = calloc(1, sizeof *sandbox);
    struct sandbox_private *more = calloc(1, sizeof *more);
    struct buffer scratch;
    char id[ID_SIZE];

    REQUIRE(sandbox && more);
    id_make(id);
    sandbox->more = more;
    sandbox->context = context;
    sandbox->version = version_hold(version);
    more->place = *place;
    more->handlers = *handlers;
    more->output_pipe = -1;
    more->started_us = clock_monotonic_us();
    more->timer = evtimer_new(place->base, on_timer, sandbox);
    REQUIRE(more->timer);
    buffer_init(&more->line, MAX_LINE_BYTES);
    buffer_init(&more->tail, 4 * INVOCATION_TAIL_BYTES);
    buffer_init(&more->init_error, MAX_INIT_ERROR);
    name_stream(sandbox, id);
    snprintf(sandbox->mark, sizeof sandbox->mark, "%s/%s", place->instance, id);
    buffer_init(&scratch, 8192);
    buffer_append_format(&scratch, "%s/%s", place->folder, id);
    more->scratch = buffer_take(&scratch, NULL);
    start(sandbox);
    return sandbox;
}

static enum error execute(struct sandbox *sandbox)
{
    struct sandbox_private *more = sandbox->more;
    struct runtime_place place = {.runtime_api = runtime_api_address(more->runtime_api),
                                  .log_stream = more->stream,
                                  .scratch = more->scratch,
                                  .mark = sandbox->mark};
    struct runtime_command command;
    struct process_plan plan;
    enum error error;

    runtime_command_make(more->place.config, sandbox->version, &place, &command);
    plan = (struct process_plan){command.arguments, command.environment,
                                 sandbox->version->code->folder};
    error = process_start(&plan, &sandbox->pid, &more->output_pipe);
    runtime_command_release(&command);
    return error;
}

static void start(struct sandbox *sandbox)
{
    static const struct runtime_api_handlers handlers = {on_next, on_result, on_init_error,
                                                         on_lost};
    struct sandbox_private *more = sandbox->more;
    struct buffer problem;

    buffer_init(&problem, 1024);
    if (!runtime_entry_valid(sandbox->version)) {
        start_failed(sandbox, "Runtime.InvalidEntrypoint",
                     "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]");
        goto out;
    }
    more->runtime_api = runtime_api_new(more->place.base, &handlers, sandbox, &problem);
    if (!more->runtime_api || folder_make(more->scratch, 0700) != ERROR_NONE ||
        execute(sandbox) != ERROR_NONE) {
        start_failed(sandbox, "Sandbox.Failure", "The sandbox could not be started");
        goto out;
    }
    more->output =
        event_new(more->place.base, more->output_pipe, EV_READ | EV_PERSIST, on_output, sandbox);
    REQUIRE(more->output);
    event_add(more->output, NULL);
    arm(sandbox, more->place.config->init_timeout_ms);
out:
    buffer_release(&problem);
}

/* -- the end -- */

static void fail_invocation(struct sandbox *sandbox, const char *type)
{
    runtime_api_abandon(sandbox->more->runtime_api);
    finish(sandbox, INVOCATION_FAILED, view_of(type));
}

static void end(struct sandbox *sandbox, enum cause cause)
{
    bool idle = sandbox->state == SANDBOX_IDLE;

    if (sandbox->state != SANDBOX_ENDING)
        sandbox->more->cause = cause;
    sandbox->state = SANDBOX_ENDING;
    if (sandbox->pid) {
        process_kill(sandbox->pid);
        evtimer_del(sandbox->more->timer);
    }
    if (idle)
        sandbox->more->handlers.on_lost(sandbox, sandbox->context);
}

static void time_out(struct sandbox *sandbox)
{
    struct invocation *invocation = sandbox->more->invocation;
    char now[CLOCK_RFC3339_SIZE];

    end(sandbox, CAUSE_TIMEOUT);
    clock_format_rfc3339(clock_wall_ms(), now);
    invocation_word_error(invocation, "Sandbox.Timedout", "Task timed out after %lld.00 seconds",
                          (long long)sandbox->version->timeout_s);
    drain_output(sandbox);
    log_format(sandbox, "%s %s Task timed out after %lld.00 seconds", now, invocation->request_id,
               (long long)sandbox->version->timeout_s);
    fail_invocation(sandbox, "Sandbox.Timedout");
}

static void time_out_init(struct sandbox *sandbox)
{
    char message[160];

    if (sandbox->more->init_error.length > 0) { /* it said why, and did not go */
        end(sandbox, CAUSE_TIMEOUT);
        return;
    }
    snprintf(message, sizeof message, "Error: Init timed out after %.2f seconds",
             (double)sandbox->more->place.config->init_timeout_ms / 1000);
    log_line(sandbox, view_of(message));
    word_init_error(sandbox, "Sandbox.Timedout", message);
    end(sandbox, CAUSE_TIMEOUT);
}

void sandbox_kill(struct sandbox *sandbox)
{
    struct invocation *invocation = sandbox->more->invocation;

    end(sandbox, CAUSE_KILLED);
    if (invocation) {
        invocation_word_error(invocation, "Runtime.ExitError",
                              "Runtime exited with error: signal: killed");
        fail_invocation(sandbox, "Runtime.ExitError");
    }
}

void sandbox_watch_memory(struct sandbox *sandbox)
{
    struct sandbox_private *more = sandbox->more;
    struct process_memory memory;

    if (!sandbox->pid || sandbox->state == SANDBOX_ENDING ||
        !process_measure(sandbox->pid, &memory))
        return;
    if (memory.resident_bytes > more->memory_peak_bytes)
        more->memory_peak_bytes = memory.resident_bytes;
    if (memory.anonymous_bytes <= sandbox->version->memory_mb * 1024 * 1024)
        return;
    log_format(sandbox, "Error: the sandbox used %lld MB of %lld MB",
               (long long)(memory.anonymous_bytes / (1024 * 1024)),
               (long long)sandbox->version->memory_mb);
    more->memory_peak_bytes = sandbox->version->memory_mb * 1024 * 1024;
    end(sandbox, CAUSE_MEMORY);
    if (more->invocation) {
        invocation_word_error(more->invocation, "Runtime.ExitError",
                              "Runtime exited with error: signal: killed");
        fail_invocation(sandbox, "Runtime.OutOfMemory");
    } else {
        word_init_error(sandbox, "Runtime.ExitError",
                        "Error: Runtime exited with error: signal: "
                        "killed");
    }
}

void sandbox_reaped(struct sandbox *sandbox, int status)
{
    sandbox->pid = 0;
    sandbox->more->status = status;
    if (sandbox->state == SANDBOX_IDLE)
        end(sandbox, CAUSE_NONE);
    arm(sandbox, SETTLE_MS);
}

/* What the process's end means for the invocation that it had, or for its start. */
static void word_ending(struct sandbox *sandbox)
{
    struct sandbox_private *more = sandbox->more;
    char text[64], message[128] = "Runtime exited without providing a reason";

    if (process_ending(more->status, text, sizeof text))
        snprintf(message, sizeof message, "Runtime exited with error: %s", text);
    if (more->invocation) {
        invocation_word_error(more->invocation, "Runtime.ExitError", "%s", message);
        fail_invocation(sandbox, "Runtime.ExitError");
    } else if (more->init_error.length == 0) {
        word_init_error(sandbox, "Runtime.ExitError", message);
    }
}

static void conclude(struct sandbox *sandbox)
{
    struct sandbox_private *more = sandbox->more;
    bool ready;

    drain_output(sandbox);
    if (sandbox->state != SANDBOX_ENDING || more->init_error.length == 0)
        word_ending(sandbox);
    if (more->line.length > 0)
        end_line(sandbox);
    function_log_flush(sandbox->version->function);
    sandbox->state = SANDBOX_ENDING;
    ready = more->init_us > 0 || more->cause == CAUSE_KILLED;
    more->handlers.on_ended(sandbox, ready ? VIEW("") : buffer_view(&more->init_error),
                            sandbox->context);
    sandbox_free(sandbox);
}

static void on_timer(int descriptor, short what, void *context)
{
    struct sandbox *sandbox = context;

    (void)descriptor;
    (void)what;
    if (!sandbox->pid) {
        conclude(sandbox);
        return;
    }
    switch (sandbox->state) {
    case SANDBOX_STARTING:
        time_out_init(sandbox);
        return;
    case SANDBOX_BUSY:
        time_out(sandbox);
        return;
    case SANDBOX_IDLE:
    case SANDBOX_ANSWERED:
    case SANDBOX_ENDING:
        sandbox_kill(sandbox);
        return;
    }
}

void sandbox_free(struct sandbox *sandbox)
{
    struct sandbox_private *more = sandbox->more;

    if (more->runtime_api)
        runtime_api_free(more->runtime_api); /* it may still point at the invocation */
    if (more->invocation)
        invocation_free(more->invocation);
    more->invocation = NULL;
    event_free(more->timer);
    if (more->output)
        event_free(more->output);
    if (more->output_pipe >= 0)
        close(more->output_pipe);
    if (folder_remove(more->scratch) != ERROR_NONE)
        log_write(LOG_WARN, "scratch-not-removed", LOG_STRING("folder", more->scratch));
    buffer_release(&more->line);
    buffer_release(&more->tail);
    buffer_release(&more->init_error);
    free(more->scratch);
    version_release(sandbox->version);
    free(more);
    free(sandbox);
}
