/*
 * Provisioned concurrency of a function's versions and aliases: kept and shown as AWS does, with nothing
 * kept warm for it. It is IN_PROGRESS for the ready delay, then READY. Source: aws-contract 4.
 */
#ifndef LAMBDA_LOCAL_PROVISIONED_H
#define LAMBDA_LOCAL_PROVISIONED_H

#include "deploy/lambda-local/function.h"

/* `qualifier`: a version's number or an alias. A change is not saved here. */
void provisioned_set(struct function *function, const char *qualifier, int64_t requested);
void provisioned_remove(struct function *function, const char *qualifier);
/* GetProvisionedConcurrencyConfig's answer, the caller's; NULL: there is none. */
struct json *provisioned_show(const struct function *function, const char *qualifier,
                              int64_t ready_delay_ms);
/* What all have together but `except` (NULL: all). */
int64_t provisioned_sum(const struct function *function, const char *except);
/* ListProvisionedConcurrencyConfigs' items. */
struct json *provisioned_list(const struct function *function, int64_t ready_delay_ms);

#endif
