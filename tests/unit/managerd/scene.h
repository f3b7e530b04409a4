/* What tests of managerd's larger parts share: a folder, a loop, threads, state. */
#ifndef TESTS_UNIT_MANAGERD_SCENE_H
#define TESTS_UNIT_MANAGERD_SCENE_H

#include "common/base/file.h"
#include "managerd/jobs.h"
#include "managerd/records.h"
#include "managerd/state_lmdb.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SCENE_MAP (16u << 20)

struct scene {
    char folder[64];
    struct event_base *base;
    struct jobs *store_thread, *pool;
    struct state *state;
};

static inline char *scene_path(const struct scene *scene, const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", scene->folder, name);
    return path;
}

/* Starts the threads and opens state, for the first time or again. */
static inline void scene_open(struct scene *scene)
{
    struct buffer problem;
    buffer_init(&problem, 4096);
    scene->base = event_base_new();
    scene->store_thread = jobs_new(scene->base, 1);
    scene->pool = jobs_new(scene->base, 2);
    assert_int_equal(state_lmdb_open(scene_path(scene, "state"), SCENE_MAP, scene->store_thread,
                                     &scene->state, &problem),
                     ERROR_NONE);
    buffer_release(&problem);
}

static inline void scene_drain(struct scene *scene)
{
    for (int i = 0; i < 3; i++) {
        jobs_drain(scene->pool);
        jobs_drain(scene->store_thread);
    }
}

static inline void scene_close(struct scene *scene)
{
    scene_drain(scene);
    state_close(scene->state);
    jobs_free(scene->pool);
    jobs_free(scene->store_thread);
    event_base_free(scene->base);
}

static inline void scene_new(struct scene *scene)
{
    snprintf(scene->folder, sizeof scene->folder, "/tmp/scene.XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    assert_int_equal(folder_make(scene_path(scene, "packages"), 0700), ERROR_NONE);
    scene_open(scene);
}

static inline void scene_remove(struct scene *scene)
{
    scene_close(scene);
    assert_int_equal(folder_remove(scene->folder), ERROR_NONE);
}

static inline void scene_on_put(enum error error, uint64_t revision, void *context)
{
    (void)revision, (void)context;
    assert_int_equal(error, ERROR_NONE);
}

static inline void scene_put(struct scene *scene, struct key key, const struct json *value)
{
    struct change change;
    change_init(&change);
    if (value)
        change_put(&change, key.text, value);
    else
        change_remove(&change, key.text);
    state_commit(scene->state, &change, scene_on_put, NULL);
    change_release(&change);
    jobs_drain(scene->store_thread);
}

static inline struct json *scene_parse(const char *text)
{
    struct json *value = NULL;
    assert_int_equal(json_parse(view_of(text), 50, &value, NULL), ERROR_NONE);
    return value;
}

/* The default settings of an app, as the API completes them. */
static inline struct json *scene_settings(const char *function)
{
    struct json *settings = scene_parse(
        "{\"description\":\"\",\"enabled\":true,\"labels\":{},\"runtime\":\"nodejs22.x\","
        "\"handler\":\"index.handler\",\"architecture\":\"x86_64\",\"memoryMb\":128,"
        "\"timeoutSeconds\":3,\"http\":{\"payloadFormat\":\"2.0\",\"responseMode\":\"buffered\","
        "\"multiValueHeaders\":false},\"probe\":{\"path\":\"/\"},\"limits\":{\"maxInFlight\":7}}");
    json_set_string(object_in(settings, "function"), "name", view_of(function));
    return settings;
}

#define SCENE_SHA256 "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static inline struct json *scene_package(void)
{
    struct json *package = json_new_object();
    json_set_string(package, "type", VIEW("zip"));
    json_set_string(package, "sha256", VIEW(SCENE_SHA256));
    json_set_integer(package, "bytes", 4);
    json_set_string(package, "source", VIEW("upload"));
    return package;
}

#endif
