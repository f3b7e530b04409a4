/* Cuts clients that sit on memory, while there is hardly any for others. */
#include "common/net/relief.h"

#include "common/base/clock.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define LEAST_BYTES ((size_t)16384) /* who holds less is not worth a look */
#define WATCH_US    2000000         /* between two looks at a client */
#define STALE_US    10000000        /* a look that long ago says nothing about now */

static uint64_t bytes_acknowledged(int descriptor)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);

    (void)getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &length);
    return info.tcpi_bytes_acked;
}

/* False on the first look at what the client is doing now. */
static bool seen_before(struct connection *connection, uint64_t bytes, uint64_t now_us)
{
    if (connection->look_us >= connection->state_since_us &&
        now_us - connection->look_us < STALE_US)
        return true;
    connection->look_us = now_us;
    connection->look_bytes = bytes;
    return false;
}

/* Whether `left` more bytes would take the client longer than `most_us`. */
static bool too_slow(struct connection *connection, uint64_t bytes, uint64_t left, uint64_t now_us,
                     uint64_t most_us)
{
    uint64_t elapsed_us, taken;

    if (!seen_before(connection, bytes, now_us))
        return false;
    elapsed_us = now_us - connection->look_us;
    taken = bytes - connection->look_bytes;
    if (elapsed_us < WATCH_US)
        return false;
    connection->look_us = now_us;
    connection->look_bytes = bytes;
    return taken == 0 || left / taken > most_us / elapsed_us;
}

static bool sits_on_answer(struct connection *connection, uint64_t now_us)
{
    size_t unsent = evbuffer_get_length(bufferevent_get_output(connection->bufferevent));

    return connection->state == CONNECTION_PENDING && unsent >= LEAST_BYTES &&
           too_slow(connection, bytes_acknowledged(connection->descriptor), unsent, now_us,
                    (uint64_t)connection->set->limits->write_timeout_ms * 1000);
}

/* Bodies that do come on are refused as they come. */
static bool sits_on_body(struct connection *connection, uint64_t now_us)
{
    return connection->state == CONNECTION_READING && connection->held >= LEAST_BYTES &&
           too_slow(connection, connection->guard->body_bytes, 0, now_us, 0);
}

void relief_tend(struct connection_set *set)
{
    struct connection *connection;
    uint64_t now_us;

    if (!set->limits->budget || budget_has_room(set->limits->budget, set->limits->budget->most / 8))
        return;
    now_us = clock_monotonic_us();
    TAILQ_FOREACH(connection, &set->all, all)
    {
        if (!connection->counted || connection->must_close)
            continue;
        if (sits_on_answer(connection, now_us))
            connection_close(connection, true);
        else if (sits_on_body(connection, now_us))
            connection_refuse(connection, GUARD_BUSY);
        else
            continue;
        set->relieved++;
    }
}
