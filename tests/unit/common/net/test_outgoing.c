/* Sends requests to peers that answer, in every way that is allowed. */
#include "tests/unit/common/net/outgoing_scene.h"

static void nine_hundred_bytes(struct peer *peer)
{
    int fd = accept_one(peer);
    char text[1200];

    read_request(peer, fd);
    snprintf(text, sizeof text,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n384\r\n%0900d\r\n0\r\n\r\n", 7);
    send_text(fd, text);
    await_step(peer, 1);
    close(fd);
}

static void headers_without_end(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    send_text(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 4000; i++)
        send_text(fd, "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    await_step(peer, 1);
    close(fd);
}

static void interim_then_answer(struct peer *peer)
{
    int fd = accept_one(peer);

    read_request(peer, fd);
    send_text(fd, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    send_text(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    await_step(peer, 1);
    close(fd);
}

static void an_answer_comes_with_status_headers_and_body(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);
    struct incoming_header headers[] = {{VIEW("X-Amz-Date"), VIEW("20260102T030405Z")},
                                        {VIEW("X-Empty"), VIEW("")}};

    (void)state;
    request.headers = headers;
    request.header_count = 2;
    outgoing_send(world->outgoing, &request);
    assert_int_equal(world->done, 0);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_int_equal(world->result.reach, OUTGOING_ANSWERED);
    assert_int_equal(world->result.status, 200);
    assert_string_equal(world->body, "hello");
    assert_true(world->result.connected_us > 0);
    assert_non_null(strstr(world->peer.last_head, "POST /a%3Ab/../c?q=%24x HTTP/1.1\r\n"));
    assert_non_null(strstr(world->peer.last_head, "\r\nX-Amz-Date: 20260102T030405Z\r\n"));
    assert_non_null(strstr(world->peer.last_head, "\r\nX-Empty:\r\n"));
    assert_null(strcasestr(world->peer.last_head, "\r\nAccept"));
    assert_null(strcasestr(world->peer.last_head, "\r\nContent-Type"));
    assert_null(strcasestr(world->peer.last_head, "\r\nUser-Agent"));
    assert_null(strcasestr(world->peer.last_head, "\r\nExpect"));
    world_free(world);
}

/* And the next request on the same handle is sent to its own URL again. */
static void a_target_stands_in_place_of_the_path_of_the_url(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.target = "/b%20c/./d?Qualifier=7";
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.status, 200);
    assert_non_null(strstr(world->peer.last_head, "POST /b%20c/./d?Qualifier=7 HTTP/1.1\r\n"));
    request.target = NULL;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 2);
    assert_non_null(strstr(world->peer.last_head, "POST /a%3Ab/../c?q=%24x HTTP/1.1\r\n"));
    world_free(world);
}

static void look_at_header(const struct outgoing_result *result, void *context)
{
    struct view value = {0};

    assert_true(outgoing_header(result->call, "X-THING", &value));
    assert_true(view_equal(value, VIEW("two")));
    assert_false(outgoing_header(result->call, "X-Other", &value));
    on_done(result, context);
}

static void the_last_header_of_a_name_is_found_in_any_case(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_done = look_at_header;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    world_free(world);
}

static void a_kept_connection_is_used_again(void **state)
{
    struct world *world = world_new(answer_all);

    (void)state;
    for (int i = 0; i < 5; i++)
        send_and_wait(world);
    assert_int_equal(world->result.connected_us, 0);
    assert_int_equal(outgoing_connections(world->outgoing), 1);
    assert_int_equal(atomic_load(&world->peer.requests), 5);
    world_free(world);
}

static void methods_without_a_body_send_none(void **state)
{
    static const char *const methods[] = {"GET", "DELETE", "POST"};
    struct world *world = world_new(answer_all);

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct outgoing_request request = request_to(world);
        request.method = methods[i];
        request.has_body = false;
        outgoing_send(world->outgoing, &request);
        run_until_done(world, (int)i + 1);
        assert_int_equal(world->result.status, 200);
        assert_memory_equal(world->peer.last_head, methods[i], strlen(methods[i]));
        assert_null(strcasestr(world->peer.last_head, "Content-Length"));
    }
    struct outgoing_request request = request_to(world);
    request.method = "PUT";
    request.body = (struct view){0};
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 4);
    assert_non_null(strstr(world->peer.last_head, "PUT /"));
    assert_non_null(strstr(world->peer.last_head, "\r\nContent-Length: 0\r\n"));
    world_free(world);
}

static uint64_t read_so_far;

static size_t read_made_body(uint64_t offset, char *out, size_t room, void *context)
{
    static const size_t most = 70001;
    size_t got = room < most ? room : most;

    (void)context;
    assert_int_equal(offset, read_so_far);
    for (size_t i = 0; i < got; i++)
        out[i] = (char)(offset + i);
    read_so_far += got;
    return got;
}

