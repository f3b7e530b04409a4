/* Gathers the listening sockets, from systemd, from an older process or new ones, and shares them out. */
#include "proxyd/listening.h"

#include "common/base/log.h"
#include "common/net/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char *const kind_names[LISTENING_KINDS] = {"http", "https", "admin"};

void listening_init(struct listening *listening)
{
    memset(listening, 0, sizeof *listening);
}

void listening_release(struct listening *listening)
{
    for (size_t i = 0; i < LISTENING_KINDS; i++)
        listening_close(listening, (enum listening_kind)i);
}

void listening_close(struct listening *listening, enum listening_kind kind)
{
    size_t left = 0;

    for (size_t i = 0; i < listening->count; i++) {
        if (listening->sockets[i].kind == kind)
            close(listening->sockets[i].fd);
        else
            listening->sockets[left++] = listening->sockets[i];
    }
    listening->count = left;
}

static const char *wish_of(const struct config *config, enum listening_kind kind)
{
    switch (kind) {
    case LISTENING_HTTP:
        return config->listen;
    case LISTENING_HTTPS:
        return config->tls_listen;
    case LISTENING_ADMIN:
        return config->admin_listen;
    }
    REQUIRE(false);
    return NULL;
}

static bool has(const struct listening *listening, int fd)
{
    for (size_t i = 0; i < listening->count; i++) {
        if (bound_socket_is_same(listening->sockets[i].fd, fd))
            return true;
    }
    return false;
}

static enum error add(struct listening *listening, enum listening_kind kind, bool kept, int fd,
                      struct buffer *problem)
{
    if (listening->count == LISTENING_MAX) {
        buffer_append_format(problem, "there are more than %d listening sockets", LISTENING_MAX);
        close(fd);
        return ERROR_TOO_BIG;
    }
    listening->sockets[listening->count++] =
        (struct listening_socket){.fd = fd, .kind = kind, .kept = kept};
    return ERROR_NONE;
}

enum error listening_take(struct listening *listening, enum listening_kind kind, bool kept, int fd,
                          struct buffer *problem)
{
    enum error error = bound_socket_adopt(fd, problem);

    if (error != ERROR_NONE || has(listening, fd)) {
        close(fd);
        return error;
    }
    return add(listening, kind, kept, fd, problem);
}

bool listening_wanted(const struct config *config, enum listening_kind kind, bool kept, int fd)
{
    const char *wish = wish_of(config, kind);

    return wish && (kept || bound_socket_is_at(fd, wish));
}

static bool kind_of(const struct config *config, struct view name, int fd,
                    enum listening_kind *kind)
{
    for (size_t i = 0; i < LISTENING_KINDS; i++) {
        *kind = (enum listening_kind)i;
        if (view_equal_string(name, kind_names[i]))
            return true;
    }
    for (size_t i = 0; i < LISTENING_KINDS; i++) {
        *kind = (enum listening_kind)i;
        const char *wish = wish_of(config, *kind);
        if (wish && bound_socket_is_at(fd, wish))
            return true;
    }
    return false;
}

static enum error take_from_systemd(struct listening *listening, const struct config *config,
                                    struct view name, int fd, struct buffer *problem)
{
    char address[BOUND_SOCKET_ADDRESS_SIZE];
    enum listening_kind kind;
    enum error error = bound_socket_adopt(fd, problem);

    if (error != ERROR_NONE)
        return error;
    bound_socket_address(fd, address);
    if (!kind_of(config, name, fd, &kind)) {
        buffer_append_format(problem,
                             "what is the socket \"%.*s\" at %s for? FileDescriptorName= must be "
                             "http, https or admin, or an option must name its address",
                             VIEW_FORMAT(name), address);
        return ERROR_INVALID;
    }
    if (kind == LISTENING_HTTPS && !config->tls_listen) {
        buffer_append_format(problem, "the socket \"https\" at %s needs the option tls-listen",
                             address);
        return ERROR_INVALID;
    }
    return listening_take(listening, kind, true, fd, problem);
}

