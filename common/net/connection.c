/* Keeps an incoming connection's time, limits and manners, from accept to close. */
#include "common/net/connection.h"

#include "common/base/clock.h"
#include "common/net/refusal.h"
#include "common/net/spool.h"
#include "common/net/tls.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/bufferevent_struct.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LINGER_MS        1000
#define LINGER_BYTES     (8 * 1024 * 1024)
#define DRAIN_AGAIN_MS   20 /* until a request that has come is read */
#define READ_AHEAD_BYTES (64 * 1024)
#define BODY_CHECK_MS    1000 /* between looks at a slow body's rate */
#define SPARE_MAX_BYTES  4096 /* of head that a spare guard may keep */
#define SWEEP_MAX_MS     1000
#define DISPLACE_US      1000000 /* a connection that was idle for less is not closed for others */

static struct timeval timeval_of(int64_t ms)
{
    return (struct timeval){ms / 1000, (ms % 1000) * 1000};
}

static void arm(struct event *event, int64_t ms)
{
    struct timeval delay = timeval_of(ms);

    REQUIRE(event_add(event, &delay) == 0);
}

static void want_turn(struct connection *connection)
{
    struct connection_set *set = connection->set;

    if (connection->in_turn)
        return;
    connection->in_turn = true;
    TAILQ_INSERT_TAIL(&set->turn, connection, turn);
    event_active(&set->turn_event, 0, 0);
}

/* ---- deadlines: most connections never need one ---- */

static void on_deadline(int fd, short what, void *context);

static void arm_deadline(struct connection *connection, int64_t ms)
{
    if (!connection->deadline)
        connection->deadline = evtimer_new(connection->set->base, on_deadline, connection);
    REQUIRE(connection->deadline);
    arm(connection->deadline, ms);
}

static bool is_armed(const struct connection *connection)
{
    return connection->deadline && event_pending(connection->deadline, EV_TIMEOUT, NULL);
}

static void disarm(struct connection *connection)
{
    if (connection->deadline)
        event_del(connection->deadline);
}

/* ---- guards: one for each message under way, none for idle connections ---- */

static void make_guard(struct connection *connection)
{
    struct connection_set *set = connection->set;

    if (set->spare_count > 0) {
        connection->guard = set->spares[--set->spare_count];
    } else {
        connection->guard = malloc(sizeof(*connection->guard));
        REQUIRE(connection->guard);
        guard_init(connection->guard, &set->limits->guard);
    }
    connection->gate.guard = connection->guard;
}

struct guard *connection_take_guard(struct connection *connection)
{
    struct guard *guard = connection->guard;

    connection->guard = connection->gate.guard = NULL;
    return guard;
}

static void drop_guard(struct connection *connection)
{
    struct connection_set *set = connection->set;
    struct guard *guard = connection_take_guard(connection);

    if (!guard)
        return;
    if (set->spare_count < CONNECTION_SPARE_GUARDS &&
        guard->head.text.capacity <= SPARE_MAX_BYTES) {
        guard_next(guard);
        set->spares[set->spare_count++] = guard;
    } else {
        guard_release(guard);
        free(guard);
    }
}

/* ---- states ---- */

static int64_t sweep_interval_ms(const struct connection_set *set)
{
    int64_t ms = set->limits->idle_timeout_ms / 4;

    return ms < 1 ? 1 : ms > SWEEP_MAX_MS ? SWEEP_MAX_MS : ms;
}

static void enter(struct connection *connection, enum connection_state state)
{
    struct connection_set *set = connection->set;

    if (connection->state == CONNECTION_IDLE)
        TAILQ_REMOVE(&set->idle, connection, idle);
    connection->state = state;
    connection->state_since_us = clock_monotonic_us();
    if (state != CONNECTION_IDLE)
        return;
    /* The list is in order of time, so that one timer serves all of them. */
    TAILQ_INSERT_TAIL(&set->idle, connection, idle);
    if (!event_pending(&set->sweep_event, EV_TIMEOUT, NULL))
        arm(&set->sweep_event, sweep_interval_ms(set));
    if (set->draining)
        want_turn(connection);
}

