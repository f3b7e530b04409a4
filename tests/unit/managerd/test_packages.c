/* Tests of packages: stored once by their hash, kept while something names or pins them. */
#include "tests/unit/managerd/scene.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "managerd/lambda_control.h"
#include "managerd/package_sweep.h"
#include "managerd/packages.h"

#include <unistd.h>

static struct scene scene;
static struct packages *packages;
static struct package_stored stored;
static char detail[512];

/* An archive of one stored file, "a" holding "x". */
static const unsigned char zip[] = {
    0x50, 0x4b, 0x03, 0x04, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x21, 0x00, 0x83,
    0x16, 0xdc, 0x8c, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x61, 0x78, 0x50, 0x4b, 0x01, 0x02, 0x14, 0x03, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x21, 0x00, 0x83, 0x16, 0xdc, 0x8c, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa4, 0x81, 0x00,
    0x00, 0x00, 0x00, 0x61, 0x50, 0x4b, 0x05, 0x06, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01,
    0x00, 0x2f, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00};

static int set_up(void **state)
{
    (void)state;
    scene_new(&scene);
    packages = packages_new(scene_path(&scene, "packages"), scene.pool, 1000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scene_drain(&scene);
    packages_free(packages);
    scene_remove(&scene);
    return 0;
}

static void on_stored(const struct package_stored *result, void *context)
{
    (void)context;
    stored = *result;
    snprintf(detail, sizeof detail, "%.*s", VIEW_FORMAT(result->detail));
}

static enum error store(struct view bytes, bool base64)
{
    struct package_source source = {.bytes = bytes, .base64 = base64};
    packages_store(packages, &source, on_stored, NULL);
    jobs_drain(scene.pool);
    return stored.error;
}

static bool is_there(const char *sha256_hex)
{
    char name[128];
    snprintf(name, sizeof name, "packages/%.64s.zip", sha256_hex);
    return file_exists(scene_path(&scene, name));
}

static void zip_and_base64_of_it_are_one_package(void **state)
{
    (void)state;
    struct buffer text;
    char sha[65];
    buffer_init(&text, 1024);
    base64_encode(&text, zip, sizeof zip);
    assert_int_equal(store(view_from(zip, sizeof zip), false), ERROR_NONE);
    memcpy(sha, stored.sha256, sizeof sha);
    assert_int_equal(store(buffer_view(&text), true), ERROR_NONE);
    assert_string_equal(stored.sha256, sha);
    assert_int_equal(stored.bytes, sizeof zip);
    assert_true(is_there(sha));
    buffer_release(&text);
}

static void what_is_no_archive_is_refused_with_a_sentence(void **state)
{
    (void)state;
    assert_int_equal(store(VIEW(""), false), ERROR_INVALID);
    assert_string_equal(detail, "The archive is empty.");
    assert_int_equal(store(VIEW("hello"), false), ERROR_INVALID);
    assert_true(strlen(detail) > 10);
    assert_int_equal(store(VIEW("*!"), true), ERROR_INVALID);
    assert_non_null(strstr(detail, "base64"));
    static char large[2000];
    assert_int_equal(store(view_from(large, sizeof large), false), ERROR_TOO_BIG);
    assert_non_null(strstr(detail, "1000 bytes"));
}

static void a_package_stays_while_it_is_pinned_or_named(void **state)
{
    (void)state;
    char sha[65];
    assert_int_equal(store(view_from(zip, sizeof zip), false), ERROR_NONE);
    memcpy(sha, stored.sha256, sizeof sha);
    assert_int_equal(packages_sweep_unused(packages, scene.state), 0);
    struct json *version = json_new_object();
    json_set_string(object_in(version, "package"), "sha256", view_of(sha));
    scene_put(&scene, key_version(VIEW("a"), 1), version);
    packages_unpin(packages, view_of(sha));
    assert_int_equal(packages_sweep_unused(packages, scene.state), 0);
    assert_true(is_there(sha));
    scene_put(&scene, key_version(VIEW("a"), 1), NULL);
    assert_int_equal(packages_sweep_unused(packages, scene.state), 1);
    assert_false(is_there(sha));
    json_free(version);
}

static void nothing_is_swept_while_a_package_is_being_stored(void **state)
{
    (void)state;
    struct package_source source = {.bytes = view_from(zip, sizeof zip)};
    packages_store(packages, &source, on_stored, NULL);
    assert_int_equal(packages_sweep_unused(packages, scene.state), 0);
    jobs_drain(scene.pool);
    assert_int_equal(stored.error, ERROR_NONE);
    assert_true(is_there(stored.sha256));
}

static void name_package(struct change *change, int number, const char *sha256_hex)
{
    struct json *version = json_new_object();
    struct key key = key_version(VIEW("a"), number);
    json_set_string(object_in(version, "package"), "sha256", view_of(sha256_hex));
    change_put(change, key.text, version);
    json_free(version);
}

static void commit(struct change *change)
{
    change->urgent = true; /* the map is a small one */
    state_commit(scene.state, change, scene_on_put, NULL);
    change_clear(change);
    jobs_drain(scene.store_thread);
}

static void run_until_swept(struct package_sweep *sweep)
{
    for (int i = 0; i < 10000 && package_sweep_running(sweep); i++)
        event_base_loop(scene.base, EVLOOP_ONCE);
    assert_false(package_sweep_running(sweep));
}

/* More versions and files than one turn looks at. */
static void a_sweep_in_turns_removes_what_no_version_names(void **state)
{
    enum { COUNT = 700 };
    static char hashes[COUNT][65];
    struct change change;
    change_init(&change);
    (void)state;
    struct package_sweep *sweep = package_sweep_new(scene.base, scene.state, packages, scene.pool);
    for (int i = 0; i < COUNT; i++) {
        char name[96];
        snprintf(hashes[i], 65, "%064x", i * 7919 + 1);
        snprintf(name, sizeof name, "packages/%s.zip", hashes[i]);
        assert_int_equal(file_write(scene_path(&scene, name), VIEW("x"), 0600), ERROR_NONE);
        if (i % 7)
            name_package(&change, i, hashes[i]);
    }
    commit(&change);
    assert_int_equal(store(view_from(zip, sizeof zip), false), ERROR_NONE); /* pinned */
    package_sweep_soon(sweep);
    /* One that is named while the sweep is under way. */
    name_package(&change, COUNT, hashes[0]);
    commit(&change);
    run_until_swept(sweep);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(is_there(hashes[i]), i % 7 != 0 || i == 0);
    assert_true(is_there(stored.sha256));
    /* Asked for while it runs, it runs once more. */
    package_sweep_soon(sweep);
    scene_put(&scene, key_version(VIEW("a"), 1), NULL);
    package_sweep_soon(sweep);
    run_until_swept(sweep);
    assert_false(is_there(hashes[1]));
    assert_true(is_there(hashes[2]));
    package_sweep_free(sweep);
    change_release(&change);
}

static struct lambda_stream *body;

static void on_body(enum error error, struct lambda_stream *made, void *context)
{
    *(enum error *)context = error;
    body = made;
}

static enum error make_body(const char *sha256_hex, struct view before, struct view after)
{
    enum error error = ERROR_BUSY;
    packages_body(packages, view_of(sha256_hex), before, after, on_body, &error);
    jobs_drain(scene.pool);
    return error;
}

/* Reads the body in pieces of this size, beginning somewhere. */
static void read_body(size_t from, size_t room, struct buffer *out)
{
    char piece[512];
    size_t got = 1;
    buffer_clear(out);
    while (from < body->length && got) {
        got = body->read(body, from, piece, room);
        assert_true(got <= room);
        buffer_append(out, piece, got);
        from += got;
    }
    assert_true(got > 0);
}

static void a_body_is_the_package_in_base64_between_its_frame_however_it_is_read(void **state)
{
    (void)state;
    struct buffer whole, part;
    uint8_t digest[SHA256_BYTES];
    char hex[65] = "";
    buffer_init(&whole, 4096);
    buffer_init(&part, 4096);
    assert_int_equal(store(view_from(zip, sizeof zip), false), ERROR_NONE);
    assert_int_equal(make_body(stored.sha256, VIEW("{\"Z\":\""), VIEW("\"}")), ERROR_NONE);
    buffer_append_string(&whole, "{\"Z\":\"");
    base64_encode(&whole, zip, sizeof zip);
    buffer_append_string(&whole, "\"}");
    assert_int_equal(body->length, whole.length);
    sha256(buffer_view(&whole), digest);
    hex_write(hex, digest, sizeof digest);
    assert_string_equal(body->sha256, hex);
    /* Its file may go meanwhile. */
    assert_int_equal(packages_sweep_unused(packages, scene.state), 0);
    packages_unpin(packages, view_of(stored.sha256));
    assert_int_equal(packages_sweep_unused(packages, scene.state), 1);
    for (size_t from = 0; from < whole.length; from++)
        for (size_t room = 1; room <= sizeof(char[200]); room = room < 9 ? room + 1 : room * 3) {
            read_body(from, room, &part);
            assert_true(
                view_equal(buffer_view(&part), view_slice(buffer_view(&whole), from, SIZE_MAX)));
        }
    body->free(body);
    buffer_release(&whole);
    buffer_release(&part);
    assert_int_equal(make_body("absent", VIEW(""), VIEW("")), ERROR_NOT_FOUND);
}

static void a_package_that_was_cut_short_is_not_sent(void **state)
{
    (void)state;
    char name[128], piece[64];
    assert_int_equal(store(view_from(zip, sizeof zip), false), ERROR_NONE);
    assert_int_equal(make_body(stored.sha256, VIEW(""), VIEW("")), ERROR_NONE);
    snprintf(name, sizeof name, "packages/%s.zip", stored.sha256);
    assert_int_equal(truncate(scene_path(&scene, name), 10), 0);
    assert_int_equal(body->read(body, 0, piece, 8), 8);
    assert_int_equal(body->read(body, 8, piece, sizeof piece), 0);
    body->free(body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(zip_and_base64_of_it_are_one_package),
        TEST(what_is_no_archive_is_refused_with_a_sentence),
        TEST(a_package_stays_while_it_is_pinned_or_named),
        TEST(nothing_is_swept_while_a_package_is_being_stored),
        TEST(a_sweep_in_turns_removes_what_no_version_names),
        TEST(a_body_is_the_package_in_base64_between_its_frame_however_it_is_read),
        TEST(a_package_that_was_cut_short_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
