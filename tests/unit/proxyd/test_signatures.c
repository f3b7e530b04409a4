/* Tests of what is remembered of signatures: good ones only, and only for the very same bytes. */
#include "proxyd/signatures.h"

#include "common/base/escape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 8037 appendix A, and the DER of its key. */
static const char message[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
static const char signature_text[] =
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
static const char der_hex[] =
    "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

static struct buffer signature, der;
static struct signature_key key;

static int set_up(void **state)
{
    buffer_init(&signature, 100);
    buffer_init(&der, 100);
    assert_int_equal(base64url_decode(&signature, view_of(signature_text)), ERROR_NONE);
    assert_int_equal(hex_decode(&der, view_of(der_hex)), ERROR_NONE);
    key = (struct signature_key){.kind = SIGNATURE_ED25519,
                                 .algorithms = SIGNATURE_BIT(SIGNATURE_EDDSA),
                                 .der = buffer_view(&der)};
    *state = signatures_new();
    return 0;
}

static int tear_down(void **state)
{
    signatures_free(*state);
    buffer_release(&signature);
    buffer_release(&der);
    return 0;
}

static bool good(struct signatures *signatures, const char *text)
{
    return signatures_good(signatures, &key, SIGNATURE_EDDSA, view_of(text),
                           buffer_view(&signature));
}

static void a_good_signature_is_looked_at_once(void **state)
{
    for (int i = 0; i < 5; i++)
        assert_true(good(*state, message));
    assert_int_equal(signatures_checked(*state), 1);
    assert_int_equal(signatures_recalled(*state), 4);
}

static void a_bad_one_is_looked_at_each_time_and_stays_bad(void **state)
{
    assert_true(good(*state, message));
    for (int i = 0; i < 3; i++)
        assert_false(good(*state, "another message"));
    signature.data[5] ^= 1;
    for (int i = 0; i < 3; i++)
        assert_false(good(*state, message));
    assert_int_equal(signatures_checked(*state), 7);
    assert_int_equal(signatures_recalled(*state), 0);
}

static void what_is_good_by_one_key_is_not_good_by_another(void **state)
{
    assert_true(good(*state, message));
    der.data[der.length - 1] ^= 1;
    assert_false(good(*state, message));
    der.data[der.length - 1] ^= 1;
    key.kind = SIGNATURE_P256;
    assert_false(good(*state, message));
    key.kind = SIGNATURE_ED25519;
    for (unsigned i = 0; i < SIGNATURE_ALGORITHMS; i++)
        assert_int_equal(signatures_good(*state, &key, (enum signature_algorithm)i,
                                         view_of(message), buffer_view(&signature)),
                         i == SIGNATURE_EDDSA);
}

static void bytes_that_are_no_key_are_never_good(void **state)
{
    key.der = VIEW("no key");
    assert_false(good(*state, message));
    key.der = (struct view){NULL, 0};
    assert_false(good(*state, message));
}

/* Ed25519 takes any 32 bytes for a key until it is used, so many are easily had. */
static void keys_take_one_anothers_place_and_come_back(void **state)
{
    char last = der.data[der.length - 1], before = der.data[der.length - 2];

    for (int i = 0; i < 4 * SIGNATURES_KEYS; i++) {
        der.data[der.length - 1] = (char)i;
        der.data[der.length - 2] = (char)(i >> 8);
        (void)good(*state, "another message");
    }
    der.data[der.length - 1] = last;
    der.data[der.length - 2] = before;
    assert_true(good(*state, message));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_signature_is_looked_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_one_is_looked_at_each_time_and_stays_bad, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_good_by_one_key_is_not_good_by_another, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_key_are_never_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_take_one_anothers_place_and_come_back, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
