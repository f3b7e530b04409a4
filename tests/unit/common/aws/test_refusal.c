/* Tells what a refusal says of clock and credentials, and sets the clock by its Date. */
#include "common/aws/refusal.h"

#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void codes_doubt_the_clock_the_credentials_or_neither(void **state)
{
    (void)state;
    assert_true(refusal_doubts_clock(VIEW("RequestTimeTooSkewed")));
    assert_true(refusal_doubts_clock(VIEW("InvalidSignatureException")));
    assert_false(refusal_doubts_clock(VIEW("ExpiredTokenException")));
    assert_true(refusal_doubts_credentials(VIEW("ExpiredTokenException")));
    assert_true(refusal_doubts_credentials(VIEW("UnrecognizedClientException")));
    assert_false(refusal_doubts_credentials(VIEW("AccessDeniedException")));
    assert_false(refusal_doubts_clock(VIEW("")) || refusal_doubts_credentials(VIEW("")));
}

static void a_date_far_from_what_is_known_sets_the_offset(void **state)
{
    int64_t offset_ms = 0;

    (void)state;
    clock_freeze(1767323045000, 1); /* Fri, 02 Jan 2026 03:04:05 GMT */
    assert_false(refusal_corrects_clock(VIEW("Fri, 02 Jan 2026 03:04:35 GMT"), &offset_ms));
    assert_false(refusal_corrects_clock(VIEW("yesterday"), &offset_ms));
    assert_false(refusal_corrects_clock(VIEW(""), &offset_ms));
    assert_true(offset_ms == 0);
    assert_true(refusal_corrects_clock(VIEW("Fri, 02 Jan 2026 04:04:05 GMT"), &offset_ms));
    assert_true(offset_ms == 3600000);
    assert_false(refusal_corrects_clock(VIEW("Fri, 02 Jan 2026 04:04:05 GMT"), &offset_ms));
    assert_true(refusal_corrects_clock(VIEW("Fri, 02 Jan 2026 03:04:05 GMT"), &offset_ms));
    assert_true(offset_ms == 0);
    clock_thaw();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_doubt_the_clock_the_credentials_or_neither),
        cmocka_unit_test(a_date_far_from_what_is_known_sets_the_offset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
