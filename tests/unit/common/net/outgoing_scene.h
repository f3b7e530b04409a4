/* A peer that plays a script on raw sockets, and a world that sends it requests. */
#ifndef TESTS_UNIT_COMMON_NET_OUTGOING_SCENE_H
#define TESTS_UNIT_COMMON_NET_OUTGOING_SCENE_H

#include "common/net/outgoing.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* A peer: one thread that plays a script on raw sockets. */
struct peer {
    int listener;
    uint16_t port;
    pthread_t thread;
    void (*script)(struct peer *peer);
    atomic_int requests; /* whole requests read */
    atomic_int step;     /* the test and the script keep in step by this */
    atomic_int
        turn; /* passed on by the test: what it read of the last request is the peer's again */
    char head[65536]; /* being read */
    char last_head[65536];
    size_t last_body_length;
};

struct world {
    struct event_base *base;
    struct outgoing *outgoing;
    struct peer peer;
    char url[128];
    /* of the last on_done */
    int done;
    struct outgoing_result result;
    char body[4096], reason[256];
    char *taken;
    size_t taken_length;
    bool take;
    struct outgoing_call *call;
    size_t streamed;
    bool pause_next;
};

static inline void await_step(struct peer *peer, int step)
{
    for (int i = 0; i < 5000 && atomic_load(&peer->step) < step; i++)
        usleep(1000);
}

static inline int accept_one(struct peer *peer)
{
    struct timeval limit = {10, 0};
    int fd = accept(peer->listener, NULL, NULL), on = 1;

    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return fd;
}

/* Reads one request; false when the connection ends first. */
static inline bool read_request(struct peer *peer, int fd)
{
    char *head = peer->head, *end = NULL;
    size_t have = 0, body = 0;

    while (!end && have < sizeof peer->head - 1) {
        ssize_t got = recv(fd, head + have, sizeof peer->head - 1 - have, 0);
        if (got <= 0)
            return false;
        have += (size_t)got;
        head[have] = '\0';
        end = strstr(head, "\r\n\r\n");
    }
    if (!end)
        return false;
    char *length = strcasestr(head, "\r\ncontent-length:");
    size_t expected = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    body = have - (size_t)(end + 4 - head);
    while (body < expected) {
        static char sink[65536];
        ssize_t got = recv(fd, sink, sizeof sink, 0);
        if (got <= 0)
            return false;
        body += (size_t)got;
    }
    (void)atomic_load(&peer->turn);
    memcpy(peer->last_head, head, have + 1);
    peer->last_body_length = body;
    atomic_fetch_add(&peer->requests, 1);
    return true;
}

static inline void send_text(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

#define OK_HELLO                                                                                   \
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Thing: one\r\nx-thing: two \r\n\r\nhello"

static inline void *peer_main(void *context)
{
    struct peer *peer = context;

    peer->script(peer);
    return NULL;
}

static inline struct world *world_new(void (*script)(struct peer *peer))
{
    struct world *world = calloc(1, sizeof *world);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    world->peer.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(world->peer.listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(world->peer.listener, 64), 0);
    assert_int_equal(getsockname(world->peer.listener, (struct sockaddr *)&address, &length), 0);
    world->peer.port = ntohs(address.sin_port);
    snprintf(world->url, sizeof world->url, "http://127.0.0.1:%u/a%%3Ab/../c?q=%%24x",
             world->peer.port);
    world->peer.script = script;
    world->base = event_base_new();
    world->outgoing = outgoing_new(world->base, NULL);
    if (script)
        assert_int_equal(pthread_create(&world->peer.thread, NULL, peer_main, &world->peer), 0);
    return world;
}

static inline void world_free(struct world *world)
{
    outgoing_free(world->outgoing);
    shutdown(world->peer.listener, SHUT_RDWR);
    atomic_store(&world->peer.step, 1000);
    if (world->peer.script)
        pthread_join(world->peer.thread, NULL);
    close(world->peer.listener);
    event_base_free(world->base);
    free(world->taken);
    free(world);
}

static inline void on_done(const struct outgoing_result *result, void *context)
{
    struct world *world = context;

    world->done++;
    world->result = *result;
    snprintf(world->body, sizeof world->body, "%.*s", VIEW_FORMAT(result->body));
    snprintf(world->reason, sizeof world->reason, "%s", result->reason);
    if (world->take)
        world->taken = outgoing_take_body(result, &world->taken_length);
    world->call = NULL;
}

static inline struct outgoing_request request_to(struct world *world)
{
    return (struct outgoing_request){.method = "POST",
                                     .url = world->url,
                                     .body = VIEW("{\"a\":1}"),
                                     .has_body = true,
                                     .deadline_ms = 5000,
                                     .max_answer_bytes = 65536,
                                     .on_done = on_done,
                                     .context = world};
}

static inline void run_until_done(struct world *world, int done)
{
    atomic_fetch_add(&world->peer.turn, 1);
    for (int i = 0; i < 20000 && world->done < done; i++) {
        struct timeval tick = {0, 10000};
        event_base_loopexit(world->base, &tick);
        event_base_dispatch(world->base);
    }
    assert_int_equal(world->done, done);
    (void)atomic_load(
        &world->peer.requests); /* what the peer wrote down before it is ours to read */
}

static inline void run_for_ms(struct world *world, int ms)
{
    struct timeval limit = {ms / 1000, ms % 1000 * 1000};

    event_base_loopexit(world->base, &limit);
    event_base_dispatch(world->base);
}

static inline void send_and_wait(struct world *world)
{
    struct outgoing_request request = request_to(world);

    world->call = outgoing_send(world->outgoing, &request);
    run_until_done(world, world->done + 1);
}

/* Stands before libc's for libcurl too: lets the peer act right before the first byte of a request
 * goes out. */
static struct peer *_Atomic before_send;

ssize_t send(int fd, const void *data, size_t length, int flags)
{
    struct peer *peer = before_send;

    if (peer && !pthread_equal(pthread_self(), peer->thread)) {
        before_send = NULL;
        atomic_store(&peer->step, 1);
        await_step(peer, 2);
    }
    return syscall(SYS_sendto, fd, data, length, flags, NULL, 0);
}

static inline void answer_all(struct peer *peer)
{
    int fd;

    while ((fd = accept_one(peer)) >= 0) {
        while (read_request(peer, fd))
            send_text(fd, OK_HELLO);
        close(fd);
    }
}

static inline void read_and_stay_silent(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    await_step(peer, 1);
    close(fd);
}

#define FIVE_MEGABYTES (5 * 1024 * 1024)

static inline void five_megabytes(struct peer *peer)
{
    int fd = accept_one(peer);
    static char block[65536];

    memset(block, 'z', sizeof block);
    if (read_request(peer, fd)) {
        char head[100];
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
                 FIVE_MEGABYTES);
        send_text(fd, head);
        for (size_t sent = 0; sent < FIVE_MEGABYTES; sent += sizeof block)
            (void)!send(fd, block, sizeof block, MSG_NOSIGNAL);
    }
    await_step(peer, 1);
    close(fd);
}

#endif
