/* Binds listening sockets, and stops accepting for a while when descriptors run out. */
#include "common/net/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG         1024
#define RETRY_ACCEPT_MS 100 /* after accept failed for want of descriptors or memory */
#define DRAIN_MS        20  /* for handshakes that had begun when the drain began */

struct listener {
    struct evconnlistener *evconn; /* NULL once closed */
    struct event *timer;           /* resumes accepting, or ends the drain */
    bool full, starved, draining;
    void (*close)(struct evconnlistener *evconn, void *context);
    void *close_context;
    void (*on_closed)(void *context);
    void *context;
    char address[LISTENER_ADDRESS_SIZE + 8];
    uint16_t port;
    struct listener *next;
};

/* evconnlistener calls its error callback with evhttp's argument, so that ours is found here. */
static _Thread_local struct listener *listeners;

static void settle_accepting(struct listener *listener)
{
    if (!listener->evconn)
        return;
    if (listener->full || listener->starved)
        evconnlistener_disable(listener->evconn);
    else
        evconnlistener_enable(listener->evconn);
}

static void schedule(struct listener *listener, int64_t after_ms)
{
    struct timeval delay = {after_ms / 1000, (after_ms % 1000) * 1000};

    REQUIRE(event_add(listener->timer, &delay) == 0);
}

static void on_accept_error(struct evconnlistener *evconn, void *context)
{
    struct listener *listener = listeners;

    (void)context;
    while (listener && listener->evconn != evconn)
        listener = listener->next;
    REQUIRE(listener);
    if (listener->draining)
        return;
    /* The socket stays readable: without a pause the loop would spin on it. */
    listener->starved = true;
    settle_accepting(listener);
    schedule(listener, RETRY_ACCEPT_MS);
}

static void close_socket(struct listener *listener)
{
    if (!listener->evconn)
        return;
    if (listener->close)
        listener->close(listener->evconn, listener->close_context);
    else
        evconnlistener_free(listener->evconn);
    listener->evconn = NULL;
}

static void on_timer(int fd, short what, void *context)
{
    struct listener *listener = context;

    (void)fd;
    (void)what;
    if (listener->draining) {
        close_socket(listener);
        if (listener->on_closed)
            listener->on_closed(listener->context);
        return;
    }
    listener->starved = false;
    settle_accepting(listener);
}

/* Cuts "HOST:PORT" and "[IPv6]:PORT". */
static bool split_address(struct view text, char host[256], char port[8])
{
    const char *colon = text.length ? memrchr(text.data, ':', text.length) : NULL;
    struct view name, number;
    uint64_t value;

    if (!colon)
        return false;
    name = view_slice(text, 0, (size_t)(colon - text.data));
    number = view_slice(text, name.length + 1, SIZE_MAX);
    if (view_starts_with(name, VIEW("[")) && view_ends_with(name, VIEW("]")))
        name = view_slice(name, 1, name.length - 2);
    else if (view_find(name, ':') != SIZE_MAX)
        return false;
    if (name.length == 0 || name.length > 255 || number.length == 0 || number.length > 5)
        return false;
    snprintf(host, 256, "%.*s", VIEW_FORMAT(name));
    snprintf(port, 8, "%.*s", VIEW_FORMAT(number));
    return view_to_u64(number, 65535, &value) == ERROR_NONE;
}

static int open_socket(const struct addrinfo *found, bool reuse_port)
{
    int on = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
        (!reuse_port || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
        bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    on = errno;
    close(fd);
    errno = on;
    return -1;
}

static void name_of(const struct sockaddr_storage *address, socklen_t length,
                    char host[LISTENER_ADDRESS_SIZE], uint16_t *port)
{
    char number[8];
    uint64_t value;

    host[0] = '\0';
    *port = 0;
    if (getnameinfo((const struct sockaddr *)address, length, host, LISTENER_ADDRESS_SIZE, number,
                    sizeof(number), NI_NUMERICHOST | NI_NUMERICSERV) == 0 &&
        view_to_u64(view_of(number), 65535, &value) == ERROR_NONE)
        *port = (uint16_t)value;
    /* An IPv4 client of a socket that takes both. */
    if (strncmp(host, "::ffff:", 7) == 0 && strchr(host, '.'))
        memmove(host, host + 7, strlen(host + 7) + 1);
}

static void note_address(struct listener *listener, int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    char host[LISTENER_ADDRESS_SIZE];

    REQUIRE(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    name_of(&address, length, host, &listener->port);
    snprintf(listener->address, sizeof(listener->address), strchr(host, ':') ? "[%s]:%u" : "%s:%u",
             host, listener->port);
}

static enum error bind_address(const char *address, bool reuse_port, int *fd,
                               struct buffer *problem)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char host[256], port[8];
    int outcome;

    if (!split_address(view_of(address), host, port)) {
        buffer_append_format(problem, "\"%s\" is not HOST:PORT or [IPv6]:PORT", address);
        return ERROR_INVALID;
    }
    outcome = getaddrinfo(host, port, &hints, &found);
    if (outcome != 0) {
        buffer_append_format(problem, "cannot find the address %s: %s", address,
                             gai_strerror(outcome));
        return ERROR_NOT_FOUND;
    }
    *fd = open_socket(found, reuse_port);
    outcome = errno;
    freeaddrinfo(found);
    if (*fd >= 0)
        return ERROR_NONE;
    buffer_append_format(problem, "cannot listen on %s: %s", address, strerror(outcome));
    return error_from_errno(outcome);
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
                        struct listener **result, struct buffer *problem)
{
    struct listener *listener;
    int fd = -1;
    enum error error = bind_address(address, reuse_port, &fd, problem);

    if (error != ERROR_NONE)
        return error;
    ignore_broken_pipes();
    listener = calloc(1, sizeof(*listener));
    REQUIRE(listener);
    note_address(listener, fd);
    listener->timer = event_new(base, -1, 0, on_timer, listener);
    listener->evconn =
        evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    REQUIRE(listener->timer && listener->evconn);
    evconnlistener_set_error_cb(listener->evconn, on_accept_error);
    listener->next = listeners;
    listeners = listener;
    *result = listener;
    return ERROR_NONE;
}

void listener_free(struct listener *listener)
{
    struct listener **link = &listeners;

    if (!listener)
        return;
    while (*link != listener)
        link = &(*link)->next;
    *link = listener->next;
    close_socket(listener);
    event_free(listener->timer);
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

struct evconnlistener *listener_evconn(struct listener *listener)
{
    return listener->evconn;
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

    /* Without it a drain is as good as a close can be. */
    if (listener->evconn)
        (void)setsockopt(evconnlistener_get_fd(listener->evconn), SOL_SOCKET, SO_ATTACH_FILTER,
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

void listener_peer(int fd, char address[LISTENER_ADDRESS_SIZE], uint16_t *port)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);

    address[0] = '\0';
    *port = 0;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0)
        name_of(&peer, length, address, port);
}
