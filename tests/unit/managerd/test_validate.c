/* Tests of the pure parts of validation: preferences, conditions, types, ids. */
#include "managerd/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void preferences_are_read_as_rfc_7240_says(void **state)
{
    (void)state;
    assert_int_equal(prefer_wait_s(VIEW("wait=10")), 10);
    assert_int_equal(prefer_wait_s(VIEW("respond-async, WAIT=5; x=y")), 5);
    assert_int_equal(prefer_wait_s(VIEW("wait=0")), 0);
    assert_int_equal(prefer_wait_s(VIEW("wait=99999")), 600);
    assert_int_equal(prefer_wait_s(VIEW("return=minimal")), -1);
    assert_int_equal(prefer_wait_s(VIEW("wait=")), -1);
    assert_int_equal(prefer_wait_s(VIEW("wait=-1")), -1);
    assert_int_equal(prefer_wait_s(VIEW("")), -1);
    assert_int_equal(prefer_wait_s(VIEW("wait=\"7\"")), 7);
    assert_int_equal(prefer_wait_s(VIEW("respond-async , Wait = 8 ;x")), 8);
    assert_int_equal(prefer_wait_s(VIEW("wait=\"\", wait=9")), 9);
    assert_int_equal(prefer_wait_s(VIEW("waits=7, wait, wait=\"7")), -1);
}

static void only_strong_etags_of_the_revision_match(void **state)
{
    (void)state;
    assert_true(if_match_holds(VIEW("\"17\""), 17));
    assert_true(if_match_holds(VIEW("\"3\", \"17\""), 17));
    assert_true(if_match_holds(VIEW("*"), 17));
    assert_false(if_match_holds(VIEW("*"), 0));
    assert_false(if_match_holds(VIEW("\"0\""), 0));
    assert_false(if_match_holds(VIEW("W/\"17\""), 17));
    assert_false(if_match_holds(VIEW("17"), 17));
    assert_false(if_match_holds(VIEW("\"17"), 17));
    assert_false(if_match_holds(VIEW("\"\""), 17));
    assert_false(if_match_holds(VIEW(""), 17));
}

static void media_types_ignore_case_and_parameters(void **state)
{
    (void)state;
    assert_true(media_type_is(VIEW("Application/JSON; charset=utf-8"), "application/json"));
    assert_true(media_type_is(VIEW("application/zip"), "application/zip"));
    assert_false(media_type_is(VIEW("application/json5"), "application/json"));
    assert_false(media_type_is(VIEW(""), "application/json"));
}

static void request_ids_are_short_and_plain(void **state)
{
    (void)state;
    assert_true(request_id_valid(VIEW("A-z.0_9")));
    assert_false(request_id_valid(VIEW("")));
    assert_false(request_id_valid(VIEW("a b")));
    assert_false(request_id_valid(VIEW("a\"b")));
    assert_false(request_id_valid(view_from("a\0b", 3)));
    char text[130];
    for (int i = 0; i < 130; i++)
        text[i] = 'x';
    assert_true(request_id_valid(view_from(text, 128)));
    assert_false(request_id_valid(view_from(text, 129)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preferences_are_read_as_rfc_7240_says),
        cmocka_unit_test(only_strong_etags_of_the_revision_match),
        cmocka_unit_test(media_types_ignore_case_and_parameters),
        cmocka_unit_test(request_ids_are_short_and_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
