/* Opens, reads and writes an environment within one process: modes, snapshots, limits, damage, threads. */
#include "tests/unit/common/store/store_scene.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

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

/* ---- files and modes ---- */

static mode_t mode_of(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void modes_are_exact_whatever_the_umask_and_set_again_when_they_differ(void **state)
{
    struct store_options options = scene_options(false);
    mode_t before = umask(0077);
    struct store *store;
    struct buffer problem;

    (void)state;
    buffer_init(&problem, 8192);
    store = scene_open(false);
    assert_int_equal(mode_of(scene_folder), 0750);
    assert_int_equal(mode_of(scene_data), 0640);
    assert_int_equal(mode_of(scene_lock), 0660);
    store_close(store);
    options.data_mode = 0644;
    options.lock_mode = 0666;
    options.folder_mode = 02770; /* the folder is there: it keeps its mode */
    assert_int_equal(store_open(&options, &store, &problem), ERROR_NONE);
    assert_int_equal(mode_of(scene_folder), 0750);
    assert_int_equal(mode_of(scene_data), 0644);
    assert_int_equal(mode_of(scene_lock), 0666);
    store_close(store);
    assert_int_equal(folder_remove(scene_folder), ERROR_NONE);
    assert_int_equal(store_open(&options, &store, &problem), ERROR_NONE);
    assert_int_equal(mode_of(scene_folder), 02770);
    store_close(store);
    umask(before);
    buffer_release(&problem);
}

static void a_reader_waits_for_its_writer_with_not_found(void **state)
{
    struct store_options options = scene_options(true);

    (void)state;
    scene_expect_refused(&options, ERROR_NOT_FOUND, scene_data);
    assert_false(file_exists(scene_folder));
    assert_int_equal(mkdir(scene_folder, 0750), 0);
    scene_expect_refused(&options, ERROR_NOT_FOUND, "its first start");
    assert_int_equal(close(open(scene_data, O_CREAT | O_WRONLY, 0640)), 0);
    scene_expect_refused(&options, ERROR_NOT_FOUND, "is empty");
    assert_false(file_exists(scene_lock));
}

static void reading_without_a_lock_file_is_refused(void **state)
{
    struct store_options options = scene_options(true);
    struct store *store = scene_open(false);

    (void)state;
    scene_put(store, "a", "1");
    store_close(store);
    assert_int_equal(unlink(scene_lock), 0);
    scene_expect_refused(&options, ERROR_NOT_FOUND, "lock.mdb");
    assert_false(file_exists(scene_lock));
}

/* In a child that gives up root: root may write what it likes. */
static void a_lock_file_that_cannot_be_written_is_refused(void **state)
{
    struct store_options options = scene_options(true);
    struct store *store = scene_open(false);
    int status;
    pid_t child;

    (void)state;
    store_close(store);
    assert_int_equal(chmod(scene_data, 0644), 0);
    assert_int_equal(chmod(scene_lock, 0444), 0);
    assert_int_equal(chmod(scene_folder, 0755), 0);
    *strrchr(scene_folder, '/') = '\0';
    assert_int_equal(chmod(scene_folder, 0755), 0);
    scene_folder[strlen(scene_folder)] = '/';
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct buffer problem;
        bool refused;

        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(2);
        buffer_init(&problem, 8192);
        refused = store_open(&options, &store, &problem) == ERROR_DENIED &&
                  strstr(problem.data, "lock.mdb cannot be written") != NULL;
        buffer_release(&problem);
        _exit(refused ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_replaced_environment_is_noticed(void **state)
{
    struct store *store = scene_open(false);
    struct store *reading;
    struct store_reader *reader;
    char other[96];

    (void)state;
    scene_put(store, "a", "old");
    store_close(store);
    reading = scene_open(true);
    reader = scene_reader(reading);
    assert_false(store_replaced(reading));
    scene_expect(reader, "a", "old");
    snprintf(other, sizeof(other), "%s.old", scene_folder);
    assert_int_equal(rename(scene_folder, other), 0);
    assert_true(store_replaced(reading));
    scene_expect(reader, "a", "old"); /* what is open still reads */
    store = scene_open(false);
    scene_put(store, "a", "new");
    assert_true(store_replaced(reading));
    assert_false(store_replaced(store));
    store_close(store);
    store_reader_free(reader);
    store_close(reading);
    reading = scene_open(true);
    reader = scene_reader(reading);
    assert_false(store_replaced(reading));
    scene_expect(reader, "a", "new");
    store_reader_free(reader);
    store_close(reading);
}

static void foreign_and_cut_files_are_damaged(void **state)
{
    struct store_options writing = scene_options(false), reading = scene_options(true);
    static char foreign[20000];
    struct store *store = scene_open(false);
    struct stat status;

    (void)state;
    for (int i = 0; i < 100; i++) {
        char key[16];

        snprintf(key, sizeof(key), "key%d", i);
        scene_put(store, key, "some value that takes a little room, so that the tree has pages");
    }
    store_close(store);
    assert_int_equal(stat(scene_data, &status), 0);
    assert_int_equal(truncate(scene_data, status.st_blocks * 512 / 2), 0);
    scene_expect_refused(&reading, ERROR_DAMAGED, "is damaged");
    scene_expect_refused(&writing, ERROR_DAMAGED, "is damaged");
    memset(foreign, 'x', sizeof(foreign));
    assert_int_equal(file_write(scene_data, view_from(foreign, sizeof(foreign)), 0640), ERROR_NONE);
    scene_expect_refused(&reading, ERROR_DAMAGED, "no LMDB file");
    scene_expect_refused(&writing, ERROR_DAMAGED, "no LMDB file");
    assert_int_equal(file_write(scene_data, VIEW("short"), 0640), ERROR_NONE);
    scene_expect_refused(&reading, ERROR_DAMAGED, "no LMDB file");
}

/* The pages of the tree, not the two meta pages in front. */
static void a_page_of_zeros_is_damaged_and_no_crash(void **state)
{
    struct store *store = scene_open(false);
    static const char zeros[4096];
    struct store_reader *reader;
    struct stat status;
    struct buffer value;
    enum error error;
    int file;

    (void)state;
    scene_put(store, "a", "1");
    store_close(store);
    assert_int_equal(stat(scene_data, &status), 0);
    file = open(scene_data, O_WRONLY);
    for (off_t at = 2 * 4096; at < status.st_size; at += 4096)
        assert_int_equal(pwrite(file, zeros, sizeof(zeros), at), sizeof(zeros));
    close(file);
    buffer_init(&value, 8192);
    {
        struct store_options options = scene_options(true);

        error = store_open(&options, &store, &value);
    }
    if (error == ERROR_NONE) { /* met at the start, or at the first look */
        reader = scene_reader(store);
        error = store_get(reader, LAYOUT_ROUTES, VIEW("a"), &value);
        store_reader_free(reader);
        store_close(store);
    }
    assert_int_equal(error, ERROR_DAMAGED);
    buffer_release(&value);
}

/* In a child, since it must abort. */
static void opening_twice_in_one_process_is_our_bug(void **state)
{
    int status;
    pid_t child;

    (void)state;
    fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct store_options options = scene_options(false);
        struct store *first, *second;

        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(3);
        if (store_open(&options, &first, NULL) != ERROR_NONE)
            _exit(2);
        if (store_open(&options, &second, NULL) != ERROR_NONE)
            _exit(1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- threads ---- */

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
        TEST(a_reserve_is_left_for_those_who_may_use_it),
        TEST(what_is_committed_is_read_and_what_is_aborted_is_not),
        TEST(databases_are_apart),
        TEST(what_was_written_is_there_after_opening_again),
        TEST(a_snapshot_sees_one_state),
        TEST(ranges_visit_keys_in_order_within_their_prefix),
        TEST(keys_and_values_have_limits),
        TEST(a_full_map_is_full_and_loses_nothing),
        TEST(rewriting_does_not_grow_the_file_while_a_reader_rests),
        TEST(modes_are_exact_whatever_the_umask_and_set_again_when_they_differ),
        TEST(a_reader_waits_for_its_writer_with_not_found),
        TEST(reading_without_a_lock_file_is_refused),
        TEST(a_lock_file_that_cannot_be_written_is_refused),
        TEST(a_replaced_environment_is_noticed),
        TEST(foreign_and_cut_files_are_damaged),
        TEST(a_page_of_zeros_is_damaged_and_no_crash),
        TEST(opening_twice_in_one_process_is_our_bug),
        TEST(readers_of_several_threads_see_whole_states_while_one_writes),
        TEST(writers_of_several_threads_take_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
