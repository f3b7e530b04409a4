/* Counts what a quota of the API still lets pass. */
#include "deploy/lambda-local/server/throttle.h"

bool throttle_pass(struct throttle *throttle, int64_t per_second, uint64_t now_us)
{
    if (per_second == 0)
        return true;
    throttle->tokens =
        throttle->refilled_us
            ? throttle->tokens + (double)(now_us - throttle->refilled_us) * (double)per_second / 1e6
            : (double)per_second;
    if (throttle->tokens > (double)per_second)
        throttle->tokens = (double)per_second;
    throttle->refilled_us = now_us;
    if (throttle->tokens < 1)
        return false;
    throttle->tokens -= 1;
    return true;
}
