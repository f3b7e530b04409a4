/* Tests that routes follow state: at start by differences, later one change at a time. */
#include "tests/unit/managerd/scene.h"

#include "common/store/layout.h"
#include "common/store/route_record.h"
#include "common/store/store.h"
#include "managerd/publish.h"
#include "managerd/traffic.h"

static struct scene scene;
static struct publisher *publisher;

static void open_publisher(void)
{
    static const char *const domains[] = {"localhost"};
    struct buffer problem;
    buffer_init(&problem, 4096);
    char *folder = strdup(scene_path(&scene, "routes"));
    struct publish_options options = {.base = scene.base,
                                      .state = scene.state,
                                      .store_thread = scene.store_thread,
                                      .folder = folder,
                                      .map_bytes = SCENE_MAP,
                                      .base_domains = domains,
                                      .base_domain_count = 1,
                                      .public_url = "http://localhost:8080",
                                      .installation = "test"};
    assert_int_equal(publish_open(&options, &publisher, &problem), ERROR_NONE);
    buffer_release(&problem);
    free(folder);
}

static int set_up(void **state)
{
    (void)state;
    scene_new(&scene);
    open_publisher();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scene_drain(&scene);
    publish_close(publisher);
    scene_remove(&scene);
    return 0;
}

/* The publisher holds the environment: reading goes through a process-local close and open. */
static enum error read_raw(const char *database, const char *name, struct buffer *value)
{
    static const char *const databases[] = {LAYOUT_META, LAYOUT_SETTINGS, LAYOUT_ROUTES,
                                            LAYOUT_DOMAINS, NULL};
    struct store *store = NULL;
    struct store_reader *reader = NULL;
    struct buffer problem;
    buffer_init(&problem, 4096);
    publish_close(publisher);
    struct store_options options = {.folder = scene_path(&scene, "routes"),
                                    .databases = databases,
                                    .map_bytes = SCENE_MAP,
                                    .read_only = true};
    assert_int_equal(store_open(&options, &store, &problem), ERROR_NONE);
    assert_int_equal(store_reader_new(store, &reader), ERROR_NONE);
    enum error error = store_get(reader, database, view_of(name), value);
    store_reader_free(reader);
    store_close(store);
    buffer_release(&problem);
    return error;
}

static bool read_route(const char *app, struct arena *arena, struct route_record *route)
{
    struct buffer value;
    buffer_init(&value, ROUTE_MAX_RECORD);
    enum error error = read_raw(LAYOUT_ROUTES, app, &value);
    if (!error)
        assert_int_equal(route_record_decode(arena, buffer_view(&value), route), ERROR_NONE);
    buffer_release(&value);
    open_publisher();
    return error == ERROR_NONE;
}

static uint64_t generation(void)
{
    struct buffer value;
    struct arena arena;
    struct meta_record meta = {0};
    arena_init(&arena, 65536);
    buffer_init(&value, ROUTE_MAX_RECORD);
    assert_int_equal(read_raw(LAYOUT_META, "meta", &value), ERROR_NONE);
    assert_int_equal(meta_record_decode(&arena, buffer_view(&value), &meta), ERROR_NONE);
    buffer_release(&value);
    arena_release(&arena);
    open_publisher();
    return meta.generation;
}

static void put_app(const char *name, int64_t version, bool enabled, const char *deleting)
{
    struct json *app = app_new(view_of(name), scene_settings(name), 5, 1700000000000);
    struct json *internal = object_in(app, "internal");
    json_set_bool(app, "enabled", enabled);
    if (version)
        json_set(internal, "traffic", traffic_all(version, VIEW("cookie")));
    if (deleting)
        json_set_string(internal, "deleting", view_of(deleting));
    scene_put(&scene, key_app(view_of(name)), app);
    json_free(app);
}

