/* Sends requests to peers that answer, close, reset, stay silent or talk too much. */
#include "common/net/outgoing.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <setjmp.h>
#include <stddef.h>

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

static void await_step(struct peer *peer, int step)
{
    for (int i = 0; i < 5000 && atomic_load(&peer->step) < step; i++)
        usleep(1000);
}

static int accept_one(struct peer *peer)
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
static bool read_request(struct peer *peer, int fd)
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

static void send_text(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void reset(int fd)
{
    struct linger hard = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

#define OK_HELLO                                                                                   \
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Thing: one\r\nx-thing: two \r\n\r\nhello"

static void *peer_main(void *context)
{
    struct peer *peer = context;

    peer->script(peer);
    return NULL;
}

static struct world *world_new(void (*script)(struct peer *peer))
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

static void world_free(struct world *world)
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

static void on_done(const struct outgoing_result *result, void *context)
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

static struct outgoing_request request_to(struct world *world)
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

static void run_until_done(struct world *world, int done)
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

static void run_for_ms(struct world *world, int ms)
{
    struct timeval limit = {ms / 1000, ms % 1000 * 1000};

    event_base_loopexit(world->base, &limit);
    event_base_dispatch(world->base);
}

static void send_and_wait(struct world *world)
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

/* ---- scripts --------------------------------------------------------------------------------- */

static void answer_all(struct peer *peer)
{
    int fd;

    while ((fd = accept_one(peer)) >= 0) {
        while (read_request(peer, fd))
            send_text(fd, OK_HELLO);
        close(fd);
    }
}

static void answer_then_close_in_order(struct peer *peer)
{
    int fd = accept_one(peer);

    if (read_request(peer, fd))
        send_text(fd, OK_HELLO);
    await_step(peer, 1);
    close(fd);
    atomic_store(&peer->step, 2);
    answer_all(peer);
}

static void answer_then_read_and_reset(struct peer *peer)
{
    int fd = accept_one(peer);

    for (int i = 0; i < 30 && read_request(peer, fd); i++)
        send_text(fd, OK_HELLO);
    read_request(peer, fd);
    reset(fd);
    answer_all(peer);
}

static void read_then_reset(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    reset(fd);
}

static void read_then_close(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    close(fd);
}

static void read_and_stay_silent(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    await_step(peer, 1);
    close(fd);
}

static void half_an_answer(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf");
    close(fd);
}

static void half_a_head(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Le");
    close(fd);
}

static void rubbish(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    send_text(fd, "\001\002 this is no HTTP\r\n\r\n");
    close(fd);
}

static void nine_hundred_bytes(struct peer *peer)
{
    int fd = accept_one(peer);
    char text[1200];

    read_request(peer, fd);
    snprintf(text, sizeof text,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n384\r\n%0900d\r\n0\r\n\r\n", 7);
    send_text(fd, text);
    await_step(peer, 1);
    close(fd);
}

static void headers_without_end(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    send_text(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 4000; i++)
        send_text(fd, "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    await_step(peer, 1);
    close(fd);
}

#define FIVE_MEGABYTES (5 * 1024 * 1024)

static void five_megabytes(struct peer *peer)
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

static void interim_then_answer(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    send_text(fd, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    send_text(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    await_step(peer, 1);
    close(fd);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void an_answer_comes_with_status_headers_and_body(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);
    struct incoming_header headers[] = {{VIEW("X-Amz-Date"), VIEW("20260102T030405Z")},
                                        {VIEW("X-Empty"), VIEW("")}};

    (void)state;
    request.headers = headers;
    request.header_count = 2;
    outgoing_send(world->outgoing, &request);
    assert_int_equal(world->done, 0);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_int_equal(world->result.reach, OUTGOING_ANSWERED);
    assert_int_equal(world->result.status, 200);
    assert_string_equal(world->body, "hello");
    assert_true(world->result.connected_us > 0);
    assert_non_null(strstr(world->peer.last_head, "POST /a%3Ab/../c?q=%24x HTTP/1.1\r\n"));
    assert_non_null(strstr(world->peer.last_head, "\r\nX-Amz-Date: 20260102T030405Z\r\n"));
    assert_non_null(strstr(world->peer.last_head, "\r\nX-Empty:\r\n"));
    assert_null(strcasestr(world->peer.last_head, "\r\nAccept"));
    assert_null(strcasestr(world->peer.last_head, "\r\nContent-Type"));
    assert_null(strcasestr(world->peer.last_head, "\r\nUser-Agent"));
    assert_null(strcasestr(world->peer.last_head, "\r\nExpect"));
    world_free(world);
}

/* And the next request on the same handle is sent to its own URL again. */
static void a_target_stands_in_place_of_the_path_of_the_url(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.target = "/b%20c/./d?Qualifier=7";
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.status, 200);
    assert_non_null(strstr(world->peer.last_head, "POST /b%20c/./d?Qualifier=7 HTTP/1.1\r\n"));
    request.target = NULL;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 2);
    assert_non_null(strstr(world->peer.last_head, "POST /a%3Ab/../c?q=%24x HTTP/1.1\r\n"));
    world_free(world);
}

static void look_at_header(const struct outgoing_result *result, void *context)
{
    struct view value = {0};

    assert_true(outgoing_header(result->call, "X-THING", &value));
    assert_true(view_equal(value, VIEW("two")));
    assert_false(outgoing_header(result->call, "X-Other", &value));
    on_done(result, context);
}

static void the_last_header_of_a_name_is_found_in_any_case(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_done = look_at_header;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    world_free(world);
}

static void a_kept_connection_is_used_again(void **state)
{
    struct world *world = world_new(answer_all);

    (void)state;
    for (int i = 0; i < 5; i++)
        send_and_wait(world);
    assert_int_equal(world->result.connected_us, 0);
    assert_int_equal(outgoing_connections(world->outgoing), 1);
    assert_int_equal(atomic_load(&world->peer.requests), 5);
    world_free(world);
}

static void methods_without_a_body_send_none(void **state)
{
    static const char *const methods[] = {"GET", "DELETE", "POST"};
    struct world *world = world_new(answer_all);

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct outgoing_request request = request_to(world);
        request.method = methods[i];
        request.has_body = false;
        outgoing_send(world->outgoing, &request);
        run_until_done(world, (int)i + 1);
        assert_int_equal(world->result.status, 200);
        assert_memory_equal(world->peer.last_head, methods[i], strlen(methods[i]));
        assert_null(strcasestr(world->peer.last_head, "Content-Length"));
    }
    struct outgoing_request request = request_to(world);
    request.method = "PUT";
    request.body = (struct view){0};
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 4);
    assert_non_null(strstr(world->peer.last_head, "PUT /"));
    assert_non_null(strstr(world->peer.last_head, "\r\nContent-Length: 0\r\n"));
    world_free(world);
}

static uint64_t read_so_far;

static size_t read_made_body(uint64_t offset, char *out, size_t room, void *context)
{
    static const size_t most = 70001;
    size_t got = room < most ? room : most;

    (void)context;
    assert_int_equal(offset, read_so_far);
    for (size_t i = 0; i < got; i++)
        out[i] = (char)(offset + i);
    read_so_far += got;
    return got;
}

static size_t read_broken_body(uint64_t offset, char *out, size_t room, void *context)
{
    (void)context;
    memset(out, 'x', room < 1000 ? room : 1000);
    return offset < 5000 ? (room < 1000 ? room : 1000) : 0;
}

static void a_body_can_be_made_as_it_goes_out(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.body = (struct view){0};
    request.read_body = read_made_body;
    request.body_length = 3000000;
    for (int i = 1; i <= 2; i++) { /* the second on a kept connection and handle */
        read_so_far = 0;
        outgoing_send(world->outgoing, &request);
        run_until_done(world, i);
        assert_int_equal(world->result.error, ERROR_NONE);
        assert_int_equal(world->result.status, 200);
        assert_int_equal(read_so_far, 3000000);
        assert_int_equal(world->peer.last_body_length, 3000000);
        assert_non_null(strstr(world->peer.last_head, "\r\nContent-Length: 3000000\r\n"));
        assert_null(strcasestr(world->peer.last_head, "Transfer-Encoding"));
        assert_null(strcasestr(world->peer.last_head, "Expect"));
    }
    send_and_wait(world); /* and an ordinary one behind them */
    assert_int_equal(world->result.status, 200);
    assert_int_equal(world->peer.last_body_length, 7);
    request.read_body = read_broken_body;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 4);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    world_free(world);
}

static void a_connection_closed_between_requests_is_replaced_without_an_error(void **state)
{
    struct world *world = world_new(answer_then_close_in_order);

    (void)state;
    send_and_wait(world);
    atomic_store(&world->peer.step, 1);
    await_step(&world->peer, 2);
    run_for_ms(world, 50); /* the FIN arrives: no spin, no error */
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_true(world->result.connected_us > 0);
    assert_int_equal(atomic_load(&world->peer.requests), 2);
    world_free(world);
}

/* The connection dies between libcurl's look at it and its first byte: whichever way it dies,
 * libcurl must not send a second time on its own. */
static void stale_at_the_last_moment(void (*script)(struct peer *peer), enum outgoing_reach reach)
{
    struct world *world = world_new(script);
    struct outgoing_request request = request_to(world);

    send_and_wait(world);
    before_send = &world->peer;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 2);
    assert_null(before_send);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, reach);
    assert_int_equal(atomic_load(&world->peer.requests), 1);
    request.fresh_connection = true;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 3);
    assert_int_equal(world->result.status, 200);
    assert_int_equal(atomic_load(&world->peer.requests), 2);
    world_free(world);
}

