/*
 * Listening sockets of one kind on the event loop, for whoever accepts: paused while descriptors run
 * out or while their user is full. It accepts nothing itself: the user sets the callback of each
 * listener_evconn (evhttp does so by itself). Not thread-safe: one loop's thread.
 */
#ifndef COMMON_NET_LISTENER_H
#define COMMON_NET_LISTENER_H

#include "common/net/bound_socket.h"

struct event_base;
struct evconnlistener;
struct listener;

#define LISTENER_ADDRESS_SIZE BOUND_SOCKET_HOST_SIZE

/* One socket, made by bound_socket_open. SIGPIPE is ignored from then on, unless the process handles
 * it. On failure one sentence goes to `problem`. */
enum error listener_new(struct event_base *base, const char *address, bool reuse_port,
                        struct listener **listener, struct buffer *problem) MUST_CHECK;
/* On sockets that listen already, at least one; takes the descriptors. */
struct listener *listener_adopt(struct event_base *base, const int *fds, size_t count);
/* Closes the sockets: what is queued on them is reset, unless somebody else holds them as well. */
void listener_free(struct listener *listener);
/* What the first was really bound to, "127.0.0.1:43211"; borrowed. */
const char *listener_address(const struct listener *listener);
/* 0 when their ports differ. */
uint16_t listener_port(const struct listener *listener);
size_t listener_count(const struct listener *listener);
/* Borrowed; never free it. */
struct evconnlistener *listener_evconn(struct listener *listener, size_t index);
/* Somebody else (evhttp) owns the sockets by now and frees each when `close` says so. */
void listener_set_close(struct listener *listener,
                        void (*close)(struct evconnlistener *evconn, void *context), void *context);
/* Its user is full: accept no more until told otherwise. */
void listener_pause(struct listener *listener, bool paused);
/* Accepts what the kernel has queued, then closes the sockets and calls on_closed (from the loop). */
void listener_drain(struct listener *listener, void (*on_closed)(void *context), void *context);
/* Accepts nothing from now on: what is queued, and what comes, is for those who hold the sockets as
 * well. */
void listener_leave(struct listener *listener);

/* Numeric address and port of a connected socket's peer; "" and 0 when it has none. */
void listener_peer(int fd, char address[LISTENER_ADDRESS_SIZE], uint16_t *port);
/* The port a connected socket came in by; 0 when it is none. */
uint16_t listener_local_port(int fd);

#endif
