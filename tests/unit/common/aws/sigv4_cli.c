/* Signs or checks the requests that come as lines of JSON on stdin, one line of JSON out for each. */
#include "common/aws/endpoint.h"
#include "common/aws/sigv4.h"

#include "common/base/clock.h"
#include "common/base/escape.h"
#include "common/base/json.h"

#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_BYTES ((size_t)64 << 20)
#define MAX_HEADERS    64

/* {"do": "sign" or "verify", "method", "path", "query", "host", "headers": [[name, value], …], "body":
 * base64, "region", "service", "s3", "key", "secret", "token", "now": ms} */
struct job {
    struct json *tree;
    struct sigv4_request request;
    struct sigv4_header headers[MAX_HEADERS];
    struct buffer body;
    struct view key, secret, token;
    int64_t now_ms;
};

static struct view text(const struct job *job, const char *name)
{
    struct view value = {"", 0};

    json_get_string(job->tree, name, &value);
    return value;
}

static void read_job(struct job *job, struct view line)
{
    const struct json *header;
    size_t count = 0;

    REQUIRE(json_parse(line, 8, &job->tree, NULL) == ERROR_NONE);
    buffer_init(&job->body, LINE_MAX_BYTES);
    REQUIRE(base64_decode(&job->body, text(job, "body")) == ERROR_NONE);
    for (header = json_first(json_get(job->tree, "headers")); header; header = json_next(header)) {
        const struct json *name = json_first(header);

        REQUIRE(count < MAX_HEADERS);
        job->headers[count++] =
            (struct sigv4_header){json_string(name), json_string(json_next(name))};
    }
    job->request = (struct sigv4_request){
        .method = text(job, "method"),
        .path = text(job, "path"),
        .query = text(job, "query"),
        .host = text(job, "host"),
        .headers = job->headers,
        .header_count = count,
        .body = buffer_view(&job->body),
        .region = text(job, "region"),
        .service = text(job, "service"),
    };
    json_get_bool(job->tree, "s3", &job->request.s3);
    job->key = text(job, "key");
    job->secret = text(job, "secret");
    job->token = text(job, "token");
    REQUIRE(json_get_integer(job->tree, "now", &job->now_ms));
}

static void sign(const struct job *job, struct json_writer *writer)
{
    struct credentials *credentials = credentials_new(job->key, job->secret, job->token, INT64_MAX);
    struct sigv4_signer *signer = sigv4_signer_new(job->request.region, job->request.service);
    struct sigv4_signature signature;
    struct buffer canonical;
    struct arena arena;
    enum error error;

    arena_init(&arena, (size_t)1 << 20);
    buffer_init(&canonical, LINE_MAX_BYTES);
    error = sigv4_sign(signer, &job->request, credentials, job->now_ms, &arena, &signature);
    json_write_string(writer, "error", view_of(error_name(error)));
    if (error == ERROR_NONE) {
        sigv4_canonical_request(&canonical, &job->request, view_of(signature.amz_date), job->token);
        json_write_string(writer, "authorization", signature.authorization);
        json_write_string(writer, "date", view_of(signature.amz_date));
        json_write_string(writer, "token", signature.session_token);
        json_write_string(writer, "sha256", view_of(signature.content_sha256));
        json_write_string(writer, "canonical", buffer_view(&canonical));
    }
    buffer_release(&canonical);
    arena_release(&arena);
    sigv4_signer_free(signer);
    credentials_release(credentials);
}

static bool lookup(struct view access_key_id, struct view *secret, void *context)
{
    const struct job *job = context;

    *secret = job->secret;
    return view_equal(access_key_id, job->key);
}

static void verify(struct job *job, struct json_writer *writer)
{
    static const char *const names[] = {"valid",       "missing", "incomplete",
                                        "unknown-key", "wrong",   "expired"};

    json_write_string(
        writer, "verdict",
        view_of(names[sigv4_verify(&job->request, job->headers, job->request.header_count,
                                   job->now_ms, lookup, job)]));
}

static const struct json *variables;

static const char *variable(const char *name)
{
    struct view value;

    return json_get_string(variables, name, &value) ? value.data : NULL;
}

static void resolve(const struct json *tree, struct json_writer *writer)
{
    struct endpoint endpoint;
    struct buffer problem;
    struct arena arena;
    struct view service;
    enum error error;

    arena_init(&arena, 65536);
    buffer_init(&problem, 4096);
    variables = json_get(tree, "variables");
    REQUIRE(json_get_string(tree, "service", &service));
    error = endpoint_resolve(service.data, variable, &arena, &endpoint, &problem);
    json_write_string(writer, "error", view_of(error_name(error)));
    if (error == ERROR_NONE)
        json_write_string(writer, "url", endpoint.url);
    buffer_release(&problem);
    arena_release(&arena);
}

static void answer(struct view line)
{
    struct job job = {0};
    struct json_writer writer;
    struct buffer out;
    struct view what;

    buffer_init(&out, LINE_MAX_BYTES);
    json_begin(&writer, &out);
    json_open_object(&writer, NULL);
    REQUIRE(json_parse(line, 8, &job.tree, NULL) == ERROR_NONE &&
            json_get_string(job.tree, "do", &what));
    if (view_equal_string(what, "resolve")) {
        resolve(job.tree, &writer);
        json_free(job.tree);
    } else {
        json_free(job.tree);
        read_job(&job, line);
        json_get_string(job.tree, "do", &what);
        if (view_equal_string(what, "sign"))
            sign(&job, &writer);
        else
            verify(&job, &writer);
        buffer_release(&job.body);
        json_free(job.tree);
    }
    json_close_object(&writer);
    REQUIRE(out.error == ERROR_NONE);
    printf("%s\n", out.data);
    fflush(stdout);
    buffer_release(&out);
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
