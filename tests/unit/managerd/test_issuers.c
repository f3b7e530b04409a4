/* Tests that keys of an issuer that cannot be asked have an end, whatever clocks do. */
#include "tests/unit/managerd/scene.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "managerd/issuers.h"

#define NOW_MS  INT64_C(1800000000000)
#define HOUR_MS INT64_C(3600000)
#define YEAR_MS (8760 * HOUR_MS)

/* Plain HTTP is refused before anything is sent, so that each look fails at once. */
#define ISSUER "http://issuer.example"

static struct scene scene;
static struct issuers *issuers;
static struct json *rule;

static struct key record_key(void)
{
    struct key key;
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1] = "";
    sha256(view_from(ISSUER "\0\0", sizeof ISSUER + 1), digest);
    hex_write(hex, digest, sizeof digest);
    snprintf(key.text, sizeof key.text, "issuers/%s", hex);
    return key;
}

static void start_with_keys_of(int64_t fetched_ms)
{
    struct issuers_options options = {
        .base = scene.base, .state = scene.state, .interval_ms = 60000, .max_age_ms = 24 * HOUR_MS};
    char text[256];
    snprintf(text, sizeof text,
             "{\"issuer\":\"" ISSUER "\",\"url\":\"" ISSUER "/keys\",\"fetchedAtMs\":%lld,"
             "\"keys\":[{\"kid\":\"k\",\"kind\":1,\"algorithms\":1,\"der\":\"AAAA\"}]}",
             (long long)fetched_ms);
    struct json *record = scene_parse(text);
    scene_put(&scene, record_key(), record);
    json_free(record);
    issuers = issuers_new(&options);
}

static bool has_keys(void)
{
    return issuers_keys(issuers, VIEW("shop"), rule) != NULL;
}

static void look(void)
{
    assert_true(issuers_refresh(issuers, VIEW("shop")));
    event_base_loop(scene.base, EVLOOP_ONCE);
    scene_drain(&scene);
}

static int set_up(void **state)
{
    (void)state;
    clock_freeze(NOW_MS, 1000000);
    scene_new(&scene);
    rule = scene_parse("{\"issuer\":\"" ISSUER "\",\"jwksUrl\":null}");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scene_drain(&scene);
    issuers_free(issuers);
    json_free(rule);
    scene_remove(&scene);
    clock_thaw();
    return 0;
}

static void keys_are_in_force_over_a_start_until_they_are_too_old(void **state)
{
    (void)state;
    start_with_keys_of(NOW_MS - HOUR_MS);
    assert_true(has_keys());
    clock_advance_ms(22 * HOUR_MS);
    look();
    assert_true(has_keys());
    clock_advance_ms(HOUR_MS);
    look();
    assert_false(has_keys());
}

static void keys_that_are_too_old_are_not_taken_up_again(void **state)
{
    (void)state;
    start_with_keys_of(NOW_MS - 24 * HOUR_MS);
    assert_false(has_keys());
}

static void keys_from_a_clock_that_ran_ahead_age_from_the_start_on(void **state)
{
    (void)state;
    start_with_keys_of(NOW_MS + YEAR_MS);
    assert_true(has_keys());
    clock_advance_ms(23 * HOUR_MS);
    look();
    assert_true(has_keys());
    clock_advance_ms(HOUR_MS);
    look();
    assert_false(has_keys());
}

static void keys_age_when_the_clock_is_set_back(void **state)
{
    (void)state;
    start_with_keys_of(NOW_MS);
    assert_true(has_keys());
    clock_advance_ms(-YEAR_MS);
    look();
    assert_true(has_keys());
    clock_advance_ms(24 * HOUR_MS);
    look();
    assert_false(has_keys());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_in_force_over_a_start_until_they_are_too_old,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_that_are_too_old_are_not_taken_up_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(keys_from_a_clock_that_ran_ahead_age_from_the_start_on,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_age_when_the_clock_is_set_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
