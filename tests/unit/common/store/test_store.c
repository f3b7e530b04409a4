/* Reads and writes an environment within one process: snapshots, ranges, limits. */
#include "tests/unit/common/store/store_scene.h"

static void what_is_committed_is_read_and_what_is_aborted_is_not(void **state)
{
    struct store *store = scene_open(false);
    struct store_reader *reader = scene_reader(store);
    struct store_write *write;
    struct buffer value;

    (void)state;
    buffer_init(&value, 100);
    scene_put(store, "a", "1");
    scene_expect(reader, "a", "1");
    scene_expect(reader, "b", NULL);
    assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
    assert_int_equal(store_put(write, LAYOUT_ROUTES, VIEW("b"), VIEW("2")), ERROR_NONE);
    assert_int_equal(store_delete(write, LAYOUT_ROUTES, VIEW("a")), ERROR_NONE);
    assert_int_equal(store_delete(write, LAYOUT_ROUTES, VIEW("a")), ERROR_NOT_FOUND);
    assert_int_equal(store_write_get(write, LAYOUT_ROUTES, VIEW("b"), &value), ERROR_NONE);
    assert_string_equal(value.data, "2");
    scene_expect(reader, "a", "1");
    store_abort(write);
    scene_expect(reader, "a", "1");
    scene_expect(reader, "b", NULL);
    assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
    assert_int_equal(store_delete(write, LAYOUT_ROUTES, VIEW("a")), ERROR_NONE);
    assert_int_equal(store_delete(write, LAYOUT_ROUTES, VIEW("none")), ERROR_NOT_FOUND);
    assert_int_equal(store_commit(write), ERROR_NONE); /* not finding is no failure */
    scene_expect(reader, "a", NULL);
    buffer_release(&value);
    store_reader_free(reader);
    store_close(store);
}

static void databases_are_apart(void **state)
{
    struct store *store = scene_open(false);
    struct store_reader *reader = scene_reader(store);
    struct buffer value;

    (void)state;
    buffer_init(&value, 100);
    scene_put(store, "key", "1");
    assert_int_equal(store_get(reader, LAYOUT_META, VIEW("key"), &value), ERROR_NOT_FOUND);
    buffer_release(&value);
    store_reader_free(reader);
    store_close(store);
}

static void what_was_written_is_there_after_opening_again(void **state)
{
    struct store *store = scene_open(false);
    struct store_reader *reader;

    (void)state;
    scene_put(store, "a", "1");
    store_close(store);
    store = scene_open(true);
    reader = scene_reader(store);
    scene_expect(reader, "a", "1");
    store_reader_free(reader);
    store_close(store);
}

static void a_snapshot_sees_one_state(void **state)
{
    struct store *store = scene_open(false);
    struct store_reader *reader = scene_reader(store);

    (void)state;
    scene_put(store, "a", "1");
    assert_int_equal(store_begin(reader), ERROR_NONE);
    scene_expect(reader, "a", "1");
    scene_put(store, "a", "2");
    scene_put(store, "b", "2");
    scene_expect(reader, "a", "1");
    scene_expect(reader, "b", NULL);
    store_end(reader);
    scene_expect(reader, "a", "2");
    scene_expect(reader, "b", "2");
    store_reader_free(reader);
    store_close(store);
}

struct visited {
    char keys[256];
    unsigned stop_after;
    struct store_reader *reader;
};

static bool visit(struct view key, struct view value, void *context)
{
    struct visited *visited = context;

    assert_int_equal(value.length, 1);
    strncat(visited->keys, key.data, key.length);
    strcat(visited->keys, " ");
    if (visited->reader) /* reading within a visit uses its snapshot */
        scene_expect(visited->reader, "a", "1");
    return --visited->stop_after > 0;
}

static void expect_range(struct store_reader *reader, const char *prefix, const char *first,
                         unsigned stop_after, const char *expected)
{
    struct visited visited = {.stop_after = stop_after, .reader = reader};

    assert_int_equal(
        store_range(reader, LAYOUT_ROUTES, view_of(prefix), view_of(first), visit, &visited),
        ERROR_NONE);
    assert_string_equal(visited.keys, expected);
}

