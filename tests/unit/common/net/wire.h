/*
 * A raw client on the loop of the server under test: sends bytes, turns the loop, gathers what
 * comes back. Every wait is bounded; one that runs out fails the test.
 */
#ifndef TESTS_UNIT_COMMON_NET_WIRE_H
#define TESTS_UNIT_COMMON_NET_WIRE_H

#include "common/base/bytes.h"

struct event_base;

struct wire {
    struct event_base *base;
    int fd;
    struct buffer in; /* all that came */
    bool ended;       /* the server has closed, or reset */
    bool reset;
};

/* `address` is "127.0.0.1:PORT". */
void wire_open(struct wire *wire, struct event_base *base, const char *address);
void wire_close(struct wire *wire);
/* Closes with a reset. */
void wire_reset(struct wire *wire);
/* Sends all of it, turning the loop while the socket is full. Stops early when the server ends. */
void wire_send(struct wire *wire, struct view bytes);
void wire_send_text(struct wire *wire, const char *text);
/* Sends without turning the loop; the socket must have room. */
void wire_push(struct wire *wire, const char *text);
/* Turns the loop once and takes what is there. */
void wire_turn(struct wire *wire);
/* Turns until `text` has come (in all), or fails. */
void wire_until(struct wire *wire, const char *text);
/* Turns until so many bytes have come, or fails. */
void wire_until_bytes(struct wire *wire, size_t count);
/* Turns until the server has closed, or fails. */
void wire_until_end(struct wire *wire);
/* Turns for a while, whatever comes. */
void wire_wait_ms(struct event_base *base, int ms);
bool wire_has(const struct wire *wire, const char *text);
/* Forgets what came. */
void wire_clear(struct wire *wire);
/* How often the text came. */
unsigned wire_count(const struct wire *wire, const char *text);

#endif
