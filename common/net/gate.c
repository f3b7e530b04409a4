/* Withholds a connection's bytes from evhttp until the guard has found them legal. */
#include "common/net/gate.h"

#include "common/net/spool.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define FULL_READ_BYTES  4096 /* what libevent 2.1 reads at most at once */
#define BOOST_BYTES      (256 * 1024)
#define BOOST_TURN_BYTES (2 * 1024 * 1024) /* then other connections have their turn */

static struct evbuffer *input_of(const struct gate *gate)
{
    return bufferevent_get_input(gate->bufferevent);
}

/* ---- moving bytes ---- */

/* Moves all but the first `keep` bytes of the input to the end of `held`. */
static void withhold(struct gate *gate, size_t keep)
{
    struct evbuffer *input = input_of(gate);
    struct evbuffer *front = NULL;

    if (!gate->held)
        gate->held = evbuffer_new();
    REQUIRE(gate->held);
    if (keep) {
        front = evbuffer_new();
        REQUIRE(front && evbuffer_remove_buffer(input, front, keep) == (int)keep);
    }
    REQUIRE(evbuffer_add_buffer(gate->held, input) == 0);
    if (front) {
        REQUIRE(evbuffer_prepend_buffer(input, front) == 0);
        evbuffer_free(front);
    }
}

/* Puts what was withheld back in front of the unscanned bytes. */
static void put_back(struct gate *gate)
{
    struct evbuffer *input = input_of(gate);
    size_t passed = evbuffer_get_length(input) - gate->unscanned;
    struct evbuffer *front = NULL;

    if (!gate->held || evbuffer_get_length(gate->held) == 0)
        return;
    if (passed) {
        front = evbuffer_new();
        REQUIRE(front && evbuffer_remove_buffer(input, front, passed) == (int)passed);
    }
    REQUIRE(evbuffer_prepend_buffer(input, gate->held) == 0);
    if (front) {
        REQUIRE(evbuffer_prepend_buffer(input, front) == 0);
        evbuffer_free(front);
    }
}

static void drop_input(struct gate *gate)
{
    struct evbuffer *input = input_of(gate);

    evbuffer_drain(input, evbuffer_get_length(input));
    if (gate->held)
        evbuffer_free(gate->held);
    gate->held = NULL;
    gate->unscanned = 0;
}

/* ---- the head that evhttp gets to see ---- */

struct canonical_head {
    char text[128];
    size_t length;
};

static void add(struct canonical_head *head, struct view piece)
{
    REQUIRE(piece.length <= sizeof(head->text) - head->length);
    memcpy(head->text + head->length, piece.data, piece.length);
    head->length += piece.length;
}

static void add_number(struct canonical_head *head, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    add(head, view_from(digits + at, sizeof(digits) - at));
}

/*
 * Not the client's: a canonical one of the same framing, made from what the guard found. So evhttp
 * never parses a client's header or target (it reads some in its own way: "//host/path",
 * absolute-form, methods whose bodies it would leave for the next request), and need not copy them.
 */
static void replace_head(struct gate *gate)
{
    const struct guard *guard = gate->guard;
    struct canonical_head head = {.length = 0};

    if (view_equal_string(guard_method(guard), "HEAD"))
        add(&head, VIEW("HEAD / HTTP/1.")); /* its answer has no body */
    else
        add(&head, guard_has_body(guard) ? VIEW("POST / HTTP/1.") : VIEW("GET / HTTP/1."));
    add(&head, guard->http_1_0 ? VIEW("0\r\n") : VIEW("1\r\n"));
    if (gate->spooling) {
        add(&head, VIEW("Content-Length: "));
        add_number(&head, SPOOL_STAND_IN.length);
        add(&head, VIEW("\r\n"));
    } else if (guard_chunked(guard)) {
        add(&head, VIEW("Transfer-Encoding: chunked\r\n"));
    } else if (guard_has_body(guard)) {
        add(&head, VIEW("Content-Length: "));
        add_number(&head, guard_content_length(guard));
        add(&head, VIEW("\r\n"));
    }
    if (guard->expects_continue && guard_has_body(guard))
        add(&head, VIEW("Expect: 100-continue\r\n"));
    add(&head, VIEW("\r\n"));
    evbuffer_drain(input_of(gate), (size_t)guard_committed(guard));
    REQUIRE(evbuffer_prepend(input_of(gate), head.text, head.length) == 0);
    gate->shown = head.length;
}

