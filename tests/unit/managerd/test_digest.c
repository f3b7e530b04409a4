/* Tests of Content-Digest and Repr-Digest. */
#include "managerd/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

/* RFC 9530, appendix B.1: {"hello": "world"} and a line end. */
#define EXAMPLE     "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="
#define EXAMPLE_HEX "44aff4ab2d7c3250525675a08f0cfa9591168cffe51791c5f5bbc417c15a6c38"
#define OTHER_HEX   "44aff4ab2d7c3250525675a08f0cfa9591168cffe51791c5f5bbc417c15a6c39"

static enum digest_verdict compare(const char *field)
{
    return digest_compare(view_of(field), EXAMPLE_HEX);
}

static void the_digest_of_the_rfc_is_read(void **state)
{
    (void)state;
    assert_int_equal(compare("sha-256=:" EXAMPLE ":"), DIGEST_SAME);
    assert_int_equal(compare("  sha-512=:YWJj:,\tsha-256=:" EXAMPLE ":;a=1 "), DIGEST_SAME);
    assert_int_equal(digest_compare(VIEW("sha-256=:" EXAMPLE ":"), OTHER_HEX), DIGEST_OTHER);
}

static void others_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(compare("sha-512=:YWJj:"), DIGEST_ABSENT);
    assert_int_equal(compare("md5=::, unixsum=:YQ==:"), DIGEST_ABSENT);
}

static void what_is_no_dictionary_of_digests_is_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " ",
                                      "sha-256",
                                      "sha-256=" EXAMPLE,
                                      "sha-256=:" EXAMPLE,
                                      "sha-256=:YWJj:",
                                      "sha-256=:*:",
                                      "SHA-256=:" EXAMPLE ":",
                                      "sha-256=:" EXAMPLE ":x",
                                      "sha-256=:" EXAMPLE ":,",
                                      "=:" EXAMPLE ":",
                                      "sha-256=::"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(compare(bad[i]), DIGEST_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_digest_of_the_rfc_is_read),
        cmocka_unit_test(others_are_ignored),
        cmocka_unit_test(what_is_no_dictionary_of_digests_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
