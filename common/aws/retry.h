/*
 * When a call to AWS that failed is made once more: the SDKs' standard mode as of November 2026
 * (aws-contract 6.8; botocore/retries/standard.py). 500 tokens; a retry costs 14, after throttling
 * 5; a call that succeeds gives its last retry's cost back, or 1. Without tokens there is no retry.
 */
#ifndef COMMON_AWS_RETRY_H
#define COMMON_AWS_RETRY_H

#include "common/base/bytes.h"

#define RETRY_MAX_ATTEMPTS 3
#define RETRY_TOKENS       500

struct retry_budget {
    int tokens; /* RETRY_TOKENS at first */
};

/* Takes what a retry costs; false: there is too little. */
bool retry_take(struct retry_budget *budget, bool throttled, int *cost) MUST_CHECK;
/* The call succeeded; `cost` is that of its last retry, 0: there was none. */
void retry_give_back(struct retry_budget *budget, int cost);
/* Before the n-th retry (from 1): up to 50 ms, after throttling up to 1 s, doubled each time up to
 * 20 s, by chance (`random`: any number). `hint_ms` is x-amz-retry-after (-1: none), followed up to
 * 5 s beyond that. */
int64_t retry_delay_us(unsigned n, bool throttled, uint32_t random, int64_t hint_ms);
/* Whether AWS's error code says that it was too much. */
bool retry_is_throttle(struct view code);

#endif
