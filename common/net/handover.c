/* Passes listening sockets from one process to the next, in packets of a Unix socket. */
#include "common/net/handover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD_BYTES  6
#define OFFER_BYTES 11 /* generation, total, count */
#define WAITING     4  /* processes that may wait to take over */

static void append_number(struct buffer *packet, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        buffer_append_byte(packet, (char)(value >> (8 * i) & 0xff));
}

static uint64_t number_at(struct view packet, size_t at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)(unsigned char)packet.data[at + i] << (8 * i);
    return value;
}

void handover_encode(const struct handover_message *message, struct buffer *packet)
{
    buffer_append_string(packet, "PXHO");
    append_number(packet, HANDOVER_VERSION, 1);
    append_number(packet, (uint64_t)message->type, 1);
    switch (message->type) {
    case HANDOVER_OFFER:
        REQUIRE(message->count <= HANDOVER_MAX_SOCKETS);
        append_number(packet, message->generation, 8);
        append_number(packet, message->total, 2);
        append_number(packet, message->count, 1);
        for (size_t i = 0; i < message->count; i++) {
            append_number(packet, message->sockets[i].kind, 1);
            append_number(packet, message->sockets[i].flags, 1);
        }
        break;
    case HANDOVER_READY:
        append_number(packet, message->kinds, 1);
        break;
    case HANDOVER_REFUSED:
        buffer_append_string(packet, message->reason);
        break;
    case HANDOVER_ASK:
    case HANDOVER_LEFT:
        break;
    }
}

static enum error decode_offer(struct view rest, struct handover_message *message)
{
    if (rest.length < OFFER_BYTES)
        return ERROR_INVALID;
    message->generation = number_at(rest, 0, 8);
    message->total = (uint16_t)number_at(rest, 8, 2);
    message->count = (size_t)number_at(rest, 10, 1);
    if (message->count == 0 || message->count > HANDOVER_MAX_SOCKETS ||
        message->count > message->total || rest.length != OFFER_BYTES + 2 * message->count)
        return ERROR_INVALID;
    for (size_t i = 0; i < message->count; i++) {
        message->sockets[i].kind = (uint8_t)number_at(rest, OFFER_BYTES + 2 * i, 1);
        message->sockets[i].flags = (uint8_t)number_at(rest, OFFER_BYTES + 2 * i + 1, 1);
        message->sockets[i].fd = -1;
    }
    return ERROR_NONE;
}

/* It goes to a log or a terminal. */
static void decode_reason(struct view text, struct handover_message *message)
{
    size_t length = text.length < HANDOVER_MAX_REASON ? text.length : HANDOVER_MAX_REASON;

    for (size_t i = 0; i < length; i++)
        message->reason[i] = text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?';
    message->reason[length] = '\0';
}

enum error handover_decode(struct view packet, struct handover_message *message,
                           struct buffer *problem)
{
    enum error error = ERROR_INVALID;

    memset(message, 0, sizeof *message);
    if (packet.length >= HEAD_BYTES && view_starts_with(packet, VIEW("PXHO"))) {
        unsigned version = (unsigned)number_at(packet, 4, 1),
                 type = (unsigned)number_at(packet, 5, 1);
        struct view rest = view_slice(packet, HEAD_BYTES, SIZE_MAX);
        message->type = (enum handover_type)type;
        if (type == HANDOVER_REFUSED) {
            decode_reason(rest, message);
            return ERROR_NONE;
        }
        if (version != HANDOVER_VERSION) {
            buffer_append_format(problem,
                                 "the other process speaks version %u of the hand-over, "
                                 "this one version %d",
                                 version, HANDOVER_VERSION);
            return ERROR_UNSUPPORTED;
        }
        if (type == HANDOVER_OFFER) {
            error = decode_offer(rest, message);
        } else if (type == HANDOVER_READY && rest.length == 1) {
            message->kinds = (uint8_t)number_at(rest, 0, 1);
            error = ERROR_NONE;
        } else if ((type == HANDOVER_ASK || type == HANDOVER_LEFT) && rest.length == 0) {
            error = ERROR_NONE;
        }
    }
    if (error != ERROR_NONE)
        buffer_append_string(problem, "the other process sent what is no message of a hand-over");
    return error;
}

static enum error broken(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK ? ERROR_TIMEOUT : ERROR_BROKEN;
}