static void put_version(const char *name, int64_t number, const char *lambda_version)
{
    struct json *app = app_new(view_of(name), scene_settings(name), 5, 1700000000000);
    struct json *version = version_new(app, number, scene_package(), VIEW(""), VIEW("op"),
                                       VIEW("admin"), 1700000000000);
    if (lambda_version)
        json_set_string(version, "lambdaVersion", view_of(lambda_version));
    scene_put(&scene, key_version(view_of(name), number), version);
    json_free(version);
    json_free(app);
}

static void on_published(enum error error, void *context)
{
    assert_int_equal(error, ERROR_NONE);
    ++*(int *)context;
}

static void publish(const char *name)
{
    int done = 0;
    publish_app(publisher, view_of(name), on_published, &done);
    assert_int_equal(done, 0);
    jobs_drain(scene.store_thread);
    assert_int_equal(done, 1);
}

static void an_app_with_traffic_has_the_route_that_its_version_says(void **state)
{
    (void)state;
    struct arena arena;
    struct route_record route;
    arena_init(&arena, 65536);
    put_version("hello", 3, "17");
    put_app("hello", 3, true, NULL);
    publish("hello");
    assert_true(read_route("hello", &arena, &route));
    assert_true(route.enabled);
    assert_int_equal(route.slot, 5);
    assert_int_equal(route.max_in_flight, 7);
    assert_int_equal(route.sticky, ROUTE_STICKY_COOKIE);
    assert_int_equal(route.version_count, 1);
    assert_int_equal(route.versions[0].weight, ROUTE_WEIGHT_TOTAL);
    assert_true(view_equal_string(route.versions[0].function, "hello"));
    assert_true(view_equal_string(route.versions[0].qualifier, "17"));
    assert_int_equal(route.versions[0].payload_format, ROUTE_PAYLOAD_2_0);
    assert_int_equal(route.versions[0].timeout_s, 3);
    put_app("hello", 3, false, NULL);
    publish("hello");
    assert_true(read_route("hello", &arena, &route));
    assert_false(route.enabled);
    arena_release(&arena);
}

static void without_traffic_or_on_its_way_out_an_app_has_no_route(void **state)
{
    (void)state;
    struct arena arena;
    struct route_record route;
    arena_init(&arena, 65536);
    put_version("hello", 1, "1");
    put_app("hello", 1, true, NULL);
    publish("hello");
    assert_true(read_route("hello", &arena, &route));
    put_app("hello", 1, true, "some-operation");
    publish("hello");
    assert_false(read_route("hello", &arena, &route));
    put_app("hello", 0, true, NULL);
    publish("hello");
    assert_false(read_route("hello", &arena, &route));
    arena_release(&arena);
}

static void a_route_that_cannot_be_made_leaves_the_old_one(void **state)
{
    (void)state;
    struct arena arena;
    struct route_record route;
    arena_init(&arena, 65536);
    put_version("hello", 1, "1");
    put_app("hello", 1, true, NULL);
    publish("hello");
    put_version("hello", 2, NULL); /* not ready */
    put_app("hello", 2, true, NULL);
    publish("hello");
    assert_true(read_route("hello", &arena, &route)); /* also after the rebuild of reopening */
    assert_int_equal(route.versions[0].number, 1);
    arena_release(&arena);
}

/* With as many keys, or none and no rule. */
static void ask_for_keys(const char *name, unsigned count)
{
    struct record app;
    struct key key = key_app(view_of(name));
    struct json *keys = json_new_array();
    assert_int_equal(record_read(scene.state, key.text, &app), ERROR_NONE);
    struct json *access = object_in(app.json, "access");
    json_remove(access, "apiKeys");
    if (count)
        json_set_string(object_in(access, "apiKeys"), "header", VIEW("X-Api-Key"));
    for (unsigned i = 0; i < count; i++)
        json_append(keys, scene_parse("{\"id\":\"01a20a31-1bd0-7345-8931-223223d15d2f\","
                                      "\"sha256\":\"00000000000000000000000000000000"
                                      "00000000000000000000000000000000\",\"expiresAt\":null}"));
    json_set(object_in(app.json, "internal"), "apiKeys", keys);
    scene_put(&scene, key, app.json);
    record_release(&app);
}

