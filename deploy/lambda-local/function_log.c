/* Appends lines to a function's log file, and starts a new file when it is full. */
#include "deploy/lambda-local/function_log.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE_BYTES   (10 * 1024 * 1024)
#define MAX_LINE_BYTES   (256 * 1024)
#define FLUSH_BYTES      (64 * 1024)
#define MAX_QUEUED_BYTES (1024 * 1024)

struct function_log {
    int file; /* -1: not open */
    off_t size;
    struct buffer queued;
};

static struct function_log *log_of(struct function *function)
{
    if (!function->log) {
        function->log = calloc(1, sizeof *function->log);
        REQUIRE(function->log);
        function->log->file = -1;
        buffer_init(&function->log->queued, MAX_QUEUED_BYTES);
    }
    return function->log;
}

void function_log_line(struct function *function, const char *stream, struct view line)
{
    struct function_log *log = log_of(function);
    char time[CLOCK_RFC3339_SIZE];

    clock_format_rfc3339(clock_wall_ms(), time);
    buffer_append_format(&log->queued, "%s %s ", time, stream);
    buffer_append_view(&log->queued, view_slice(line, 0, MAX_LINE_BYTES));
    buffer_append_byte(&log->queued, '\n');
    if (log->queued.length > FLUSH_BYTES)
        function_log_flush(function);
}

static void open_file(const struct function *function, struct function_log *log)
{
    char path[PATH_MAX], former[PATH_MAX];
    struct stat status;

    snprintf(path, sizeof path, "%s/function.log", function->folder);
    if (log->file >= 0 && log->size >= MAX_FILE_BYTES) {
        close(log->file);
        log->file = -1;
        snprintf(former, sizeof former, "%s/function.log.1", function->folder);
        if (rename(path, former) != 0)
            return;
    }
    if (log->file < 0) {
        log->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        log->size = log->file >= 0 && fstat(log->file, &status) == 0 ? status.st_size : 0;
    }
}

void function_log_flush(struct function *function)
{
    static struct log_limit limit;
    struct function_log *log = function->log;
    ssize_t written;

    if (!log || log->queued.length == 0)
        return;
    open_file(function, log);
    written = log->file >= 0 ? write(log->file, log->queued.data, log->queued.length) : -1;
    if (written > 0)
        log->size += written;
    if (written != (ssize_t)log->queued.length && log_allow(&limit, 1, NULL))
        log_write(LOG_WARN, "function-log-lost", LOG_STRING("function", function->name),
                  LOG_STRING("error", written < 0 ? strerror(errno) : "short write"));
    buffer_clear(&log->queued);
}

void function_log_free(struct function_log *log)
{
    if (!log)
        return;
    if (log->file >= 0)
        close(log->file);
    buffer_release(&log->queued);
    free(log);
}
