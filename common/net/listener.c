/* Listens on sockets, and stops accepting for a while when descriptors run out. */
#include "common/net/listener.h"

#include <event2/event.h>
#include <event2/listener.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#define RETRY_ACCEPT_MS 100 /* after accept failed for want of descriptors or memory */
#define DRAIN_MS        20  /* for handshakes that had begun when the drain began */

struct listener {
    struct evconnlistener **evconns; /* NULL once closed */
    size_t count;
    struct event *timer; /* resumes accepting, or ends the drain */
    bool full, starved, draining, closed;
    void (*close)(struct evconnlistener *evconn, void *context);
    void *close_context;
    void (*on_closed)(void *context);
    void *context;
    char address[BOUND_SOCKET_ADDRESS_SIZE];
    uint16_t port;
    struct listener *next;
};

/* evconnlistener calls its error callback with evhttp's argument, so that ours is found here. */
static _Thread_local struct listener *listeners;

static void settle_accepting(struct listener *listener)
{
    if (listener->closed)
        return;
    for (size_t i = 0; i < listener->count; i++) {
        if (listener->full || listener->starved)
            evconnlistener_disable(listener->evconns[i]);
        else
            evconnlistener_enable(listener->evconns[i]);
    }
}

static void schedule(struct listener *listener, int64_t after_ms)
{
    struct timeval delay = {after_ms / 1000, (after_ms % 1000) * 1000};

    REQUIRE(event_add(listener->timer, &delay) == 0);
}

static bool has(const struct listener *listener, const struct evconnlistener *evconn)
{
    for (size_t i = 0; i < listener->count; i++) {
        if (listener->evconns[i] == evconn)
            return true;
    }
    return false;
}

static void on_accept_error(struct evconnlistener *evconn, void *context)
{
    struct listener *listener = listeners;

    (void)context;
    while (listener && !has(listener, evconn))
        listener = listener->next;
    REQUIRE(listener);
    if (listener->draining)
        return;
    /* The socket stays readable: without a pause the loop would spin on it. */
    listener->starved = true;
    settle_accepting(listener);
    schedule(listener, RETRY_ACCEPT_MS);
}

static void close_sockets(struct listener *listener)
{
    if (listener->closed)
        return;
    for (size_t i = 0; i < listener->count; i++) {
        if (listener->close)
            listener->close(listener->evconns[i], listener->close_context);
        else
            evconnlistener_free(listener->evconns[i]);
        listener->evconns[i] = NULL;
    }
    listener->closed = true;
}

static void on_timer(int fd, short what, void *context)
{
    struct listener *listener = context;

    (void)fd;
    (void)what;
    if (listener->draining) {
        close_sockets(listener);
        if (listener->on_closed)
            listener->on_closed(listener->context);
        return;
    }
    listener->starved = false;
    settle_accepting(listener);
}

static void note_addresses(struct listener *listener, const int *fds)
{
    char other[BOUND_SOCKET_ADDRESS_SIZE];

    listener->port = bound_socket_address(fds[0], listener->address);
    for (size_t i = 1; i < listener->count; i++) {
        if (bound_socket_address(fds[i], other) != listener->port)
            listener->port = 0;
    }
}

/* libevent writes by writev, which knows no MSG_NOSIGNAL: a client that resets would end us. */
static void ignore_broken_pipes(void)
{
    struct sigaction now;

    REQUIRE(sigaction(SIGPIPE, NULL, &now) == 0);
    if (now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        REQUIRE(sigaction(SIGPIPE, &now, NULL) == 0);
    }
}

enum error listener_new(struct event_base *base, const char *address, bool reuse_port,
                        struct listener **listener, struct buffer *problem)
{
    int fd = -1;
    enum error error = bound_socket_open(address, reuse_port, &fd, problem);

    if (error == ERROR_NONE)
        *listener = listener_adopt(base, &fd, 1);
    return error;
}

struct listener *listener_adopt(struct event_base *base, const int *fds, size_t count)
{
    struct listener *listener = calloc(1, sizeof(*listener));

    REQUIRE(listener && count > 0);
    ignore_broken_pipes();
    listener->count = count;
    listener->evconns = calloc(count, sizeof(struct evconnlistener *));
    listener->timer = event_new(base, -1, 0, on_timer, listener);
    REQUIRE(listener->evconns && listener->timer);
    note_addresses(listener, fds);
    for (size_t i = 0; i < count; i++) {
        listener->evconns[i] = evconnlistener_new(
            base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fds[i]);
        REQUIRE(listener->evconns[i]);
        evconnlistener_set_error_cb(listener->evconns[i], on_accept_error);
    }
    listener->next = listeners;
    listeners = listener;
    return listener;
}

void listener_free(struct listener *listener)
{
    struct listener **link = &listeners;

    if (!listener)
        return;
    while (*link != listener)
        link = &(*link)->next;
    *link = listener->next;
    close_sockets(listener);
    event_free(listener->timer);
    free(listener->evconns);
    free(listener);
}

const char *listener_address(const struct listener *listener)
{
    return listener->address;
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}

size_t listener_count(const struct listener *listener)
{
    return listener->count;
}

struct evconnlistener *listener_evconn(struct listener *listener, size_t index)
{
    REQUIRE(index < listener->count);
    return listener->evconns[index];
}

void listener_set_close(struct listener *listener,
                        void (*close)(struct evconnlistener *evconn, void *context), void *context)
{
    listener->close = close;
    listener->close_context = context;
}

void listener_pause(struct listener *listener, bool paused)
{
    if (listener->full == paused)
        return;
    listener->full = paused;
    settle_accepting(listener);
}

/* From here on the kernel drops what would open a connection: one that came between the last accept
 * and the close would be reset after its client believed in it. Its client tries again within a
 * second, and then finds nobody, or the next process on this port. */
static void stop_handshakes(struct listener *listener)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), /* the flags of the TCP header */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    if (listener->closed)
        return;
    /* Without it a drain is as good as a close can be. */
    for (size_t i = 0; i < listener->count; i++)
        (void)setsockopt(evconnlistener_get_fd(listener->evconns[i]), SOL_SOCKET, SO_ATTACH_FILTER,
                         &program, sizeof(program));
}

void listener_drain(struct listener *listener, void (*on_closed)(void *context), void *context)
{
    if (listener->draining)
        return;
    listener->draining = true;
    listener->on_closed = on_closed;
    listener->context = context;
    listener->starved = false;
    settle_accepting(listener);
    stop_handshakes(listener);
    /* Time for handshakes that had begun. A timer runs behind the sockets of its turn, so the queue
     * is accepted before it. */
    schedule(listener, DRAIN_MS);
}

void listener_leave(struct listener *listener)
{
    listener->draining = true;
    event_del(listener->timer);
    close_sockets(listener);
}

void listener_peer(int fd, char address[LISTENER_ADDRESS_SIZE], uint16_t *port)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);

    address[0] = '\0';
    *port = 0;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0)
        bound_socket_numeric(&peer, length, address, port);
}

uint16_t listener_local_port(int fd)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof(own);
    char host[LISTENER_ADDRESS_SIZE];
    uint16_t port = 0;

    if (getsockname(fd, (struct sockaddr *)&own, &length) == 0)
        bound_socket_numeric(&own, length, host, &port);
    return port;
}
