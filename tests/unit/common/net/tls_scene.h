/* A server that speaks TLS, and its certificates. */
#ifndef TESTS_UNIT_COMMON_NET_TLS_SCENE_H
#define TESTS_UNIT_COMMON_NET_TLS_SCENE_H

#include "common/net/tls.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/net/incoming.h"
#include "tests/unit/common/net/messages.h"
#include "tests/unit/common/net/tls_client.h"
#include "tests/unit/common/net/wire.h"

#include <event2/event.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATHS 4

struct server {
    struct event_base *base;
    struct incoming *incoming;
    struct incoming_limits limits;
    struct tls *tls;
    char folder[64];
    char paths[PATHS][128];
    struct tls_source sources[PATHS];
    size_t source_count;
    struct buffer problems;
    unsigned requests, refusals;
    enum guard_reason reason;
    struct buffer line, body; /* of the first request */
    bool tls_seen;
    struct incoming_request *streamed;
    unsigned pieces;
    char version[32], cipher[64];
};

/* Pieces one by one, the end right behind the last: what is told late must not cut it. */
static inline void on_writable(void *context)
{
    struct server *server = context;

    incoming_stream_write(server->streamed, VIEW("piece"));
    if (++server->pieces % 50 == 0) {
        incoming_stream_write(server->streamed, VIEW("last"));
        incoming_stream_end(server->streamed);
    }
}

static inline void on_request(struct incoming_request *request, void *context)
{
    struct server *server = context;

    if (server->requests++ == 0) {
        buffer_append_view(&server->line, incoming_method(request));
        buffer_append_byte(&server->line, ' ');
        buffer_append_view(&server->line, incoming_target(request));
        buffer_append_view(&server->body, incoming_body(request));
    }
    server->tls_seen = incoming_is_tls(request);
    snprintf(server->version, sizeof(server->version), "%.*s",
             VIEW_FORMAT(incoming_tls_version(request)));
    snprintf(server->cipher, sizeof(server->cipher), "%.*s",
             VIEW_FORMAT(incoming_tls_cipher(request)));
    if (view_equal(incoming_target(request), VIEW("/stream"))) {
        incoming_stream_begin(request, 200, NULL, 0, on_writable, server);
        server->streamed = request;
        on_writable(server);
        return;
    }
    incoming_reply(request, 200, NULL, 0, incoming_body(request), NULL, NULL);
}

static inline void on_refused(const struct incoming_refusal *refusal, void *context)
{
    struct server *server = context;

    server->refusals++;
    server->reason = refusal->reason;
}

static inline void on_problem(const struct tls_source *source, const char *sentence, void *context)
{
    struct server *server = context;

    (void)source;
    buffer_append_string(&server->problems, sentence);
    buffer_append_byte(&server->problems, '\n');
}

static inline void start(struct server *server)
{
    struct incoming_handlers handlers = {.on_request = on_request, .on_refused = on_refused};
    struct buffer problem;

    buffer_init(&problem, 1000);
    server->incoming = incoming_new(server->base, &server->limits, &handlers, server);
    incoming_use_tls(server->incoming, server->tls);
    assert_int_equal(incoming_listen(server->incoming, "127.0.0.1:0", false, &problem), ERROR_NONE);
    buffer_release(&problem);
    server->requests = server->refusals = 0;
    buffer_clear(&server->line);
    buffer_clear(&server->body);
}

static inline size_t load(struct server *server)
{
    buffer_clear(&server->problems);
    return tls_load(server->tls, server->sources, server->source_count, on_problem, server);
}

/* A certificate in the next file, with its key. */
static inline void add(struct server *server, const char *name, const char *alternatives, int days,
                       bool is_default)
{
    char *path = server->paths[server->source_count];

    snprintf(path, sizeof(server->paths[0]), "%s/%zu.pem", server->folder, server->source_count);
    write_certificate(path, path, name, alternatives, days, NULL);
    server->sources[server->source_count++] =
        (struct tls_source){.certificate_path = path, .key_path = path, .is_default = is_default};
}

static inline int set_up(void **state)
{
    struct server *server = calloc(1, sizeof(*server));

    snprintf(server->folder, sizeof(server->folder), "/tmp/test_tls.XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    buffer_init(&server->problems, 64 * 1024);
    buffer_init(&server->line, MESSAGE_MAX);
    buffer_init(&server->body, 16 * 1024 * 1024);
    server->base = event_base_new();
    server->limits = incoming_default_limits;
    server->limits.guard.max_body_bytes = 8 * 1024 * 1024;
    server->tls = tls_new();
    add(server, "default", "DNS:default.test", 30, true);
    assert_int_equal(load(server), 0);
    start(server);
    *state = server;
    return 0;
}

static inline int tear_down(void **state)
{
    struct server *server = *state;

    clock_thaw();
    assert_int_equal(incoming_disagreements(server->incoming), 0);
    incoming_free(server->incoming);
    event_base_free(server->base);
    tls_free(server->tls);
    assert_int_equal(folder_remove(server->folder), ERROR_NONE);
    buffer_release(&server->problems);
    buffer_release(&server->line);
    buffer_release(&server->body);
    free(server);
    return 0;
}

static inline void dial(struct server *server, struct tls_client *client,
                        struct tls_client_wish wish)
{
    tls_client_open(client, server->base, incoming_address(server->incoming), &wish);
}

static inline void get(struct tls_client *client)
{
    buffer_clear(&client->in);
    tls_client_send(client, VIEW("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    tls_client_until(client, "\r\n\r\n");
    assert_true(tls_client_has(client, "HTTP/1.1 200 OK\r\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
