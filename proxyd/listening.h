/*
 * The process's listening sockets: passed by systemd, taken over from an older process, or bound
 * here; and which worker listens on which. One `struct listening` per process, filled by the main
 * thread before the others start, and only read by them.
 */
#ifndef PROXYD_LISTENING_H
#define PROXYD_LISTENING_H

#include "common/net/bound_socket.h"
#include "proxyd/config.h"

/* The numbers are part of the hand-over's messages. */
enum listening_kind { LISTENING_HTTP, LISTENING_HTTPS, LISTENING_ADMIN };
#define LISTENING_KINDS 3

/* More than that would be a mistake: two for each of the 256 workers there may be, twice. */
#define LISTENING_MAX 1024

struct listening {
    struct listening_socket {
        int fd;
        enum listening_kind kind;
        bool kept; /* by systemd, which has it while no process runs */
    } sockets[LISTENING_MAX];
    size_t count;
};

void listening_init(struct listening *listening);
/* Closes what is there. */
void listening_release(struct listening *listening);
/* Closes this process's own copies of one kind; workers have theirs. */
void listening_close(struct listening *listening, enum listening_kind kind);

/* Takes what systemd has passed. The name of a socket (FileDescriptorName=) says what it is for:
 * http, https or admin; else its address does, when an option names it. ERROR_*: one sentence. */
enum error listening_from_systemd(struct listening *listening, const struct config *config,
                                  struct buffer *problem) MUST_CHECK;
/* Takes one socket of an older process (the descriptor also when it fails). Told twice is told once.
 */
enum error listening_take(struct listening *listening, enum listening_kind kind, bool kept, int fd,
                          struct buffer *problem) MUST_CHECK;
/* Whether a socket of this kind is where the configuration wishes one, or systemd's. */
bool listening_wanted(const struct config *config, enum listening_kind kind, bool kept, int fd);
/* Binds what is missing of that kind, and more where each worker can have a socket of its own. */
enum error listening_complete(struct listening *listening, const struct config *config,
                              enum listening_kind kind, struct buffer *problem) MUST_CHECK;

/* The sockets that worker `number` of `workers` shall listen on, as new descriptors; each socket has
 * somebody, each worker at least one (0 when there are none of that kind). ERROR_*: the process may
 * open no more descriptors. */
enum error listening_share(const struct listening *listening, enum listening_kind kind,
                           unsigned number, unsigned workers, int fds[LISTENING_MAX], size_t *count,
                           struct buffer *problem) MUST_CHECK;
/* Whether systemd has sockets of that kind: they outlive the process. */
bool listening_kept(const struct listening *listening, enum listening_kind kind);
/* The address of the first; "" when there is none. */
void listening_address(const struct listening *listening, enum listening_kind kind,
                       char address[BOUND_SOCKET_ADDRESS_SIZE]);

#endif