unsigned gate_headers_shown(const struct gate *gate)
{
    return guard_has_body(gate->guard) ? 1 + gate->guard->expects_continue : 0;
}

/* ---- scanning ---- */

static size_t feed(struct gate *gate, struct guard_step *step)
{
    uint64_t opaque = guard_opaque(gate->guard);
    struct evbuffer *input = input_of(gate);
    struct evbuffer_iovec first = {0};
    struct evbuffer_ptr at;

    if ((opaque > 0 && !gate->spooling) || gate->unscanned == 0) {
        size_t count = opaque < gate->unscanned ? (size_t)opaque : gate->unscanned;

        return guard_feed(gate->guard, view_from(NULL, count), step);
    }
    REQUIRE(evbuffer_ptr_set(input, &at, evbuffer_get_length(input) - gate->unscanned,
                             EVBUFFER_PTR_SET) == 0);
    REQUIRE(evbuffer_peek(input, -1, &at, &first, 1) >= 1);
    return guard_feed(gate->guard, view_from(first.iov_base, first.iov_len), step);
}

static void pass_head(struct gate *gate)
{
    const struct gate_handlers *handlers = gate->handlers;

    if (!guard_restrict_body(gate->guard, handlers->on_head(gate->context)))
        return;
    gate->spooling = guard_has_body(gate->guard) && handlers->on_body(gate->context);
    if (gate->guard->state != GUARD_STATE_REFUSED)
        replace_head(gate);
}

static void scan(struct gate *gate)
{
    struct guard_step step = {.event = GUARD_EVENT_HEAD};

    /* Also with nothing unscanned: a message without a body ends without a further byte. */
    while (step.event == GUARD_EVENT_HEAD || step.event == GUARD_EVENT_BODY ||
           (step.event == GUARD_EVENT_MORE && gate->unscanned > 0)) {
        gate->unscanned -= feed(gate, &step);
        if (step.event == GUARD_EVENT_HEAD)
            pass_head(gate);
        else if (step.event == GUARD_EVENT_BODY && gate->spooling)
            gate->sated |= !gate->handlers->on_piece(step.piece, gate->context);
    }
}

/* Of the input the parser's bytes stay, and those that are not scanned yet: the next message's. */
static void drain_spooled(struct gate *gate)
{
    struct evbuffer *input = input_of(gate);
    size_t spooled = evbuffer_get_length(input) - gate->unscanned - gate->shown;
    struct view stand_in = SPOOL_STAND_IN;
    struct evbuffer *front = NULL;

    if (gate->shown) {
        front = evbuffer_new();
        REQUIRE(front && evbuffer_remove_buffer(input, front, gate->shown) == (int)gate->shown);
    }
    evbuffer_drain(input, spooled);
    if (gate->guard->state == GUARD_STATE_COMPLETE) {
        REQUIRE(evbuffer_prepend(input, stand_in.data, stand_in.length) == 0);
        gate->spooling = false;
    }
    if (front) {
        REQUIRE(evbuffer_prepend_buffer(input, front) == 0);
        evbuffer_free(front);
    }
}

static void take(struct gate *gate)
{
    struct evbuffer *input = input_of(gate);
    uint64_t uncommitted;

    put_back(gate);
    gate->shown = evbuffer_get_length(input) - gate->unscanned;
    scan(gate);
    if (gate->guard->state == GUARD_STATE_REFUSED) {
        gate_swallow(gate);
        return;
    }
    uncommitted = gate->guard->scanned - guard_committed(gate->guard);
    if (gate->spooling)
        drain_spooled(gate);
    else if (uncommitted) {
        REQUIRE(gate->unscanned == 0);
        withhold(gate, evbuffer_get_length(input) - (size_t)uncommitted);
    } else if (gate->held) {
        evbuffer_free(gate->held);
        gate->held = NULL;
    }
}

