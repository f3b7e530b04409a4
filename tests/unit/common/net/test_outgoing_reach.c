/* Sends requests to peers that close, reset or stay silent: what can be known of how far they came. */
#include "tests/unit/common/net/outgoing_scene.h"

static void reset(int fd)
{
    struct linger hard = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

static void answer_then_close_in_order(struct peer *peer)
{
    int fd = accept_one(peer);

    if (read_request(peer, fd))
        send_text(fd, OK_HELLO);
    await_step(peer, 1);
    close(fd);
    atomic_store(&peer->step, 2);
    answer_all(peer);
}

static void answer_then_read_and_reset(struct peer *peer)
{
    int fd = accept_one(peer);

    for (int i = 0; i < 30 && read_request(peer, fd); i++)
        send_text(fd, OK_HELLO);
    read_request(peer, fd);
    reset(fd);
    answer_all(peer);
}

static void read_then_reset(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    reset(fd);
}

static void read_then_close(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    close(fd);
}

static void half_an_answer(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf");
    close(fd);
}

static void half_a_head(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Le");
    close(fd);
}

static void rubbish(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    send_text(fd, "\001\002 this is no HTTP\r\n\r\n");
    close(fd);
}

static void a_connection_closed_between_requests_is_replaced_without_an_error(void **state)
{
    struct world *world = world_new(answer_then_close_in_order);

    (void)state;
    send_and_wait(world);
    atomic_store(&world->peer.step, 1);
    await_step(&world->peer, 2);
    run_for_ms(world, 50); /* the FIN arrives: no spin, no error */
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_true(world->result.connected_us > 0);
    assert_int_equal(atomic_load(&world->peer.requests), 2);
    world_free(world);
}

/* The connection dies between libcurl's look at it and its first byte: whichever way it dies,
 * libcurl must not send a second time on its own. */
static void stale_at_the_last_moment(void (*script)(struct peer *peer), enum outgoing_reach reach)
{
    struct world *world = world_new(script);
    struct outgoing_request request = request_to(world);

    send_and_wait(world);
    before_send = &world->peer;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 2);
    assert_null(before_send);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, reach);
    assert_int_equal(atomic_load(&world->peer.requests), 1);
    request.fresh_connection = true;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 3);
    assert_int_equal(world->result.status, 200);
    assert_int_equal(atomic_load(&world->peer.requests), 2);
    world_free(world);
}

static void a_stale_connection_gives_not_sent_and_no_second_request(void **state)
{
    (void)state;
    stale_at_the_last_moment(answer_then_close_in_order, OUTGOING_NOT_SENT);
}

static void answer_then_reset(struct peer *peer)
{
    int fd = accept_one(peer);

    if (read_request(peer, fd))
        send_text(fd, OK_HELLO);
    await_step(peer, 1);
    reset(fd);
    atomic_store(&peer->step, 2);
    answer_all(peer);
}

static void a_connection_that_was_just_reset_proves_nothing(void **state)
{
    (void)state;
    stale_at_the_last_moment(answer_then_reset, OUTGOING_MAYBE);
}

static void a_reset_after_reading_on_a_kept_connection_is_maybe(void **state)
{
    struct world *world = world_new(answer_then_read_and_reset);

    (void)state;
    for (int i = 0; i < 30; i++)
        send_and_wait(world);
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_MAYBE);
    assert_int_equal(atomic_load(&world->peer.requests), 31);
    world_free(world);
}

static void a_reset_after_reading_on_a_new_connection_is_maybe(void **state)
{
    struct world *world = world_new(read_then_reset);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_MAYBE);
    assert_int_equal(world->result.status, 0);
    world_free(world);
}

static void a_close_after_reading_is_maybe(void **state)
{
    struct world *world = world_new(read_then_close);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_MAYBE);
    world_free(world);
}

static void a_refused_connection_is_unreachable_and_not_sent(void **state)
{
    struct world *world = world_new(NULL);

    (void)state;
    close(world->peer.listener);
    world->peer.listener = -1;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_UNREACHABLE);
    assert_int_equal(world->result.reach, OUTGOING_NOT_SENT);
    assert_true(world->reason[0] != '\0');
    world_free(world);
}

static struct sockaddr_in asked; /* the address that may_not_connect was asked about */

static bool may_not_connect(const struct sockaddr *address, void *context)
{
    (void)context;
    memcpy(&asked, address, sizeof asked);
    return false;
}

static void an_address_that_may_not_be_used_is_never_connected_to(void **state)
{
    struct world *world = world_new(NULL);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.may_connect = may_not_connect;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_UNREACHABLE);
    assert_int_equal(world->result.reach, OUTGOING_NOT_SENT);
    assert_int_equal(asked.sin_family, AF_INET);
    assert_int_equal(ntohl(asked.sin_addr.s_addr), INADDR_LOOPBACK);
    assert_int_equal(ntohs(asked.sin_port), world->peer.port);
    /* Nobody came. */
    assert_int_equal(fcntl(world->peer.listener, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(accept(world->peer.listener, NULL, NULL), -1);
    world_free(world);
}

static void a_silent_peer_ends_at_the_deadline(void **state)
{
    struct world *world = world_new(read_and_stay_silent);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.deadline_ms = 150;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_TIMEOUT);
    assert_int_equal(world->result.reach, OUTGOING_MAYBE);
    assert_in_range(world->result.total_us, 140000, 1500000);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void half_an_answer_is_broken_after_its_status(void **state)
{
    struct world *world = world_new(half_an_answer);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_ANSWERED);
    assert_int_equal(world->result.status, 200);
    world_free(world);
}

static void half_a_head_is_broken(void **state)
{
    struct world *world = world_new(half_a_head);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_ANSWERED);
    world_free(world);
}

static void rubbish_is_broken(void **state)
{
    struct world *world = world_new(rubbish);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    assert_int_equal(world->result.reach, OUTGOING_MAYBE);
    world_free(world);
}

static void an_idle_connection_that_was_closed_does_not_spin(void **state)
{
    struct world *world = world_new(answer_then_close_in_order);
    struct timespec before, after;

    (void)state;
    send_and_wait(world);
    atomic_store(&world->peer.step, 1);
    await_step(&world->peer, 2);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    run_for_ms(world, 400);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    int64_t used_us =
        (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    assert_in_range(used_us, 0, 100000);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_closed_between_requests_is_replaced_without_an_error),
        cmocka_unit_test(a_stale_connection_gives_not_sent_and_no_second_request),
        cmocka_unit_test(a_connection_that_was_just_reset_proves_nothing),
        cmocka_unit_test(a_reset_after_reading_on_a_kept_connection_is_maybe),
        cmocka_unit_test(a_reset_after_reading_on_a_new_connection_is_maybe),
        cmocka_unit_test(a_close_after_reading_is_maybe),
        cmocka_unit_test(a_refused_connection_is_unreachable_and_not_sent),
        cmocka_unit_test(an_address_that_may_not_be_used_is_never_connected_to),
        cmocka_unit_test(a_silent_peer_ends_at_the_deadline),
        cmocka_unit_test(half_an_answer_is_broken_after_its_status),
        cmocka_unit_test(half_a_head_is_broken),
        cmocka_unit_test(rubbish_is_broken),
        cmocka_unit_test(an_idle_connection_that_was_closed_does_not_spin),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