void connection_close(struct connection *connection, bool reset)
{
    connection->must_close = true;
    connection->reset |= reset;
    want_turn(connection);
}

static bool has_bytes_unread(const struct connection *connection)
{
    char byte;

    return recv(connection->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Whoever has been silent for longest goes, so that idle connections cannot keep all others out. */
static void make_room(struct connection_set *set)
{
    struct connection *oldest = TAILQ_FIRST(&set->idle);

    if (!oldest || oldest->must_close || has_bytes_unread(oldest) ||
        clock_monotonic_us() - oldest->state_since_us < DISPLACE_US)
        return;
    set->displaced++;
    connection_close(oldest, false);
}

static void on_sweep(int fd, short what, void *context)
{
    struct connection_set *set = context;
    uint64_t limit_us = (uint64_t)set->limits->idle_timeout_ms * 1000;
    uint64_t now_us = clock_monotonic_us();
    struct connection *connection;

    (void)fd;
    (void)what;
    TAILQ_FOREACH(connection, &set->idle, idle)
    {
        if (now_us - connection->state_since_us < limit_us)
            break;
        connection_close(connection, false);
    }
    if (set->count >= set->limits->max_connections)
        make_room(set);
    if (!TAILQ_EMPTY(&set->idle))
        arm(&set->sweep_event, sweep_interval_ms(set));
}

/* ---- what the gate tells ---- */

static void on_bytes(size_t count, void *context)
{
    struct connection *connection = context;

    (void)count;
    if (connection->state != CONNECTION_IDLE && connection->state != CONNECTION_FRESH)
        return;
    if (connection->tls)
        disarm(connection); /* the handshake's */
    enter(connection, CONNECTION_READING);
    make_guard(connection);
    connection->started_us = connection->state_since_us;
    connection->in_body = false;
    if (connection->set->draining)
        disarm(connection); /* the grace's; the head gets its own */
}

static uint64_t on_head(void *context)
{
    struct connection *connection = context;
    struct connection_set *set = connection->set;

    connection->in_body = true;
    connection->state_since_us = connection->mark_us = clock_monotonic_us();
    connection->mark_bytes = 0;
    if (is_armed(connection))
        arm_deadline(connection, set->limits->body_timeout_ms);
    return set->hooks.body_limit(connection, set->context);
}

static void hold_back_reading(struct connection *connection)
{
    /* A fixed mark would lock bodies up, as evhttp waits for all of one in the buffer: so it is set
     * only while nothing is wanted, and taken off for the next message. */
    if (gate_unscanned(&connection->gate) >= READ_AHEAD_BYTES)
        bufferevent_setwatermark(connection->bufferevent, EV_READ, 0, READ_AHEAD_BYTES);
}

/* A body that is whole is taken, as most of it is here; of others what comes is counted. */
static void hold_body(struct connection *connection)
{
    struct budget *budget = connection->set->limits->budget;
    struct guard *guard = connection->guard;

    if (!budget || !connection->in_body || connection->spool)
        return;
    budget_hold(budget, &connection->held, (size_t)guard->body_bytes);
    if (guard->state == GUARD_STATE_COMPLETE || guard->state == GUARD_STATE_REFUSED ||
        guard->body_bytes == 0 || budget_has_room(budget, 0))
        return;
    guard_refuse(guard, GUARD_BUSY);
    gate_swallow(&connection->gate);
}

static void on_scanned(void *context)
{
    struct connection *connection = context;
    const struct incoming_limits *limits = connection->set->limits;

    if (connection->state == CONNECTION_PENDING) {
        hold_back_reading(connection);
    } else if (connection->state == CONNECTION_READING) {
        hold_body(connection);
        if (connection->guard->state == GUARD_STATE_REFUSED) {
            enter(connection, CONNECTION_REFUSED);
            want_turn(connection);
        } else if (connection->guard->state == GUARD_STATE_COMPLETE) {
            disarm(connection);
            enter(connection, CONNECTION_PENDING);
            hold_back_reading(connection);
        } else if (!is_armed(connection)) {
            arm_deadline(connection,
                         connection->in_body ? limits->body_timeout_ms : limits->head_timeout_ms);
        }
    } else if (connection->gate.swallowed > LINGER_BYTES) {
        connection_close(connection, true);
    }
}

/* ---- refusing ---- */

static void begin_linger(struct connection *connection)
{
    enter(connection, CONNECTION_LINGERING);
    if (connection->tls)
        tls_session_say_end(connection->tls);
    /* Closing with input unread would send a reset that overtakes the answer. */
    shutdown(connection->descriptor, SHUT_WR);
    arm_deadline(connection, LINGER_MS);
}

static void on_refusal_written(struct bufferevent *bufferevent, void *context)
{
    /* Of TLS it may come late, for what was written before. */
    if (evbuffer_get_length(bufferevent_get_output(bufferevent)) == 0)
        begin_linger(context);
}

static void on_refusal_event(struct bufferevent *bufferevent, short what, void *context)
{
    struct connection *connection = context;
    bool only_half = (what & BEV_EVENT_EOF) && (what & BEV_EVENT_READING);

    (void)bufferevent;
    /* A client that has said all it wants to say still reads. */
    if (only_half && connection->state == CONNECTION_REFUSED)
        return;
    connection_close(connection, false);
}

/*
 * The bufferevent is taken from evhttp, which has seen nothing but legal bytes and waits for more:
 * it gets none. It still owns the connection and frees it at the end.
 */
static void write_refusal(struct connection *connection)
{
    struct bufferevent *bufferevent = connection->bufferevent;
    struct evbuffer *output = bufferevent_get_output(bufferevent);
    struct buffer head, body;

    disarm(connection);
    refusal_compose(connection, &head, &body);
    bufferevent_setcb(bufferevent, NULL, on_refusal_written, on_refusal_event, connection);
    bufferevent_setwatermark(bufferevent, EV_READ, 0, 0);
    bufferevent_setwatermark(bufferevent, EV_WRITE, 0, 0);
    if (evbuffer_add(output, head.data, head.length) != 0 ||
        evbuffer_add(output, body.data, body.length) != 0)
        connection_close(connection, false);
    bufferevent_enable(bufferevent, EV_READ | EV_WRITE);
    buffer_release(&head);
    buffer_release(&body);
}

void connection_refuse(struct connection *connection, enum guard_reason reason)
{
    guard_refuse(connection->guard, reason);
    gate_swallow(&connection->gate);
    enter(connection, CONNECTION_REFUSED);
    want_turn(connection);
}

/* Who sent much at once may not stand still for as long as that would have taken, at our memory's cost:
 * the rate is asked for of each stretch of time as well. */
static bool goes_on(struct connection *connection, uint64_t now_us, uint64_t rate)
{
    uint64_t bytes = connection->guard->body_bytes, stretch_us = now_us - connection->mark_us;

    if (stretch_us < (uint64_t)connection->set->limits->body_timeout_ms * 1000)
        return true;
    bool enough = bytes - connection->mark_bytes >= stretch_us / 1000000 * rate;
    connection->mark_us = now_us;
    connection->mark_bytes = bytes;
    return enough;
}

static void check_body_rate(struct connection *connection)
{
    const struct incoming_limits *limits = connection->set->limits;
    uint64_t rate = (uint64_t)(connection->spool ? limits->spool_min_bytes_per_s
                                                 : limits->body_min_bytes_per_s);
    uint64_t now_us = clock_monotonic_us(), elapsed_us = now_us - connection->state_since_us;

    if (spool_is_full(connection->spool)) {
        /* It is we who let the client wait: this time does not count. */
        connection->state_since_us += BODY_CHECK_MS * 1000;
        connection->mark_us += BODY_CHECK_MS * 1000;
        arm_deadline(connection, BODY_CHECK_MS);
    } else if (rate > 0 && connection->guard->body_bytes >= elapsed_us / 1000000 * rate &&
               goes_on(connection, now_us, rate))
        arm_deadline(connection, BODY_CHECK_MS);
    else
        connection_refuse(connection, GUARD_SLOW);
}

static void on_deadline(int fd, short what, void *context)
{
    struct connection *connection = context;

    (void)fd;
    (void)what;
    if (connection->state == CONNECTION_IDLE && connection->tls && !connection->set->draining) {
        connection->late = !tls_session_ready(connection->tls);
        if (connection->late)
            connection_close(connection, true);
        return; /* else the handshake was in time */
    }
    if (connection->state == CONNECTION_IDLE && has_bytes_unread(connection))
        arm_deadline(connection, DRAIN_AGAIN_MS); /* it came in the last moment */
    else if (connection->state != CONNECTION_READING)
        connection_close(connection, false);
    else if (connection->in_body)
        check_body_rate(connection);
    else
        connection_refuse(connection, GUARD_SLOW);
}

/* ---- turns: what may not happen inside others' callbacks ---- */

static const struct gate_handlers gate_handlers = {on_bytes, on_head, spool_begin, spool_take,
                                                   on_scanned};

static void adopt(struct connection *connection)
{
    struct connection_set *set = connection->set;
    const struct incoming_limits *limits = set->limits;
    struct timeval write_timeout = timeval_of(limits->write_timeout_ms);
    unsigned from_there;

    set->hooks.adopt(connection, set->context);
    connection->local_port = set->listener ? listener_port(set->listener) : 0;
    if (connection->local_port == 0)
        connection->local_port = listener_local_port(connection->descriptor);
    from_there = peers_add(set->peers, connection->peer_address, &connection->peer_key);
    /* Reading has our deadlines: evhttp's would cut a stream whose client is silent, as it may. */
    bufferevent_set_timeouts(connection->bufferevent, NULL,
                             limits->write_timeout_ms ? &write_timeout : NULL);
    connection->counted = true;
    if (connection->state == CONNECTION_FRESH)
        enter(connection, CONNECTION_IDLE);
    if (connection->tls && connection->state == CONNECTION_IDLE)
        arm_deadline(connection, limits->head_timeout_ms); /* for the handshake */
    if (limits->max_connections_per_address && from_there > limits->max_connections_per_address) {
        set->turned_away++;
        connection_close(connection, false);
    }
}

/* A close would meet the request that a client is sending just now: it has a moment in which its
 * next answer tells it to close. */
static void close_if_drained(struct connection *connection)
{
    bool waiting = has_bytes_unread(connection) ||
                   (connection->tls && tls_session_holds_bytes(connection->tls));

    if (waiting && !connection->tls)
        return; /* it is about to be read and served */
    if (connection->tls && tls_session_shakes_hands(connection->tls))
        return;                                   /* it keeps the time that handshakes have */
    if (connection->tls || !is_armed(connection)) /* bytes of TLS need not become a request */
        arm_deadline(connection, connection->set->limits->drain_idle_ms);
}

static void close_now(struct connection *connection)
{
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

    /* Linux sends the reset here; later, evhttp's shutdown would have sent an orderly end first. */
    if (connection->reset)
        (void)connect(connection->descriptor, &nowhere, sizeof(nowhere));
    connection->set->hooks.close(connection, connection->set->context);
}

static void on_turn(int fd, short what, void *context)
{
    struct connection_set *set = context;
    struct connection *connection;

    (void)fd;
    (void)what;
    while ((connection = TAILQ_FIRST(&set->turn)) != NULL) {
        TAILQ_REMOVE(&set->turn, connection, turn);
        connection->in_turn = false;
        if (!connection->counted)
            adopt(connection);
        if (connection->state == CONNECTION_IDLE && set->draining)
            close_if_drained(connection);
        if (connection->state == CONNECTION_REFUSED && !connection->must_close)
            write_refusal(connection);
        if (connection->must_close)
            close_now(connection);
    }
}

/* ---- life ---- */

struct connection *connection_new(struct connection_set *set, struct bufferevent *bufferevent,
                                  struct ssl_st *tls)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    REQUIRE(connection);
    connection->set = set;
    connection->bufferevent = bufferevent;
    connection->tls = tls;
    gate_init(&connection->gate, bufferevent, &gate_handlers, connection);
    connection->gate.tls = tls != NULL;
    TAILQ_INSERT_TAIL(&set->all, connection, all);
    set->count++;
    if (set->listener)
        listener_pause(set->listener, set->count >= set->limits->max_connections);
    if (set->count >= set->limits->max_connections)
        make_room(set);
    want_turn(connection);
    return connection;
}

/* An end that is no truncation is told to be none. */
static void end_session(struct connection *connection)
{
    struct bufferevent *bufferevent = connection->bufferevent;
    bool written = evbuffer_get_length(bufferevent_get_output(bufferevent)) == 0;

    if (written && !connection->reset)
        tls_session_say_end(connection->tls);
    tls_session_count_end(connection->tls, connection->late,
                          bufferevent_get_openssl_error(bufferevent),
                          view_of(connection->peer_address));
}

void connection_free(struct connection *connection)
{
    struct connection_set *set = connection->set;

    if (connection->tls)
        end_session(connection);
    if (connection->counted)
        peers_remove(set->peers, &connection->peer_key);
    if (connection->state == CONNECTION_IDLE)
        TAILQ_REMOVE(&set->idle, connection, idle);
    if (connection->in_turn)
        TAILQ_REMOVE(&set->turn, connection, turn);
    TAILQ_REMOVE(&set->all, connection, all);
    set->count--;
    if (set->listener)
        listener_pause(set->listener, false);
    if (connection->deadline)
        event_free(connection->deadline);
    budget_hold(set->limits->budget, &connection->held, 0);
    spool_drop(spool_hand_over(connection));
    gate_release(&connection->gate);
    drop_guard(connection);
    free(connection);
}

void connection_next(struct connection *connection)
{
    bufferevent_setwatermark(connection->bufferevent, EV_READ, 0, 0);
    bufferevent_setwatermark(connection->bufferevent, EV_WRITE, 0, 0);
    enter(connection, CONNECTION_IDLE);
    drop_guard(connection);
    gate_next(&connection->gate);
    /* A record that was held back half-way is not on the socket any more, which would tell. */
    if (connection->tls && tls_session_holds_bytes(connection->tls))
        event_active(&connection->bufferevent->ev_read, EV_READ, 0);
}

void connection_end(struct connection *connection)
{
    enter(connection, CONNECTION_LINGERING);
    gate_swallow(&connection->gate);
}

void connection_watch(struct connection *connection)
{
    struct bufferevent *bufferevent = connection->bufferevent;
    bufferevent_data_cb on_read, on_write;
    bufferevent_event_cb on_event;
    void *context;

    /* evhttp ends the process when its read callback runs now: it must not be there. */
    bufferevent_getcb(bufferevent, &on_read, &on_write, &on_event, &context);
    bufferevent_setcb(bufferevent, NULL, on_write, on_event, context);
    bufferevent_enable(bufferevent, EV_READ);
}

void connection_set_init(struct connection_set *set, struct event_base *base,
                         const struct incoming_limits *limits, const struct connection_hooks *hooks,
                         void *context)
{
    *set = (struct connection_set){
        .base = base, .limits = limits, .hooks = *hooks, .context = context};
    TAILQ_INIT(&set->all);
    TAILQ_INIT(&set->idle);
    TAILQ_INIT(&set->turn);
    set->peers = limits->peers ? limits->peers : peers_new();
    event_assign(&set->turn_event, base, -1, 0, on_turn, set);
    evtimer_assign(&set->sweep_event, base, on_sweep, set);
}

void connection_set_release(struct connection_set *set)
{
    REQUIRE(TAILQ_EMPTY(&set->all));
    event_del(&set->turn_event);
    event_del(&set->sweep_event);
    while (set->spare_count > 0) {
        guard_release(set->spares[--set->spare_count]);
        free(set->spares[set->spare_count]);
    }
    if (!set->limits->peers)
        peers_free(set->peers);
}

void connection_set_settle(struct connection_set *set)
{
    on_turn(-1, 0, set);
}

void connection_set_drain(struct connection_set *set)
{
    struct connection *connection;

    set->draining = true;
    TAILQ_FOREACH(connection, &set->idle, idle)
    want_turn(connection);
}