/*
 * libevent 2.1 reads 4 KiB at a time: a round of the loop each. While a body is awaited the rest of
 * what the kernel has is read here, in large pieces. Only for bytes that come as they are: of TLS it
 * reads whole records, 16 KiB.
 */
static void boost(struct gate *gate)
{
    struct evbuffer *input = input_of(gate);
    int fd = bufferevent_getfd(gate->bufferevent);
    size_t total = 0;

    while (total < BOOST_TURN_BYTES && !gate->sated) {
        uint64_t opaque = guard_opaque(gate->guard);
        size_t want = opaque < BOOST_BYTES ? (size_t)opaque : BOOST_BYTES;
        struct evbuffer_iovec space;
        int ready = 0;
        ssize_t got;

        /* No more room than is filled: slow senders must not cost large pieces. */
        if (ioctl(fd, FIONREAD, &ready) != 0 || ready < FULL_READ_BYTES)
            return;
        if (want > (size_t)ready)
            want = (size_t)ready;
        if (want < FULL_READ_BYTES ||
            evbuffer_reserve_space(input, (ev_ssize_t)want, &space, 1) != 1)
            return;
        got = recv(fd, space.iov_base, want, MSG_DONTWAIT);
        if (got <= 0)
            return; /* an end or a fault shows again at the next read */
        space.iov_len = (size_t)got;
        REQUIRE(evbuffer_commit_space(input, &space, 1) == 0);
        total += (size_t)got;
        gate->unscanned += (size_t)got;
        gate->handlers->on_bytes((size_t)got, gate->context);
        take(gate);
    }
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *context)
{
    struct gate *gate = context;

    if (info->n_added == 0)
        return;
    /* What we do to the buffer ourselves is not to be told to us. */
    evbuffer_cb_clear_flags(input, gate->entry, EVBUFFER_CB_ENABLED);
    if (gate->swallowing) {
        gate->swallowed += info->n_added;
        drop_input(gate);
    } else {
        gate->handlers->on_bytes(info->n_added, gate->context);
        gate->unscanned += info->n_added;
        gate->sated = false;
        if (gate->guard->state != GUARD_STATE_COMPLETE) {
            take(gate);
            if (info->n_added >= FULL_READ_BYTES && !gate->swallowing && !gate->tls)
                boost(gate);
        }
    }
    evbuffer_cb_set_flags(input, gate->entry, EVBUFFER_CB_ENABLED);
    gate->handlers->on_scanned(gate->context);
}

void gate_init(struct gate *gate, struct bufferevent *bufferevent,
               const struct gate_handlers *handlers, void *context)
{
    *gate = (struct gate){
        .bufferevent = bufferevent,
        .handlers = handlers,
        .context = context,
    };
    gate->entry = evbuffer_add_cb(input_of(gate), on_input, gate);
    REQUIRE(gate->entry);
}

void gate_release(struct gate *gate)
{
    if (gate->entry)
        evbuffer_remove_cb_entry(input_of(gate), gate->entry);
    gate->entry = NULL;
    if (gate->held)
        evbuffer_free(gate->held);
    gate->held = NULL;
}

void gate_next(struct gate *gate)
{
    struct evbuffer *input = input_of(gate);

    if (gate->swallowing || gate->unscanned == 0)
        return;
    gate->handlers->on_bytes(0, gate->context);
    /* Outside a read libevent keeps the input's end shut (not that of TLS). */
    if (!gate->tls)
        evbuffer_unfreeze(input, 0);
    evbuffer_cb_clear_flags(input, gate->entry, EVBUFFER_CB_ENABLED);
    take(gate);
    evbuffer_cb_set_flags(input, gate->entry, EVBUFFER_CB_ENABLED);
    if (!gate->tls)
        evbuffer_freeze(input, 0);
    gate->handlers->on_scanned(gate->context);
}

void gate_swallow(struct gate *gate)
{
    gate->swallowing = true;
    drop_input(gate);
}

size_t gate_unscanned(const struct gate *gate)
{
    return gate->unscanned;
}