static void a_route_that_cannot_be_made_has_the_rules_of_now(void **state)
{
    (void)state;
    struct arena arena;
    struct route_record route;
    arena_init(&arena, 1u << 20);
    put_version("hello", 1, "1");
    put_app("hello", 1, true, NULL);
    publish("hello");
    put_version("hello", 2, NULL); /* not ready */
    for (unsigned keys = 2; keys > 0; keys--) {
        put_app("hello", 2, keys == 2, NULL);
        ask_for_keys("hello", keys);
        publish("hello");
        for (int again = 0; again < 2; again++) { /* also after the rebuild of reopening */
            assert_true(read_route("hello", &arena, &route));
            assert_int_equal(route.versions[0].number, 1);
            assert_int_equal(route.access.api_key_count, keys);
            assert_true(view_equal_string(route.access.api_key_header, "X-Api-Key"));
            assert_int_equal(route.enabled, keys == 2);
        }
    }
    put_app("new", 7, true, NULL); /* nothing is kept of what never was */
    ask_for_keys("new", 1);
    publish("new");
    assert_false(read_route("new", &arena, &route));
    arena_release(&arena);
}

/* Deeper than anything is read. */
static struct json *unreadable(void)
{
    struct json *value = json_new_array();
    for (int depth = 0; depth < 150; depth++) {
        struct json *outer = json_new_array();
        json_append(outer, value);
        value = outer;
    }
    return value;
}

static void an_app_that_cannot_be_read_keeps_its_route(void **state)
{
    struct arena arena;
    struct route_record route;
    struct json *value = unreadable();
    (void)state;
    arena_init(&arena, 65536);
    put_version("hello", 1, "1");
    put_app("hello", 1, true, NULL);
    publish("hello");
    scene_put(&scene, key_app(VIEW("hello")), value);
    publish("hello");
    assert_true(read_route("hello", &arena, &route));
    assert_true(read_route("hello", &arena, &route)); /* also after the rebuild of reopening */
    json_free(value);
    arena_release(&arena);
}

static void a_start_publishes_only_differences(void **state)
{
    (void)state;
    struct arena arena;
    struct route_record route;
    arena_init(&arena, 65536);
    put_version("one", 1, "1");
    put_app("one", 1, true, NULL);
    put_version("two", 1, "1");
    put_app("two", 1, true, NULL);
    uint64_t first = generation(); /* reopening published both */
    uint64_t second = generation();
    assert_int_equal(second, first + 1); /* … and the next start found nothing to write */
    assert_int_equal(generation(), second);
    scene_put(&scene, key_app(VIEW("one")), NULL);
    assert_false(read_route("one", &arena, &route) && read_route("one", &arena, &route));
    assert_true(read_route("two", &arena, &route));
    assert_int_equal(generation(), second + 1);
    arena_release(&arena);
}

static void set_version_state(const char *name, int64_t number, const char *wanted)
{
    struct record version;
    struct key key = key_version(view_of(name), number);
    assert_int_equal(record_read(scene.state, key.text, &version), ERROR_NONE);
    json_set_string(version.json, "state", view_of(wanted));
    scene_put(&scene, key, version.json);
    record_release(&version);
}

static void allow_previews(const char *name)
{
    struct record app;
    struct key key = key_app(view_of(name));
    assert_int_equal(record_read(scene.state, key.text, &app), ERROR_NONE);
    json_set_bool(app.json, "previewUrls", true);
    scene_put(&scene, key, app.json);
    record_release(&app);
}

