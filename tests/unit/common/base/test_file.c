/* Tests of whole files and folders, in a folder of their own below /tmp. */
#include "tests/unit/common/base/check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"

static char root[] = "/tmp/test_file.XXXXXX";
static char path_space[8][512];

static const char *below(const char *name)
{
    static unsigned turn;
    char *path = path_space[turn++ % 8];

    snprintf(path, sizeof(path_space[0]), "%s/%s", root, name);
    return path;
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root + strlen(root) - 6, "XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return folder_remove(root) == ERROR_NONE && !file_exists(root) ? 0 : -1;
}

static bool gather_name(const char *name, void *context)
{
    buffer_append_string(context, name);
    buffer_append_byte(context, ' ');
    return true;
}

static void check_listing(const char *path, const char *names)
{
    struct buffer listing;

    buffer_init(&listing, 10000);
    assert_int_equal(folder_list(path, gather_name, &listing), ERROR_NONE);
    assert_string_equal(listing.data ? listing.data : "", names);
    buffer_release(&listing);
}

static void what_is_written_reads_back_with_its_mode(void **state)
{
    struct buffer content;
    struct stat status;
    mode_t before = umask(0077);

    (void)state;
    buffer_init(&content, 100);
    assert_int_equal(file_write(below("a"), VIEW("one\0two"), 0644), ERROR_NONE);
    umask(before);
    assert_int_equal(stat(below("a"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0644); /* whatever the umask */
    assert_int_equal(file_read(below("a"), &content), ERROR_NONE);
    check_buffer(&content, "one\0two");
    assert_int_equal(file_write(below("a"), VIEW(""), 0600), ERROR_NONE);
    buffer_clear(&content);
    assert_int_equal(file_read(below("a"), &content), ERROR_NONE);
    assert_int_equal(content.length, 0);
    check_listing(root, "a "); /* no temporary file is left */
    buffer_release(&content);
}

static void reading_appends_and_stops_at_the_ceiling(void **state)
{
    struct buffer content;

    (void)state;
    assert_int_equal(file_write(below("a"), VIEW("12345"), 0600), ERROR_NONE);
    buffer_init(&content, 7);
    buffer_append_string(&content, ">>");
    assert_int_equal(file_read(below("a"), &content), ERROR_NONE); /* just fits */
    check_buffer(&content, ">>12345");
    buffer_release(&content);
    buffer_init(&content, 6);
    buffer_append_string(&content, ">>");
    assert_int_equal(file_read(below("a"), &content), ERROR_TOO_BIG);
    check_buffer(&content, ">>");
    buffer_release(&content);
}

static void a_large_file_is_read_whole(void **state)
{
    struct buffer large, content;

    (void)state;
    buffer_init(&large, 1 << 20);
    buffer_init(&content, 1 << 20);
    while (large.length < 300000)
        buffer_append_u64(&large, large.length);
    assert_int_equal(file_write(below("large"), buffer_view(&large), 0600), ERROR_NONE);
    assert_int_equal(file_read(below("large"), &content), ERROR_NONE);
    assert_true(view_equal(buffer_view(&large), buffer_view(&content)));
    buffer_release(&large);
    buffer_release(&content);
}

static void what_cannot_be_read_says_why(void **state)
{
    struct buffer content;

    (void)state;
    buffer_init(&content, 100);
    assert_int_equal(file_read(below("absent"), &content), ERROR_NOT_FOUND);
    assert_int_equal(file_read(root, &content), ERROR_IO);
    assert_int_equal(file_write(below("absent/a"), VIEW("x"), 0600), ERROR_NOT_FOUND);
    assert_int_equal(content.length, 0);
    buffer_release(&content);
}

static void a_link_is_replaced_and_its_target_is_left_alone(void **state)
{
    struct buffer content;

    (void)state;
    buffer_init(&content, 100);
    assert_int_equal(file_write(below("target"), VIEW("old"), 0600), ERROR_NONE);
    assert_int_equal(symlink("target", below("link")), 0);
    assert_int_equal(file_write(below("link"), VIEW("new"), 0600), ERROR_NONE);
    assert_int_equal(file_read(below("target"), &content), ERROR_NONE);
    check_buffer(&content, "old");
    buffer_release(&content);
}

/* A file size limit makes write fail in the middle, as a full disk would. */
static void a_write_that_fails_leaves_the_old_file_and_no_temporary_one(void **state)
{
    static char big[100000];
    struct buffer content;
    int status;
    pid_t child;

    (void)state;
    assert_int_equal(file_write(below("a"), VIEW("old"), 0600), ERROR_NONE);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit = {50000, 50000};

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(file_write(below("a"), view_from(big, sizeof(big)), 0600) == ERROR_TOO_BIG ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    buffer_init(&content, 100);
    assert_int_equal(file_read(below("a"), &content), ERROR_NONE);
    check_buffer(&content, "old");
    check_listing(root, "a ");
    buffer_release(&content);
}

static _Noreturn void write_for_ever(char versions[2][20000])
{
    for (int i = 1;; i++) {
        if (file_write(below("a"), view_from(versions[i % 2], 20000), 0600) != ERROR_NONE)
            _exit(1);
    }
}

/* A process killed at any moment leaves one of the two versions whole. */
static void a_crash_leaves_the_old_or_the_new_file_never_a_part(void **state)
{
    static char versions[2][20000];

    (void)state;
    memset(versions[0], 'a', sizeof(versions[0]));
    memset(versions[1], 'b', sizeof(versions[1]));
    assert_int_equal(file_write(below("a"), view_from(versions[0], sizeof(versions[0])), 0600),
                     ERROR_NONE);
    for (useconds_t wait_us = 0; wait_us < 4000; wait_us += 200) {
        struct buffer content;
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0)
            write_for_ever(versions);
        usleep(wait_us);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        buffer_init(&content, 100000);
        assert_int_equal(file_read(below("a"), &content), ERROR_NONE);
        assert_int_equal(content.length, sizeof(versions[0]));
        assert_memory_equal(content.data, versions[content.data[0] - 'a'], content.length);
        buffer_release(&content);
    }
}

static void folders_are_made_with_their_parents(void **state)
{
    struct stat status;

    (void)state;
    assert_int_equal(folder_make(below("x/y/z"), 0750), ERROR_NONE);
    assert_int_equal(folder_make(below("x/y/z"), 0700), ERROR_NONE); /* there already */
    assert_int_equal(folder_make(below("x//y/w/"), 0750), ERROR_NONE);
    assert_int_equal(stat(below("x/y/z"), &status), 0);
    assert_true(S_ISDIR(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0750);
    assert_int_equal(file_write(below("file"), VIEW(""), 0600), ERROR_NONE);
    assert_int_equal(folder_make(below("file"), 0750), ERROR_EXISTS);
    assert_int_equal(folder_make(below("file/x"), 0750), ERROR_EXISTS);
}

static void removing_a_folder_never_follows_a_link(void **state)
{
    (void)state;
    assert_int_equal(folder_make(below("keep"), 0700), ERROR_NONE);
    assert_int_equal(file_write(below("keep/file"), VIEW("x"), 0600), ERROR_NONE);
    assert_int_equal(folder_make(below("gone/a/b"), 0700), ERROR_NONE);
    assert_int_equal(file_write(below("gone/a/file"), VIEW("x"), 0400), ERROR_NONE);
    assert_int_equal(symlink("../../keep", below("gone/a/link")), 0);
    assert_int_equal(symlink(below("keep"), below("gone/top")), 0);
    assert_int_equal(folder_remove(below("gone")), ERROR_NONE);
    assert_false(file_exists(below("gone")));
    assert_true(file_exists(below("keep/file")));
    assert_int_equal(symlink("keep", below("link")), 0);
    assert_int_equal(folder_remove(below("link")), ERROR_NONE); /* the link alone */
    assert_true(file_exists(below("keep/file")));
    assert_int_equal(folder_remove(below("absent")), ERROR_NONE);
}

static bool stop_at_b(const char *name, void *context)
{
    ++*(int *)context;
    return strcmp(name, "b") != 0;
}

static void listing_is_in_byte_order_and_stops_when_asked(void **state)
{
    static const char *const names[] = {"b", "a", "Z", "c", ".hidden", "\xC3\xA9"};
    int visited = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(file_write(below(names[i]), VIEW(""), 0600), ERROR_NONE);
    check_listing(root, ".hidden Z a b c \xC3\xA9 ");
    assert_int_equal(folder_list(root, stop_at_b, &visited), ERROR_NONE);
    assert_int_equal(visited, 4);
    assert_int_equal(folder_list(below("absent"), stop_at_b, &visited), ERROR_NOT_FOUND);
}

static void a_stamp_tells_a_file_from_what_it_was(void **state)
{
    const char *path = below("stamped"), *link = below("link");
    int64_t written_ns = 0;
    uint64_t absent = file_stamp(FILE_STAMP_START, path, NULL);
    uint64_t before, after;

    (void)state;
    assert_true(absent != 0);
    assert_int_equal(file_write(path, VIEW("one"), 0600), ERROR_NONE);
    assert_int_equal(symlink(path, link), 0);
    before = file_stamp(FILE_STAMP_START, link, &written_ns);
    assert_true(before != 0 && before != absent && written_ns > 0);
    assert_true(file_stamp(FILE_STAMP_START, link, NULL) == before);
    assert_int_equal(file_write(path, VIEW("two"), 0600), ERROR_NONE); /* as long, in its place */
    after = file_stamp(FILE_STAMP_START, link, NULL);
    assert_true(after != before);
    assert_int_equal(unlink(path), 0);
    assert_true(file_stamp(FILE_STAMP_START, link, NULL) == absent);
    assert_true(file_stamp_bytes(absent, "a", 1) != file_stamp_bytes(absent, "b", 1));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_is_written_reads_back_with_its_mode),
        IN_FOLDER(reading_appends_and_stops_at_the_ceiling),
        IN_FOLDER(a_large_file_is_read_whole),
        IN_FOLDER(what_cannot_be_read_says_why),
        IN_FOLDER(a_link_is_replaced_and_its_target_is_left_alone),
        IN_FOLDER(a_write_that_fails_leaves_the_old_file_and_no_temporary_one),
        IN_FOLDER(a_crash_leaves_the_old_or_the_new_file_never_a_part),
        IN_FOLDER(folders_are_made_with_their_parents),
        IN_FOLDER(removing_a_folder_never_follows_a_link),
        IN_FOLDER(a_stamp_tells_a_file_from_what_it_was),
        IN_FOLDER(listing_is_in_byte_order_and_stops_when_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
