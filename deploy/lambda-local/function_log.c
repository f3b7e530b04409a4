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

#define MAX_LINE_BYTES   (256 * 1024)
#define FLUSH_BYTES      (64 * 1024)
#define MAX_QUEUED_BYTES (1024 * 1024)

static struct {
    int64_t max_bytes, max_age_ms;
} bounds = {20 * 1024 * 1024, 7 * 24 * 3600 * INT64_C(1000)};

struct function_log {
    int file; /* -1: not open */
    off_t size;
    int64_t began_ms; /* when the file was opened or begun */
    struct buffer queued;
};

void function_log_bound(int64_t max_bytes, int64_t max_age_ms)
{
    bounds.max_bytes = max_bytes;
    bounds.max_age_ms = max_age_ms;
}

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

static void path_of(const struct function *function, const char *ending, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/function.log%s", function->folder, ending);
}

/* Removes a file whose last line is too old. */
static void remove_outdated(const struct function *function, const char *ending)
{
    char path[PATH_MAX];
    struct stat status;

    path_of(function, ending, path);
    if (stat(path, &status) == 0 &&
        (int64_t)status.st_mtim.tv_sec * 1000 < clock_wall_ms() - bounds.max_age_ms)
        (void)unlink(path);
}

static void open_file(const struct function *function, struct function_log *log)
{
    char path[PATH_MAX], former[PATH_MAX];
    struct stat status;
    bool full = log->size >= bounds.max_bytes / 2 ||
                clock_wall_ms() - log->began_ms > bounds.max_age_ms / 2;

    path_of(function, "", path);
    remove_outdated(function, ".1");
    if (log->file >= 0 && full) {
        close(log->file);
        log->file = -1;
        path_of(function, ".1", former);
        if (rename(path, former) != 0)
            return;
    }
    if (log->file < 0) {
        remove_outdated(function, "");
        log->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        log->size = log->file >= 0 && fstat(log->file, &status) == 0 ? status.st_size : 0;
        log->began_ms = clock_wall_ms();
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

/* -- reading -- */

struct reading {
    struct function_log_place *place;
    size_t left; /* bytes that may still be read */
    int64_t oldest_ms;
    bool (*visit)(const struct function_log_event *event, void *context);
    void *context;
};

/* "TIME STREAM MESSAGE"; false: it is none. */
static bool take_apart(struct view line, struct function_log_event *event)
{
    size_t blank;

    if (line.length < CLOCK_RFC3339_SIZE ||
        clock_parse_rfc3339(view_slice(line, 0, CLOCK_RFC3339_SIZE - 1), &event->time_ms))
        return false;
    line = view_slice(line, CLOCK_RFC3339_SIZE, SIZE_MAX);
    blank = view_find(line, ' ');
    if (blank == SIZE_MAX)
        return false;
    event->stream = view_slice(line, 0, blank);
    event->message = view_slice(line, blank + 1, SIZE_MAX);
    return true;
}

/* Shows the whole lines of `text`, which begins at the place. False: no more is wanted. */
static bool show_lines(struct reading *reading, struct view text)
{
    size_t end;

    while ((end = view_find(text, '\n')) != SIZE_MAX) {
        struct function_log_event event = {.place = *reading->place};

        if (take_apart(view_slice(text, 0, end), &event) && event.time_ms >= reading->oldest_ms &&
            !reading->visit(&event, reading->context))
            return false;
        reading->place->offset += end + 1;
        text = view_slice(text, end + 1, SIZE_MAX);
    }
    return true;
}

/* From the place on. False: enough was read or shown. */
static bool read_file(struct reading *reading, int file)
{
    size_t size = MAX_LINE_BYTES + 1024; /* holds the longest line */
    char *block = malloc(size);
    bool goes_on = true, at_end = false;

    REQUIRE(block);
    while (goes_on && !at_end) {
        uint64_t before = reading->place->offset;
        ssize_t got = pread(file, block, size, (off_t)before);

        goes_on = got <= 0 || show_lines(reading, view_from(block, (size_t)got));
        /* Whole lines alone are taken: what is left is still being written. */
        at_end = got <= 0 || (goes_on && reading->place->offset == before);
        reading->left -= reading->left < size ? reading->left : size;
        goes_on = goes_on && (at_end || reading->left > 0);
    }
    free(block);
    return goes_on;
}

enum error function_log_read(struct function *function, struct function_log_place *place,
                             size_t max_bytes,
                             bool (*visit)(const struct function_log_event *event, void *context),
                             void *context, bool *more)
{
    struct reading reading = {.place = place,
                              .left = max_bytes,
                              .oldest_ms = clock_wall_ms() - bounds.max_age_ms,
                              .visit = visit,
                              .context = context};
    static const char *const endings[] = {".1", ""};
    int files[2];
    uint64_t names[2] = {0};
    size_t first = 0;

    function_log_flush(function);
    for (size_t i = 0; i < 2; i++) {
        char path[PATH_MAX];
        struct stat status;

        remove_outdated(function, endings[i]);
        path_of(function, endings[i], path);
        files[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (files[i] >= 0 && fstat(files[i], &status) == 0)
            names[i] = (uint64_t)status.st_ino;
        if (names[i] && names[i] == place->file)
            first = i;
    }
    *more = false;
    for (size_t i = first; i < 2 && !*more; i++) {
        if (files[i] < 0)
            continue;
        if (names[i] != place->file)
            *place = (struct function_log_place){.file = names[i]};
        *more = !read_file(&reading, files[i]);
    }
    for (size_t i = 0; i < 2; i++)
        if (files[i] >= 0)
            close(files[i]);
    return names[0] || names[1] ? ERROR_NONE : ERROR_NOT_FOUND;
}