static void a_stale_connection_gives_not_sent_and_no_second_request(void **state)
{
    (void)state;
    stale_at_the_last_moment(answer_then_close_in_order, OUTGOING_NOT_SENT);
}

static void answer_then_reset(struct peer *peer)
{
    int fd = accept_one(peer);

    if (read_request(peer, fd))
        send_text(fd, OK_HELLO);
    await_step(peer, 1);
    reset(fd);
    atomic_store(&peer->step, 2);
    answer_all(peer);
}

static void a_connection_that_was_just_reset_proves_nothing(void **state)
{
    (void)state;
    stale_at_the_last_moment(answer_then_reset, OUTGOING_MAYBE);
}

static void a_reset_after_reading_on_a_kept_connection_is_maybe(void **state)
{
    struct world *world = world_new(answer_then_read_and_reset);

    (void)state;
    for (int i = 0; i < 30; i++)
        send_and_wait(world);
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_MAYBE);
    assert_int_equal(atomic_load(&world->peer.requests), 31);
    world_free(world);
}

static void a_reset_after_reading_on_a_new_connection_is_maybe(void **state)
{
    struct world *world = world_new(read_then_reset);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_MAYBE);
    assert_int_equal(world->result.status, 0);
    world_free(world);
}

static void a_close_after_reading_is_maybe(void **state)
{
    struct world *world = world_new(read_then_close);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_MAYBE);
    world_free(world);
}

