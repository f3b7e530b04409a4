/* Writes down each call of the API, one line of JSON each. */
#include "deploy/lambda-local/server/call_log.h"

#include "common/base/escape.h"
#include "common/base/json.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Every byte of a body may become an escape of six. */
#define LINE_BYTES (6 * CALL_LOG_BODY_BYTES + (1u << 20))

struct call_log {
    int file;
    uint64_t written;
};

enum error call_log_open(const char *path, struct call_log **log, struct buffer *problem)
{
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct stat stat;

    if (file < 0 || fstat(file, &stat) != 0) {
        buffer_append_format(problem, "cannot write the call log %s: %s", path, strerror(errno));
        if (file >= 0)
            close(file);
        return ERROR_IO;
    }
    *log = calloc(1, sizeof **log);
    REQUIRE(*log);
    (*log)->file = file;
    (*log)->written = (uint64_t)stat.st_size;
    return ERROR_NONE;
}

void call_log_close(struct call_log *log)
{
    if (!log)
        return;
    close(log->file);
    free(log);
}

static bool is_secret(const char *name)
{
    return strcmp(name, "authorization") == 0 || strcmp(name, "x-amz-security-token") == 0;
}

static void write_headers(struct json_writer *w, const struct front_exchange *exchange)
{
    struct view name, value;

    json_open_object(w, "headers");
    for (size_t i = 0; front_header_at(exchange, i, &name, &value); i++) {
        char lower[128];
        size_t length = name.length < sizeof lower - 1 ? name.length : sizeof lower - 1;

        for (size_t at = 0; at < length; at++)
            lower[at] = (char)tolower((unsigned char)name.data[at]);
        lower[length] = '\0';
        json_member(w, view_of(lower));
        json_write_string(w, NULL, is_secret(lower) || !utf8_valid(value) ? VIEW("") : value);
    }
    json_close_object(w);
}

void call_log_add(struct call_log *log, const struct front_exchange *exchange,
                  const char *operation, struct view body, bool payload)
{
    struct buffer line;
    struct json_writer w;

    if (!log)
        return;
    buffer_init(&line, LINE_BYTES);
    json_begin(&w, &line);
    json_open_object(&w, NULL);
    if (operation)
        json_write_string(&w, "operation", view_of(operation));
    json_write_string(&w, "method", front_method(exchange));
    json_write_string(&w, "target", front_target(exchange));
    write_headers(&w, exchange);
    json_write_integer(&w, "bodyBytes", (int64_t)body.length);
    if (!payload && body.length <= CALL_LOG_BODY_BYTES && utf8_valid(body))
        json_write_string(&w, "body", body);
    json_close_object(&w);
    buffer_append_byte(&line, '\n');
    /* One write a line, so that the lines of several programs do not mix. */
    if (!line.error && log->written + line.length <= CALL_LOG_BYTES &&
        write(log->file, line.data, line.length) == (ssize_t)line.length)
        log->written += line.length;
    buffer_release(&line);
}
