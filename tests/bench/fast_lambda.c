/* Plays Lambda for measurements: answers each Invoke with the same payload, after a fixed time, on one thread, as a whole or as a stream. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/contract/event_stream.h"

#define MOST_PEERS   65536
#define HEAD_MAX     16384
#define PAYLOAD_MAX  (8 * 1024 * 1024)
#define EVENTS_MAX   256
#define SKIPPED_STEP 262144

/* A connection: the head as it comes in, what is left of the body, what is left of the answer. */
struct peer {
    char head[HEAD_MAX];
    size_t head_length, body_left, sent;
    bool answering, gone; /* gone: it was left while its answer was due */
    uint64_t due_us;
    struct peer *next_due;
    int fd;
};

static struct {
    int epoll;
    char *answer;
    size_t answer_length;
    bool streams;
    uint64_t delay_us;
    struct peer *peers[MOST_PEERS];
    struct peer *first_due, **last_due; /* in order of time, as the delay is the same for all */
} fake;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void watch(struct peer *peer, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = peer->fd};

    if (epoll_ctl(fake.epoll, operation, peer->fd, &event) < 0)
        die("epoll_ctl");
}

static void hang_up(struct peer *peer)
{
    fake.peers[peer->fd] = NULL;
    close(peer->fd);
    free(peer);
}

static void append_chunk(struct buffer *out, const struct buffer *frame)
{
    buffer_append_format(out, "%zx\r\n", frame->length);
    buffer_append_view(out, buffer_view(frame));
    buffer_append_string(out, "\r\n");
    REQUIRE(out->error == ERROR_NONE);
}

/* A stream's first bytes of output are the time at which it is sent (load.c --stamped). Streams are for
 * measuring that time, so this one is made anew for each and goes out as a whole. */
static void make_stream(void)
{
    static struct buffer out = {.ceiling = 4096}, frame = {.ceiling = 4096};
    static const char prelude[] =
        "{\"statusCode\":200,\"headers\":{\"content-type\":\"text/plain\"}}\0\0\0\0\0\0\0";
    char stamp[32];

    buffer_clear(&out);
    buffer_append_string(&out,
                         "HTTP/1.1 200 OK\r\nContent-Type: "
                         "application/vnd.amazon.eventstream\r\nTransfer-Encoding: chunked\r\n"
                         "x-amzn-RequestId: 0af1a5b2-2f4e-4c37-9d58-6f7f0a0b1c2d\r\n\r\n");
    buffer_clear(&frame);
    event_stream_append_output(&frame, (struct view){prelude, sizeof prelude});
    append_chunk(&out, &frame);
    buffer_clear(&frame);
    snprintf(stamp, sizeof stamp, "#%020llu\n", (unsigned long long)now_us() * 1000);
    event_stream_append_output(&frame, view_of(stamp));
    append_chunk(&out, &frame);
    buffer_clear(&frame);
    event_stream_append_complete(&frame, (struct view){0}, (struct view){0}, (struct view){0});
    append_chunk(&out, &frame);
    buffer_append_string(&out, "0\r\n\r\n");
    fake.answer = out.data;
    fake.answer_length = out.length;
}

static void send_on(struct peer *peer)
{
    if (peer->gone) {
        hang_up(peer);
        return;
    }
    if (fake.streams && peer->sent == 0)
        make_stream();
    ssize_t n = send(peer->fd, fake.answer + peer->sent, fake.answer_length - peer->sent,
                     MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno != EAGAIN) {
        hang_up(peer);
        return;
    }
    peer->sent += n > 0 ? (size_t)n : 0;
    if (peer->sent == fake.answer_length) {
        peer->answering = false;
        peer->sent = peer->head_length = 0;
    }
    watch(peer, EPOLL_CTL_MOD, peer->answering ? EPOLLOUT : EPOLLIN);
}

static void answer(struct peer *peer)
{
    peer->answering = true;
    if (fake.delay_us == 0) {
        send_on(peer);
        return;
    }
    peer->due_us = now_us() + fake.delay_us;
    peer->next_due = NULL;
    watch(peer, EPOLL_CTL_MOD, 0);
    *fake.last_due = peer;
    fake.last_due = &peer->next_due;
}

