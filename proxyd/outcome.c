/* Tells from Lambda's answer, or the lack of one, whether the function ran. */
#include "proxyd/outcome.h"

#include "common/aws/refusal.h"

#include "common/base/clock.h"

#define RETRY_AFTER_MOST_S 86400

/* Codes by which Lambda says that it did not start the function. */
static const struct {
    const char *code;
    int status;
    bool heals;
} not_started[] = {
    {"EC2AccessDeniedException", 502, false},
    {"EC2ThrottledException", 502, true},
    {"EC2UnexpectedException", 502, true},
    {"ENILimitReachedException", 502, true},
    {"ENINotReadyException", 502, true},
    {"InvalidRuntimeException", 502, false},
    {"InvalidSecurityGroupIDException", 502, false},
    {"InvalidSubnetIDException", 502, false},
    {"InvalidZipFileException", 502, false},
    {"KMSAccessDeniedException", 502, false},
    {"KMSDisabledException", 502, false},
    {"KMSInvalidStateException", 502, false},
    {"KMSNotFoundException", 502, false},
    {"ResourceNotReadyException", 502, true},
    {"SubnetIPAddressLimitReachedException", 502, true},
    {"EFSMountConnectivityException", 408, true},
    {"EFSMountTimeoutException", 408, true},
    {"S3FilesMountConnectivityException", 408, true},
    {"S3FilesMountTimeoutException", 408, true},
    {"SnapStartTimeoutException", 408, true},
    {"SnapStartNotReadyException", 409, true},
    {"CodeArtifactUserPendingException", 409, true},
    {"CodeArtifactUserFailedException", 409, false},
    {"CodeArtifactUserDeletedException", 409, false},
    {"SnapStartRegenerationFailureException", 409, false},
    {"ResourceConflictException", 409, true}, /* the function is pending, or being changed */
    {"SnapStartException", 400, false},
    {"EFSMountFailureException", 403, false},
    {"S3FilesMountFailureException", 403, false},
};

/* "Namespace#CodeException:http://…" -> "CodeException". */
static struct view code_of(struct view error_type)
{
    size_t colon = view_find(error_type, ':');
    struct view code = view_slice(error_type, 0, colon);
    size_t hash = view_find(code, '#');

    return view_trim(hash == SIZE_MAX ? code : view_slice(code, hash + 1, code.length));
}

/* The file system failed while code of the function read or wrote it. */
static bool may_have_run(int status, struct view code)
{
    return status == 410 && view_equal_string(code, "EFSIOException");
}

static void judge_status(int status, struct outcome *outcome)
{
    for (size_t i = 0; i < sizeof not_started / sizeof not_started[0]; i++) {
        if (status == not_started[i].status &&
            view_equal_string(outcome->code, not_started[i].code)) {
            outcome->fault = FAULT_LAMBDA_NOT_READY;
            outcome->may_heal = not_started[i].heals;
            return;
        }
    }
    if (status == 429) {
        outcome->fault = FAULT_THROTTLED;
        outcome->may_heal = true;
    } else if (status == 413) {
        outcome->fault = FAULT_EVENT_TOO_LARGE;
    } else if (status >= 400 && status < 500 && !may_have_run(status, outcome->code)) {
        outcome->fault = FAULT_LAMBDA_REFUSED;
        outcome->signature_doubted =
            refusal_doubts_clock(outcome->code) || refusal_doubts_credentials(outcome->code);
    } else {
        outcome->fault = FAULT_LAMBDA_FAILED;
    }
}

static enum fault fault_of_reach(const struct outcome_input *input)
{
    if (input->reach == OUTGOING_NOT_SENT)
        return FAULT_UNREACHABLE;
    if (input->error == ERROR_TIMEOUT)
        return FAULT_DEADLINE;
    if (input->error == ERROR_TOO_BIG && input->status == 200)
        return FAULT_BAD_REPLY;
    return FAULT_LAMBDA_FAILED;
}

/* Seconds, or a date by the sender's own clock. What is neither says nothing. */
static unsigned seconds_to_wait(const struct outcome_input *input)
{
    int64_t then_ms, now_ms;
    uint64_t seconds;

    if (view_to_u64(input->retry_after, UINT64_MAX, &seconds) == ERROR_NONE)
        return seconds < RETRY_AFTER_MOST_S ? (unsigned)seconds : RETRY_AFTER_MOST_S;
    if (clock_parse_http(input->retry_after, &then_ms) != ERROR_NONE)
        return 0;
    if (clock_parse_http(input->date, &now_ms) != ERROR_NONE)
        now_ms = input->now_ms;
    if (then_ms <= now_ms)
        return 0;
    seconds = ((uint64_t)(then_ms - now_ms) + 999) / 1000;
    return seconds < RETRY_AFTER_MOST_S ? (unsigned)seconds : RETRY_AFTER_MOST_S;
}

struct outcome outcome_of(const struct outcome_input *input)
{
    struct outcome outcome = {.fault = FAULT_NONE, .code = code_of(input->error_type)};

    if (input->error == ERROR_INVALID) {
        outcome.fault = FAULT_INTERNAL;
    } else if (input->error != ERROR_NONE) {
        outcome.fault = fault_of_reach(input);
        outcome.may_heal = true;
        outcome.stale = input->error == ERROR_BROKEN && input->reach == OUTGOING_NOT_SENT &&
                        input->on_kept_connection;
    } else if (input->status != (input->asynchronous ? 202 : 200)) {
        judge_status(input->status, &outcome);
        outcome.retry_after_s = seconds_to_wait(input);
    }
    return outcome;
}
