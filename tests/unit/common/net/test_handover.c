/* Sends listening sockets through a hand-over, and what is no message of one. */
#include "common/net/bound_socket.h"
#include "common/net/handover.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct scene {
    int ours, theirs; /* a connected pair */
    struct buffer problem;
    struct handover_message message;
};

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    scene->ours = pair[0];
    scene->theirs = pair[1];
    buffer_init(&scene->problem, 1000);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    close(scene->ours);
    close(scene->theirs);
    buffer_release(&scene->problem);
    free(scene);
    return 0;
}

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void sockets_arrive_as_they_were(void **state)
{
    struct scene *scene = *state;
    struct handover_message offer = {
        .type = HANDOVER_OFFER, .generation = UINT64_C(1) << 40 | 7, .total = 300, .count = 2};
    int first, second;

    assert_int_equal(bound_socket_open("127.0.0.1:0", true, &first, &scene->problem), ERROR_NONE);
    assert_int_equal(bound_socket_open("[::1]:0", false, &second, &scene->problem), ERROR_NONE);
    offer.sockets[0].fd = first;
    offer.sockets[0].kind = 2;
    offer.sockets[1].fd = second;
    offer.sockets[1].flags = HANDOVER_KEPT;
    assert_int_equal(handover_send(scene->ours, &offer), ERROR_NONE);
    assert_int_equal(handover_receive(scene->theirs, &scene->message, &scene->problem), ERROR_NONE);
    assert_int_equal(scene->message.type, HANDOVER_OFFER);
    assert_true(scene->message.generation == offer.generation && scene->message.total == 300);
    assert_int_equal(scene->message.count, 2);
    assert_int_equal(scene->message.sockets[0].kind, 2);
    assert_int_equal(scene->message.sockets[1].flags, HANDOVER_KEPT);
    int got = scene->message.sockets[0].fd, other = scene->message.sockets[1].fd;
    assert_true(got != first && bound_socket_is_same(got, first));
    assert_true(bound_socket_is_same(other, second) && !bound_socket_is_same(got, other));
    assert_true(bound_socket_reuses_port(got) && !bound_socket_reuses_port(other));
    assert_int_equal(fcntl(got, F_GETFD), FD_CLOEXEC);
    assert_int_equal(bound_socket_adopt(got, &scene->problem), ERROR_NONE);
    close(first);
    close(second);
    close(got);
    close(other);
}

static void short_messages_go_both_ways(void **state)
{
    struct scene *scene = *state;
    struct handover_message ask = {.type = HANDOVER_ASK};
    struct handover_message ready = {.type = HANDOVER_READY, .kinds = 5};
    struct handover_message left = {.type = HANDOVER_LEFT};

    assert_int_equal(handover_send(scene->theirs, &ask), ERROR_NONE);
    assert_int_equal(handover_receive(scene->ours, &scene->message, &scene->problem), ERROR_NONE);
    assert_int_equal(scene->message.type, HANDOVER_ASK);
    assert_int_equal(handover_send(scene->theirs, &ready), ERROR_NONE);
    assert_int_equal(handover_receive(scene->ours, &scene->message, &scene->problem), ERROR_NONE);
    assert_int_equal(scene->message.kinds, 5);
    assert_int_equal(handover_send(scene->ours, &left), ERROR_NONE);
    assert_int_equal(handover_receive(scene->theirs, &scene->message, &scene->problem), ERROR_NONE);
    assert_int_equal(scene->message.type, HANDOVER_LEFT);
}

static void silence_and_an_end_are_told_apart(void **state)
{
    struct scene *scene = *state;
    struct handover_message left = {.type = HANDOVER_LEFT};

    assert_int_equal(handover_receive(scene->ours, &scene->message, &scene->problem),
                     ERROR_TIMEOUT);
    shutdown(scene->theirs, SHUT_RDWR);
    assert_int_equal(handover_receive(scene->ours, &scene->message, &scene->problem), ERROR_BROKEN);
    assert_int_equal(handover_send(scene->ours, &left), ERROR_BROKEN);
    assert_int_equal(scene->problem.length, 0);
}

static enum error decode(struct scene *scene, const char *bytes, size_t length)
{
    buffer_clear(&scene->problem);
    return handover_decode(view_from(bytes, length), &scene->message, &scene->problem);
}

#define DECODE(bytes) decode(scene, bytes, sizeof(bytes) - 1)

static void what_is_no_message_is_refused(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(DECODE("PXHO\1\1"), ERROR_NONE);
    assert_int_equal(DECODE("PXHO\1"), ERROR_INVALID);
    assert_int_equal(DECODE(""), ERROR_INVALID);
    assert_int_equal(DECODE("PXHI\1\1"), ERROR_INVALID);
    assert_int_equal(DECODE("PXHO\1\1x"), ERROR_INVALID);
    assert_int_equal(DECODE("PXHO\1\6"), ERROR_INVALID);
    assert_int_equal(DECODE("PXHO\1\3"), ERROR_INVALID);
    /* OFFER: more here than in all, none, fewer bytes than sockets, more. */
    assert_int_equal(DECODE("PXHO\1\2\1\0\0\0\0\0\0\0\1\0\1\0\0"), ERROR_NONE);
    assert_int_equal(DECODE("PXHO\1\2\1\0\0\0\0\0\0\0\1\0\2\0\0\0\0"), ERROR_INVALID);
    assert_int_equal(DECODE("PXHO\1\2\1\0\0\0\0\0\0\0\1\0\0"), ERROR_INVALID);
    assert_int_equal(DECODE("PXHO\1\2\1\0\0\0\0\0\0\0\2\0\2\0\0"), ERROR_INVALID);
    assert_int_equal(DECODE("PXHO\1\2\1\0\0\0\0\0\0\0\1\0\1\0\0\0"), ERROR_INVALID);
    assert_int_equal(DECODE("PXHO\1\2\1\0\0\0\0\0\0\0\1\0"), ERROR_INVALID);
    assert_non_null(strstr(scene->problem.data, "no message of a hand-over"));
}

