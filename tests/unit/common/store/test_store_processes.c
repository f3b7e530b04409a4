/* Shares an environment between processes: what a reader sees, what it leaves when it is killed, and PID namespaces. */
#include "tests/unit/common/store/store_scene.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

/* A child that reports by bytes on a pipe, and waits for bytes on another. */
struct child {
    pid_t pid;
    int say, hear; /* parent's ends */
};

static int heard, saying; /* the child's ends */

static void say(char c)
{
    if (write(saying, &c, 1) != 1)
        _exit(90);
}

static char hear(void)
{
    char c;

    if (read(heard, &c, 1) != 1)
        _exit(91);
    return c;
}

static struct child begin_child(void (*run)(void))
{
    int down[2], up[2];
    struct child child;

    assert_int_equal(pipe(down), 0);
    assert_int_equal(pipe(up), 0);
    fflush(NULL);
    child.pid = fork();
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        close(down[1]);
        close(up[0]);
        heard = down[0];
        saying = up[1];
        run();
        _exit(0);
    }
    close(down[0]);
    close(up[1]);
    child.say = down[1];
    child.hear = up[0];
    return child;
}

static void tell(const struct child *child, char c)
{
    assert_int_equal(write(child->say, &c, 1), 1);
}

static char ask(const struct child *child)
{
    char c = '?';

    assert_int_equal(read(child->hear, &c, 1), 1);
    return c;
}

static int end_child(struct child *child)
{
    int status;

    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->say);
    close(child->hear);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

/* Opens for reading until the writer has made it; gives up after 5 s. */
static struct store *open_patiently(void)
{
    struct store_options options = scene_options(true);
    struct store *store;

    for (int i = 0; i < 500; i++) {
        enum error error = store_open(&options, &store, NULL);

        if (error == ERROR_NONE)
            return store;
        if (error != ERROR_NOT_FOUND && error != ERROR_DENIED)
            _exit(92);
        usleep(10000);
    }
    _exit(93);
}

static char first_byte_of(struct store_reader *reader, const char *database, const char *key)
{
    struct buffer value;
    enum error error;
    char first;

    buffer_init(&value, 4096);
    error = store_get(reader, database, view_of(key), &value);
    first = error == ERROR_NONE ? value.data[0] : error == ERROR_NOT_FOUND ? '-' : '!';
    buffer_release(&value);
    return first;
}

static void read_on_demand(void)
{
    struct store *store = open_patiently();
    struct store_reader *reader;

    if (store_reader_new(store, &reader) != ERROR_NONE)
        _exit(94);
    say('r');
    while (hear() == 'g')
        say(first_byte_of(reader, LAYOUT_ROUTES, "a"));
    store_reader_free(reader);
    store_close(store);
}

static void a_reader_of_another_process_sees_each_commit(void **state)
{
    struct child child = begin_child(read_on_demand);
    struct store *store;

    (void)state;
    usleep(50000); /* it looks before there is anything */
    store = scene_open(false);
    assert_int_equal(ask(&child), 'r');
    for (char c = '0'; c <= '9'; c++) {
        char value[2] = {c, 0};

        tell(&child, 'g');
        assert_int_equal(ask(&child), c == '0' ? '-' : c - 1);
        scene_put(store, "a", value);
    }
    tell(&child, 'q');
    assert_int_equal(end_child(&child), 0);
    store_close(store);
}

/* The writer of an older release makes fewer databases than this reader knows. */
static void a_database_that_appears_later_is_found(void **state)
{
    static const char *const fewer[] = {LAYOUT_META, NULL};
    struct store_options options = scene_options(false);
    struct store *store;
    struct child child;

    (void)state;
    options.databases = fewer;
    assert_int_equal(store_open(&options, &store, NULL), ERROR_NONE);
    child = begin_child(read_on_demand);
    assert_int_equal(ask(&child), 'r');
    tell(&child, 'g');
    assert_int_equal(ask(&child), '-');
    store_close(store);
    store = scene_open(false);
    tell(&child, 'g');
    assert_int_equal(ask(&child), '-');
    scene_put(store, "a", "1");
    tell(&child, 'g');
    assert_int_equal(ask(&child), '1');
    tell(&child, 'q');
    assert_int_equal(end_child(&child), 0);
    store_close(store);
}

/* The databases appear while several threads look for them. */
static void make_databases_slowly(void)
{
    static const char *const fewer[] = {LAYOUT_META, NULL};
    struct store_options options = scene_options(false);
    struct store *store;

    options.databases = fewer;
    if (store_open(&options, &store, NULL) != ERROR_NONE)
        _exit(94);
    say('m');
    hear();
    for (int i = 0; i < 200; i++) {
        struct store_write *write;

        if (store_write_begin(store, &write) != ERROR_NONE ||
            store_put(write, LAYOUT_META, VIEW("m"), VIEW("1")) != ERROR_NONE ||
            store_commit(write) != ERROR_NONE)
            _exit(95);
    }
    store_close(store);
    options.databases = scene_databases;
    if (store_open(&options, &store, NULL) != ERROR_NONE)
        _exit(94);
    for (int i = 0; i < 200; i++) {
        struct store_write *write;

        if (store_write_begin(store, &write) != ERROR_NONE ||
            store_put(write, LAYOUT_META, VIEW("m"), VIEW("2")) != ERROR_NONE ||
            store_put(write, LAYOUT_ROUTES, VIEW("a"), VIEW("2")) != ERROR_NONE ||
            store_commit(write) != ERROR_NONE)
            _exit(95);
    }
    store_close(store);
}

