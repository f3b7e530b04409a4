/* Passes the body of a message on as it comes, and lets the client wait while there is no room. */
#include "common/net/spool.h"

#include "common/net/connection.h"
#include "common/net/tls.h"

#include <event2/bufferevent.h>
#include <event2/bufferevent_struct.h>
#include <event2/event.h>

/* In a turn of its own: evhttp enables reading at the end of each read. */
static void on_pause(int fd, short what, void *context)
{
    struct incoming_spool *spool = context;

    (void)fd;
    (void)what;
    if (spool->full && spool->connection && spool->connection->state == CONNECTION_READING)
        bufferevent_disable(spool->connection->bufferevent, EV_READ);
}

bool spool_begin(void *context)
{
    struct connection *connection = context;
    struct connection_set *set = connection->set;
    struct incoming_spool *spool;

    if (!set->hooks.spool)
        return false;
    spool = set->hooks.spool(connection, set->context);
    if (!spool)
        return false;
    spool->connection = connection;
    spool->full = false;
    spool->pause = event_new(set->base, -1, 0, on_pause, spool);
    REQUIRE(spool->pause);
    connection->spool = spool;
    return true;
}

bool spool_take(struct view piece, void *context)
{
    struct connection *connection = context;
    struct incoming_spool *spool = connection->spool;

    if (spool->take(spool, piece))
        return true;
    spool->full = true;
    event_active(spool->pause, 0, 0);
    return false;
}

bool spool_is_full(const struct incoming_spool *spool)
{
    return spool && spool->full;
}

void incoming_spool_resume(struct incoming_spool *spool)
{
    struct connection *connection = spool->connection;

    if (!spool->full)
        return;
    spool->full = false;
    if (!connection || connection->state != CONNECTION_READING)
        return;
    bufferevent_enable(connection->bufferevent, EV_READ);
    /* What TLS has read already does not show on the socket. */
    if (connection->tls && tls_session_holds_bytes(connection->tls))
        event_active(&connection->bufferevent->ev_read, EV_READ, 0);
}

void incoming_spool_refuse(struct incoming_spool *spool, enum guard_reason reason)
{
    if (spool->connection && spool->connection->state == CONNECTION_READING)
        connection_refuse(spool->connection, reason);
}

static void detach(struct incoming_spool *spool)
{
    spool->connection = NULL;
    if (spool->pause)
        event_free(spool->pause);
    spool->pause = NULL;
}

struct incoming_spool *spool_hand_over(struct connection *connection)
{
    struct incoming_spool *spool = connection->spool;

    connection->spool = NULL;
    if (spool)
        detach(spool);
    return spool;
}

void spool_drop(struct incoming_spool *spool)
{
    if (!spool)
        return;
    detach(spool);
    spool->drop(spool);
}