enum error listening_from_systemd(struct listening *listening, const struct config *config,
                                  struct buffer *problem)
{
    struct view names, name;
    size_t count;
    enum error error = supervisor_sockets(&count, &names, problem);

    for (size_t i = 0; i < count && error == ERROR_NONE; i++) {
        if (!names.data || !view_split(&names, ':', &name))
            name = VIEW("");
        error = take_from_systemd(listening, config, name, SUPERVISOR_FIRST_FD + (int)i, problem);
    }
    return error;
}

static size_t count_of(const struct listening *listening, enum listening_kind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < listening->count; i++)
        count += listening->sockets[i].kind == kind;
    return count;
}

/* Connections that come to a socket of one's own need not be raced for. Others' sockets cannot be
 * joined by a process of another user, nor without SO_REUSEPORT: then workers share what there is. */
static void add_for_workers(struct listening *listening, enum listening_kind kind, size_t wanted)
{
    char address[BOUND_SOCKET_ADDRESS_SIZE];
    struct buffer problem;
    int fd;

    listening_address(listening, kind, address);
    buffer_init(&problem, 1000);
    while (count_of(listening, kind) < wanted &&
           bound_socket_open(address, true, &fd, &problem) == ERROR_NONE &&
           add(listening, kind, false, fd, &problem) == ERROR_NONE)
        ;
    if (problem.length > 0)
        log_write(LOG_WARN, "sockets-shared", LOG_STRING("listen", address),
                  LOG_INTEGER("sockets", count_of(listening, kind)),
                  LOG_VIEW("problem", buffer_view(&problem)));
    buffer_release(&problem);
}

static bool all_reuse_port(const struct listening *listening, enum listening_kind kind)
{
    for (size_t i = 0; i < listening->count; i++) {
        if (listening->sockets[i].kind == kind &&
            !bound_socket_reuses_port(listening->sockets[i].fd))
            return false;
    }
    return true;
}

enum error listening_complete(struct listening *listening, const struct config *config,
                              enum listening_kind kind, struct buffer *problem)
{
    const char *wish = wish_of(config, kind);
    size_t wanted = kind == LISTENING_ADMIN ? 1 : (size_t)config->workers;
    enum error error = ERROR_NONE;
    int fd;

    if (!wish)
        return ERROR_NONE;
    if (count_of(listening, kind) == 0) {
        error = bound_socket_open(wish, kind != LISTENING_ADMIN, &fd, problem);
        if (error == ERROR_NONE)
            error = add(listening, kind, false, fd, problem);
    }
    if (error == ERROR_NONE && !listening_kept(listening, kind) && all_reuse_port(listening, kind))
        add_for_workers(listening, kind, wanted);
    return error;
}

enum error listening_share(const struct listening *listening, enum listening_kind kind,
                           unsigned number, unsigned workers, int fds[LISTENING_MAX], size_t *count,
                           struct buffer *problem)
{
    size_t all = count_of(listening, kind), at = 0;

    *count = 0;
    for (size_t i = 0; i < listening->count; i++) {
        if (listening->sockets[i].kind != kind)
            continue;
        bool mine = at % workers == number || (all < workers && at == number % all);
        at++;
        if (!mine)
            continue;
        int fd = fcntl(listening->sockets[i].fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            enum error error = error_from_errno(errno);
            buffer_append_format(problem, "cannot copy a listening socket: %s", strerror(errno));
            while (*count > 0)
                close(fds[--*count]);
            return error;
        }
        fds[(*count)++] = fd;
    }
    return ERROR_NONE;
}

bool listening_kept(const struct listening *listening, enum listening_kind kind)
{
    for (size_t i = 0; i < listening->count; i++) {
        if (listening->sockets[i].kind == kind && listening->sockets[i].kept)
            return true;
    }
    return false;
}

void listening_address(const struct listening *listening, enum listening_kind kind,
                       char address[BOUND_SOCKET_ADDRESS_SIZE])
{
    address[0] = '\0';
    for (size_t i = 0; i < listening->count && !address[0]; i++) {
        if (listening->sockets[i].kind == kind)
            bound_socket_address(listening->sockets[i].fd, address);
    }
}
