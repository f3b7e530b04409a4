/* Tests of files that grow, and are kept when they are whole. */
#include "tests/unit/managerd/scene.h"

#include "managerd/growing_file.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

static struct scene scene;
static char folder[256];

static int set_up(void **state)
{
    (void)state;
    scene_new(&scene);
    snprintf(folder, sizeof folder, "%s", scene_path(&scene, "packages"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scene_remove(&scene);
    return 0;
}

static bool count_name(const char *name, void *context)
{
    (void)name;
    ++*(unsigned *)context;
    return true;
}

static unsigned files(void)
{
    unsigned count = 0;
    assert_int_equal(folder_list(folder, count_name, &count), ERROR_NONE);
    return count;
}

static void what_is_added_is_hashed_mapped_and_kept_under_its_name(void **state)
{
    (void)state;
    struct growing_file file;
    struct buffer bytes;
    char path[300];
    buffer_init(&bytes, 100);
    snprintf(path, sizeof path, "%s/kept", folder);
    growing_file_init(&file, folder);
    assert_int_equal(files(), 0);
    growing_file_add(&file, VIEW("ab"));
    growing_file_add(&file, VIEW("c"));
    assert_int_equal(growing_file_end(&file), ERROR_NONE);
    assert_string_equal(file.sha256,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(view_equal(growing_file_bytes(&file), VIEW("abc")));
    assert_int_equal(growing_file_keep(&file, path), ERROR_NONE);
    assert_true(view_equal(growing_file_bytes(&file), VIEW("abc")));
    growing_file_release(&file);
    assert_int_equal(file_read(path, &bytes), ERROR_NONE);
    assert_true(view_equal(buffer_view(&bytes), VIEW("abc")));
    assert_int_equal(files(), 1);
    buffer_release(&bytes);
}

static void what_is_not_kept_is_gone(void **state)
{
    (void)state;
    struct growing_file file;
    growing_file_init(&file, folder);
    growing_file_add(&file, VIEW("abc"));
    assert_int_equal(files(), 1);
    growing_file_release(&file);
    assert_int_equal(files(), 0);
    growing_file_init(&file, folder);
    assert_int_equal(growing_file_end(&file), ERROR_NONE);
    assert_int_equal(growing_file_bytes(&file).length, 0);
    assert_string_equal(file.sha256,
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    growing_file_release(&file);
    assert_int_equal(files(), 0);
}

/* Files may have only so many bytes: what a full disk does, as near as a test comes. */
static void the_first_error_sticks(void **state)
{
    (void)state;
    struct growing_file file;
    struct rlimit before, small;
    static char large[5000];
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    growing_file_init(&file, folder);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    growing_file_add(&file, view_from(large, sizeof large));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(file.error, error_from_errno(EFBIG));
    assert_int_not_equal(file.error, ERROR_NONE);
    growing_file_add(&file, VIEW("more"));
    assert_int_equal(growing_file_end(&file), file.error);
    growing_file_release(&file);
    assert_int_equal(files(), 0);
    growing_file_init(&file, "/nonexistent/folder");
    growing_file_add(&file, VIEW("x"));
    assert_int_equal(growing_file_end(&file), ERROR_NOT_FOUND);
    growing_file_release(&file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_added_is_hashed_mapped_and_kept_under_its_name),
        TEST(what_is_not_kept_is_gone),
        TEST(the_first_error_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