/* Sends what is due; gives the milliseconds until the next, -1 when nobody waits. */
static int answer_due(void)
{
    while (fake.first_due) {
        struct peer *peer = fake.first_due;
        uint64_t now = now_us();

        if (peer->due_us > now)
            return (int)((peer->due_us - now) / 1000 + 1);
        fake.first_due = peer->next_due;
        if (!fake.first_due)
            fake.last_due = &fake.first_due;
        send_on(peer);
    }
    return -1;
}

static void read_body(struct peer *peer)
{
    static char skipped[SKIPPED_STEP];

    while (peer->body_left > 0) {
        size_t most = peer->body_left < sizeof skipped ? peer->body_left : sizeof skipped;
        ssize_t n = recv(peer->fd, skipped, most, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            hang_up(peer);
            return;
        }
        peer->body_left -= (size_t)n;
    }
    answer(peer);
}

/* Reads as far as there is something; one request at a time, as proxyd sends them. */
static void read_request(struct peer *peer)
{
    if (peer->body_left > 0) {
        read_body(peer);
        return;
    }
    ssize_t n = recv(peer->fd, peer->head + peer->head_length, HEAD_MAX - 1 - peer->head_length,
                     MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        hang_up(peer);
        return;
    }
    peer->head_length += (size_t)n;
    peer->head[peer->head_length] = '\0';
    char *end = strstr(peer->head, "\r\n\r\n");
    if (!end)
        return;
    char *length = strcasestr(peer->head, "\r\nContent-Length:");
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    size_t here = peer->head_length - (size_t)(end + 4 - peer->head);
    peer->body_left = body > here ? body - here : 0;
    if (peer->body_left == 0)
        answer(peer);
}

static void serve(struct peer *peer, uint32_t ready)
{
    if (!peer->answering) {
        read_request(peer);
    } else if (ready & EPOLLOUT) {
        send_on(peer);
    } else { /* one that waits must not be freed yet */
        peer->gone = true;
        epoll_ctl(fake.epoll, EPOLL_CTL_DEL, peer->fd, NULL);
    }
}

static void take_peers(int listener)
{
    int fd, on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MOST_PEERS)
            die("too many connections");
        struct peer *peer = fake.peers[fd] = malloc(sizeof *peer);
        if (!peer)
            die("malloc");
        memset(peer, 0, sizeof *peer);
        peer->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(peer, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void make_answer(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *payload = malloc(PAYLOAD_MAX);

    if (!file || !payload)
        die(path);
    size_t length = fread(payload, 1, PAYLOAD_MAX, file);
    fclose(file);
    fake.answer = malloc(length + 1024);
    if (!fake.answer)
        die("malloc");
    int head =
        sprintf(fake.answer,
                "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 20:55:20 GMT\r\n"
                "Content-Type: application/json\r\nContent-Length: %zu\r\n"
                "Connection: keep-alive\r\n"
                "x-amzn-RequestId: 0af1a5b2-2f4e-4c37-9d58-6f7f0a0b1c2d\r\n"
                "x-amzn-Remapped-Content-Length: 0\r\nX-Amz-Executed-Version: 1\r\n"
                "X-Amzn-Trace-Id: root=1-6b04a838-1d31d66314b88517bd7b42e2;sampled=0\r\n\r\n",
                length);
    memcpy(fake.answer + head, payload, length);
    fake.answer_length = (size_t)head + length;
    free(payload);
}

static int listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void allow_many_files(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* fast_lambda PAYLOAD-FILE [DELAY-MS [stream]]: prints the port, and serves until it is ended. */
int main(int count, char **arguments)
{
    struct epoll_event events[EVENTS_MAX] = {{.events = EPOLLIN}};

    if (count < 2)
        return 2;
    allow_many_files();
    make_answer(arguments[1]);
    fake.delay_us = count > 2 ? strtoull(arguments[2], NULL, 10) * 1000 : 0;
    fake.streams = count > 3;
    fake.last_due = &fake.first_due;
    fake.epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_anywhere();
    events[0].data.fd = listener;
    if (fake.epoll < 0 || epoll_ctl(fake.epoll, EPOLL_CTL_ADD, listener, &events[0]) < 0)
        die("epoll");
    for (;;) {
        int ready = epoll_wait(fake.epoll, events, EVENTS_MAX, answer_due());
        for (int i = 0; i < ready; i++) {
            struct peer *peer = fake.peers[events[i].data.fd];
            if (events[i].data.fd == listener)
                take_peers(listener);
            else if (peer)
                serve(peer, events[i].events);
        }
    }
}
