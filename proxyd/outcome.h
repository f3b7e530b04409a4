/*
 * What became of one attempt to invoke: pure. Sources: the fault table; aws-contract 3.2 and 3.3
 * (status, X-Amz-Function-Error, x-amzn-ErrorType).
 */
#ifndef PROXYD_OUTCOME_H
#define PROXYD_OUTCOME_H

#include "common/base/bytes.h"
#include "common/net/outgoing.h"
#include "proxyd/fault.h"

struct outcome_input {
    enum error error; /* of the call out */
    enum outgoing_reach reach;
    int status;                    /* of Lambda's answer; 0 without one */
    bool asynchronous;             /* Lambda only takes the event in: 202 is its good answer */
    struct view error_type;        /* x-amzn-ErrorType, as received */
    bool on_kept_connection;       /* not a new one */
    struct view retry_after, date; /* Retry-After and Date, as received; empty: none */
    int64_t now_ms;                /* wall time, for when there is no Date */
};

struct outcome {
    enum fault fault; /* FAULT_NONE: an answer with status 200 to decode, or 202 */
    bool may_heal; /* another attempt has a chance (only looked at for faults that are retried) */
    bool stale;    /* a kept connection was dead: try again at once, on a fresh one */
    bool signature_doubted; /* Lambda refused it, perhaps for its time or its key alone */
    struct view code;       /* the error type without namespace and URI; empty when none */
    unsigned retry_after_s; /* RFC 9110 section 10.2.3, seconds or a date; at most a day; 0: none */
};

struct outcome outcome_of(const struct outcome_input *input);

#endif
