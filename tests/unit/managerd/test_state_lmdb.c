/* Tests of state on LMDB: compares, revisions, group commit, watches, reopening, the lock. */
#include "common/base/file.h"
#include "managerd/jobs.h"
#include "managerd/state_lmdb.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SMALL_MAP (16u << 20)

struct scene {
    char folder[64];
    struct event_base *base;
    struct jobs *store_thread;
    struct state *state;
};

static void open_state(struct scene *scene)
{
    struct buffer problem;
    buffer_init(&problem, 4096);
    assert_int_equal(
        state_lmdb_open(scene->folder, SMALL_MAP, scene->store_thread, &scene->state, &problem),
        ERROR_NONE);
    buffer_release(&problem);
}

static int set_up(void **out)
{
    struct scene *scene = calloc(1, sizeof *scene);
    snprintf(scene->folder, sizeof scene->folder, "/tmp/state.XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    scene->base = event_base_new();
    scene->store_thread = jobs_new(scene->base, 1);
    open_state(scene);
    *out = scene;
    return 0;
}

static int tear_down(void **out)
{
    struct scene *scene = *out;
    jobs_drain(scene->store_thread);
    state_close(scene->state);
    jobs_free(scene->store_thread);
    event_base_free(scene->base);
    assert_int_equal(folder_remove(scene->folder), ERROR_NONE);
    free(scene);
    return 0;
}

struct outcome {
    enum error error;
    uint64_t revision;
    int calls;
};

static void on_done(enum error error, uint64_t revision, void *context)
{
    struct outcome *outcome = context;
    outcome->error = error;
    outcome->revision = revision;
    outcome->calls++;
}

/* Compares (revision < 0: none) and puts a number, or removes (value < 0). */
static void submit(struct scene *scene, const char *key, int64_t revision, int value,
                   struct outcome *outcome)
{
    struct change change;
    change_init(&change);
    if (revision >= 0)
        change_compare(&change, key, (uint64_t)revision);
    if (value >= 0) {
        struct json *number = json_new_integer(value);
        change_put(&change, key, number);
        json_free(number);
    } else {
        change_remove(&change, key);
    }
    memset(outcome, 0, sizeof *outcome);
    state_commit(scene->state, &change, on_done, outcome);
    change_release(&change);
}

static struct outcome commit(struct scene *scene, const char *key, int64_t revision, int value)
{
    struct outcome outcome;
    submit(scene, key, revision, value, &outcome);
    assert_int_equal(outcome.calls, 0); /* never from inside */
    jobs_drain(scene->store_thread);
    assert_int_equal(outcome.calls, 1);
    return outcome;
}

static int read_value(struct scene *scene, const char *key, uint64_t *revision)
{
    struct buffer value;
    int number = -1;
    buffer_init(&value, STATE_MAX_VALUE);
    if (state_get(scene->state, view_of(key), &value, revision) == ERROR_NONE)
        number = atoi(value.data);
    buffer_release(&value);
    return number;
}

static void what_was_committed_is_read_with_its_revision(void **context)
{
    struct scene *scene = *context;
    uint64_t revision = 0;
    assert_int_equal(read_value(scene, "a", NULL), -1);
    struct outcome first = commit(scene, "a", 0, 1);
    assert_int_equal(first.error, ERROR_NONE);
    assert_int_equal(read_value(scene, "a", &revision), 1);
    assert_int_equal(revision, first.revision);
    struct outcome second = commit(scene, "a", -1, 2);
    assert_true(second.revision > first.revision);
    assert_int_equal(commit(scene, "a", -1, -1).error, ERROR_NONE);
    assert_int_equal(read_value(scene, "a", NULL), -1);
    assert_int_equal(commit(scene, "a", -1, -1).error, ERROR_NONE); /* absent already */
}

static void a_compare_that_fails_writes_nothing(void **context)
{
    struct scene *scene = *context;
    struct outcome first = commit(scene, "a", 0, 1);
    assert_int_equal(commit(scene, "a", 0, 2).error, ERROR_CONFLICT);
    assert_int_equal(commit(scene, "a", (int64_t)first.revision + 1, 2).error, ERROR_CONFLICT);
    assert_int_equal(commit(scene, "b", (int64_t)first.revision, 2).error, ERROR_CONFLICT);
    assert_int_equal(read_value(scene, "a", NULL), 1);
    assert_int_equal(read_value(scene, "b", NULL), -1);
    assert_int_equal(commit(scene, "a", (int64_t)first.revision, 2).error, ERROR_NONE);
}

static void commits_at_once_go_together_and_exactly_one_of_rivals_wins(void **context)
{
    struct scene *scene = *context;
    struct outcome outcomes[100];
    int won = 0;
    for (int i = 0; i < 100; i++)
        submit(scene, "rival", 0, i, &outcomes[i]);
    jobs_drain(scene->store_thread);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(outcomes[i].calls, 1);
        won += outcomes[i].error == ERROR_NONE;
        assert_true(outcomes[i].error == ERROR_NONE || outcomes[i].error == ERROR_CONFLICT);
    }
    assert_int_equal(won, 1);
    assert_int_equal(read_value(scene, "rival", NULL), 0); /* the first that asked */
}

