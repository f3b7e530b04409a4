/* Knows the codes by which AWS refuses a signature for its time or its key, and sets clocks by AWS's. */
#include "common/aws/refusal.h"

#include "common/base/clock.h"

#define SKEW_MS 60000 /* clocks that differ by less agree */

static bool is_one_of(struct view code, const char *const *codes)
{
    for (; *codes; codes++)
        if (view_equal_string(code, *codes))
            return true;
    return false;
}

bool refusal_doubts_clock(struct view code)
{
    static const char *const codes[] = {"InvalidSignatureException",
                                        "RequestExpired",
                                        "RequestInTheFuture",
                                        "RequestTimeTooSkewed",
                                        "SignatureDoesNotMatch",
                                        "AuthFailure",
                                        NULL};

    return is_one_of(code, codes);
}

bool refusal_doubts_credentials(struct view code)
{
    static const char *const codes[] = {"ExpiredToken",
                                        "ExpiredTokenException",
                                        "InvalidClientTokenId",
                                        "UnrecognizedClientException",
                                        "InvalidAccessKeyId", /* s3's */
                                        "InvalidToken",
                                        "TokenRefreshRequired",
                                        NULL};

    return is_one_of(code, codes);
}

bool refusal_corrects_clock(struct view date, int64_t *offset_ms)
{
    int64_t theirs_ms;

    if (clock_parse_http(date, &theirs_ms) != ERROR_NONE)
        return false;
    int64_t found_ms = theirs_ms - clock_wall_ms();
    int64_t change_ms = found_ms - *offset_ms;
    if (change_ms > -SKEW_MS && change_ms < SKEW_MS)
        return false;
    *offset_ms = found_ms;
    return true;
}
