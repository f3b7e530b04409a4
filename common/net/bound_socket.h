/*
 * Listening sockets as bare descriptors: bound here, or bound by somebody else and given to us
 * (systemd, an older process). They know no event loop: see listener.h.
 */
#ifndef COMMON_NET_BOUND_SOCKET_H
#define COMMON_NET_BOUND_SOCKET_H

#include "common/base/bytes.h"

struct sockaddr_storage;

/* "255.255.255.255", an IPv6 address with a scope, and NUL. */
#define BOUND_SOCKET_HOST_SIZE 64
/* The same with a port, "[…]:65535". */
#define BOUND_SOCKET_ADDRESS_SIZE (BOUND_SOCKET_HOST_SIZE + 8)

/*
 * Binds and listens: SO_REUSEADDR, TCP_NODELAY (Linux hands it on to what is accepted, without it
 * answers above 64 KiB wait 40 ms), SO_REUSEPORT when asked. `address` is "HOST:PORT", HOST an IPv4
 * address, an IPv6 address in brackets or a name; port 0 lets the kernel choose. On failure one
 * sentence goes to `problem`. The caller owns `fd`.
 */
enum error bound_socket_open(const char *address, bool reuse_port, int *fd,
                             struct buffer *problem) MUST_CHECK;
/* Makes a socket that somebody else has bound as ours are: non-blocking, close-on-exec,
 * TCP_NODELAY. ERROR_INVALID, with a sentence, when it is no TCP socket that listens. */
enum error bound_socket_adopt(int fd, struct buffer *problem) MUST_CHECK;
/* What it is bound to, "127.0.0.1:43211"; the port is given back. */
uint16_t bound_socket_address(int fd, char address[BOUND_SOCKET_ADDRESS_SIZE]);
/* Whether it is bound to that "HOST:PORT"; port 0 is any. */
bool bound_socket_is_at(int fd, const char *address);
/* Whether the kernel lets others bind its address beside it. */
bool bound_socket_reuses_port(int fd);
/* Whether two descriptors are one socket. */
bool bound_socket_is_same(int a, int b);

/* Numeric host and port; "" and 0 when there is none. An IPv4 client of a socket that takes both is
 * told as IPv4. */
void bound_socket_numeric(const struct sockaddr_storage *address, unsigned length,
                          char host[BOUND_SOCKET_HOST_SIZE], uint16_t *port);

#endif