static void every_commit_of_a_group_has_its_own_revision(void **context)
{
    struct scene *scene = *context;
    struct outcome outcomes[20];
    char key[16];
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "key-%02d", i);
        submit(scene, key, 0, i, &outcomes[i]);
    }
    jobs_drain(scene->store_thread);
    for (int i = 1; i < 20; i++)
        assert_true(outcomes[i].revision > outcomes[i - 1].revision);
}

static void what_is_too_big_fails_alone(void **context)
{
    struct scene *scene = *context;
    struct outcome big, small;
    struct change change;
    char *text = malloc(SMALL_MAP / 2);
    memset(text, 'x', SMALL_MAP / 2);
    struct json *string = json_new_string(view_from(text, SMALL_MAP / 2));
    change_init(&change);
    change_put(&change, "big", string);
    memset(&big, 0, sizeof big);
    state_commit(scene->state, &change, on_done, &big);
    submit(scene, "small", 0, 1, &small);
    jobs_drain(scene->store_thread);
    assert_int_equal(big.error, ERROR_TOO_BIG);
    assert_int_equal(small.error, ERROR_NONE);
    assert_int_equal(read_value(scene, "small", NULL), 1);
    assert_int_equal(read_value(scene, "big", NULL), -1);
    change_release(&change);
    json_free(string);
    free(text);
}

static void a_full_store_says_so_and_loses_nothing(void **context)
{
    struct scene *scene = *context;
    char *text = malloc(1 << 20), key[16];
    memset(text, 'x', 1 << 20);
    struct json *string = json_new_string(view_from(text, 1 << 20));
    enum error error = ERROR_NONE;
    int written = 0;
    for (int i = 0; i < 40 && !error; i++) {
        struct outcome outcome = {0};
        struct change change;
        change_init(&change);
        snprintf(key, sizeof key, "key-%02d", i);
        change_put(&change, key, string);
        state_commit(scene->state, &change, on_done, &outcome);
        change_release(&change);
        jobs_drain(scene->store_thread);
        error = outcome.error;
        written += !error;
    }
    assert_int_equal(error, ERROR_FULL);
    assert_false(state_writable(scene->state));
    struct buffer value;
    buffer_init(&value, STATE_MAX_VALUE);
    for (int i = 0; i < written; i++) {
        snprintf(key, sizeof key, "key-%02d", i);
        assert_int_equal(state_get(scene->state, view_of(key), &value, NULL), ERROR_NONE);
    }
    assert_int_equal(commit(scene, "key-00", -1, -1).error, ERROR_NONE);
    assert_true(state_writable(scene->state));
    buffer_release(&value);
    json_free(string);
    free(text);
}

static void a_full_store_takes_what_is_urgent(void **context)
{
    struct scene *scene = *context;
    struct change change;
    struct outcome outcome;
    int written = 0;
    enum error error = ERROR_NONE;
    char key[16], *text = malloc(100000);
    memset(text, 'x', 100000);
    struct json *string = json_new_string(view_from(text, 100000));
    for (; !error; written++) {
        snprintf(key, sizeof key, "key-%04d", written);
        change_init(&change);
        change_put(&change, key, string);
        state_commit(scene->state, &change, on_done, &outcome);
        change_release(&change);
        jobs_drain(scene->store_thread);
        error = outcome.error;
    }
    assert_int_equal(error, ERROR_FULL);
    /* A removal that leaves its mark, again and again; ordinary neighbours do not hold it up. */
    for (int i = 0; i < 20; i++) {
        struct outcome ordinary = {0};
        snprintf(key, sizeof key, "key-%04d", i);
        change_init(&change);
        change_put(&change, "another", string);
        state_commit(scene->state, &change, on_done, &ordinary);
        change_clear(&change);
        change.urgent = true;
        if (i % 2)
            change_remove(&change, key);
        change_put(&change, "mark", string);
        state_commit(scene->state, &change, on_done, &outcome);
        change_release(&change);
        jobs_drain(scene->store_thread);
        assert_int_equal(outcome.error, ERROR_NONE);
        if (i == 0)
            assert_int_equal(ordinary.error, ERROR_FULL);
    }
    assert_int_equal(commit(scene, "small", -1, 1).error, ERROR_NONE);
    json_free(string);
    free(text);
}