static void a_refused_connection_is_unreachable_and_not_sent(void **state)
{
    struct world *world = world_new(NULL);

    (void)state;
    close(world->peer.listener);
    world->peer.listener = -1;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_UNREACHABLE);
    assert_int_equal(world->result.reach, OUTGOING_NOT_SENT);
    assert_true(world->reason[0] != '\0');
    world_free(world);
}

static struct sockaddr_in asked; /* the address that may_not_connect was asked about */

static bool may_not_connect(const struct sockaddr *address, void *context)
{
    (void)context;
    memcpy(&asked, address, sizeof asked);
    return false;
}

static void an_address_that_may_not_be_used_is_never_connected_to(void **state)
{
    struct world *world = world_new(NULL);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.may_connect = may_not_connect;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_UNREACHABLE);
    assert_int_equal(world->result.reach, OUTGOING_NOT_SENT);
    assert_int_equal(asked.sin_family, AF_INET);
    assert_int_equal(ntohl(asked.sin_addr.s_addr), INADDR_LOOPBACK);
    assert_int_equal(ntohs(asked.sin_port), world->peer.port);
    /* Nobody came. */
    assert_int_equal(fcntl(world->peer.listener, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(accept(world->peer.listener, NULL, NULL), -1);
    world_free(world);
}

static void a_silent_peer_ends_at_the_deadline(void **state)
{
    struct world *world = world_new(read_and_stay_silent);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.deadline_ms = 150;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_TIMEOUT);
    assert_int_equal(world->result.reach, OUTGOING_MAYBE);
    assert_in_range(world->result.total_us, 140000, 1500000);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void half_an_answer_is_broken_after_its_status(void **state)
{
    struct world *world = world_new(half_an_answer);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_ANSWERED);
    assert_int_equal(world->result.status, 200);
    world_free(world);
}

static void half_a_head_is_broken(void **state)
{
    struct world *world = world_new(half_a_head);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_ANSWERED);
    world_free(world);
}

static void rubbish_is_broken(void **state)
{
    struct world *world = world_new(rubbish);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_MAYBE);
    world_free(world);
}