static void ranges_visit_keys_in_order_within_their_prefix(void **state)
{
    static const char *const keys[] = {"b/2", "a", "b/1", "c", "b/10", "b"};
    struct store *store = scene_open(false);
    struct store_reader *reader = scene_reader(store);
    struct store_write *write;
    struct visited visited = {.stop_after = 9};

    (void)state;
    expect_range(reader, "", "", 9, "");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        scene_put(store, keys[i], "1");
    expect_range(reader, "", "", 9, "a b b/1 b/10 b/2 c ");
    expect_range(reader, "b/", "", 9, "b/1 b/10 b/2 ");
    expect_range(reader, "b/", "b/10", 9, "b/10 b/2 ");
    expect_range(reader, "b/", "a", 9, "b/1 b/10 b/2 ");
    expect_range(reader, "b/", "c", 9, "");
    expect_range(reader, "", "b/11", 9, "b/2 c ");
    expect_range(reader, "d", "", 9, "");
    expect_range(reader, "", "", 2, "a b ");
    assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
    assert_int_equal(store_put(write, LAYOUT_ROUTES, VIEW("b/3"), VIEW("1")), ERROR_NONE);
    assert_int_equal(store_write_range(write, LAYOUT_ROUTES, VIEW("b/"), VIEW(""), visit, &visited),
                     ERROR_NONE);
    assert_string_equal(visited.keys, "b/1 b/10 b/2 b/3 ");
    store_abort(write);
    store_reader_free(reader);
    store_close(store);
}

static void keys_and_values_have_limits(void **state)
{
    static char long_key[512];
    struct store *store = scene_open(false);
    struct store_reader *reader = scene_reader(store);
    struct store_write *write;
    struct buffer value;

    (void)state;
    memset(long_key, 'k', sizeof(long_key));
    buffer_init(&value, 2);
    assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
    assert_int_equal(store_put(write, LAYOUT_ROUTES, view_from(long_key, 511), VIEW("")),
                     ERROR_NONE);
    assert_int_equal(store_put(write, LAYOUT_ROUTES, VIEW("a"), VIEW("123")), ERROR_NONE);
    assert_int_equal(store_commit(write), ERROR_NONE);
    assert_int_equal(store_get(reader, LAYOUT_ROUTES, view_from(long_key, 511), &value),
                     ERROR_NONE);
    assert_int_equal(store_get(reader, LAYOUT_ROUTES, view_from(long_key, 512), &value),
                     ERROR_NOT_FOUND);
    assert_int_equal(store_get(reader, LAYOUT_ROUTES, VIEW(""), &value), ERROR_NOT_FOUND);
    assert_int_equal(store_get(reader, LAYOUT_ROUTES, VIEW("a"), &value), ERROR_TOO_BIG);
    assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
    assert_int_equal(store_put(write, LAYOUT_ROUTES, view_from(long_key, 512), VIEW("")),
                     ERROR_TOO_BIG);
    assert_int_equal(store_put(write, LAYOUT_ROUTES, VIEW("b"), VIEW("1")), ERROR_TOO_BIG);
    assert_int_equal(store_commit(write), ERROR_TOO_BIG); /* nothing by halves */
    assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
    assert_int_equal(store_put(write, LAYOUT_ROUTES, VIEW(""), VIEW("1")), ERROR_INVALID);
    store_abort(write);
    scene_expect(reader, "b", NULL);
    buffer_release(&value);
    store_reader_free(reader);
    store_close(store);
}