/* NULL when each snapshot held either neither "2" or both, and both came in the end. */
static void *look_for_databases(void *argument)
{
    struct store *store = argument;
    struct store_reader *reader;
    char meta = '-', route = '-';

    if (store_reader_new(store, &reader) != ERROR_NONE)
        return store;
    for (int i = 0; i < 2000000 && route != '2'; i++) {
        if (store_begin(reader) != ERROR_NONE)
            break;
        meta = first_byte_of(reader, LAYOUT_META, "m");
        route = first_byte_of(reader, LAYOUT_ROUTES, "a");
        store_end(reader);
        if ((meta == '2') != (route == '2'))
            break;
    }
    store_reader_free(reader);
    return meta == '2' && route == '2' ? NULL : store;
}

static void threads_that_look_for_a_database_see_it_with_its_whole_state(void **state)
{
    struct child child = begin_child(make_databases_slowly);
    pthread_t threads[3];
    struct store *store;
    void *failed[3];

    (void)state;
    assert_int_equal(ask(&child), 'm');
    store = scene_open(true);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_for_databases, store), 0);
    tell(&child, 'g');
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], &failed[i]), 0);
    assert_int_equal(end_child(&child), 0);
    store_close(store);
    for (size_t i = 0; i < 3; i++)
        assert_null(failed[i]);
}

static void hold_a_snapshot(void)
{
    struct store *store = open_patiently();
    struct store_reader *reader;

    if (store_reader_new(store, &reader) != ERROR_NONE || store_begin(reader) != ERROR_NONE)
        _exit(94);
    say(first_byte_of(reader, LAYOUT_ROUTES, "a"));
    hear();
    say(first_byte_of(reader, LAYOUT_ROUTES, "a"));
    hear();
    store_end(reader);
    store_reader_free(reader);
    store_close(store);
}

static void a_snapshot_of_another_process_keeps_its_pages(void **state)
{
    struct store *store = scene_open(false);
    struct child child;

    (void)state;
    scene_put(store, "a", "1");
    child = begin_child(hold_a_snapshot);
    assert_int_equal(ask(&child), '1');
    for (int i = 0; i < 20; i++)
        scene_put(store, "a", "2");
    tell(&child, 'g');
    assert_int_equal(ask(&child), '1');
    tell(&child, 'q');
    assert_int_equal(end_child(&child), 0);
    store_close(store);
}

static void the_slot_of_a_killed_reader_is_freed(void **state)
{
    struct store *store = scene_open(false);
    struct store_statistics statistics;
    struct child children[3];

    (void)state;
    scene_put(store, "a", "1");
    for (size_t i = 0; i < 3; i++) {
        children[i] = begin_child(hold_a_snapshot);
        assert_int_equal(ask(&children[i]), '1');
    }
    assert_int_equal(store_statistics(store, &statistics), ERROR_NONE);
    assert_int_equal(statistics.readers, 3);
    assert_int_equal(store_check_readers(store), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(kill(children[i].pid, SIGKILL), 0);
        assert_int_equal(end_child(&children[i]), 100 + SIGKILL);
    }
    assert_int_equal(store_check_readers(store), 2);
    assert_int_equal(store_check_readers(store), 0);
    assert_int_equal(store_statistics(store, &statistics), ERROR_NONE);
    assert_int_equal(statistics.readers, 1);
    assert_int_equal(kill(children[2].pid, SIGKILL), 0);
    end_child(&children[2]);
    assert_int_equal(store_check_readers(store), 1);
    store_close(store);
}

static void write_and_hold(void)
{
    struct store_options options = scene_options(false);
    struct store_write *write;
    struct store *store;

    if (store_open(&options, &store, NULL) != ERROR_NONE ||
        store_write_begin(store, &write) != ERROR_NONE ||
        store_put(write, LAYOUT_ROUTES, VIEW("a"), VIEW("half")) != ERROR_NONE)
        _exit(94);
    say('h');
    hear();
}

static void a_writer_killed_within_a_transaction_leaves_the_old_state_and_no_lock(void **state)
{
    struct store *store = scene_open(false);
    struct store_reader *reader;
    struct child child;

    (void)state;
    scene_put(store, "a", "whole");
    store_close(store);
    child = begin_child(write_and_hold);
    assert_int_equal(ask(&child), 'h');
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    end_child(&child);
    store = scene_open(false);
    reader = scene_reader(store);
    scene_expect(reader, "a", "whole");
    scene_put(store, "a", "next");
    scene_expect(reader, "a", "next");
    store_reader_free(reader);
    store_close(store);
}

