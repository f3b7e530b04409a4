/* Keeps the sockets of a client on the loop, and asks the kernel how far a request came. */
#include "common/net/sockets.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_BUCKETS     256
#define STATE_CLOSE_WAIT 8 /* TCP_CLOSE_WAIT; the header that names it contradicts linux/tcp.h */

struct tracked_socket {
    struct sockets *sockets;
    int fd;
    bool announced;
    struct event *reading, *writing;
    bool reading_on, writing_on; /* registered on the loop */
    bool wants_read;
    struct socket_user *opener; /* until its port is known */
    LIST_ENTRY(tracked_socket) of_opener;
    uint16_t local_port; /* 0 until the first request */
    uint16_t peer_port;
    LIST_ENTRY(tracked_socket) same_bucket;
    struct socket_user *user; /* whose request it carries */
    uint64_t acked_before;    /* tcpi_bytes_acked when that request began */
};

struct sockets {
    struct event_base *base;
    void (*on_event)(int fd, bool readable, bool writable, void *context);
    void *context;
    bool shared;
    struct tracked_socket **by_fd;
    size_t by_fd_length;
    struct tracked_socket_list by_port[PORT_BUCKETS];
    unsigned count;
};

struct sockets *sockets_new(struct event_base *base,
                            void (*on_event)(int fd, bool readable, bool writable, void *context),
                            void *context, bool shared)
{
    struct sockets *sockets = calloc(1, sizeof *sockets);

    REQUIRE(sockets != NULL);
    sockets->base = base;
    sockets->on_event = on_event;
    sockets->context = context;
    sockets->shared = shared;
    return sockets;
}

void sockets_free(struct sockets *sockets)
{
    if (!sockets)
        return;
    REQUIRE(sockets->count == 0);
    free(sockets->by_fd);
    free(sockets);
}

unsigned sockets_count(const struct sockets *sockets)
{
    return sockets->count;
}

static struct tracked_socket *socket_find(const struct sockets *sockets, int fd)
{
    return fd >= 0 && (size_t)fd < sockets->by_fd_length ? sockets->by_fd[fd] : NULL;
}

static void on_socket_event(evutil_socket_t fd, short events, void *context)
{
    struct tracked_socket *tracked = context;

    if ((events & EV_READ) && !tracked->wants_read) {
        event_del(tracked->reading);
        tracked->reading_on = false;
        return;
    }
    tracked->sockets->on_event(fd, events & EV_READ, events & EV_WRITE, tracked->sockets->context);
}

static void grow(struct sockets *sockets, size_t length)
{
    struct tracked_socket **grown =
        realloc(sockets->by_fd, length * sizeof(struct tracked_socket *));

    REQUIRE(grown != NULL);
    for (size_t i = sockets->by_fd_length; i < length; i++)
        grown[i] = NULL;
    sockets->by_fd = grown;
    sockets->by_fd_length = length;
}

static struct tracked_socket *socket_add(struct sockets *sockets, int fd)
{
    struct tracked_socket *tracked = calloc(1, sizeof *tracked);

    REQUIRE(tracked != NULL && fd >= 0);
    if ((size_t)fd >= sockets->by_fd_length)
        grow(sockets, (size_t)fd + 64);
    REQUIRE(sockets->by_fd[fd] == NULL);
    tracked->sockets = sockets;
    tracked->fd = fd;
    tracked->reading = event_new(sockets->base, fd, EV_READ | EV_PERSIST, on_socket_event, tracked);
    tracked->writing =
        event_new(sockets->base, fd, EV_WRITE | EV_PERSIST, on_socket_event, tracked);
    REQUIRE(tracked->reading && tracked->writing);
    sockets->by_fd[fd] = tracked;
    sockets->count++;
    return tracked;
}

static void socket_remove(struct tracked_socket *tracked)
{
    event_free(tracked->reading);
    event_free(tracked->writing);
    if (tracked->opener)
        LIST_REMOVE(tracked, of_opener);
    if (tracked->local_port)
        LIST_REMOVE(tracked, same_bucket);
    if (tracked->user)
        tracked->user->carrier = NULL;
    tracked->sockets->by_fd[tracked->fd] = NULL;
    tracked->sockets->count--;
    free(tracked);
}

void sockets_opened(struct sockets *sockets, int fd, uint16_t peer_port, struct socket_user *user)
{
    struct tracked_socket *gone = socket_find(sockets, fd), *tracked;

    if (gone) /* closed without a word: the kernel gave its number away again */
        socket_remove(gone);
    tracked = socket_add(sockets, fd);
    tracked->announced = true;
    tracked->peer_port = peer_port;
    tracked->opener = user;
    LIST_INSERT_HEAD(&user->opened, tracked, of_opener);
}

