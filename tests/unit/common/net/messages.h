/*
 * The raw messages of tests/vectors/guard, for whoever judges them (README.md there: the form).
 */
#ifndef TESTS_UNIT_COMMON_NET_MESSAGES_H
#define TESTS_UNIT_COMMON_NET_MESSAGES_H

#include "common/base/bytes.h"
#include "common/net/guard.h"

#define MESSAGE_MAX (256 * 1024)

struct message {
    struct buffer name, raw, body, accepted, rest;
    char refused[64], host[64], keeps_alive[8], trailer[64];
    bool incomplete;
    struct guard_limits limits;
};

/* Visits the messages of a file ("bodies.txt") in order; gives their number. What does not read fails
 * the test. */
unsigned messages_visit(const char *file,
                        void (*visit)(const struct message *message, void *context), void *context);

#endif
