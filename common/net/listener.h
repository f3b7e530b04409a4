/*
 * A listening socket on the event loop, for whoever accepts: bound from "HOST:PORT", paused while
 * descriptors run out or while its user is full. It accepts nothing itself: the user sets the
 * callback of listener_evconn (evhttp does so by itself). Not thread-safe: one loop's thread.
 */
#ifndef COMMON_NET_LISTENER_H
#define COMMON_NET_LISTENER_H

#include "common/base/bytes.h"

struct event_base;
struct evconnlistener;
struct listener;

/* "255.255.255.255", an IPv6 address with a scope, and NUL. */
#define LISTENER_ADDRESS_SIZE 64

/*
 * Binds and listens: SO_REUSEADDR, TCP_NODELAY (Linux hands it on to what is accepted, without it
 * answers above 64 KiB wait 40 ms), SO_REUSEPORT when asked. SIGPIPE is ignored from then on, unless
 * the process handles it. `address` is "HOST:PORT", HOST an IPv4 address, an IPv6 address in
 * brackets or a name; port 0 lets the kernel choose. On failure one sentence goes to `problem`.
 */
enum error listener_new(struct event_base *base, const char *address, bool reuse_port,
                        struct listener **listener, struct buffer *problem) MUST_CHECK;
/* Closes the socket: what is queued on it is reset. */
void listener_free(struct listener *listener);
/* What was really bound, "127.0.0.1:43211"; borrowed. */
const char *listener_address(const struct listener *listener);
uint16_t listener_port(const struct listener *listener);
/* Borrowed; never free it. */
struct evconnlistener *listener_evconn(struct listener *listener);
/* Somebody else (evhttp) owns the socket by now and frees it when `close` says so. */
void listener_set_close(struct listener *listener,
                        void (*close)(struct evconnlistener *evconn, void *context), void *context);
/* Its user is full: accept no more until told otherwise. */
void listener_pause(struct listener *listener, bool paused);
/* Accepts what the kernel has queued, then closes the socket and calls on_closed (from the loop). */
void listener_drain(struct listener *listener, void (*on_closed)(void *context), void *context);

/* Numeric address and port of a connected socket's peer; "" and 0 when it has none. */
void listener_peer(int fd, char address[LISTENER_ADDRESS_SIZE], uint16_t *port);

#endif
