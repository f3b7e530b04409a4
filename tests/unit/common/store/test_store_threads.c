/* Reads and writes an environment from several threads of one process. */
#include "tests/unit/common/store/store_scene.h"

#include <pthread.h>
#include <stdatomic.h>

#define READERS 4
#define ROUNDS  300

struct reading {
    struct store *store;
    atomic_bool *stop;
    atomic_uint *faults;
    unsigned rounds;
};

/* "x" and "y" are always written alike: a snapshot never sees them differ. */
static void *read_pairs(void *argument)
{
    struct reading *reading = argument;
    struct store_reader *reader;
    struct buffer x, y;

    buffer_init(&x, 100);
    buffer_init(&y, 100);
    if (store_reader_new(reading->store, &reader) != ERROR_NONE) {
        atomic_fetch_add(reading->faults, 1);
        return NULL;
    }
    while (!atomic_load(reading->stop)) {
        enum error first, second;

        if (store_begin(reader) != ERROR_NONE) {
            atomic_fetch_add(reading->faults, 1);
            break;
        }
        first = store_get(reader, LAYOUT_ROUTES, VIEW("x"), &x);
        second = store_get(reader, LAYOUT_ROUTES, VIEW("y"), &y);
        store_end(reader);
        if (first != second ||
            (first == ERROR_NONE && !view_equal(buffer_view(&x), buffer_view(&y))))
            atomic_fetch_add(reading->faults, 1);
        reading->rounds++;
    }
    store_reader_free(reader);
    buffer_release(&x);
    buffer_release(&y);
    return NULL;
}

static void readers_of_several_threads_see_whole_states_while_one_writes(void **state)
{
    /* Room for every round: a reader that the scheduler holds within a snapshot keeps its pages. */
    struct store_options options = scene_options(false);
    struct store *store;
    struct reading readings[READERS];
    pthread_t threads[READERS];
    atomic_bool stop = false;
    atomic_uint faults = 0;

    (void)state;
    options.map_bytes = (size_t)64 * 1024 * 1024;
    store = scene_open_with(&options);
    for (size_t i = 0; i < READERS; i++) {
        readings[i] = (struct reading){.store = store, .stop = &stop, .faults = &faults};
        assert_int_equal(pthread_create(&threads[i], NULL, read_pairs, &readings[i]), 0);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct store_write *write;
        char value[16];

        snprintf(value, sizeof(value), "%u", round);
        assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
        assert_int_equal(store_put(write, LAYOUT_ROUTES, VIEW("x"), view_of(value)), ERROR_NONE);
        assert_int_equal(store_put(write, LAYOUT_ROUTES, VIEW("y"), view_of(value)), ERROR_NONE);
        assert_int_equal(store_commit(write), ERROR_NONE);
        if (round % 50 == 0) {
            struct store_statistics statistics;

            assert_int_equal(store_check_readers(store), 0);
            assert_int_equal(store_statistics(store, &statistics), ERROR_NONE);
            assert_true(statistics.readers <= READERS);
        }
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&faults), 0);
    store_close(store);
}

static void *add_one_many_times(void *argument)
{
    struct store *store = argument;

    for (int i = 0; i < 50; i++) {
        struct store_write *write;
        struct buffer value;
        uint64_t number = 0;
        enum error error;

        buffer_init(&value, 100);
        if (store_write_begin(store, &write) != ERROR_NONE)
            return store; /* anything but NULL: it failed */
        error = store_write_get(write, LAYOUT_ROUTES, VIEW("sum"), &value);
        if (error == ERROR_NONE)
            error = view_to_u64(buffer_view(&value), UINT32_MAX, &number);
        buffer_clear(&value);
        buffer_append_u64(&value, number + 1);
        if (store_put(write, LAYOUT_ROUTES, VIEW("sum"), buffer_view(&value)) != ERROR_NONE ||
            store_commit(write) != ERROR_NONE)
            return store;
        buffer_release(&value);
    }
    return NULL;
}

static void writers_of_several_threads_take_turns(void **state)
{
    struct store *store = scene_open(false);
    struct store_reader *reader = scene_reader(store);
    pthread_t threads[3];
    void *failed;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_one_many_times, store), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    scene_expect(reader, "sum", "150");
    store_reader_free(reader);
    store_close(store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(readers_of_several_threads_see_whole_states_while_one_writes),
        TEST(writers_of_several_threads_take_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
