/* Speaks raw bytes to a server that runs on the same loop. */
#include "tests/unit/common/net/wire.h"

#include "common/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_US (10 * 1000 * 1000)

void wire_open(struct wire *wire, struct event_base *base, const char *address)
{
    struct sockaddr_in server = {.sin_family = AF_INET};
    const char *colon = strrchr(address, ':');

    *wire = (struct wire){.base = base};
    buffer_init(&wire->in, 256 * 1024 * 1024);
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.sin_port = htons((uint16_t)atoi(colon + 1));
    wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(wire->fd >= 0);
    assert_int_equal(connect(wire->fd, (struct sockaddr *)&server, sizeof(server)), 0);
    fcntl(wire->fd, F_SETFL, O_NONBLOCK);
}

void wire_close(struct wire *wire)
{
    if (wire->fd >= 0)
        close(wire->fd);
    wire->fd = -1;
    buffer_release(&wire->in);
}

void wire_reset(struct wire *wire)
{
    struct linger now = {1, 0};

    setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    wire_close(wire);
}

static void take(struct wire *wire)
{
    while (!wire->ended) {
        char *room = buffer_reserve(&wire->in, 65536);
        ssize_t got;

        assert_non_null(room);
        got = recv(wire->fd, room, 65536, 0);
        if (got > 0) {
            buffer_commit(&wire->in, (size_t)got);
        } else if (got < 0 && errno == EAGAIN) {
            return;
        } else {
            wire->ended = true;
            wire->reset = got < 0;
        }
    }
}

void wire_turn(struct wire *wire)
{
    struct pollfd waiting = {wire->fd, POLLIN, 0};

    event_base_loop(wire->base, EVLOOP_NONBLOCK);
    if (!wire->ended)
        poll(&waiting, 1, 1);
    take(wire);
}

void wire_send(struct wire *wire, struct view bytes)
{
    uint64_t start = clock_monotonic_us();

    while (bytes.length && !wire->ended) {
        ssize_t sent = send(wire->fd, bytes.data, bytes.length, MSG_NOSIGNAL);

        if (sent > 0)
            bytes = view_slice(bytes, (size_t)sent, SIZE_MAX);
        else if (errno != EAGAIN)
            return; /* the server has ended it: what it said is still to be read */
        wire_turn(wire);
        assert_true(clock_monotonic_us() - start < PATIENCE_US);
    }
}

void wire_send_text(struct wire *wire, const char *text)
{
    wire_send(wire, view_of(text));
}

void wire_push(struct wire *wire, const char *text)
{
    assert_int_equal(send(wire->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

bool wire_has(const struct wire *wire, const char *text)
{
    return wire->in.length && memmem(wire->in.data, wire->in.length, text, strlen(text));
}

unsigned wire_count(const struct wire *wire, const char *text)
{
    struct view rest = buffer_view(&wire->in);
    unsigned count = 0;
    const char *at;

    while (rest.length && (at = memmem(rest.data, rest.length, text, strlen(text))) != NULL) {
        rest = view_slice(rest, (size_t)(at - rest.data) + 1, SIZE_MAX);
        count++;
    }
    return count;
}

void wire_clear(struct wire *wire)
{
    buffer_clear(&wire->in);
}

void wire_until(struct wire *wire, const char *text)
{
    uint64_t start = clock_monotonic_us();

    while (!wire_has(wire, text)) {
        if (wire->ended || clock_monotonic_us() - start > PATIENCE_US)
            fail_msg("\"%s\" did not come, but: %.*s", text, VIEW_FORMAT(buffer_view(&wire->in)));
        wire_turn(wire);
    }
}

void wire_until_bytes(struct wire *wire, size_t count)
{
    uint64_t start = clock_monotonic_us();

    while (wire->in.length < count) {
        assert_true(!wire->ended && clock_monotonic_us() - start < PATIENCE_US);
        wire_turn(wire);
    }
}

void wire_until_end(struct wire *wire)
{
    uint64_t start = clock_monotonic_us();

    while (!wire->ended) {
        if (clock_monotonic_us() - start > PATIENCE_US)
            fail_msg("the server did not close; it said: %.*s",
                     VIEW_FORMAT(buffer_view(&wire->in)));
        wire_turn(wire);
    }
}

void wire_wait_ms(struct event_base *base, int ms)
{
    uint64_t start = clock_monotonic_us();

    while (clock_monotonic_us() - start < (uint64_t)ms * 1000) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        poll(NULL, 0, 1);
    }
}
