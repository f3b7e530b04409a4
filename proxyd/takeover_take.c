/* Asks the running process for its listening sockets, and tells it when this one serves on them. */
#include "proxyd/takeover.h"

#include "common/base/log.h"
#include "common/net/handover.h"

#include <unistd.h>

#define TRIES 3 /* an old process that dies just now is met by its refusing socket next */

static enum error fail(struct buffer *problem, enum error error)
{
    struct buffer reason;

    buffer_init(&reason, 1000);
    buffer_append_view(&reason, buffer_view(problem));
    buffer_clear(problem);
    buffer_append_string(problem, "cannot take over from the running process: ");
    if (reason.length > 0)
        buffer_append_view(problem, buffer_view(&reason));
    else if (error == ERROR_TIMEOUT)
        buffer_append_string(problem, "it does not answer in time");
    else
        buffer_append_string(problem, "it broke the hand-over off");
    buffer_release(&reason);
    return error;
}

/* What the configuration does not want any more stays with the old process, which ends it in order. */
static enum error take_socket(struct taker *taker, struct listening *listening, unsigned kind,
                              bool kept, int fd, struct buffer *problem)
{
    char address[BOUND_SOCKET_ADDRESS_SIZE];

    if (kind == LISTENING_KINDS) {
        if (taker->giver_fd >= 0)
            close(taker->giver_fd);
        taker->giver_fd = fd;
        return ERROR_NONE;
    }
    if (kind < LISTENING_KINDS &&
        listening_wanted(taker->config, (enum listening_kind)kind, kept, fd)) {
        taker->kinds |= 1u << kind;
        return listening_take(listening, (enum listening_kind)kind, kept, fd, problem);
    }
    bound_socket_address(fd, address);
    log_write(LOG_WARN, "socket-not-wanted", LOG_STRING("listen", address));
    close(fd);
    return ERROR_NONE;
}

static enum error take_packet(struct taker *taker, struct listening *listening,
                              const struct handover_message *offer, struct buffer *problem)
{
    enum error error = ERROR_NONE;

    for (size_t i = 0; i < offer->count; i++) {
        if (error != ERROR_NONE)
            close(offer->sockets[i].fd);
        else
            error =
                take_socket(taker, listening, offer->sockets[i].kind,
                            offer->sockets[i].flags & HANDOVER_KEPT, offer->sockets[i].fd, problem);
    }
    return error;
}

static enum error receive(struct taker *taker, struct handover_message *message,
                          enum handover_type expected, struct buffer *problem)
{
    enum error error = handover_receive(taker->fd, message, problem);

    if (error != ERROR_NONE)
        return error;
    if (message->type == HANDOVER_REFUSED) {
        buffer_append_format(problem, "it says: %s", message->reason);
        return ERROR_DENIED;
    }
    if (message->type == expected)
        return ERROR_NONE;
    if (message->type == HANDOVER_OFFER) {
        for (size_t i = 0; i < message->count; i++)
            close(message->sockets[i].fd);
    }
    buffer_append_string(problem, "it answers out of turn");
    return ERROR_INVALID;
}

static enum error take_all(struct taker *taker, struct listening *listening, struct buffer *problem)
{
    struct handover_message message = {.type = HANDOVER_ASK};
    enum error error = handover_send(taker->fd, &message);
    size_t taken = 0, total = 1;

    while (error == ERROR_NONE && taken < total) {
        error = receive(taker, &message, HANDOVER_OFFER, problem);
        if (error != ERROR_NONE)
            break;
        taken += message.count;
        total = message.total;
        taker->generation = message.generation;
        error = take_packet(taker, listening, &message, problem);
    }
    return error;
}

/* Half of what was offered is worth nothing. */
static void give_back(struct taker *taker, struct listening *listening)
{
    for (unsigned kind = 0; kind < LISTENING_KINDS; kind++) {
        if (taker->kinds & (1u << kind))
            listening_close(listening, (enum listening_kind)kind);
    }
    taker_release(taker);
    taker->kinds = 0;
}

enum error taker_begin(struct taker *taker, const struct config *config,
                       struct listening *listening, struct buffer *problem)
{
    const char *path = config->takeover_socket;
    enum error error = ERROR_NONE;

    *taker = (struct taker){.config = config, .fd = -1, .giver_fd = -1};
    if (!path)
        return ERROR_NONE;
    for (unsigned tries = 0; tries < TRIES; tries++) {
        error = handover_connect(path, config->takeover_timeout_ms, &taker->fd, problem);
        if (error == ERROR_NOT_FOUND)
            return ERROR_NONE;
        if (error != ERROR_NONE)
            break;
        handover_peer_is_ours(taker->fd, &taker->pid);
        error = take_all(taker, listening, problem);
        if (error == ERROR_NONE)
            return ERROR_NONE;
        give_back(taker, listening);
        if (error != ERROR_BROKEN || problem->length > 0)
            break;
    }
    return fail(problem, error);
}

enum error taker_finish(struct taker *taker, struct buffer *problem)
{
    struct handover_message message = {.type = HANDOVER_READY, .kinds = (uint8_t)taker->kinds};
    enum error error;

    if (taker->fd < 0)
        return ERROR_NONE;
    error = handover_send(taker->fd, &message);
    /* Also of a message that could not be sent the reason may be there. */
    if (error == ERROR_NONE || error == ERROR_BROKEN)
        error = receive(taker, &message, HANDOVER_LEFT, problem);
    close(taker->fd);
    taker->fd = -1;
    if (error == ERROR_NONE) {
        log_write(LOG_INFO, "took-over", LOG_INTEGER("from", taker->pid));
        return ERROR_NONE;
    }
    if (error == ERROR_BROKEN || error == ERROR_TIMEOUT) {
        log_write(LOG_WARN, "took-over-from-silence", LOG_INTEGER("from", taker->pid),
                  LOG_STRING("error", error_name(error)));
        return ERROR_NONE;
    }
    return fail(problem, error);
}

void taker_release(struct taker *taker)
{
    if (taker->fd >= 0)
        close(taker->fd);
    if (taker->giver_fd >= 0)
        close(taker->giver_fd);
    taker->fd = taker->giver_fd = -1;
}