static void want_writing(struct tracked_socket *tracked, bool on)
{
    if (tracked->writing_on != on)
        REQUIRE((on ? event_add(tracked->writing, NULL) : event_del(tracked->writing)) == 0);
    tracked->writing_on = on;
}

void sockets_want(struct sockets *sockets, int fd, bool read, bool write)
{
    struct tracked_socket *tracked = socket_find(sockets, fd);

    if (!tracked)
        tracked = socket_add(sockets, fd);
    tracked->wants_read = read;
    want_writing(tracked, write);
    if (read && !tracked->reading_on) {
        REQUIRE(event_add(tracked->reading, NULL) == 0);
        tracked->reading_on = true;
    }
}

void sockets_idle(struct sockets *sockets, int fd)
{
    struct tracked_socket *tracked = socket_find(sockets, fd);

    if (!tracked)
        return;
    tracked->wants_read = false;
    want_writing(tracked, false);
    if (!tracked->announced || (tracked->opener && fcntl(fd, F_GETFD) < 0))
        socket_remove(tracked);
}

static uint64_t bytes_acked(int fd, unsigned *state)
{
    struct tcp_info info;
    socklen_t length = sizeof info;

    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
        info.tcpi_bytes_acked = 0;
    *state = info.tcpi_state;
    return info.tcpi_bytes_acked;
}

static uint16_t local_port_of(int fd)
{
    struct sockaddr_in6 address = {0}; /* the port lies at the same place in sockaddr_in */
    socklen_t length = sizeof address;

    return getsockname(fd, (struct sockaddr *)&address, &length) == 0 ? ntohs(address.sin6_port)
                                                                      : 0;
}

/* The one socket with these ports. Two peers' sockets may share both: then nothing may be claimed of
 * either. */
static struct tracked_socket *socket_by_ports(const struct tracked_socket_list *bucket,
                                              uint16_t local_port, uint16_t peer_port)
{
    struct tracked_socket *tracked, *found = NULL;

    LIST_FOREACH(tracked, bucket, same_bucket)
    {
        if (tracked->local_port != local_port || tracked->peer_port != peer_port)
            continue;
        if (found)
            return NULL;
        found = tracked;
    }
    return found;
}

/* Bytes, the end, or a reset. Between two requests the peer has nothing to say; in TLS neither: what
 * comes after the handshake was read with the first answer. */
static bool has_unasked_input(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

bool sockets_carry(struct sockets *sockets, uint16_t local_port, uint16_t peer_port,
                   struct socket_user *user)
{
    struct tracked_socket_list *bucket = &sockets->by_port[local_port % PORT_BUCKETS];
    struct tracked_socket *tracked;
    unsigned state;

    LIST_FOREACH(tracked, &user->opened, of_opener)
    {
        if (local_port_of(tracked->fd) == local_port)
            break;
    }
    if (tracked) {
        LIST_REMOVE(tracked, of_opener);
        tracked->opener = NULL;
        tracked->local_port = local_port;
        LIST_INSERT_HEAD(bucket, tracked, same_bucket);
    } else if (!sockets->shared) {
        tracked = socket_by_ports(bucket, local_port, peer_port);
        user->refused = tracked && has_unasked_input(tracked->fd);
    }
    if (!tracked || user->refused || sockets->shared)
        return !user->refused;
    if (tracked->user) /* its request is over: the client gave the socket on before it said so */
        tracked->user->carrier = NULL;
    tracked->user = user;
    tracked->acked_before = bytes_acked(tracked->fd, &state);
    user->carrier = tracked;
    return true;
}

/* Nothing acknowledged alone proves nothing: a peer may read and reset before its delayed
 * acknowledgement leaves, and the kernel does not look at a reset's own. A FIN does carry it, and
 * shows as CLOSE_WAIT, or as a pending EPIPE when a reset for our bytes came after it. */
static bool proves_untouched(const struct tracked_socket *tracked)
{
    unsigned state = 0;
    int error = 0;
    socklen_t length = sizeof error;

    if (bytes_acked(tracked->fd, &state) != tracked->acked_before)
        return false;
    if (getsockopt(tracked->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        return false;
    return state == STATE_CLOSE_WAIT || error == EPIPE;
}

int sockets_close(struct sockets *sockets, int fd)
{
    struct tracked_socket *tracked = socket_find(sockets, fd);

    if (tracked && tracked->user)
        tracked->user->untouched = proves_untouched(tracked);
    if (tracked)
        socket_remove(tracked);
    return close(fd);
}

void socket_user_release(struct socket_user *user)
{
    struct tracked_socket *tracked;

    while ((tracked = LIST_FIRST(&user->opened)) != NULL)
        socket_remove(tracked);
    if (user->carrier)
        user->carrier->user = NULL;
    user->carrier = NULL;
}
