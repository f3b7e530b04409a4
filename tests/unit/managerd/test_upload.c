/* Tests of uploads: what comes lies in a file when it is whole, and nowhere when it is not. */
#include "tests/unit/managerd/scene.h"

#include "managerd/upload.h"

#include <sys/statvfs.h>
#include <unistd.h>

static struct scene scene;
static char folder[256];
static struct uploads *uploads;
static struct uploads_options options;

static void open_uploads(void)
{
    uploads_free(uploads);
    options.folder = folder;
    uploads = uploads_new(scene.base, &options);
}

static int set_up(void **state)
{
    (void)state;
    scene_new(&scene);
    snprintf(folder, sizeof folder, "%s", scene_path(&scene, "packages"));
    options = (struct uploads_options){.max_count = 2, .max_bytes = 10 << 20};
    open_uploads();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    uploads_free(uploads);
    uploads = NULL;
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

static struct incoming_spool *begin(uint64_t bytes)
{
    enum guard_reason over = GUARD_NONE;
    struct incoming_spool *spool = upload_begin(uploads, bytes, &over);
    assert_non_null(spool);
    assert_int_equal(over, GUARD_NONE);
    return spool;
}

static enum guard_reason refused(uint64_t bytes)
{
    enum guard_reason over = GUARD_NONE;
    assert_null(upload_begin(uploads, bytes, &over));
    return over;
}

static void on_ready(enum error error, void *context)
{
    *(enum error *)context = error;
}

static enum error finish(struct upload *upload)
{
    enum error error = ERROR_BUSY;
    upload_finish(upload, on_ready, &error);
    assert_int_equal(error, ERROR_BUSY); /* from the loop alone */
    for (int i = 0; i < 1000 && error == ERROR_BUSY; i++)
        event_base_loop(scene.base, EVLOOP_ONCE);
    return error;
}

static void send_pattern(struct incoming_spool *spool, size_t length, size_t piece)
{
    char bytes[8192];
    for (size_t at = 0; at < length;) {
        size_t now = length - at < piece ? length - at : piece;
        for (size_t i = 0; i < now; i++)
            bytes[i] = (char)((at + i) * 31 >> 3);
        /* Here nobody stops sending: what was read already always comes. */
        spool->take(spool, view_from(bytes, now));
        at += now;
    }
}

static void what_comes_in_pieces_lies_in_a_file_in_order(void **state)
{
    (void)state;
    size_t length = 3000001;
    struct incoming_spool *spool = begin(length);
    struct upload *upload = upload_of(spool);
    char path[300];
    send_pattern(spool, length, 8191);
    assert_int_equal(finish(upload), ERROR_NONE);
    struct view bytes = upload_bytes(upload);
    assert_int_equal(bytes.length, length);
    for (size_t i = 0; i < length; i++)
        if (bytes.data[i] != (char)(i * 31 >> 3))
            fail_msg("byte %zu is another one", i);
    assert_int_equal(strlen(upload_sha256(upload)), 64);
    snprintf(path, sizeof path, "%s/kept", folder);
    assert_int_equal(upload_keep(upload, path), ERROR_NONE);
    upload_free(upload);
    uploads_drain(uploads);
    assert_true(file_exists(path));
    assert_int_equal(files(), 1);
    struct uploads_figures figures;
    uploads_count(uploads, &figures);
    assert_int_equal(figures.running, 0);
    assert_int_equal(figures.bytes, 0);
    assert_int_equal(figures.begun, 1);
}

static void the_client_waits_while_the_disk_is_behind(void **state)
{
    (void)state;
    struct incoming_spool *spool = begin(4 << 20);
    char *bytes = calloc(1, 4 << 20);
    assert_true(spool->take(spool, view_from(bytes, 300 * 1024)));
    assert_false(spool->take(spool, view_from(bytes, 300 * 1024)));
    spool->full = true; /* as the connection notes it */
    for (int i = 0; i < 1000 && spool->full; i++)
        event_base_loop(scene.base, EVLOOP_ONCE);
    assert_false(spool->full);
    free(bytes);
    spool->drop(spool);
}

static void dropping_at_any_time_leaves_nothing(void **state)
{
    (void)state;
    for (size_t length = 0; length < 2000000; length += 130000) {
        struct incoming_spool *spool = begin(length);
        enum error error = ERROR_BUSY;
        send_pattern(spool, length, 4000);
        if (length % 3 == 0)
            event_base_loop(scene.base, EVLOOP_NONBLOCK);
        if (length % 2 == 0)
            upload_finish(upload_of(spool), on_ready, &error);
        spool->drop(spool);
        uploads_drain(uploads);
        assert_int_equal(error, ERROR_BUSY);
        assert_int_equal(files(), 0);
    }
}

static void number_bytes_and_free_disk_are_bounded(void **state)
{
    (void)state;
    struct uploads_figures figures;
    struct statvfs disk;
    struct incoming_spool *one = begin(6 << 20), *two;
    assert_int_equal(refused(5 << 20), GUARD_BUSY);
    two = begin(4 << 20);
    assert_int_equal(refused(1), GUARD_BUSY);
    one->drop(one);
    uploads_drain(uploads);
    one = begin(1);
    uploads_count(uploads, &figures);
    assert_int_equal(figures.running, 2);
    assert_int_equal(figures.refused, 2);
    assert_int_equal(figures.bytes, (4 << 20) + 1);
    one->drop(one);
    two->drop(two);
    uploads_drain(uploads);
    assert_int_equal(statvfs(folder, &disk), 0);
    options.max_bytes = UINT64_MAX / 4;
    options.free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize * 2 + (1 << 20);
    open_uploads();
    assert_int_equal(refused(1), GUARD_STORAGE_FULL);
    /* What is promised to one upload is not there for the next. */
    options.free_bytes = 0;
    open_uploads();
    one = begin((uint64_t)disk.f_bavail * disk.f_frsize / 4 * 3);
    assert_int_equal(refused((uint64_t)disk.f_bavail * disk.f_frsize / 4 * 3), GUARD_STORAGE_FULL);
    one->drop(one);
    uploads_drain(uploads);
}

static void a_folder_that_cannot_be_written_is_told_at_the_end(void **state)
{
    (void)state;
    struct uploads_figures figures;
    struct incoming_spool *spool = begin(100);
    spool->take(spool, VIEW("abc"));
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(finish(upload_of(spool)), ERROR_NOT_FOUND);
    uploads_count(uploads, &figures);
    assert_int_equal(figures.failed, 1);
    upload_free(upload_of(spool));
    uploads_drain(uploads);
    assert_int_equal(folder_make(folder, 0700), ERROR_NONE);
}

static void what_a_crash_left_is_removed_at_the_next_start(void **state)
{
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s/.upload.AbCdEf", folder);
    assert_int_equal(file_write(path, VIEW("half"), 0600), ERROR_NONE);
    snprintf(path, sizeof path, "%s/package.zip", folder);
    assert_int_equal(file_write(path, VIEW("whole"), 0600), ERROR_NONE);
    open_uploads();
    assert_int_equal(files(), 1);
    assert_true(file_exists(path));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_comes_in_pieces_lies_in_a_file_in_order),
        TEST(the_client_waits_while_the_disk_is_behind),
        TEST(dropping_at_any_time_leaves_nothing),
        TEST(number_bytes_and_free_disk_are_bounded),
        TEST(a_folder_that_cannot_be_written_is_told_at_the_end),
        TEST(what_a_crash_left_is_removed_at_the_next_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
