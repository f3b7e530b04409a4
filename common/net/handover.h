/*
 * The messages by which a process gives its listening sockets to the next one: packets of a Unix
 * socket (SOCK_SEQPACKET), with descriptors (SCM_RIGHTS) where sockets are offered.
 *
 *   new -> old   ASK                 may be refused
 *   old -> new   OFFER, repeated     until `total` sockets were offered
 *   new -> old   READY               which kinds it serves by now; from here on the old one accepts nothing
 *   old -> new   LEFT
 *   either way   REFUSED, a sentence, and the end
 *
 * A packet: "PXHO", version, type, then, numbers in little endian: OFFER: u64 generation, u16 total,
 * u8 count, and for each socket u8 kind, u8 flags; READY: u8 a bit for each kind; REFUSED: text. The
 * first six bytes and REFUSED stay as they are in every version, so that any two can say no to each
 * other.
 */
#ifndef COMMON_NET_HANDOVER_H
#define COMMON_NET_HANDOVER_H

#include "common/base/bytes.h"

#define HANDOVER_VERSION     1
#define HANDOVER_MAX_SOCKETS 64  /* in one packet */
#define HANDOVER_MAX_REASON  255 /* bytes */
#define HANDOVER_MAX_BYTES   512

/* On an offered socket. */
#define HANDOVER_KEPT 1 /* a supervisor keeps it while no process runs */

enum handover_type {
    HANDOVER_ASK = 1,
    HANDOVER_OFFER,
    HANDOVER_READY,
    HANDOVER_LEFT,
    HANDOVER_REFUSED,
};

struct handover_message {
    enum handover_type type;
    uint64_t generation; /* of what the old process serves from */
    uint16_t total;      /* sockets in all packets */
    size_t count;        /* sockets in this one */
    struct {
        uint8_t kind, flags;
        int fd;
    } sockets[HANDOVER_MAX_SOCKETS];
    uint8_t kinds;
    char reason[HANDOVER_MAX_REASON + 1]; /* printable */
};

/* The bytes of a message, at most HANDOVER_MAX_BYTES; descriptors are no part of them. */
void handover_encode(const struct handover_message *message, struct buffer *packet);
/* ERROR_INVALID; ERROR_UNSUPPORTED: of another version, `problem` says which. REFUSED is understood
 * of every version. */
enum error handover_decode(struct view packet, struct handover_message *message,
                           struct buffer *problem) MUST_CHECK;

/* One packet with its descriptors, which stay the caller's. ERROR_BROKEN: the peer is gone;
 * ERROR_TIMEOUT: it does not read. */
enum error handover_send(int fd, const struct handover_message *message) MUST_CHECK;
/* One packet; its descriptors are the caller's then. Never waits longer than the socket does.
 * ERROR_BROKEN: the peer is gone; ERROR_TIMEOUT: nothing came; else as handover_decode. */
enum error handover_receive(int fd, struct handover_message *message,
                            struct buffer *problem) MUST_CHECK;

/* Listens at `path`, mode 0600; replaces a socket that is there. One sentence on failure. */
enum error handover_listen(const char *path, int *fd, struct buffer *problem) MUST_CHECK;
/* From now on who connects to that socket of handover_listen sees this process at the other end, not
 * the one that made it. False when it is no such socket. */
bool handover_listen_as_ours(int fd);
/* Connects; waits for each packet at most `timeout_ms`. ERROR_NOT_FOUND: nobody listens there.
 * ERROR_DENIED: the socket or its owner is neither ours nor root's. */
enum error handover_connect(const char *path, int64_t timeout_ms, int *fd,
                            struct buffer *problem) MUST_CHECK;
/* Whether the other end is a process of our user, or root's; its pid. */
bool handover_peer_is_ours(int fd, int *pid);

#endif
