/* Follows sockets from request to request, and asks what is known of a request when one is closed. */
#include "common/net/sockets.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct pair {
    struct event_base *base;
    struct sockets *sockets;
    int ours, theirs;
    uint16_t our_port, their_port;
};

static void on_event(int fd, bool readable, bool writable, void *context)
{
    (void)fd;
    (void)readable;
    (void)writable;
    (void)context;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    return ntohs(address.sin_port);
}

/* Listens at 127.0.0.LAST; gives the listener. */
static int listen_at(unsigned last, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(0x7f000000 | last)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    return listener;
}

/* Connects to the listener from `from_port` (0: a free one), and tracks the socket for `user`. */
static int open_socket(struct sockets *sockets, int listener, uint16_t from_port,
                       struct socket_user *user, int *theirs)
{
    struct sockaddr_in to, from = {.sin_family = AF_INET, .sin_port = htons(from_port)};
    socklen_t length = sizeof to;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&to, &length), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    *theirs = accept(listener, NULL, NULL);
    assert_true(*theirs >= 0);
    sockets_opened(sockets, fd, ntohs(to.sin_port), user);
    return fd;
}

static int begin(void **state)
{
    struct pair *pair = calloc(1, sizeof *pair);

    assert_non_null(pair);
    pair->base = event_base_new();
    pair->sockets = sockets_new(pair->base, on_event, NULL, false);
    *state = pair;
    return 0;
}

static int end(void **state)
{
    struct pair *pair = *state;

    sockets_free(pair->sockets);
    event_base_free(pair->base);
    free(pair);
    return 0;
}

static void close_in_order_under_a_request(struct pair *pair)
{
    close(pair->theirs); /* a FIN; what is sent now is answered by a reset, unread */
    assert_int_equal(send(pair->ours, "request", 7, MSG_NOSIGNAL), 7);
    usleep(20000);
    assert_int_equal(sockets_close(pair->sockets, pair->ours), 0);
}

static void open_pair(struct pair *pair, struct socket_user *user)
{
    int listener = listen_at(1, 0);

    pair->ours = open_socket(pair->sockets, listener, 0, user, &pair->theirs);
    pair->our_port = port_of(pair->ours);
    pair->their_port = port_of(listener);
    close(listener);
}

static void a_request_that_nobody_took_is_untouched(void **state)
{
    struct pair *pair = *state;
    struct socket_user user = {0};

    open_pair(pair, &user);
    sockets_carry(pair->sockets, pair->our_port, pair->their_port, &user);
    close_in_order_under_a_request(pair);
    assert_true(user.untouched);
    socket_user_release(&user);
}

/* Under load the client hands a socket to the next request before it tells that the last is over. */
static void a_socket_given_on_before_its_user_is_released_follows_the_new_one(void **state)
{
    struct pair *pair = *state;
    struct socket_user first = {0}, second = {0};

    open_pair(pair, &first);
    sockets_carry(pair->sockets, pair->our_port, pair->their_port, &first);
    sockets_carry(pair->sockets, pair->our_port, pair->their_port, &second);
    assert_null(first.carrier);
    assert_non_null(second.carrier);
    socket_user_release(&first); /* takes nothing from the second */
    assert_non_null(second.carrier);
    close_in_order_under_a_request(pair);
    assert_true(second.untouched);
    assert_false(first.untouched);
    socket_user_release(&second);
}

static void a_kept_connection_with_something_waiting_carries_no_request(void **state)
{
    struct pair *pair = *state;
    struct socket_user first = {0}, second = {0}, third = {0};

    open_pair(pair, &first);
    assert_true(sockets_carry(pair->sockets, pair->our_port, pair->their_port, &first));
    socket_user_release(&first);
    assert_true(sockets_carry(pair->sockets, pair->our_port, pair->their_port, &second));
    socket_user_release(&second);
    assert_int_equal(send(pair->theirs, "x", 1, 0), 1);
    assert_false(sockets_carry(pair->sockets, pair->our_port, pair->their_port, &third));
    assert_true(third.refused);
    socket_user_release(&third);
    sockets_close(pair->sockets, pair->ours);
    close(pair->theirs);
}

/* libcurl 7.88 does so with what does not get connected in time. */
static void a_socket_that_is_closed_without_a_word_leaves_nothing_behind(void **state)
{
    struct pair *pair = *state;
    struct socket_user user = {0};

    open_pair(pair, &user);
    sockets_want(pair->sockets, pair->ours, false, true);
    close(pair->ours);
    assert_int_equal(dup2(pair->theirs, pair->ours), pair->ours); /* the number is given away */
    sockets_opened(pair->sockets, pair->ours, pair->their_port, &user);
    assert_int_equal(sockets_count(pair->sockets), 1);
    sockets_want(pair->sockets, pair->ours, false, true);
    close(pair->ours);
    sockets_idle(pair->sockets, pair->ours);
    assert_int_equal(sockets_count(pair->sockets), 0);
    assert_int_equal(dup2(pair->theirs, pair->ours), pair->ours);
    sockets_opened(pair->sockets, pair->ours, pair->their_port, &user);
    close(pair->ours);
    socket_user_release(&user);
    assert_int_equal(sockets_count(pair->sockets), 0);
    close(pair->theirs);
}

/* A name with two addresses: the kernel may give both connections one local port. */
static void nothing_is_claimed_when_two_sockets_have_the_same_ports(void **state)
{
    struct pair *pair = *state;
    struct socket_user first = {0}, second = {0}, third = {0};
    int one = listen_at(1, 0), other = listen_at(2, port_of(one)), other_theirs;
    int ours = open_socket(pair->sockets, one, 0, &first, &pair->theirs);
    uint16_t our_port = port_of(ours), their_port = port_of(one);

    sockets_carry(pair->sockets, our_port, their_port, &first);
    socket_user_release(&first);
    int other_ours = open_socket(pair->sockets, other, our_port, &second, &other_theirs);
    sockets_carry(pair->sockets, our_port, their_port, &second);
    assert_non_null(second.carrier); /* it opened it: there is no doubt */
    socket_user_release(&second);
    sockets_carry(pair->sockets, our_port, their_port, &third);
    assert_null(third.carrier);
    sockets_close(pair->sockets, ours);
    sockets_close(pair->sockets, other_ours);
    assert_false(third.untouched);
    close(pair->theirs);
    close(other_theirs);
    close(one);
    close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_that_nobody_took_is_untouched, begin, end),
        cmocka_unit_test_setup_teardown(
            a_socket_given_on_before_its_user_is_released_follows_the_new_one, begin, end),
        cmocka_unit_test_setup_teardown(a_kept_connection_with_something_waiting_carries_no_request,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            a_socket_that_is_closed_without_a_word_leaves_nothing_behind, begin, end),
        cmocka_unit_test_setup_teardown(nothing_is_claimed_when_two_sockets_have_the_same_ports,
                                        begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