static void an_answer_over_its_ceiling_is_too_big(void **state)
{
    struct world *world = world_new(nine_hundred_bytes);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.max_answer_bytes = 899;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_TOO_BIG);
    assert_int_equal(world->result.reach, OUTGOING_ANSWERED);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void an_answer_of_exactly_its_ceiling_is_fine(void **state)
{
    struct world *world = world_new(nine_hundred_bytes);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.max_answer_bytes = 900;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_int_equal(strlen(world->body), 900);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void endless_headers_are_too_big(void **state)
{
    struct world *world = world_new(headers_without_end);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_TOO_BIG);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void an_interim_answer_is_passed_over(void **state)
{
    struct world *world = world_new(interim_then_answer);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_int_equal(world->result.status, 404);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void a_url_that_is_none_is_invalid_and_told_from_the_loop(void **state)
{
    struct world *world = world_new(NULL);
    struct outgoing_request request = request_to(world);
    struct incoming_header header = {VIEW("X-Bad"), VIEW("a\r\nX-Smuggled: b")};

    (void)state;
    request.url = "gopher://127.0.0.1/";
    outgoing_send(world->outgoing, &request);
    assert_int_equal(world->done, 0);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_INVALID);
    request = request_to(world);
    request.headers = &header;
    request.header_count = 1;
    outgoing_send(world->outgoing, &request);
    assert_int_equal(world->done, 1);
    run_until_done(world, 2);
    assert_int_equal(world->result.error, ERROR_INVALID);
    assert_int_equal(world->result.reach, OUTGOING_NOT_SENT);
    request = request_to(world);
    request.target = "/a HTTP/1.1\r\nX-Smuggled: b";
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 3);
    assert_int_equal(world->result.error, ERROR_INVALID);
    world_free(world);
}

static void five_megabytes_go_up_and_come_down(void **state)
{
    struct world *world = world_new(five_megabytes);
    struct outgoing_request request = request_to(world);
    char *body = malloc(FIVE_MEGABYTES);

    (void)state;
    memset(body, 'y', FIVE_MEGABYTES);
    request.body = view_from(body, FIVE_MEGABYTES);
    request.max_answer_bytes = FIVE_MEGABYTES;
    request.deadline_ms = 60000;
    world->take = true;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_int_equal(world->peer.last_body_length, FIVE_MEGABYTES);
    assert_int_equal(world->taken_length, FIVE_MEGABYTES);
    assert_int_equal(world->taken[FIVE_MEGABYTES - 1], 'z');
    atomic_store(&world->peer.step, 1);
    world_free(world);
    free(body);
}

static bool on_bytes(struct view bytes, const struct outgoing_result *so_far, void *context)
{
    struct world *world = context;

    assert_int_equal(so_far->status, 200);
    world->streamed += bytes.length;
    if (world->pause_next) {
        world->pause_next = false;
        return false;
    }
    return true;
}

