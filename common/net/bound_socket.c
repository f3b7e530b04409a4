/* Binds listening sockets, and looks at those that others have bound. */
#include "common/net/bound_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

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

static enum error resolve(const char *address, struct addrinfo **found, struct buffer *problem)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    char host[256], port[8];
    int outcome;

    if (!split_address(view_of(address), host, port)) {
        buffer_append_format(problem, "\"%s\" is not HOST:PORT or [IPv6]:PORT", address);
        return ERROR_INVALID;
    }
    outcome = getaddrinfo(host, port, &hints, found);
    if (outcome == 0)
        return ERROR_NONE;
    buffer_append_format(problem, "cannot find the address %s: %s", address, gai_strerror(outcome));
    return ERROR_NOT_FOUND;
}

enum error bound_socket_open(const char *address, bool reuse_port, int *fd, struct buffer *problem)
{
    struct addrinfo *found = NULL;
    enum error error = resolve(address, &found, problem);
    int outcome;

    if (error != ERROR_NONE)
        return error;
    *fd = open_socket(found, reuse_port);
    outcome = errno;
    freeaddrinfo(found);
    if (*fd >= 0)
        return ERROR_NONE;
    buffer_append_format(problem, "cannot listen on %s: %s", address, strerror(outcome));
    return error_from_errno(outcome);
}

static int option_of(int fd, int name)
{
    int value = -1;
    socklen_t length = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

enum error bound_socket_adopt(int fd, struct buffer *problem)
{
    int family = option_of(fd, SO_DOMAIN), on = 1;

    if ((family != AF_INET && family != AF_INET6) || option_of(fd, SO_TYPE) != SOCK_STREAM ||
        option_of(fd, SO_ACCEPTCONN) != 1) {
        buffer_append_format(problem, "descriptor %d is no TCP socket that listens", fd);
        return ERROR_INVALID;
    }
    int flags = fcntl(fd, F_GETFL);
    REQUIRE(flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
    REQUIRE(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
    REQUIRE(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
    return ERROR_NONE;
}

void bound_socket_numeric(const struct sockaddr_storage *address, unsigned length,
                          char host[BOUND_SOCKET_HOST_SIZE], uint16_t *port)
{
    char number[8];
    uint64_t value;

    host[0] = '\0';
    *port = 0;
    if (getnameinfo((const struct sockaddr *)address, length, host, BOUND_SOCKET_HOST_SIZE, number,
                    sizeof(number), NI_NUMERICHOST | NI_NUMERICSERV) == 0 &&
        view_to_u64(view_of(number), 65535, &value) == ERROR_NONE)
        *port = (uint16_t)value;
    if (strncmp(host, "::ffff:", 7) == 0 && strchr(host, '.'))
        memmove(host, host + 7, strlen(host + 7) + 1);
}

uint16_t bound_socket_address(int fd, char text[BOUND_SOCKET_ADDRESS_SIZE])
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    char host[BOUND_SOCKET_HOST_SIZE];
    uint16_t port;

    REQUIRE(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    bound_socket_numeric(&address, length, host, &port);
    snprintf(text, BOUND_SOCKET_ADDRESS_SIZE, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    return port;
}

bool bound_socket_is_at(int fd, const char *address)
{
    char ours[BOUND_SOCKET_HOST_SIZE], theirs[BOUND_SOCKET_HOST_SIZE];
    struct sockaddr_storage bound, wished = {0};
    struct addrinfo *found = NULL;
    uint16_t our_port, their_port;
    socklen_t length = sizeof(bound);
    struct buffer problem;

    buffer_init(&problem, 1000);
    enum error error = resolve(address, &found, &problem);
    buffer_release(&problem);
    if (error != ERROR_NONE)
        return false;
    REQUIRE(getsockname(fd, (struct sockaddr *)&bound, &length) == 0);
    bound_socket_numeric(&bound, length, ours, &our_port);
    memcpy(&wished, found->ai_addr, found->ai_addrlen);
    bound_socket_numeric(&wished, found->ai_addrlen, theirs, &their_port);
    freeaddrinfo(found);
    return strcmp(ours, theirs) == 0 && (their_port == 0 || their_port == our_port);
}

bool bound_socket_reuses_port(int fd)
{
    return option_of(fd, SO_REUSEPORT) == 1;
}

bool bound_socket_is_same(int a, int b)
{
    uint64_t one = 0, other = 1;
    socklen_t length = sizeof(one);

    return getsockopt(a, SOL_SOCKET, SO_COOKIE, &one, &length) == 0 &&
           getsockopt(b, SOL_SOCKET, SO_COOKIE, &other, &length) == 0 && one == other;
}
