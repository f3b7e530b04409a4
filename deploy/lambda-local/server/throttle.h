/*
 * The API's own quotas, for tests of clients that must keep to them: as on AWS, GetFunction has one
 * of its own, every other call but invocations shares one, and who is over it gets 429
 * TooManyRequestsException at once. A token bucket that holds one second's worth. Nothing is limited
 * unless it is configured.
 */
#ifndef LAMBDA_LOCAL_SERVER_THROTTLE_H
#define LAMBDA_LOCAL_SERVER_THROTTLE_H

#include "common/base/bytes.h"

struct throttle {
    double tokens;
    uint64_t refilled_us; /* 0: not used yet */
};

/* Whether one more call may pass now; `per_second` 0: always. */
bool throttle_pass(struct throttle *throttle, int64_t per_second, uint64_t now_us);

#endif
