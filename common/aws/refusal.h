/*
 * What AWS's refusals say of a signature: that our clock is wrong, or that the credentials are over.
 * The codes are those by which the SDKs correct their clocks (aws-contract 5.2) and renew their keys.
 */
#ifndef COMMON_AWS_REFUSAL_H
#define COMMON_AWS_REFUSAL_H

#include "common/base/bytes.h"

/* `code` without namespace and URI: "RequestExpired". AWS uses some of them for a wrong key, too. */
bool refusal_doubts_clock(struct view code);
bool refusal_doubts_credentials(struct view code);

/* Whether the answer's Date is further from `*offset_ms` (AWS's time minus ours, as known so far) than
 * clocks that agree are; then it is set anew, and signing once more is worth while. */
bool refusal_corrects_clock(struct view date, int64_t *offset_ms);

#endif
