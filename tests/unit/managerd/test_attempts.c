/* Tests of how guesses are counted. */
#include "managerd/attempts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1000000u

static void wrong(struct attempts *attempts, const char *address, unsigned times, uint64_t now_ms)
{
    while (times--)
        attempts_failed(attempts, view_of(address), now_ms);
}

static bool over(const struct attempts *attempts, const char *address, uint64_t now_ms)
{
    return attempts_over(attempts, view_of(address), now_ms);
}

static void after_ten_wrong_ones_there_is_one_every_two_seconds(void **state)
{
    (void)state;
    struct attempts *attempts = attempts_new();
    assert_false(over(attempts, "192.0.2.1", NOW));
    wrong(attempts, "192.0.2.1", ATTEMPTS_BURST - 1, NOW);
    assert_false(over(attempts, "192.0.2.1", NOW));
    wrong(attempts, "192.0.2.1", 1, NOW);
    assert_true(over(attempts, "192.0.2.1", NOW));
    assert_false(over(attempts, "192.0.2.2", NOW));
    assert_true(over(attempts, "192.0.2.1", NOW + ATTEMPTS_EACH_MS - 1));
    assert_false(over(attempts, "192.0.2.1", NOW + ATTEMPTS_EACH_MS));
    wrong(attempts, "192.0.2.1", 1, NOW + ATTEMPTS_EACH_MS);
    assert_true(over(attempts, "192.0.2.1", NOW + ATTEMPTS_EACH_MS));
    /* However many there were, nobody is kept out for longer. */
    wrong(attempts, "192.0.2.1", 1000, NOW + ATTEMPTS_EACH_MS);
    assert_false(over(attempts, "192.0.2.1", NOW + 2 * ATTEMPTS_EACH_MS));
    attempts_free(attempts);
}

static void addresses_of_one_network_count_together(void **state)
{
    (void)state;
    struct attempts *attempts = attempts_new();
    wrong(attempts, "2001:db8:1:2::1", 5, NOW);
    wrong(attempts, "2001:db8:1:2:ffff::9", 5, NOW);
    assert_true(over(attempts, "2001:db8:1:2:3::4", NOW));
    assert_false(over(attempts, "2001:db8:1:3::1", NOW));
    wrong(attempts, "::ffff:192.0.2.1", 10, NOW);
    assert_true(over(attempts, "192.0.2.1", NOW));
    assert_false(over(attempts, "192.0.2.2", NOW));
    wrong(attempts, "fe80::1%eth0", 10, NOW);
    assert_true(over(attempts, "fe80::2", NOW));
    wrong(attempts, "no address", 10, NOW);
    assert_true(over(attempts, "", NOW));
    attempts_free(attempts);
}

static void many_addresses_push_out_the_oldest_alone(void **state)
{
    (void)state;
    struct attempts *attempts = attempts_new();
    char address[32];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(address, sizeof address, "10.%u.%u.1", i / 250, i % 250);
        wrong(attempts, address, ATTEMPTS_BURST, NOW + i);
        assert_true(over(attempts, address, NOW + i));
    }
    assert_false(over(attempts, "10.0.0.1", NOW + 20000));
    attempts_free(attempts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_ten_wrong_ones_there_is_one_every_two_seconds),
        cmocka_unit_test(addresses_of_one_network_count_together),
        cmocka_unit_test(many_addresses_push_out_the_oldest_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
