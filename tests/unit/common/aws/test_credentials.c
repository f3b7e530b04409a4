/* Holds credentials that can be sent in headers, and shares them by count. */
#include "common/aws/credentials.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void what_would_break_a_header_line_is_not_well_formed(void **state)
{
    (void)state;
    assert_true(credentials_well_formed(VIEW("AKIDEXAMPLE"), VIEW("secret/+="), VIEW("token==")));
    assert_true(credentials_well_formed(VIEW("AKIDEXAMPLE"), VIEW("secret"), VIEW("")));
    assert_false(credentials_well_formed(VIEW("AKID"), VIEW("s"), VIEW("token\r\nX-Evil: 1")));
    assert_false(credentials_well_formed(VIEW("AKID,EXAMPLE"), VIEW("secret"), VIEW("")));
    assert_false(credentials_well_formed(VIEW("AKID"), VIEW("sec ret"), VIEW("")));
    assert_false(credentials_well_formed(VIEW("AKID"), VIEW("s"), VIEW("\xc3\xa4")));
}

static void parts_are_copied(void **state)
{
    char key[] = "key", secret[] = "secret", token[] = "token";
    struct credentials *credentials =
        credentials_new(view_of(key), view_of(secret), view_of(token), 7);

    (void)state;
    key[0] = secret[0] = token[0] = 'X';
    assert_true(view_equal_string(credentials->access_key_id, "key"));
    assert_true(view_equal_string(credentials->secret_access_key, "secret"));
    assert_true(view_equal_string(credentials->session_token, "token"));
    assert_true(credentials->expires_at_ms == 7);
    credentials_release(credentials);
}

static void snapshots_have_serials_of_their_own(void **state)
{
    struct credentials *a = credentials_new(VIEW("a"), VIEW("b"), VIEW(""), 1);
    struct credentials *b = credentials_new(VIEW("a"), VIEW("b"), VIEW(""), 1);

    (void)state;
    assert_true(a->serial != b->serial && a->serial != 0 && b->serial != 0);
    credentials_release(a);
    credentials_release(b);
    credentials_release(NULL);
}

static void *hold_and_release(void *argument)
{
    struct credentials *credentials = argument;

    for (int i = 0; i < 10000; i++) {
        struct credentials *held = credentials_hold(credentials);

        if (held->access_key_id.length != 3)
            abort();
        credentials_release(held);
    }
    credentials_release(credentials);
    return NULL;
}

static void snapshots_are_shared_between_threads(void **state)
{
    struct credentials *credentials = credentials_new(VIEW("key"), VIEW("s"), VIEW(""), 1);
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, hold_and_release, credentials_hold(credentials)), 0);
    credentials_release(credentials);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_would_break_a_header_line_is_not_well_formed),
        cmocka_unit_test(parts_are_copied),
        cmocka_unit_test(snapshots_have_serials_of_their_own),
        cmocka_unit_test(snapshots_are_shared_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
