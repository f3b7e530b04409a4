/* Tests of what is removed after its time, and what is not. */
#include "tests/unit/managerd/scene.h"

#include "common/base/id.h"
#include "managerd/retention.h"

#define OLD_MS  1700000000000
#define NOW_MS  (OLD_MS + 40ll * 24 * 3600 * 1000)
#define OLD_ID  "018bcfe5-6800-7000-8000-000000000001" /* 1700000000000 ms */
#define OLD_ID2 "018bcfe5-6800-7000-8000-000000000002"

static struct scene scene;

static int set_up(void **state)
{
    (void)state;
    scene_new(&scene);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scene_remove(&scene);
    return 0;
}

static void put(const char *key_text, const char *value_text)
{
    struct key key;
    struct json *value = scene_parse(value_text);
    snprintf(key.text, sizeof key.text, "%s", key_text);
    scene_put(&scene, key, value);
    json_free(value);
}

static bool is_there(const char *key)
{
    struct record record;
    enum error error = record_read(scene.state, key, &record);
    record_release(&record);
    return error == ERROR_NONE;
}

static void an_id_tells_when_it_was_made(void **state)
{
    (void)state;
    char id[ID_SIZE];
    id_make(id);
    assert_true(retention_id_ms(view_of(id)) > NOW_MS);
    assert_int_equal(retention_id_ms(VIEW(OLD_ID)), 1700000000000);
    assert_int_equal(retention_id_ms(VIEW("no id")), -1);
    assert_int_equal(retention_id_ms(VIEW("018b")), -1);
}

static void only_what_is_due_goes(void **state)
{
    (void)state;
    char id[ID_SIZE], young[64];
    id_make(id);
    snprintf(young, sizeof young, "operations/%s", id);
    put("idempotency/old", "{\"expiresAtMs\":1}");
    put("idempotency/young", "{\"expiresAtMs\":9000000000000}");
    put("operations/" OLD_ID, "{\"state\":\"succeeded\"}");
    put("operations/" OLD_ID2, "{\"state\":\"running\"}");
    put(young, "{\"state\":\"failed\"}");
    put("apps/hello", "{}");
    retention_sweep(scene.state, NOW_MS);
    scene_drain(&scene);
    assert_false(is_there("idempotency/old"));
    assert_true(is_there("idempotency/young"));
    assert_false(is_there("operations/" OLD_ID));
    assert_true(is_there("operations/" OLD_ID2)); /* what is unfinished stays, however old */
    assert_true(is_there(young));
    assert_true(is_there("apps/hello"));
}

static void while_space_is_short_the_records_of_removals_go_early(void **state)
{
    (void)state;
    put("operations/" OLD_ID, "{\"state\":\"succeeded\",\"type\":\"delete\"}");
    put("operations/" OLD_ID2, "{\"state\":\"succeeded\",\"type\":\"deploy\"}");
    retention_sweep(scene.state, OLD_MS + 60000);
    scene_drain(&scene);
    assert_true(is_there("operations/" OLD_ID));
    scene.state->full = true;
    retention_sweep(scene.state, OLD_MS + 5000);
    scene_drain(&scene);
    assert_true(is_there("operations/" OLD_ID)); /* its client may not have been told yet */
    retention_sweep(scene.state, OLD_MS + 60000);
    scene_drain(&scene);
    assert_false(is_there("operations/" OLD_ID));
    assert_true(is_there("operations/" OLD_ID2));
}

static void what_is_too_much_for_one_sweep_goes_by_the_next(void **state)
{
    int64_t swept_ms = 0;
    char key[80];
    struct change change;
    struct json *answer = scene_parse("{\"expiresAtMs\":1}");
    (void)state;
    change_init(&change);
    change.urgent = true; /* the map is a small one */
    for (int i = 0; i < 700; i++) {
        snprintf(key, sizeof key, "idempotency/%04d", i);
        change_put(&change, key, answer);
        snprintf(key, sizeof key, "history/apps/a/018bcfe5-6800-7000-8000-%012x", i);
        change_put(&change, key, answer);
    }
    state_commit(scene.state, &change, scene_on_put, NULL);
    change_release(&change);
    json_free(answer);
    scene_drain(&scene);
    retention_look(scene.state, NOW_MS + 90ll * 24 * 3600 * 1000, &swept_ms);
    scene_drain(&scene);
    assert_int_equal(swept_ms, 0); /* there is more: the next look goes on */
    assert_false(is_there("idempotency/0499"));
    assert_true(is_there("idempotency/0699"));
    retention_look(scene.state, NOW_MS + 90ll * 24 * 3600 * 1000, &swept_ms);
    scene_drain(&scene);
    assert_true(swept_ms > 0);
    assert_false(is_there("idempotency/0699"));
    assert_false(is_there("history/apps/a/018bcfe5-6800-7000-8000-0000000002bb"));
}

static void a_look_finds_out_that_writing_works_again(void **state)
{
    int64_t swept_ms = NOW_MS;
    (void)state;
    scene.state->full = true;
    assert_false(state_writable(scene.state));
    retention_look(scene.state, NOW_MS, &swept_ms);
    scene_drain(&scene);
    assert_true(state_writable(scene.state));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_id_tells_when_it_was_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_is_due_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(while_space_is_short_the_records_of_removals_go_early,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_too_much_for_one_sweep_goes_by_the_next, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_look_finds_out_that_writing_works_again, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
