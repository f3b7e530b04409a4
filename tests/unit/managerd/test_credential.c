/* Tests of credentials that are made here. */
#include "managerd/credential.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void no_two_credentials_are_the_same_and_each_can_be_checked(void **state)
{
    char first[CREDENTIAL_SIZE], second[CREDENTIAL_SIZE], check[9] = {0};
    uint8_t digest[SHA256_BYTES];
    (void)state;
    credential_make(TOKEN_PREFIX, first);
    credential_make(TOKEN_PREFIX, second);
    assert_int_equal(strlen(first), CREDENTIAL_SIZE - 1);
    assert_memory_equal(first, TOKEN_PREFIX, 4);
    assert_string_not_equal(first, second);
    sha256(view_from(first, 44), digest);
    hex_write(check, digest, 4);
    assert_string_equal(first + 44, check);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_two_credentials_are_the_same_and_each_can_be_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
