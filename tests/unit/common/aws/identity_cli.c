/* Chooses credentials for the variables that come as lines of JSON on stdin, one line of JSON out for each. */
#include "common/aws/endpoint.h"
#include "common/aws/identity.h"

#include "common/base/json.h"

#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_BYTES ((size_t)1 << 20)

static const struct json *variables;

static const char *variable(const char *name)
{
    struct view value;

    return json_get_string(variables, name, &value) ? value.data : NULL;
}

static void write_text(struct json_writer *writer, const char *name, struct view text)
{
    if (text.length)
        json_write_string(writer, name, text);
}

static void write_identity(struct json_writer *writer, const char *name,
                           const struct identity *identity)
{
    json_open_object(writer, name);
    json_write_string(writer, "provider", view_of(identity->provider));
    write_text(writer, "key", identity->access_key_id);
    write_text(writer, "secret", identity->secret_access_key);
    write_text(writer, "token", identity->session_token);
    if (identity->expires_at_ms != INT64_MAX)
        json_write_integer(writer, "expires", identity->expires_at_ms);
    write_text(writer, "role", identity->role_arn);
    write_text(writer, "session", identity->session_name);
    write_text(writer, "external", identity->external_id);
    if (identity->duration_s)
        json_write_integer(writer, "duration", identity->duration_s);
    write_text(writer, "tokenFile", identity->token_file);
    write_text(writer, "url", identity->url);
    write_text(writer, "authorization", identity->authorization);
    write_text(writer, "authorizationFile", identity->authorization_file);
    if (identity->kind == IDENTITY_INSTANCE) {
        json_write_integer(writer, "timeoutMs", identity->timeout_ms);
        json_write_integer(writer, "attempts", identity->attempts);
    }
    if (identity->command) {
        json_open_array(writer, "command");
        for (char **word = identity->command; *word; word++)
            json_write_string(writer, NULL, view_of(*word));
        json_close_array(writer);
    }
    if (identity->source)
        write_identity(writer, "source", identity->source);
    json_close_object(writer);
}

static void write_endpoint(struct json_writer *writer, struct arena *arena)
{
    struct endpoint endpoint;
    struct buffer problem;

    buffer_init(&problem, 4096);
    if (endpoint_resolve("lambda", variable, arena, &endpoint, &problem) == ERROR_NONE) {
        json_write_string(writer, "region", endpoint.region);
        json_write_string(writer, "lambda", endpoint.url);
        write_text(writer, "caFile", view_of(endpoint.ca_file));
    }
    buffer_release(&problem);
}

static void answer(struct view line)
{
    struct shared_files files;
    struct identity *identity = NULL;
    struct json_writer writer;
    struct buffer out, problem;
    struct arena arena;
    struct json *job;

    arena_init(&arena, (size_t)8 << 20);
    buffer_init(&out, LINE_MAX_BYTES);
    buffer_init(&problem, 4096);
    REQUIRE(json_parse(line, 8, &job, NULL) == ERROR_NONE);
    variables = job;
    enum error error = shared_files_read(variable, &arena, &files, &problem);
    if (error == ERROR_NONE)
        error = identity_choose(variable, &files, &arena, &identity, &problem);
    json_begin(&writer, &out);
    json_open_object(&writer, NULL);
    json_write_string(&writer, "error", view_of(error_name(error)));
    json_write_string(&writer, "problem", buffer_view(&problem));
    write_endpoint(&writer, &arena);
    if (identity)
        write_identity(&writer, "identity", identity);
    json_close_object(&writer);
    printf("%s\n", out.data);
    fflush(stdout);
    json_free(job);
    buffer_release(&problem);
    buffer_release(&out);
    arena_release(&arena);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;

    while ((length = getline(&line, &room, stdin)) > 0)
        answer(view_from(line, (size_t)length));
    free(line);
    return 0;
}