enum error handover_send(int fd, const struct handover_message *message)
{
    char control[CMSG_SPACE(sizeof(int) * HANDOVER_MAX_SOCKETS)] = {0};
    struct iovec bytes;
    struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1};
    struct buffer packet;
    ssize_t sent;

    buffer_init(&packet, HANDOVER_MAX_BYTES);
    handover_encode(message, &packet);
    REQUIRE(packet.error == ERROR_NONE);
    bytes = (struct iovec){packet.data, packet.length};
    if (message->type == HANDOVER_OFFER) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * message->count);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * message->count);
        for (size_t i = 0; i < message->count; i++)
            memcpy(CMSG_DATA(rights) + i * sizeof(int), &message->sockets[i].fd, sizeof(int));
    }
    do {
        sent = sendmsg(fd, &header, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    enum error error = sent < 0 ? broken() : ERROR_NONE;
    buffer_release(&packet);
    return error;
}

/* All that came, also what was not announced. */
static size_t descriptors_of(struct msghdr *header, int fds[HANDOVER_MAX_SOCKETS])
{
    size_t count = 0;

    for (struct cmsghdr *each = CMSG_FIRSTHDR(header); each; each = CMSG_NXTHDR(header, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here && count < HANDOVER_MAX_SOCKETS; i++)
            memcpy(&fds[count++], CMSG_DATA(each) + i * sizeof(int), sizeof(int));
    }
    return count;
}

enum error handover_receive(int fd, struct handover_message *message, struct buffer *problem)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * HANDOVER_MAX_SOCKETS)];
    char packet[HANDOVER_MAX_BYTES];
    struct iovec bytes = {packet, sizeof packet};
    struct msghdr header = {.msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof control};
    int fds[HANDOVER_MAX_SOCKETS];
    ssize_t length;

    do {
        length = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length <= 0)
        return length == 0 ? ERROR_BROKEN : broken();
    size_t count = descriptors_of(&header, fds);
    enum error error = handover_decode(view_from(packet, (size_t)length), message, problem);
    if (error == ERROR_NONE && ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
                                count != (message->type == HANDOVER_OFFER ? message->count : 0))) {
        buffer_append_string(problem,
                             "sockets were lost on their way; may this process open enough "
                             "descriptors?");
        error = ERROR_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        if (error == ERROR_NONE)
            message->sockets[i].fd = fds[i];
        else
            close(fds[i]);
    }
    return error;
}

static bool name(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    return snprintf(address->sun_path, sizeof address->sun_path, "%s", path) <
           (int)sizeof address->sun_path;
}

/* Bound beside the path and moved there, so that nobody meets a socket that does not listen yet. */
static bool bind_at(int fd, const char *path)
{
    struct sockaddr_un address, beside;
    char text[sizeof beside.sun_path + 16];
    struct stat there;

    snprintf(text, sizeof text, "%s.%d", path, (int)getpid());
    if (!name(path, &address) || !name(text, &beside)) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (lstat(path, &there) == 0 && !S_ISSOCK(there.st_mode)) {
        errno = EEXIST;
        return false;
    }
    unlink(text);
    if (bind(fd, (struct sockaddr *)&beside, sizeof beside) != 0)
        return false;
    if (chmod(text, 0600) == 0 && listen(fd, WAITING) == 0 && rename(text, path) == 0)
        return true;
    int number = errno;
    unlink(text);
    errno = number;
    return false;
}

enum error handover_listen(const char *path, int *fd, struct buffer *problem)
{
    *fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd >= 0 && bind_at(*fd, path))
        return ERROR_NONE;
    int number = errno;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    buffer_append_format(problem, "cannot listen on %s: %s", path, strerror(number));
    return error_from_errno(number);
}

bool handover_listen_as_ours(int fd)
{
    int domain = 0, type = 0;
    socklen_t length = sizeof domain;

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET &&
           listen(fd, WAITING) == 0;
}

bool handover_peer_is_ours(int fd, int *pid)
{
    struct ucred peer = {0};
    socklen_t length = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return false;
    *pid = (int)peer.pid;
    return peer.uid == geteuid() || peer.uid == 0;
}

static enum error connect_to(int fd, const char *path, int64_t timeout_ms, struct buffer *problem)
{
    struct timeval most = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    struct sockaddr_un address;
    struct stat there;
    int pid;

    if (!name(path, &address)) {
        buffer_append_format(problem, "%s is too long for a socket", path);
        return ERROR_INVALID;
    }
    if (lstat(path, &there) == 0 && there.st_uid != geteuid() && there.st_uid != 0) {
        buffer_append_format(problem, "%s belongs to another user", path);
        return ERROR_DENIED;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) != 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return ERROR_NOT_FOUND;
        buffer_append_format(problem, "cannot connect to %s: %s", path, strerror(errno));
        return error_from_errno(errno);
    }
    if (handover_peer_is_ours(fd, &pid))
        return ERROR_NONE;
    buffer_append_format(problem, "the process that listens on %s belongs to another user", path);
    return ERROR_DENIED;
}

enum error handover_connect(const char *path, int64_t timeout_ms, int *fd, struct buffer *problem)
{
    *fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    REQUIRE(*fd >= 0);
    enum error error = connect_to(*fd, path, timeout_ms, problem);
    if (error != ERROR_NONE) {
        close(*fd);
        *fd = -1;
    }
    return error;
}
