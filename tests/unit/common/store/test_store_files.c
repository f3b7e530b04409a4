/* Opens environments whose files are absent, foreign, damaged, replaced or of the wrong mode. */
#include "tests/unit/common/store/store_scene.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(modes_are_exact_whatever_the_umask_and_set_again_when_they_differ),
        TEST(a_reader_waits_for_its_writer_with_not_found),
        TEST(reading_without_a_lock_file_is_refused),
        TEST(a_lock_file_that_cannot_be_written_is_refused),
        TEST(a_replaced_environment_is_noticed),
        TEST(foreign_and_cut_files_are_damaged),
        TEST(a_page_of_zeros_is_damaged_and_no_crash),
        TEST(opening_twice_in_one_process_is_our_bug),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
