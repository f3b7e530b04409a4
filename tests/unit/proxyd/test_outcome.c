/* What the end of an attempt says about the function. */
#include "proxyd/outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct outcome answered(int status, const char *type)
{
    struct outcome_input input = {.error = ERROR_NONE,
                                  .reach = OUTGOING_ANSWERED,
                                  .status = status,
                                  .error_type = view_of(type)};

    return outcome_of(&input);
}

static struct outcome failed(enum error error, enum outgoing_reach reach, int status, bool kept)
{
    struct outcome_input input = {
        .error = error, .reach = reach, .status = status, .on_kept_connection = kept};

    return outcome_of(&input);
}

static void a_200_is_to_be_decoded(void **state)
{
    (void)state;
    assert_int_equal(answered(200, NULL).fault, FAULT_NONE);
}

static void an_asynchronous_call_is_taken_in_by_a_202_only(void **state)
{
    struct outcome_input input = {
        .reach = OUTGOING_ANSWERED, .status = 202, .asynchronous = true, .error_type = VIEW("")};

    (void)state;
    assert_int_equal(outcome_of(&input).fault, FAULT_NONE);
    input.status = 200;
    assert_int_equal(outcome_of(&input).fault, FAULT_LAMBDA_FAILED);
    input.status = 202;
    input.asynchronous = false;
    assert_int_equal(outcome_of(&input).fault, FAULT_LAMBDA_FAILED);
}

static void a_429_is_a_throttle_and_may_heal(void **state)
{
    struct outcome outcome = answered(429, "TooManyRequestsException");

    (void)state;
    assert_int_equal(outcome.fault, FAULT_THROTTLED);
    assert_true(outcome.may_heal);
    assert_int_equal(answered(429, NULL).fault, FAULT_THROTTLED);
}

static void codes_that_say_not_started_are_believed_with_their_status_only(void **state)
{
    (void)state;
    assert_int_equal(answered(502, "ENINotReadyException").fault, FAULT_LAMBDA_NOT_READY);
    assert_true(answered(502, "ENINotReadyException").may_heal);
    assert_int_equal(answered(502, "InvalidZipFileException").fault, FAULT_LAMBDA_NOT_READY);
    assert_false(answered(502, "InvalidZipFileException").may_heal);
    assert_int_equal(answered(408, "EFSMountTimeoutException").fault, FAULT_LAMBDA_NOT_READY);
    assert_int_equal(answered(409, "SnapStartNotReadyException").fault, FAULT_LAMBDA_NOT_READY);
    assert_int_equal(answered(500, "ENINotReadyException").fault, FAULT_LAMBDA_FAILED);
}

static void a_code_is_found_between_namespace_and_address(void **state)
{
    struct outcome outcome =
        answered(502, "com.amazonaws#ENINotReadyException:http://internal.example.com/coral/");

    (void)state;
    assert_int_equal(outcome.fault, FAULT_LAMBDA_NOT_READY);
    assert_true(view_equal_string(outcome.code, "ENINotReadyException"));
}

static void other_4xx_are_refusals_and_other_5xx_unknown(void **state)
{
    assert_int_equal(answered(410, "EFSIOException").fault, FAULT_LAMBDA_FAILED);
    static const int refusals[] = {400, 401, 402, 403, 404, 408, 409, 410, 415};
    static const int unknown[] = {202, 301, 500, 502, 503, 504, 599};

    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        assert_int_equal(answered(refusals[i], "Other").fault, FAULT_LAMBDA_REFUSED);
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(answered(unknown[i], "ServiceException").fault, FAULT_LAMBDA_FAILED);
    assert_int_equal(answered(413, "RequestTooLargeException").fault, FAULT_EVENT_TOO_LARGE);
}

static void a_refused_signature_puts_the_clock_in_doubt(void **state)
{
    (void)state;
    assert_true(answered(403, "InvalidSignatureException").signature_doubted);
    assert_int_equal(answered(403, "InvalidSignatureException").fault, FAULT_LAMBDA_REFUSED);
    assert_false(answered(403, "AccessDeniedException").signature_doubted);
    assert_true(answered(403, "ExpiredTokenException").signature_doubted);
    assert_true(answered(403, "UnrecognizedClientException:http://x").signature_doubted);
    assert_false(answered(500, "InvalidSignatureException").signature_doubted);
}