static void write_many(void)
{
    struct store_options options = scene_options(false);
    struct store *store;

    if (store_open(&options, &store, NULL) != ERROR_NONE)
        _exit(94);
    say('w');
    for (unsigned i = 0; i < 100000; i++) {
        struct store_write *write;
        char value[1000];

        memset(value, 'a' + (int)(i % 26), sizeof(value));
        if (store_write_begin(store, &write) != ERROR_NONE ||
            store_put(write, LAYOUT_ROUTES, VIEW("x"), view_from(value, sizeof(value))) !=
                ERROR_NONE ||
            store_put(write, LAYOUT_ROUTES, VIEW("y"), view_from(value, sizeof(value))) !=
                ERROR_NONE ||
            store_commit(write) != ERROR_NONE)
            _exit(95);
    }
}

static void a_writer_killed_at_any_moment_leaves_a_whole_state(void **state)
{
    struct store *store = scene_open(false);
    struct store_reader *reader = scene_reader(store);
    struct buffer x, y;

    (void)state;
    store_reader_free(reader);
    store_close(store);
    buffer_init(&x, 4096);
    buffer_init(&y, 4096);
    for (unsigned round = 0; round < 15; round++) {
        struct child child = begin_child(write_many);

        assert_int_equal(ask(&child), 'w');
        usleep(3000 + round * 1700);
        assert_int_equal(kill(child.pid, SIGKILL), 0);
        assert_int_equal(end_child(&child), 100 + SIGKILL);
        store = scene_open(false);
        reader = scene_reader(store);
        assert_int_equal(store_begin(reader), ERROR_NONE);
        assert_int_equal(store_get(reader, LAYOUT_ROUTES, VIEW("x"), &x),
                         store_get(reader, LAYOUT_ROUTES, VIEW("y"), &y));
        store_end(reader);
        assert_true(view_equal(buffer_view(&x), buffer_view(&y)));
        store_reader_free(reader);
        store_close(store);
    }
    buffer_release(&x);
    buffer_release(&y);
}

static void a_store_open_before_fork_may_be_opened_anew_by_the_child(void **state)
{
    struct store *store = scene_open(false);
    struct child child;

    (void)state;
    scene_put(store, "a", "1");
    child = begin_child(read_on_demand);
    assert_int_equal(ask(&child), 'r');
    tell(&child, 'g');
    assert_int_equal(ask(&child), '1');
    tell(&child, 'q');
    assert_int_equal(end_child(&child), 0);
    scene_put(store, "a", "2"); /* the child's end took none of our locks away */
    store_close(store);
}

/* ---- PID namespaces (needs the right to make one) ---- */

static void open_as_process_one(void)
{
    struct store_options options = scene_options(true);
    struct store *store;
    struct buffer problem;
    enum error error;

    buffer_init(&problem, 8192);
    error = store_open(&options, &store, &problem);
    if (error == ERROR_NONE)
        say('o');
    else if (error == ERROR_BUSY && strstr(problem.data, "PID namespace"))
        say('b');
    else
        say('!');
    hear();
    if (error == ERROR_NONE)
        store_close(store);
    buffer_release(&problem);
}

static void namespaced(void)
{
    pid_t inner;
    int status;

    if (unshare(CLONE_NEWPID) != 0) {
        say('n');
        return;
    }
    inner = fork();
    if (inner == 0) { /* process 1 of its namespace */
        open_as_process_one();
        _exit(0);
    }
    if (waitpid(inner, &status, 0) != inner || status != 0)
        _exit(96);
}

static void two_processes_one_of_two_namespaces_are_told_apart_with_a_sentence(void **state)
{
    struct store *store = scene_open(false);
    struct child first, second;
    char answer;

    (void)state;
    store_close(store);
    first = begin_child(namespaced);
    answer = ask(&first);
    if (answer == 'n') {
        end_child(&first);
        print_message("[  SKIPPED ] no right to make a PID namespace\n");
        skip();
    }
    assert_int_equal(answer, 'o');
    second = begin_child(namespaced);
    assert_int_equal(ask(&second), 'b');
    tell(&second, 'q');
    assert_int_equal(end_child(&second), 0);
    tell(&first, 'q');
    assert_int_equal(end_child(&first), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_reader_of_another_process_sees_each_commit),
        TEST(a_database_that_appears_later_is_found),
        TEST(threads_that_look_for_a_database_see_it_with_its_whole_state),
        TEST(a_snapshot_of_another_process_keeps_its_pages),
        TEST(the_slot_of_a_killed_reader_is_freed),
        TEST(a_writer_killed_within_a_transaction_leaves_the_old_state_and_no_lock),
        TEST(a_writer_killed_at_any_moment_leaves_a_whole_state),
        TEST(a_store_open_before_fork_may_be_opened_anew_by_the_child),
        TEST(two_processes_one_of_two_namespaces_are_told_apart_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
