/* Tests what is explained of records that a running managerd never writes: none, damaged ones, newer ones. */
#include "tests/unit/managerd/scene.h"

#include "common/store/layout.h"
#include "common/store/route_record.h"
#include "common/store/store.h"
#include "managerd/explain.h"

static const char *const databases[] = {LAYOUT_META, LAYOUT_SETTINGS, LAYOUT_ROUTES, LAYOUT_DOMAINS,
                                        NULL};
static struct scene scene;
static struct store *store;
static struct store_reader *reader;

static int set_up(void **state)
{
    (void)state;
    scene_new(&scene);
    struct store_options options = {
        .folder = scene_path(&scene, "routes"), .databases = databases, .map_bytes = SCENE_MAP};
    assert_int_equal(store_open(&options, &store, NULL), ERROR_NONE);
    assert_int_equal(store_reader_new(store, &reader), ERROR_NONE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_reader_free(reader);
    store_close(store);
    scene_drain(&scene);
    scene_remove(&scene);
    return 0;
}

static void put(const char *database, const char *key, struct view value)
{
    struct store_write *write = NULL;
    assert_int_equal(store_write_begin(store, &write), ERROR_NONE);
    assert_int_equal(store_put(write, database, view_of(key), value), ERROR_NONE);
    assert_int_equal(store_commit(write), ERROR_NONE);
}

/* Status and fault of a GET of this address. */
static void expect(const char *url, int status, const char *fault)
{
    struct explain_request request = {.method = VIEW("GET"), .address = VIEW("")};
    struct arena arena;
    arena_init(&arena, 1u << 20);
    assert_null(explain_url(view_of(url), &request));
    struct json *told = explain(reader, &request, &arena);
    assert_int_equal(integer_of(told, "status"), status);
    assert_true(view_equal_string(text_of(told, "fault"), fault));
    assert_false(truth_of(told, "served"));
    json_free(told);
    arena_release(&arena);
}

static void records_that_cannot_be_used_are_told_as_the_proxy_tells_them(void **state)
{
    (void)state;
    struct buffer bytes;
    struct view base = VIEW("localhost");
    struct settings_record settings = {
        .base_domains = &base, .base_domain_count = 1, .public_url = VIEW("http://localhost:8080")};
    struct meta_record meta = {.generation = 1, .installation = VIEW("test")};
    expect("http://shop.localhost/", 503, "no-routes");
    buffer_init(&bytes, ROUTE_MAX_RECORD);
    settings_record_encode(&bytes, &settings);
    put(LAYOUT_SETTINGS, "settings", buffer_view(&bytes));
    buffer_clear(&bytes);
    meta_record_encode(&bytes, &meta);
    put(LAYOUT_META, "meta", buffer_view(&bytes));
    expect("http://shop.localhost/", 404, "unknown-app");
    struct route_record route = {.app = VIEW("shop"), .enabled = true};
    buffer_clear(&bytes);
    route_record_encode(&bytes, &route);
    put(LAYOUT_ROUTES, "shop", buffer_view(&bytes));
    expect("http://shop.localhost/", 404, "unknown-app");
    put(LAYOUT_ROUTES, "shop", view_slice(buffer_view(&bytes), 0, bytes.length - 1));
    expect("http://shop.localhost/", 503, "record-unreadable");
    /* A field of tag 0xfff0, which no release knows, and without which nothing may be let in. */
    buffer_append(&bytes, "\xff\xf0\0\0\0\1x", 7);
    put(LAYOUT_ROUTES, "shop", buffer_view(&bytes));
    expect("http://shop.localhost/", 503, "record-unreadable");
    put(LAYOUT_DOMAINS, "shop.example.org", VIEW("\1nothing"));
    expect("https://shop.example.org/", 503, "record-unreadable");
    put(LAYOUT_SETTINGS, "settings", VIEW("\1nothing"));
    expect("http://other.localhost/", 503, "record-unreadable");
    buffer_release(&bytes);
}

static void addresses_are_taken_apart_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *path, *query;
    } good[] = {{"http://a", "a", "/", ""},
                {"https://a:8443/b/c?d=e?f#g/h?i", "a:8443", "/b/c", "d=e?f"},
                {"http://[::1]:80?x", "[::1]:80", "/", "x"},
                {"http://a#b", "a", "/", ""}};
    static const char *const bad[] = {"",        "a",         "//a",        "HTTP://a",
                                      "http://", "http:///a", "http://a@b/"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct explain_request request = {.method = VIEW("GET")};
        assert_null(explain_url(view_of(good[i].url), &request));
        assert_true(view_equal_string(request.host, good[i].host));
        assert_true(view_equal_string(request.path, good[i].path));
        assert_true(view_equal_string(request.query, good[i].query));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct explain_request request = {.method = VIEW("GET")};
        assert_non_null(explain_url(view_of(bad[i]), &request));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            records_that_cannot_be_used_are_told_as_the_proxy_tells_them, set_up, tear_down),
        cmocka_unit_test(addresses_are_taken_apart_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
