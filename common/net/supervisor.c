/* Reads the variables in which systemd passes sockets, and tells it how the process is. */
#include "common/net/supervisor.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum error supervisor_sockets(size_t *count, struct view *names, struct buffer *problem)
{
    const char *count_text = getenv("LISTEN_FDS"), *pid_text = getenv("LISTEN_PID");
    uint64_t pid, number;

    *count = 0;
    *names = view_of(getenv("LISTEN_FDNAMES"));
    if (!count_text || !pid_text)
        return ERROR_NONE;
    if (view_to_u64(view_of(pid_text), INT32_MAX, &pid) != ERROR_NONE ||
        view_to_u64(view_of(count_text), SUPERVISOR_MAX_FDS, &number) != ERROR_NONE) {
        buffer_append_format(problem,
                             "LISTEN_PID and LISTEN_FDS must be numbers, the latter up to %d",
                             SUPERVISOR_MAX_FDS);
        return ERROR_INVALID;
    }
    if (pid == (uint64_t)getpid())
        *count = (size_t)number;
    return ERROR_NONE;
}

void supervisor_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = path ? strlen(path) : 0;

    /* '@' stands for the NUL of an abstract address. */
    if (length < 2 || length >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    close(fd);
}
