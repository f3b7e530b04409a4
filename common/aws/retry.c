/* Decides whether and when a failed call to AWS is made once more. */
#include "common/aws/retry.h"

#define COST           14
#define COST_THROTTLED 5
#define BASE_US        50000
#define THROTTLED_US   1000000
#define CAP_US         20000000
#define HINT_US        5000000

bool retry_take(struct retry_budget *budget, bool throttled, int *cost)
{
    int wanted = throttled ? COST_THROTTLED : COST;
    if (budget->tokens < wanted)
        return false;
    budget->tokens -= wanted;
    *cost = wanted;
    return true;
}

void retry_give_back(struct retry_budget *budget, int cost)
{
    budget->tokens += cost ? cost : 1;
    if (budget->tokens > RETRY_TOKENS)
        budget->tokens = RETRY_TOKENS;
}

int64_t retry_delay_us(unsigned n, bool throttled, uint32_t random, int64_t hint_ms)
{
    int64_t ceiling = throttled ? THROTTLED_US : BASE_US;
    while (--n > 0 && ceiling < CAP_US)
        ceiling *= 2;
    if (ceiling > CAP_US)
        ceiling = CAP_US;
    int64_t delay = (int64_t)((double)random / UINT32_MAX * (double)ceiling);
    int64_t hint = hint_ms > HINT_US / 1000 + delay / 1000 ? delay + HINT_US : hint_ms * 1000;
    return hint > delay ? hint : delay;
}

bool retry_is_throttle(struct view code)
{
    static const char *const codes[] = {"Throttling",
                                        "ThrottlingException",
                                        "ThrottledException",
                                        "RequestThrottled",
                                        "RequestThrottledException",
                                        "TooManyRequestsException",
                                        "ProvisionedThroughputExceededException",
                                        "TransactionInProgressException",
                                        "RequestLimitExceeded",
                                        "BandwidthLimitExceeded",
                                        "LimitExceededException",
                                        "SlowDown",
                                        "PriorRequestNotComplete",
                                        "EC2ThrottledException"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (view_equal_string(code, codes[i]))
            return true;
    return false;
}