static void a_stream_pauses_and_goes_on_without_losing_a_byte(void **state)
{
    struct world *world = world_new(five_megabytes);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_bytes = on_bytes;
    request.max_answer_bytes = 0;
    world->pause_next = true;
    world->call = outgoing_send(world->outgoing, &request);
    run_for_ms(world, 300);
    size_t seen = world->streamed;
    assert_true(seen > 0 && seen <= 65536);
    run_for_ms(world, 100);
    assert_int_equal(world->streamed, seen);
    outgoing_resume(world->call);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_int_equal(world->streamed, FIVE_MEGABYTES);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static bool cancel_in_bytes(struct view bytes, const struct outgoing_result *so_far, void *context)
{
    struct world *world = context;

    (void)bytes;
    (void)so_far;
    world->streamed++;
    outgoing_cancel(world->call);
    return true;
}

static void a_call_may_be_cancelled_from_its_own_bytes(void **state)
{
    struct world *world = world_new(five_megabytes);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_bytes = cancel_in_bytes;
    world->call = outgoing_send(world->outgoing, &request);
    run_for_ms(world, 300);
    assert_int_equal(world->streamed, 1);
    assert_int_equal(world->done, 0);
    assert_int_equal(outgoing_active(world->outgoing), 0);
    assert_int_equal(outgoing_connections(world->outgoing), 0);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void a_cancelled_call_tells_nobody(void **state)
{
    struct world *world = world_new(read_and_stay_silent);
    struct outgoing_request request = request_to(world);
    struct outgoing_call *call = outgoing_send(world->outgoing, &request);

    (void)state;
    for (int i = 0; i < 100 && atomic_load(&world->peer.requests) == 0; i++)
        run_for_ms(world, 10);
    assert_int_equal(atomic_load(&world->peer.requests), 1);
    assert_int_equal(outgoing_active(world->outgoing), 1);
    outgoing_cancel(call);
    call = outgoing_send(world->outgoing, &request); /* not begun */
    outgoing_cancel(call);
    run_for_ms(world, 50);
    assert_int_equal(world->done, 0);
    assert_int_equal(outgoing_active(world->outgoing), 0);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void send_again_in_done(const struct outgoing_result *result, void *context)
{
    struct world *world = context;
    struct outgoing_request request = request_to(world);

    on_done(result, context);
    outgoing_send(world->outgoing, &request);
}

static void a_new_call_may_start_inside_on_done(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_done = send_again_in_done;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 2);
    assert_int_equal(atomic_load(&world->peer.requests), 2);
    world_free(world);
}

static void free_in_done(const struct outgoing_result *result, void *context)
{
    struct world *world = context;

    on_done(result, context);
    outgoing_free(world->outgoing);
    world->outgoing = NULL;
}

static void everything_may_be_freed_inside_on_done(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_done = free_in_done;
    for (int i = 0; i < 10; i++)
        outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    run_for_ms(world, 20);
    assert_int_equal(world->done, 1);
    world_free(world);
}

static bool free_in_bytes(struct view bytes, const struct outgoing_result *so_far, void *context)
{
    struct world *world = context;

    (void)bytes;
    (void)so_far;
    outgoing_free(world->outgoing);
    world->outgoing = NULL;
    return true;
}

static void everything_may_be_freed_inside_on_bytes(void **state)
{
    struct world *world = world_new(five_megabytes);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_bytes = free_in_bytes;
    outgoing_send(world->outgoing, &request);
    run_for_ms(world, 300);
    assert_int_equal(world->done, 0);
    assert_null(world->outgoing);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void an_idle_connection_that_was_closed_does_not_spin(void **state)
{
    struct world *world = world_new(answer_then_close_in_order);
    struct timespec before, after;

    (void)state;
    send_and_wait(world);
    atomic_store(&world->peer.step, 1);
    await_step(&world->peer, 2);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    run_for_ms(world, 400);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    int64_t used_us =
        (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    assert_in_range(used_us, 0, 100000);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_with_status_headers_and_body),
        cmocka_unit_test(a_target_stands_in_place_of_the_path_of_the_url),
        cmocka_unit_test(the_last_header_of_a_name_is_found_in_any_case),
        cmocka_unit_test(a_kept_connection_is_used_again),
        cmocka_unit_test(methods_without_a_body_send_none),
        cmocka_unit_test(a_body_can_be_made_as_it_goes_out),
        cmocka_unit_test(a_connection_closed_between_requests_is_replaced_without_an_error),
        cmocka_unit_test(a_stale_connection_gives_not_sent_and_no_second_request),
        cmocka_unit_test(a_connection_that_was_just_reset_proves_nothing),
        cmocka_unit_test(a_reset_after_reading_on_a_kept_connection_is_maybe),
        cmocka_unit_test(a_reset_after_reading_on_a_new_connection_is_maybe),
        cmocka_unit_test(a_close_after_reading_is_maybe),
        cmocka_unit_test(a_refused_connection_is_unreachable_and_not_sent),
        cmocka_unit_test(an_address_that_may_not_be_used_is_never_connected_to),
        cmocka_unit_test(a_silent_peer_ends_at_the_deadline),
        cmocka_unit_test(half_an_answer_is_broken_after_its_status),
        cmocka_unit_test(half_a_head_is_broken),
        cmocka_unit_test(rubbish_is_broken),
        cmocka_unit_test(an_answer_over_its_ceiling_is_too_big),
        cmocka_unit_test(an_answer_of_exactly_its_ceiling_is_fine),
        cmocka_unit_test(endless_headers_are_too_big),
        cmocka_unit_test(an_interim_answer_is_passed_over),
        cmocka_unit_test(a_url_that_is_none_is_invalid_and_told_from_the_loop),
        cmocka_unit_test(five_megabytes_go_up_and_come_down),
        cmocka_unit_test(a_stream_pauses_and_goes_on_without_losing_a_byte),
        cmocka_unit_test(a_call_may_be_cancelled_from_its_own_bytes),
        cmocka_unit_test(a_cancelled_call_tells_nobody),
        cmocka_unit_test(a_new_call_may_start_inside_on_done),
        cmocka_unit_test(everything_may_be_freed_inside_on_done),
        cmocka_unit_test(everything_may_be_freed_inside_on_bytes),
        cmocka_unit_test(an_idle_connection_that_was_closed_does_not_spin),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
