/* Pauses, cancels, starts and frees calls from their own callbacks. */
#include "tests/unit/common/net/outgoing_scene.h"

static bool on_bytes(struct view bytes, const struct outgoing_result *so_far, void *context)
{
    struct world *world = context;

    assert_int_equal(so_far->status, 200);
    world->streamed += bytes.length;
    if (world->pause_next) {
        world->pause_next = false;
        return false;
    }
    return true;
}

static void a_stream_pauses_and_goes_on_without_losing_a_byte(void **state)
{
    struct world *world = world_new(five_megabytes);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_bytes = on_bytes;
    request.max_answer_bytes = 0;
    world->pause_next = true;
    world->call = outgoing_send(world->outgoing, &request);
    run_for_ms(world, 300);
    size_t seen = world->streamed;
    assert_true(seen > 0 && seen <= 65536);
    run_for_ms(world, 100);
    assert_int_equal(world->streamed, seen);
    outgoing_resume(world->call);
    run_until_done(world, 1);
    assert_int_equal(world->result.error, ERROR_NONE);
    assert_int_equal(world->streamed, FIVE_MEGABYTES);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static bool cancel_in_bytes(struct view bytes, const struct outgoing_result *so_far, void *context)
{
    struct world *world = context;

    (void)bytes;
    (void)so_far;
    world->streamed++;
    outgoing_cancel(world->call);
    return true;
}

static void a_call_may_be_cancelled_from_its_own_bytes(void **state)
{
    struct world *world = world_new(five_megabytes);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_bytes = cancel_in_bytes;
    world->call = outgoing_send(world->outgoing, &request);
    run_for_ms(world, 300);
    assert_int_equal(world->streamed, 1);
    assert_int_equal(world->done, 0);
    assert_int_equal(outgoing_active(world->outgoing), 0);
    assert_int_equal(outgoing_connections(world->outgoing), 0);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void a_cancelled_call_tells_nobody(void **state)
{
    struct world *world = world_new(read_and_stay_silent);
    struct outgoing_request request = request_to(world);
    struct outgoing_call *call = outgoing_send(world->outgoing, &request);

    (void)state;
    for (int i = 0; i < 100 && atomic_load(&world->peer.requests) == 0; i++)
        run_for_ms(world, 10);
    assert_int_equal(atomic_load(&world->peer.requests), 1);
    assert_int_equal(outgoing_active(world->outgoing), 1);
    outgoing_cancel(call);
    call = outgoing_send(world->outgoing, &request); /* not begun */
    outgoing_cancel(call);
    run_for_ms(world, 50);
    assert_int_equal(world->done, 0);
    assert_int_equal(outgoing_active(world->outgoing), 0);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

static void send_again_in_done(const struct outgoing_result *result, void *context)
{
    struct world *world = context;
    struct outgoing_request request = request_to(world);

    on_done(result, context);
    outgoing_send(world->outgoing, &request);
}

static void a_new_call_may_start_inside_on_done(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_done = send_again_in_done;
    outgoing_send(world->outgoing, &request);
    run_until_done(world, 2);
    assert_int_equal(atomic_load(&world->peer.requests), 2);
    world_free(world);
}

static void free_in_done(const struct outgoing_result *result, void *context)
{
    struct world *world = context;

    on_done(result, context);
    outgoing_free(world->outgoing);
    world->outgoing = NULL;
}

static void everything_may_be_freed_inside_on_done(void **state)
{
    struct world *world = world_new(answer_all);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_done = free_in_done;
    for (int i = 0; i < 10; i++)
        outgoing_send(world->outgoing, &request);
    run_until_done(world, 1);
    run_for_ms(world, 20);
    assert_int_equal(world->done, 1);
    world_free(world);
}

static bool free_in_bytes(struct view bytes, const struct outgoing_result *so_far, void *context)
{
    struct world *world = context;

    (void)bytes;
    (void)so_far;
    outgoing_free(world->outgoing);
    world->outgoing = NULL;
    return true;
}

static void everything_may_be_freed_inside_on_bytes(void **state)
{
    struct world *world = world_new(five_megabytes);
    struct outgoing_request request = request_to(world);

    (void)state;
    request.on_bytes = free_in_bytes;
    outgoing_send(world->outgoing, &request);
    run_for_ms(world, 300);
    assert_int_equal(world->done, 0);
    assert_null(world->outgoing);
    atomic_store(&world->peer.step, 1);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_pauses_and_goes_on_without_losing_a_byte),
        cmocka_unit_test(a_call_may_be_cancelled_from_its_own_bytes),
        cmocka_unit_test(a_cancelled_call_tells_nobody),
        cmocka_unit_test(a_new_call_may_start_inside_on_done),
        cmocka_unit_test(everything_may_be_freed_inside_on_done),
        cmocka_unit_test(everything_may_be_freed_inside_on_bytes),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
