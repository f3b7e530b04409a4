/*
 * Two processes, one after the other, on the same listening sockets: the new one asks the old one for
 * them (takeover_take.c), the old one gives them (takeover_give.c). The messages: handover.h.
 *
 * Whatever fails before the new one has said that it serves, the old one serves on as if nothing had
 * been; from then on the old one accepts nothing, ends what it has begun, and exits. The descriptors
 * live on, and with them the connections that are queued on them.
 */
#ifndef PROXYD_TAKEOVER_H
#define PROXYD_TAKEOVER_H

#include "proxyd/listening.h"

struct event_base;
struct giver;

/* ---- the old process ---- */

struct giver_hooks {
    /* The route store's generation that is served from. */
    uint64_t (*generation)(void *context);
    /* Another process serves these kinds (a bit each): drain; their sockets stay open there. */
    void (*on_given)(unsigned kinds, void *context);
};

/* Listens for the next process at config->takeover_socket; with `fd` >= 0 on the socket that the
 * process before listened on (taken), if it is one. All borrowed. One sentence on failure. */
enum error giver_new(struct event_base *base, int fd, const struct config *config,
                     const struct listening *listening, const struct giver_hooks *hooks,
                     void *context, struct giver **giver, struct buffer *problem) MUST_CHECK;
/* Removes the path, unless the next process listens there. NULL is fine. */
void giver_free(struct giver *giver);

/* ---- the new process ---- */

struct taker {
    const struct config *config;
    int fd;              /* to the old process; -1 when there is none */
    int giver_fd;        /* the socket that the old one listened on for us; -1: none */
    int pid;             /* of the old one */
    uint64_t generation; /* that the old one serves from */
    unsigned kinds;      /* that were taken, a bit each */
};

/* Asks whoever listens at config->takeover_socket for its sockets, and adds those that are where the
 * configuration wishes them. Nobody there: ERROR_NONE and no sockets. ERROR_*: one sentence; the old
 * one serves on. */
enum error taker_begin(struct taker *taker, const struct config *config,
                       struct listening *listening, struct buffer *problem) MUST_CHECK;
/* After the workers accept: has the old one leave. ERROR_*: it does not, and serves on; so this
 * process has to end. An old one that is gone, or silent, has left. */
enum error taker_finish(struct taker *taker, struct buffer *problem) MUST_CHECK;
/* Closes what is still open; the old one takes that for a failure. */
void taker_release(struct taker *taker);

#endif
