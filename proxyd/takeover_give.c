/* Gives the listening sockets to the next process, and has this one drain when that one serves. */
#include "proxyd/takeover.h"

#include "common/base/log.h"
#include "common/net/handover.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct giver {
    struct event_base *base;
    const struct config *config;
    const struct listening *listening;
    struct giver_hooks hooks;
    void *context;
    int fd; /* listens for the next process */
    struct event *accepting;
    struct stat path; /* as it was when this process began to listen there */
    struct {
        int fd; /* -1: none is taking over */
        int pid;
        bool offered;
        struct event *reading, *timer;
    } peer;
};

static void drop_peer(struct giver *giver)
{
    if (giver->peer.fd < 0)
        return;
    event_free(giver->peer.reading);
    event_del(giver->peer.timer);
    close(giver->peer.fd);
    giver->peer.fd = -1;
    if (giver->fd >= 0)
        event_add(giver->accepting, NULL);
}

static void refuse(int fd, const char *reason)
{
    struct handover_message message = {.type = HANDOVER_REFUSED};

    snprintf(message.reason, sizeof message.reason, "%s", reason);
    (void)!handover_send(fd, &message); /* it sees the end at the least */
}

static void fail(struct giver *giver, const char *reason)
{
    log_write(LOG_WARN, "hand-over-failed", LOG_INTEGER("to", giver->peer.pid),
              LOG_STRING("problem", reason));
    refuse(giver->peer.fd, reason);
    drop_peer(giver);
}

/* The last of all is the socket that the next but one will come to. */
static enum error offer(struct giver *giver)
{
    const struct listening *listening = giver->listening;
    struct handover_message message = {.type = HANDOVER_OFFER,
                                       .generation = giver->hooks.generation(giver->context),
                                       .total = (uint16_t)(listening->count + 1)};
    enum error error = ERROR_NONE;

    for (size_t i = 0; i <= listening->count && error == ERROR_NONE; i++) {
        bool last = i == listening->count;
        message.sockets[message.count].kind =
            last ? LISTENING_KINDS : (uint8_t)listening->sockets[i].kind;
        message.sockets[message.count].flags =
            !last && listening->sockets[i].kept ? HANDOVER_KEPT : 0;
        message.sockets[message.count].fd = last ? giver->fd : listening->sockets[i].fd;
        message.count++;
        if (last || message.count == HANDOVER_MAX_SOCKETS) {
            error = handover_send(giver->peer.fd, &message);
            message.count = 0;
        }
    }
    return error;
}

static void leave(struct giver *giver, unsigned kinds)
{
    struct handover_message message = {.type = HANDOVER_LEFT};

    log_write(LOG_INFO, "handed-over", LOG_INTEGER("to", giver->peer.pid));
    /* Closed, so that nobody waits on it when the next process is gone one day. */
    event_del(giver->accepting);
    close(giver->fd);
    giver->fd = -1;
    giver->hooks.on_given(kinds, giver->context);
    (void)!handover_send(giver->peer.fd, &message); /* gone: it serves without our word */
    drop_peer(giver);
}

static void on_peer(evutil_socket_t fd, short events, void *context)
{
    struct giver *giver = context;
    struct handover_message message;
    struct buffer problem;

    (void)events;
    buffer_init(&problem, 1000);
    enum error error = handover_receive(fd, &message, &problem);
    if (error == ERROR_NONE && message.type == HANDOVER_OFFER) {
        for (size_t i = 0; i < message.count; i++)
            close(message.sockets[i].fd);
    }
    if (error == ERROR_TIMEOUT)
        ; /* woken for nothing */
    else if (error == ERROR_BROKEN)
        fail(giver, "the process that would take over ended");
    else if (error != ERROR_NONE)
        fail(giver, problem.data);
    else if (message.type == HANDOVER_ASK && !giver->peer.offered) {
        giver->peer.offered = true;
        if (offer(giver) != ERROR_NONE)
            fail(giver, "the sockets could not be sent");
    } else if (message.type == HANDOVER_READY && giver->peer.offered)
        leave(giver, message.kinds);
    else
        fail(giver, message.type == HANDOVER_REFUSED ? message.reason : "it speaks out of turn");
    buffer_release(&problem);
}

static void on_timer(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    fail(context, "the process that takes over was not ready in time");
}

static void on_accept(evutil_socket_t listening, short events, void *context)
{
    struct giver *giver = context;
    struct timeval most = {giver->config->takeover_timeout_ms / 1000,
                           giver->config->takeover_timeout_ms % 1000 * 1000};
    int pid = 0, fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    if (fd < 0)
        return;
    if (!handover_peer_is_ours(fd, &pid)) {
        log_write(LOG_WARN, "hand-over-refused", LOG_INTEGER("to", pid));
        refuse(fd, "only processes of the same user may take over");
        close(fd);
        return;
    }
    /* The next waits in the queue, and is served by whoever serves then. */
    event_del(giver->accepting);
    giver->peer.fd = fd;
    giver->peer.pid = pid;
    giver->peer.offered = false;
    giver->peer.reading = event_new(giver->base, fd, EV_READ | EV_PERSIST, on_peer, giver);
    REQUIRE(giver->peer.reading && event_add(giver->peer.reading, NULL) == 0);
    event_add(giver->peer.timer, &most);
}

enum error giver_new(struct event_base *base, int fd, const struct config *config,
                     const struct listening *listening, const struct giver_hooks *hooks,
                     void *context, struct giver **result, struct buffer *problem)
{
    enum error error = ERROR_NONE;

    if (fd >= 0 && !handover_listen_as_ours(fd)) {
        close(fd);
        fd = -1;
    }
    if (fd < 0)
        error = handover_listen(config->takeover_socket, &fd, problem);
    if (error != ERROR_NONE)
        return error;
    struct giver *giver = calloc(1, sizeof *giver);
    REQUIRE(giver != NULL);
    giver->base = base;
    giver->config = config;
    giver->listening = listening;
    giver->hooks = *hooks;
    giver->context = context;
    giver->fd = fd;
    giver->peer.fd = -1;
    (void)lstat(config->takeover_socket, &giver->path);
    giver->accepting = event_new(base, fd, EV_READ | EV_PERSIST, on_accept, giver);
    giver->peer.timer = event_new(base, -1, 0, on_timer, giver);
    REQUIRE(giver->accepting && giver->peer.timer && event_add(giver->accepting, NULL) == 0);
    *result = giver;
    return ERROR_NONE;
}

void giver_free(struct giver *giver)
{
    if (!giver)
        return;
    if (giver->peer.fd >= 0)
        fail(giver, "this process ends");
    event_free(giver->accepting);
    event_free(giver->peer.timer);
    if (giver->fd >= 0) {
        struct stat now;

        if (lstat(giver->config->takeover_socket, &now) == 0 && now.st_ino == giver->path.st_ino &&
            now.st_dev == giver->path.st_dev)
            unlink(giver->config->takeover_socket);
        close(giver->fd);
    }
    free(giver);
}