static void only_what_was_surely_not_sent_is_unreachable(void **state)
{
    (void)state;
    assert_int_equal(failed(ERROR_UNREACHABLE, OUTGOING_NOT_SENT, 0, false).fault,
                     FAULT_UNREACHABLE);
    assert_int_equal(failed(ERROR_TIMEOUT, OUTGOING_NOT_SENT, 0, false).fault, FAULT_UNREACHABLE);
    assert_int_equal(failed(ERROR_BROKEN, OUTGOING_NOT_SENT, 0, true).fault, FAULT_UNREACHABLE);
    assert_int_equal(failed(ERROR_BROKEN, OUTGOING_MAYBE, 0, true).fault, FAULT_LAMBDA_FAILED);
    assert_int_equal(failed(ERROR_BROKEN, OUTGOING_ANSWERED, 200, true).fault, FAULT_LAMBDA_FAILED);
    assert_int_equal(failed(ERROR_TIMEOUT, OUTGOING_MAYBE, 0, true).fault, FAULT_DEADLINE);
    assert_int_equal(failed(ERROR_TOO_BIG, OUTGOING_ANSWERED, 200, true).fault, FAULT_BAD_REPLY);
    assert_int_equal(failed(ERROR_TOO_BIG, OUTGOING_ANSWERED, 500, true).fault,
                     FAULT_LAMBDA_FAILED);
}

static void only_a_kept_connection_is_stale(void **state)
{
    (void)state;
    assert_true(failed(ERROR_BROKEN, OUTGOING_NOT_SENT, 0, true).stale);
    assert_false(failed(ERROR_BROKEN, OUTGOING_NOT_SENT, 0, false).stale);
    assert_false(failed(ERROR_UNREACHABLE, OUTGOING_NOT_SENT, 0, true).stale);
    assert_false(failed(ERROR_BROKEN, OUTGOING_MAYBE, 0, true).stale);
}

static void nothing_that_may_have_run_is_ever_retried(void **state)
{
    (void)state;
    for (int status = 100; status < 600; status++) {
        struct outcome outcome = answered(status, "ServiceException");
        const struct fault_row *row = fault_row(outcome.fault);
        assert_true(!row->retried || row->class == CLASS_NOT_STARTED);
    }
    for (int fault = 0; fault < FAULT_COUNT; fault++) {
        const struct fault_row *row = fault_row((enum fault)fault);
        assert_true(!row->retried || row->class == CLASS_NOT_STARTED);
    }
}

static unsigned waits(const char *retry_after, const char *date)
{
    struct outcome_input input = {.error = ERROR_NONE,
                                  .reach = OUTGOING_ANSWERED,
                                  .status = 429,
                                  .retry_after = view_of(retry_after),
                                  .date = view_of(date),
                                  .now_ms = INT64_C(1700000000000)};

    return outcome_of(&input).retry_after_s;
}

static void a_wait_is_told_in_seconds_or_as_a_date(void **state)
{
    const char *then = "Tue, 14 Nov 2023 22:13:30 GMT"; /* 1700000010 */

    (void)state;
    assert_int_equal(waits("17", NULL), 17);
    assert_int_equal(waits("0", NULL), 0);
    assert_int_equal(waits("99999999", NULL), 86400);
    assert_int_equal(waits("18446744073709551616", NULL), 0);
    assert_int_equal(waits("1.5", NULL), 0);
    assert_int_equal(waits("-1", NULL), 0);
    assert_int_equal(waits("soon", NULL), 0);
    assert_int_equal(waits(NULL, NULL), 0);
    assert_int_equal(waits(then, NULL), 10);
    assert_int_equal(waits(then, "Tue, 14 Nov 2023 22:13:25 GMT"), 5); /* by the sender's clock */
    assert_int_equal(waits(then, "Tue, 14 Nov 2023 22:13:31 GMT"), 0);
    assert_int_equal(waits(then, "no date"), 10);
    assert_int_equal(waits("Tue, 14 Nov 2034 22:13:30 GMT", NULL), 86400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_200_is_to_be_decoded),
        cmocka_unit_test(an_asynchronous_call_is_taken_in_by_a_202_only),
        cmocka_unit_test(a_429_is_a_throttle_and_may_heal),
        cmocka_unit_test(codes_that_say_not_started_are_believed_with_their_status_only),
        cmocka_unit_test(a_code_is_found_between_namespace_and_address),
        cmocka_unit_test(other_4xx_are_refusals_and_other_5xx_unknown),
        cmocka_unit_test(a_refused_signature_puts_the_clock_in_doubt),
        cmocka_unit_test(only_what_was_surely_not_sent_is_unreachable),
        cmocka_unit_test(only_a_kept_connection_is_stale),
        cmocka_unit_test(nothing_that_may_have_run_is_ever_retried),
        cmocka_unit_test(a_wait_is_told_in_seconds_or_as_a_date),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