static void another_version_is_named_and_its_refusal_understood(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(DECODE("PXHO\7\1"), ERROR_UNSUPPORTED);
    assert_non_null(strstr(scene->problem.data, "version 7"));
    assert_int_equal(DECODE("PXHO\7\5no\nand \x1b[1mno"), ERROR_NONE);
    assert_int_equal(scene->message.type, HANDOVER_REFUSED);
    assert_string_equal(scene->message.reason, "no?and ?[1mno");
}

static void descriptors_that_were_not_announced_are_closed(void **state)
{
    struct scene *scene = *state;
    struct handover_message offer = {.type = HANDOVER_OFFER, .total = 3, .count = 3};
    char control[CMSG_SPACE(sizeof(int) * 2)] = {0};
    char left[] = "PXHO\1\4";
    struct iovec bytes = {left, 6};
    struct msghdr header = {.msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof control};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    int fds[2] = {0, 0}, before = open_descriptors();

    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(rights), fds, sizeof fds);
    assert_int_equal(sendmsg(scene->theirs, &header, 0), 6);
    assert_int_equal(handover_receive(scene->ours, &scene->message, &scene->problem),
                     ERROR_INVALID);
    assert_int_equal(open_descriptors(), before);
    /* Announced, and none came. */
    struct buffer packet;
    buffer_init(&packet, HANDOVER_MAX_BYTES);
    handover_encode(&offer, &packet);
    assert_true(send(scene->theirs, packet.data, packet.length, 0) == (ssize_t)packet.length);
    buffer_release(&packet);
    assert_int_equal(handover_receive(scene->ours, &scene->message, &scene->problem),
                     ERROR_INVALID);
    assert_non_null(strstr(scene->problem.data, "lost on their way"));
}

static void a_path_is_listened_on_by_its_owner_alone(void **state)
{
    struct scene *scene = *state;
    char folder[] = "/tmp/handover.XXXXXX", path[64], long_path[200];
    int listening, again, peer, accepted, pid;
    struct stat there;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/next", folder);
    assert_int_equal(handover_connect(path, 1000, &peer, &scene->problem), ERROR_NOT_FOUND);
    assert_int_equal(handover_listen(path, &listening, &scene->problem), ERROR_NONE);
    assert_int_equal(lstat(path, &there), 0);
    assert_int_equal(there.st_mode & 0777, 0600);
    assert_int_equal(handover_connect(path, 1000, &peer, &scene->problem), ERROR_NONE);
    accepted = accept(listening, NULL, NULL);
    assert_true(handover_peer_is_ours(accepted, &pid));
    assert_int_equal(pid, getpid());
    close(peer);
    close(accepted);
    close(listening);
    /* Left behind by a process that died. */
    assert_int_equal(handover_connect(path, 1000, &peer, &scene->problem), ERROR_NOT_FOUND);
    assert_int_equal(handover_listen(path, &again, &scene->problem), ERROR_NONE);
    close(again);
    unlink(path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_not_equal(handover_listen(path, &again, &scene->problem), ERROR_NONE);
    assert_non_null(strstr(scene->problem.data, path));
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_not_equal(handover_listen(long_path, &again, &scene->problem), ERROR_NONE);
    assert_int_equal(handover_connect(long_path, 1000, &peer, &scene->problem), ERROR_INVALID);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

static void what_does_not_listen_is_not_adopted(void **state)
{
    struct scene *scene = *state;
    char address[BOUND_SOCKET_ADDRESS_SIZE];
    int datagrams = socket(AF_INET, SOCK_DGRAM, 0), deaf = socket(AF_INET, SOCK_STREAM, 0), fd;

    assert_int_equal(bound_socket_adopt(datagrams, &scene->problem), ERROR_INVALID);
    assert_int_equal(bound_socket_adopt(deaf, &scene->problem), ERROR_INVALID);
    assert_int_equal(bound_socket_adopt(scene->ours, &scene->problem), ERROR_INVALID);
    assert_int_equal(bound_socket_adopt(1023, &scene->problem), ERROR_INVALID);
    close(datagrams);
    close(deaf);
    assert_int_equal(bound_socket_open("127.0.0.1:0", false, &fd, &scene->problem), ERROR_NONE);
    assert_true(bound_socket_address(fd, address) > 0);
    assert_true(bound_socket_is_at(fd, address) && bound_socket_is_at(fd, "127.0.0.1:0"));
    assert_false(bound_socket_is_at(fd, "127.0.0.1:1") || bound_socket_is_at(fd, "0.0.0.0:0") ||
                 bound_socket_is_at(fd, "nonsense"));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sockets_arrive_as_they_were, set_up, tear_down),
        cmocka_unit_test_setup_teardown(short_messages_go_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_and_an_end_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_message_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_version_is_named_and_its_refusal_understood, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(descriptors_that_were_not_announced_are_closed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_path_is_listened_on_by_its_owner_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_listen_is_not_adopted, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