static void previews_add_the_ready_versions_the_newest_first(void **state)
{
    (void)state;
    struct arena arena;
    struct route_record route;
    arena_init(&arena, 1u << 20);
    for (int number = 1; number <= 105; number++) {
        put_version("hello", number, "17");
        set_version_state("hello", number, number == 104 ? "deleting" : "ready");
    }
    put_app("hello", 2, true, NULL);
    publish("hello");
    assert_true(read_route("hello", &arena, &route));
    assert_false(route.previews);
    assert_int_equal(route.version_count, 1);
    allow_previews("hello");
    publish("hello");
    assert_true(read_route("hello", &arena, &route));
    assert_true(route.previews && !route.version_header);
    assert_int_equal(route.version_count, ROUTE_MAX_VERSIONS);
    assert_int_equal(route.versions[0].number, 2); /* what has traffic is never left out */
    assert_int_equal(route.versions[0].weight, ROUTE_WEIGHT_TOTAL);
    assert_int_equal(route.versions[1].number, 105);
    assert_int_equal(route.versions[1].weight, 0);
    assert_int_equal(route.versions[2].number, 103);
    arena_release(&arena);
}

static struct json *filled_list(unsigned count, size_t length, const char *start)
{
    char text[256] = {0};
    struct json *list = json_new_array();
    for (unsigned i = 0; i < count; i++) {
        memset(text, 'a' + (int)(i % 26), length);
        memcpy(text, start, strlen(start));
        json_append(list, json_new_string(view_of(text)));
    }
    return list;
}

/* More than the API lets an app have: beside a hundred versions it fills more than a record. */
static void put_rules_too_large(const char *name)
{
    struct record app;
    struct key key = key_app(view_of(name));
    assert_int_equal(record_read(scene.state, key.text, &app), ERROR_NONE);
    struct json *access = object_in(app.json, "access"), *cors = object_in(access, "cors");
    struct json *keys = json_new_array();
    json_set(cors, "allowOrigins", filled_list(100, 250, "https://"));
    json_set(cors, "allowMethods", filled_list(80, 98, ""));
    json_set(cors, "allowHeaders", filled_list(80, 98, ""));
    json_set(cors, "exposeHeaders", filled_list(80, 98, ""));
    json_set_string(object_in(access, "apiKeys"), "header", VIEW("X-Api-Key"));
    for (unsigned i = 0; i < 100; i++)
        json_append(keys, scene_parse("{\"id\":\"01a20a31-1bd0-7345-8931-223223d15d2f\","
                                      "\"sha256\":\"00000000000000000000000000000000"
                                      "00000000000000000000000000000000\",\"expiresAt\":null}"));
    json_set(object_in(app.json, "internal"), "apiKeys", keys);
    scene_put(&scene, key, app.json);
    record_release(&app);
}

static void a_route_too_large_for_a_record_leaves_the_old_one_and_stops_no_other(void **state)
{
    struct arena arena;
    struct route_record route;
    (void)state;
    arena_init(&arena, 1u << 20);
    for (int number = 1; number <= 100; number++) {
        put_version("hello", number, "17");
        set_version_state("hello", number, "ready");
    }
    put_app("hello", 1, true, NULL);
    publish("hello");
    put_rules_too_large("hello");
    publish("hello");
    assert_true(read_route("hello", &arena, &route)); /* alone its rules would fit */
    assert_non_null(route.access.cors);
    assert_int_equal(route.access.api_key_count, 100);
    allow_previews("hello");
    publish("hello");
    put_version("other", 1, "1");
    put_app("other", 1, true, NULL);
    publish("other");
    assert_true(read_route("other", &arena, &route)); /* also after the rebuild of reopening */
    assert_true(read_route("hello", &arena, &route));
    assert_false(route.previews);
    assert_true(publish_healthy(publisher));
    arena_release(&arena);
}

static void put_domain(const char *host, const char *prefix)
{
    struct json *domain = json_new_object(), *paths = json_new_array(), *path = json_new_object();
    json_set_string(path, "prefix", view_of(prefix));
    json_set_string(path, "app", VIEW("hello"));
    json_set_bool(path, "stripPrefix", true);
    json_append(paths, path);
    json_set_string(domain, "host", view_of(host));
    json_set(domain, "paths", paths);
    scene_put(&scene, key_domain(view_of(host)), domain);
    json_free(domain);
}