static bool collect(struct view key, struct view value, uint64_t revision, void *context)
{
    struct buffer *names = context;
    (void)value, (void)revision;
    buffer_append_view(names, key);
    buffer_append_byte(names, ' ');
    return names->length < 20;
}

static void a_range_goes_in_order_from_where_it_is_told_within_its_prefix(void **context)
{
    struct scene *scene = *context;
    static const char *const keys[] = {"b/2", "b/1", "b/3", "a/9", "c/1", "b"};
    struct buffer names;
    buffer_init(&names, 4096);
    for (int i = 0; i < 6; i++)
        commit(scene, keys[i], 0, i);
    assert_int_equal(state_range(scene->state, VIEW("b/"), VIEW(""), collect, &names), ERROR_NONE);
    assert_string_equal(names.data, "b/1 b/2 b/3 ");
    buffer_clear(&names);
    assert_int_equal(state_range(scene->state, VIEW("b/"), VIEW("b/2"), collect, &names),
                     ERROR_NONE);
    assert_string_equal(names.data, "b/2 b/3 ");
    buffer_clear(&names);
    assert_int_equal(state_keys(scene->state, VIEW("b/"), VIEW("b/2"), collect, &names),
                     ERROR_NONE);
    assert_string_equal(names.data, "b/2 b/3 ");
    buffer_release(&names);
}

static void count_change(void *context)
{
    ++*(int *)context;
}

struct dropping {
    struct state_watch *watch;
    int calls;
};

static void drop_watch(void *context)
{
    struct dropping *dropping = context;
    dropping->calls++;
    state_unwatch(dropping->watch);
    dropping->watch = NULL;
}

static void watches_are_told_of_their_key_after_the_commit(void **context)
{
    struct scene *scene = *context;
    int changes = 0, others = 0;
    struct dropping dropping = {NULL, 0};
    struct state_watch *one = state_watch(scene->state, "a", count_change, &changes);
    dropping.watch = state_watch(scene->state, "a", drop_watch, &dropping);
    struct state_watch *two = state_watch(scene->state, "ab", count_change, &others);
    commit(scene, "a", 0, 1);
    commit(scene, "a", 0, 2); /* a conflict: nothing changed */
    commit(scene, "a", -1, 3);
    assert_int_equal(changes, 2);
    assert_int_equal(others, 0);
    assert_int_equal(dropping.calls, 1);
    state_unwatch(one);
    state_unwatch(two);
    commit(scene, "a", -1, 4);
    assert_int_equal(changes, 2);
}

static void a_reopened_state_has_everything_and_goes_on_counting(void **context)
{
    struct scene *scene = *context;
    uint64_t before = commit(scene, "kept", 0, 42).revision, revision = 0;
    state_close(scene->state);
    open_state(scene);
    assert_int_equal(read_value(scene, "kept", &revision), 42);
    assert_int_equal(revision, before);
    assert_true(commit(scene, "kept", (int64_t)before, 43).revision > before);
}

static void a_second_opener_is_turned_away(void **context)
{
    struct scene *scene = *context;
    struct state *second = NULL;
    struct buffer problem;
    buffer_init(&problem, 4096);
    assert_int_equal(
        state_lmdb_open(scene->folder, SMALL_MAP, scene->store_thread, &second, &problem),
        ERROR_BUSY);
    assert_non_null(strstr(problem.data, "another managerd"));
    buffer_release(&problem);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_committed_is_read_with_its_revision),
        TEST(a_compare_that_fails_writes_nothing),
        TEST(commits_at_once_go_together_and_exactly_one_of_rivals_wins),
        TEST(every_commit_of_a_group_has_its_own_revision),
        TEST(what_is_too_big_fails_alone),
        TEST(a_full_store_says_so_and_loses_nothing),
        TEST(a_full_store_takes_what_is_urgent),
        TEST(a_range_goes_in_order_from_where_it_is_told_within_its_prefix),
        TEST(watches_are_told_of_their_key_after_the_commit),
        TEST(a_reopened_state_has_everything_and_goes_on_counting),
        TEST(a_second_opener_is_turned_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