static size_t read_broken_body(uint64_t offset, char *out, size_t room, void *context)
{
    (void)context;
    memset(out, 'x', room < 1000 ? room : 1000);
    return offset < 5000 ? (room < 1000 ? room : 1000) : 0;
}

static void a_body_can_be_made_as_it_goes_out(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.body = (struct view){0};
    request.read_body = read_made_body;
    request.body_length = 3000000;
    for (int i = 1; i <= 2; i++) { /* the second on a kept connection and handle */
        read_so_far = 0;
        outgoing_send(world->outgoing, &request);
        run_until_done(world, i);
        assert_int_equal(world->result.error, ERROR_NONE);
        assert_int_equal(world->result.status, 200);
        assert_int_equal(read_so_far, 3000000);
        assert_int_equal(world->peer.last_body_length, 3000000);
        assert_non_null(strstr(world->peer.last_head, "\r\nContent-Length: 3000000\r\n"));
        assert_null(strcasestr(world->peer.last_head, "Transfer-Encoding"));
        assert_null(strcasestr(world->peer.last_head, "Expect"));
    }
    send_and_wait(world); /* and an ordinary one behind them */
    assert_int_equal(world->result.status, 200);
    assert_int_equal(world->peer.last_body_length, 7);
    request.read_body = read_broken_body;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 4);
    assert_int_equal(world->result.error, ERROR_BROKEN);
    world_free(world);
}

static void an_answer_over_its_ceiling_is_too_big(void **state)
{
    struct world *world = world_new(nine_hundred_bytes);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.max_answer_bytes = 899;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_TOO_BIG);
    assert_int_equal(world->result.reach, OUTGOING_ANSWERED);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void an_answer_of_exactly_its_ceiling_is_fine(void **state)
{
    struct world *world = world_new(nine_hundred_bytes);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.max_answer_bytes = 900;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_int_equal(strlen(world->body), 900);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void endless_headers_are_too_big(void **state)
{
    struct world *world = world_new(headers_without_end);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_TOO_BIG);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void an_interim_answer_is_passed_over(void **state)
{
    struct world *world = world_new(interim_then_answer);

    (void)state;
    send_and_wait(world);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_int_equal(world->result.status, 404);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void a_url_that_is_none_is_invalid_and_told_from_the_loop(void **state)
{
    struct world *world = world_new(NULL);
    struct outgoing_request request = request_to(world);
    struct incoming_header header = {VIEW("X-Bad"), VIEW("a\r\nX-Smuggled: b")};

    (void)state;
    request.url = "gopher://127.0.0.1/";
    outgoing_send(world->outgoing, &request);
    assert_int_equal(world->done, 0);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_INVALID);
    request = request_to(world);
    request.headers = &header;
    request.header_count = 1;
    outgoing_send(world->outgoing, &request);
    assert_int_equal(world->done, 1);
    run_until_done(world, 2);
    assert_int_equal(world->result.error, ERROR_INVALID);
    assert_int_equal(world->result.reach, OUTGOING_NOT_SENT);
    request = request_to(world);
    request.target = "/a HTTP/1.1\r\nX-Smuggled: b";
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 3);
    assert_int_equal(world->result.error, ERROR_INVALID);
    world_free(world);
}

static void five_megabytes_go_up_and_come_down(void **state)
{
    struct world *world = world_new(five_megabytes);
    struct outgoing_request request = request_to(world);
    char *body = malloc(FIVE_MEGABYTES);

    (void)state;
    memset(body, 'y', FIVE_MEGABYTES);
    request.body = view_from(body, FIVE_MEGABYTES);
    request.max_answer_bytes = FIVE_MEGABYTES;
    request.deadline_ms = 60000;
    world->take = true;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_int_equal(world->peer.last_body_length, FIVE_MEGABYTES);
    assert_int_equal(world->taken_length, FIVE_MEGABYTES);
    assert_int_equal(world->taken[FIVE_MEGABYTES - 1], 'z');
    atomic_store(&world->peer.step, 1);
    world_free(world);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_with_status_headers_and_body),
        cmocka_unit_test(a_target_stands_in_place_of_the_path_of_the_url),
        cmocka_unit_test(the_last_header_of_a_name_is_found_in_any_case),
        cmocka_unit_test(a_kept_connection_is_used_again),
        cmocka_unit_test(methods_without_a_body_send_none),
        cmocka_unit_test(a_body_can_be_made_as_it_goes_out),
        cmocka_unit_test(an_answer_over_its_ceiling_is_too_big),
        cmocka_unit_test(an_answer_of_exactly_its_ceiling_is_fine),
        cmocka_unit_test(endless_headers_are_too_big),
        cmocka_unit_test(an_interim_answer_is_passed_over),
        cmocka_unit_test(a_url_that_is_none_is_invalid_and_told_from_the_loop),
        cmocka_unit_test(five_megabytes_go_up_and_come_down),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
