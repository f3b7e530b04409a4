/* Tests of UUIDv7 ids. */
#include "tests/unit/common/base/check.h"

#include <pthread.h>

#include "common/base/clock.h"
#include "common/base/id.h"

#define IDS_PER_THREAD 5000
#define THREADS        4

static int thaw(void **state)
{
    (void)state;
    clock_thaw();
    return 0;
}

static void an_id_holds_the_time_the_version_and_the_variant(void **state)
{
    char id[ID_SIZE];

    (void)state;
    /* Further ahead than the wall clock, so that ids made before do not count. */
    clock_freeze(INT64_C(0x0123456789AB) + INT64_C(10000000000000), 0);
    id_make(id);
    assert_int_equal(strlen(id), 36);
    assert_true(id_valid(view_of(id)));
    assert_int_equal(id[14], '7');
    assert_non_null(strchr("89ab", id[19]));
    {
        char time[14] = {0};

        memcpy(time, id, 8);
        memcpy(time + 8, id + 9, 4);
        assert_true(strtoll(time, NULL, 16) == INT64_C(0x0123456789AB) + INT64_C(10000000000000));
    }
}

static void ids_rise_within_one_millisecond_and_beyond_a_full_counter(void **state)
{
    char last[ID_SIZE], next[ID_SIZE];

    (void)state;
    clock_freeze(INT64_C(20000000000000), 0);
    id_make(last);
    for (int i = 0; i < 20000; i++) { /* the counter holds 4096 */
        id_make(next);
        assert_true(strcmp(last, next) < 0);
        memcpy(last, next, ID_SIZE);
    }
}

static void a_wall_clock_set_back_does_not_set_ids_back(void **state)
{
    char last[ID_SIZE], next[ID_SIZE];

    (void)state;
    clock_freeze(INT64_C(30000000000000), 0);
    id_make(last);
    clock_advance_ms(-3600000);
    id_make(next);
    assert_true(strcmp(last, next) < 0);
}

static char made[THREADS][IDS_PER_THREAD][ID_SIZE];

static void *make_many(void *context)
{
    char(*mine)[ID_SIZE] = context;

    for (int i = 0; i < IDS_PER_THREAD; i++)
        id_make(mine[i]);
    return NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void threads_make_no_id_twice(void **state)
{
    pthread_t threads[THREADS];
    char(*all)[ID_SIZE] = made[0];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_many, made[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    qsort(all, (size_t)THREADS * IDS_PER_THREAD, ID_SIZE, by_text);
    for (int i = 1; i < THREADS * IDS_PER_THREAD; i++)
        assert_string_not_equal(all[i - 1], all[i]);
}

static void only_canonical_uuids_are_valid(void **state)
{
    static const char *const bad[] = {"",
                                      "0123",
                                      "01234567-89ab-7def-8123-456789abcde",
                                      "01234567-89ab-7def-8123-456789abcdef0",
                                      "01234567+89ab-7def-8123-456789abcdef",
                                      "0123456g-89ab-7def-8123-456789abcdef",
                                      "{1234567-89ab-7def-8123-456789abcde}",
                                      "0123456789ab-7def-8123-456789abcdef-"};

    (void)state;
    assert_true(id_valid(VIEW("01234567-89ab-7def-8123-456789abcdef")));
    assert_true(id_valid(VIEW("01234567-89AB-4DEF-8123-456789ABCDEF")));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(id_valid(view_of(bad[i])));
    assert_false(id_valid(VIEW("0123456\0-89ab-7def-8123-456789abcdef")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_make_no_id_twice),
        cmocka_unit_test_teardown(an_id_holds_the_time_the_version_and_the_variant, thaw),
        cmocka_unit_test_teardown(ids_rise_within_one_millisecond_and_beyond_a_full_counter, thaw),
        cmocka_unit_test_teardown(a_wall_clock_set_back_does_not_set_ids_back, thaw),
        cmocka_unit_test(only_canonical_uuids_are_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