/* The prefix of the published domain's only path, or "". */
static const char *published_prefix(const char *host)
{
    static char text[64];
    struct buffer value;
    struct arena arena;
    struct domain_record domain;
    buffer_init(&value, ROUTE_MAX_RECORD);
    arena_init(&arena, 65536);
    enum error error = read_raw(LAYOUT_DOMAINS, host, &value);
    text[0] = 0;
    if (!error) {
        assert_int_equal(domain_record_decode(&arena, buffer_view(&value), &domain), ERROR_NONE);
        assert_int_equal(domain.path_count, 1);
        snprintf(text, sizeof text, "%.*s", VIEW_FORMAT(domain.paths[0].prefix));
    }
    arena_release(&arena);
    buffer_release(&value);
    open_publisher();
    return text;
}

static void publish_one_domain(const char *host)
{
    int done = 0;
    publish_domain(publisher, view_of(host), on_published, &done);
    jobs_drain(scene.store_thread);
    assert_int_equal(done, 1);
}

static void a_domain_follows_state_and_a_start_mends_what_differs(void **state)
{
    (void)state;
    put_domain("a.example", "/one");
    put_domain("b.example", "/two");
    publish_one_domain("a.example");
    assert_string_equal(published_prefix("a.example"), "/one");
    assert_string_equal(published_prefix("b.example"), "/two"); /* by the start */
    uint64_t before = generation();
    assert_int_equal(generation(), before);
    put_domain("a.example", "/three");
    scene_put(&scene, key_domain(VIEW("b.example")), NULL);
    publish_one_domain("a.example");
    publish_one_domain("b.example");
    assert_int_equal(generation(), before + 2);
    assert_string_equal(published_prefix("a.example"), "/three");
    assert_string_equal(published_prefix("b.example"), "");
    scene_put(&scene, key_domain(VIEW("a.example")), NULL);
    assert_int_equal(generation(), before + 2); /* as it was; then the start removes it */
    assert_string_equal(published_prefix("a.example"), "");
    assert_int_equal(generation(), before + 3);
}

static void a_domain_that_cannot_be_published_leaves_the_old_one(void **state)
{
    struct json *value = unreadable();
    (void)state;
    put_domain("a.example", "/one");
    publish_one_domain("a.example");
    put_domain("a.example", "no path");
    publish_one_domain("a.example");
    assert_string_equal(published_prefix("a.example"), "/one");
    scene_put(&scene, key_domain(VIEW("a.example")), value);
    publish_one_domain("a.example");
    assert_string_equal(published_prefix("a.example"), "/one");
    json_free(value);
}

static void changes_that_come_at_once_are_all_answered(void **state)
{
    (void)state;
    int done = 0;
    put_version("hello", 1, "1");
    put_app("hello", 1, true, NULL);
    for (int i = 0; i < 50; i++)
        publish_app(publisher, VIEW("hello"), on_published, &done);
    publish_app(publisher, VIEW("nobody"), on_published, &done);
    jobs_drain(scene.store_thread);
    assert_int_equal(done, 51);
    assert_true(publish_healthy(publisher));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_app_with_traffic_has_the_route_that_its_version_says),
        TEST(without_traffic_or_on_its_way_out_an_app_has_no_route),
        TEST(a_route_that_cannot_be_made_leaves_the_old_one),
        TEST(a_route_that_cannot_be_made_has_the_rules_of_now),
        TEST(an_app_that_cannot_be_read_keeps_its_route),
        TEST(a_start_publishes_only_differences),
        TEST(previews_add_the_ready_versions_the_newest_first),
        TEST(a_route_too_large_for_a_record_leaves_the_old_one_and_stops_no_other),
        TEST(a_domain_follows_state_and_a_start_mends_what_differs),
        TEST(a_domain_that_cannot_be_published_leaves_the_old_one),
        TEST(changes_that_come_at_once_are_all_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
