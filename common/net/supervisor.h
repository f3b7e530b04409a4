/*
 * What systemd and a service tell each other: sockets that it passes (sd_listen_fds(3)), and how the
 * service is (sd_notify(3)). Both are a few environment variables; without them nothing happens.
 */
#ifndef COMMON_NET_SUPERVISOR_H
#define COMMON_NET_SUPERVISOR_H

#include "common/base/bytes.h"

/* The first descriptor that is passed. */
#define SUPERVISOR_FIRST_FD 3
#define SUPERVISOR_MAX_FDS  512

/* How many sockets were passed to this process; 0 when none were, or to another one. `names`
 * (borrowed from the environment; may be empty) has one for each, between colons. ERROR_INVALID, and
 * one sentence, when the variables make no sense. */
enum error supervisor_sockets(size_t *count, struct view *names, struct buffer *problem) MUST_CHECK;
/* "READY=1", "STOPPING=1"; lost when nobody listens. */
void supervisor_notify(const char *state);

#endif
