/*
 * The sockets of an HTTP client on an event loop: read events that stay registered between
 * requests, and what the kernel knows of how far a request came.
 *
 * A socket of the pool that the peer has closed stays readable for ever; it is taken off the loop
 * when that shows and nobody waits for bytes. Knows no HTTP and no client library. Not thread-safe.
 */
#ifndef COMMON_NET_SOCKETS_H
#define COMMON_NET_SOCKETS_H

#include "common/base/bytes.h"

#include <sys/queue.h>

struct event_base;
struct sockets;
struct tracked_socket;

LIST_HEAD(tracked_socket_list, tracked_socket);

/* One request's view: the sockets it opened, the one that carries it. Embedded in the request. */
struct socket_user {
    struct tracked_socket_list opened;
    struct tracked_socket *carrier;
    bool untouched; /* the carrier was closed, with proof that the peer took nothing of it */
    bool refused;   /* by sockets_carry: nothing was written */
};

/* `shared`: a connection may carry several requests at once (HTTP/2): then nothing is claimed of how
 * far one of them came, and bytes that nobody asked for are lawful. */
struct sockets *sockets_new(struct event_base *base,
                            void (*on_event)(int fd, bool readable, bool writable, void *context),
                            void *context, bool shared);
/* All sockets must be closed. */
void sockets_free(struct sockets *sockets);
unsigned sockets_count(const struct sockets *sockets);

/* A new socket, made for `user`; it is tracked until sockets_close, or, if it never carries a
 * request, until socket_user_release: libcurl 7.88 closes what does not get connected without a word. */
void sockets_opened(struct sockets *sockets, int fd, uint16_t peer_port, struct socket_user *user);
/* What is waited for. A socket that was not announced by sockets_opened is tracked until
 * sockets_idle. */
void sockets_want(struct sockets *sockets, int fd, bool read, bool write);
/* Nothing is waited for until the next sockets_want. */
void sockets_idle(struct sockets *sockets, int fd);
/* `user` is about to write a request on the connection with these ports. False when a kept one has
 * bytes waiting that nobody asked for, or has ended: what came is no answer to this request, and the
 * connection must not be used. */
bool sockets_carry(struct sockets *sockets, uint16_t local_port, uint16_t peer_port,
                   struct socket_user *user);
/* Says what is known (untouched) to the user it carries, then closes. Gives close()'s result. */
int sockets_close(struct sockets *sockets, int fd);
/* The user dies or its request is over; the sockets it opened in vain are closed. */
void socket_user_release(struct socket_user *user);

#endif
