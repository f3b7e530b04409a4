/* A folder of its own for each test of the store, and short words for what they all do. */
#ifndef TESTS_UNIT_COMMON_STORE_STORE_SCENE_H
#define TESTS_UNIT_COMMON_STORE_STORE_SCENE_H

#include "common/store/store.h"

#include "common/base/file.h"
#include "common/store/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SMALL_MAP ((size_t)1 << 20)

static const char *const scene_databases[] = {LAYOUT_META, LAYOUT_ROUTES, NULL};
static char scene_folder[64];
static char scene_data[80], scene_lock[80];

static int scene_set_up(void **state)
{
    (void)state;
    snprintf(scene_folder, sizeof(scene_folder), "/tmp/test_store.XXXXXX");
    if (!mkdtemp(scene_folder))
        return -1;
    strcat(scene_folder, "/routes");
    snprintf(scene_data, sizeof(scene_data), "%s/data.mdb", scene_folder);
    snprintf(scene_lock, sizeof(scene_lock), "%s/lock.mdb", scene_folder);
    return 0;
}

static int scene_tear_down(void **state)
{
    (void)state;
    *strrchr(scene_folder, '/') = '\0';
    return folder_remove(scene_folder) == ERROR_NONE ? 0 : -1;
}

static struct store_options scene_options(bool read_only)
{
    return (struct store_options){.folder = scene_folder,
                                  .read_only = read_only,
                                  .databases = scene_databases,
                                  .map_bytes = SMALL_MAP};
}

static struct store *scene_open_with(const struct store_options *options)
{
    struct store *store = NULL;
    struct buffer problem;

    buffer_init(&problem, 8192);
    if (store_open(options, &store, &problem) != ERROR_NONE)
        fail_msg("%s", problem.data ? problem.data : "no sentence");
    assert_int_equal(problem.length, 0);
    buffer_release(&problem);
    return store;
}

static inline struct store *scene_open(bool read_only)
{
    struct store_options options = scene_options(read_only);

    return scene_open_with(&options);
}

static inline void scene_put(struct store *store, const char *key, const char *value)
{
    struct store_write *write;

    assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
    assert_int_equal(store_put(write, LAYOUT_ROUTES, view_of(key), view_of(value)), ERROR_NONE);
    assert_int_equal(store_commit(write), ERROR_NONE);
}

static inline struct store_reader *scene_reader(struct store *store)
{
    struct store_reader *reader = NULL;

    assert_int_equal(store_reader_new(store, &reader), ERROR_NONE);
    return reader;
}

/* The value must be `expected`; NULL: absent. */
static inline void scene_expect(struct store_reader *reader, const char *key, const char *expected)
{
    struct buffer value;
    enum error error;

    buffer_init(&value, 4096);
    error = store_get(reader, LAYOUT_ROUTES, view_of(key), &value);
    assert_int_equal(error, expected ? ERROR_NONE : ERROR_NOT_FOUND);
    if (expected)
        assert_string_equal(value.data, expected);
    buffer_release(&value);
}

static inline void scene_expect_refused(const struct store_options *options, enum error error,
                                        const char *sentence_part)
{
    struct store *store;
    struct buffer problem;

    buffer_init(&problem, 8192);
    assert_int_equal(store_open(options, &store, &problem), error);
    assert_null(store);
    assert_true(problem.length > 0);
    if (!strstr(problem.data, sentence_part))
        fail_msg("\"%s\" is not in: %s", sentence_part, problem.data);
    assert_int_equal(problem.data[problem.length - 1], '.');
    buffer_release(&problem);
}

#endif
