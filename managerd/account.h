/*
 * The AWS account that managerd works in: whose it is (STS), and what it may have (GetAccountSettings of
 * Lambda); looked at when somebody asks and what is known is older than ACCOUNT_MAX_AGE_MS, or the last
 * look failed ACCOUNT_AGAIN_MS ago. Nobody waits for it but, for ACCOUNT_PATIENCE_MS, those who ask while
 * nothing is known. Loop thread only.
 */
#ifndef MANAGERD_ACCOUNT_H
#define MANAGERD_ACCOUNT_H

#include "managerd/caller.h"

#define ACCOUNT_MAX_AGE_MS  300000
#define ACCOUNT_AGAIN_MS    5000
#define ACCOUNT_PATIENCE_MS 2000

struct account;
struct account_wait;

struct account *account_new(struct event_base *base, struct lambda_control *control,
                            struct caller *caller);
/* Ends what is under way; who waits hears of nothing any more. */
void account_stop(struct account *account);
/* After the waits. NULL is fine. */
void account_free(struct account *account);

/* Begins a look if it is time. NULL: there is nothing to wait for; else on_done comes from the loop,
 * once. */
struct account_wait *account_ask(struct account *account, void (*on_done)(void *context),
                                 void *context);
/* Before on_done, when nobody waits any more. */
void account_leave(struct account_wait *wait);

/* {"account", "arn", "userId", "identityProblem"}, and {"concurrentExecutions",
 * "unreservedConcurrentExecutions", "codeStorageBytes", "codeStorageUsedBytes", "packageBytes",
 * "unpackedBytes", "functions", "problem"}; null is what is not known, a problem says why not. Also
 * "checkedAt". Added to the objects. */
void account_show(const struct account *account, struct json *identity, struct json *limits);

#endif