static void a_full_map_is_full_and_loses_nothing(void **state)
{
    static char large[60000];
    struct store *store = scene_open(false);
    struct store_reader *reader = scene_reader(store);
    struct store_statistics statistics;
    enum error error = ERROR_NONE;
    unsigned stored = 0;
    struct buffer value;

    (void)state;
    memset(large, 'x', sizeof(large));
    buffer_init(&value, sizeof(large));
    scene_put(store, "kept", "yes");
    while (error == ERROR_NONE) {
        struct store_write *write;
        char key[16];

        snprintf(key, sizeof(key), "large%03u", stored);
        assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
        error = store_put(write, LAYOUT_ROUTES, view_of(key), view_from(large, sizeof(large)));
        if (error == ERROR_NONE)
            error = store_commit(write);
        else
            assert_int_equal(store_commit(write), ERROR_FULL);
        stored += error == ERROR_NONE;
        assert_true(stored < 20); /* 1 MiB holds no more */
    }
    assert_int_equal(error, ERROR_FULL);
    assert_true(stored > 5);
    scene_expect(reader, "kept", "yes");
    for (unsigned i = 0; i < stored; i++) {
        char key[16];

        snprintf(key, sizeof(key), "large%03u", i);
        assert_int_equal(store_get(reader, LAYOUT_ROUTES, view_of(key), &value), ERROR_NONE);
        assert_memory_equal(value.data, large, sizeof(large));
    }
    assert_int_equal(store_statistics(store, &statistics), ERROR_NONE);
    assert_true(statistics.entries == stored + 1 && statistics.map_bytes == SMALL_MAP);
    assert_true(statistics.used_bytes > stored * sizeof(large) &&
                statistics.used_bytes <= SMALL_MAP);
    { /* what is deleted makes room again */
        struct store_write *write;

        assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
        assert_int_equal(store_delete(write, LAYOUT_ROUTES, VIEW("large000")), ERROR_NONE);
        assert_int_equal(store_delete(write, LAYOUT_ROUTES, VIEW("large001")), ERROR_NONE);
        assert_int_equal(store_commit(write), ERROR_NONE);
        scene_put(store, "again", "yes");
        scene_put(store, "again", "and again");
        assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
        assert_int_equal(
            store_put(write, LAYOUT_ROUTES, VIEW("large000"), view_from(large, sizeof(large))),
            ERROR_NONE);
        assert_int_equal(store_commit(write), ERROR_NONE);
    }
    buffer_release(&value);
    store_reader_free(reader);
    store_close(store);
}

static enum error put_one(struct store *store, const char *key, bool use_reserve)
{
    static char large[20000];
    struct store_write *write;

    assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
    store_use_reserve(write, use_reserve);
    (void)!store_put(write, LAYOUT_ROUTES, view_of(key), view_from(large, sizeof(large)));
    return store_commit(write);
}

static enum error delete_one(struct store *store, const char *key)
{
    struct store_write *write;

    assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
    assert_int_equal(store_delete(write, LAYOUT_ROUTES, view_of(key)), ERROR_NONE);
    return store_commit(write);
}

static void a_reserve_is_left_for_those_who_may_use_it(void **state)
{
    struct store_options options = scene_options(false);
    char key[16];
    int stored = 0;

    (void)state;
    options.reserve = true;
    struct store *store = scene_open_with(&options);
    for (; snprintf(key, sizeof(key), "%03d", stored), put_one(store, key, false) == ERROR_NONE;)
        stored++;
    assert_in_range(stored, 20, 45); /* of 1 MiB a quarter stays */
    for (int i = 0; i < 30; i++)     /* whatever was refused has used nothing up */
        assert_int_equal(put_one(store, "another", false), ERROR_FULL);
    for (int i = 0; i < 200; i++)
        assert_int_equal(put_one(store, "urgent", true), ERROR_NONE);
    for (int i = 0; i < stored; i++) {
        snprintf(key, sizeof(key), "%03d", i);
        assert_int_equal(delete_one(store, key), ERROR_NONE);
    }
    /* The pages that were given back count as free, wherever they are. */
    assert_int_equal(put_one(store, "another", false), ERROR_NONE);
    store_close(store);
}

static void rewriting_does_not_grow_the_file_while_a_reader_rests(void **state)
{
    struct store *store = scene_open(false);
    struct store_reader *reader = scene_reader(store);
    struct store_statistics before, after;
    char value[3000];

    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (int i = 0; i < 20; i++)
        scene_put(store, "a", value);
    scene_expect(reader, "a", value); /* reads and rests: pins nothing */
    assert_int_equal(store_statistics(store, &before), ERROR_NONE);
    for (int i = 0; i < 200; i++)
        scene_put(store, "a", value);
    assert_int_equal(store_statistics(store, &after), ERROR_NONE);
    assert_true(after.used_bytes == before.used_bytes);
    assert_true(after.last_transaction == before.last_transaction + 200);
    store_reader_free(reader);
    store_close(store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_reserve_is_left_for_those_who_may_use_it),
        TEST(what_is_committed_is_read_and_what_is_aborted_is_not),
        TEST(databases_are_apart),
        TEST(what_was_written_is_there_after_opening_again),
        TEST(a_snapshot_sees_one_state),
        TEST(ranges_visit_keys_in_order_within_their_prefix),
        TEST(keys_and_values_have_limits),
        TEST(a_full_map_is_full_and_loses_nothing),
        TEST(rewriting_does_not_grow_the_file_while_a_reader_rests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
