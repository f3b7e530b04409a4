/*
 * Circuit breakers: one for each version of an app, for the whole process, over all workers. When
 * Lambda keeps failing to start a version, requests for it are answered at once, without a call;
 * after a pause one request probes. docs/breaker.md tells the rules.
 *
 *     closed --failures in a row--> open --pause over--> half-open (one probe) --> closed, or open
 *
 * Each breaker is one 64-bit word that workers change by compare and exchange: no lock. Only versions
 * that failed lately have one, in a table of fixed size; a version that finds no place there is
 * called as if it had no breaker. Times are monotonic.
 */
#ifndef PROXYD_BREAKER_H
#define PROXYD_BREAKER_H

#include "common/base/bytes.h"

struct breakers;

struct breakers_options {
    uint32_t failures;      /* that many in a row open it; 1 to 1000 */
    uint32_t pause_ms;      /* before the first probe; doubles with each that fails; at least 1 */
    uint32_t pause_most_ms; /* its ceiling */
};

struct breakers *breakers_new(const struct breakers_options *options);
void breakers_free(struct breakers *breakers);

enum breaker_verdict { BREAKER_PASS, BREAKER_PROBE, BREAKER_REFUSED };

/* Why a version could not be started. */
enum breaker_reason { BREAKER_UNREACHABLE, BREAKER_NOT_READY };
const char *breaker_reason_name(enum breaker_reason reason);

struct breaker_answer {
    enum breaker_verdict verdict;
    /* of BREAKER_REFUSED */
    uint64_t wait_ms; /* until the next probe is due; 0: a probe is under way */
    enum breaker_reason reason;
};

/* May this version be called now? Who gets BREAKER_PROBE calls it, and tells how that ended. */
struct breaker_answer breaker_ask(struct breakers *breakers, uint32_t slot, uint32_t version,
                                  uint64_t now_us);

/* What a call that was let through says of the version. */
enum breaker_finding {
    FINDING_STARTED,     /* it ran, well or not */
    FINDING_UNCLEAR,     /* Lambda was reached and did not say that it cannot start it */
    FINDING_UNREACHABLE, /* nothing was reached */
    FINDING_NOT_READY    /* Lambda said that it cannot start it */
};
struct breaker_report {
    uint32_t slot, version;
    enum breaker_finding finding;
    bool probe; /* the call had BREAKER_PROBE */
    uint64_t now_us;
};
enum breaker_change { BREAKER_SAME, BREAKER_OPENED, BREAKER_CLOSED };

/* Gives the change that this very report has made: each is given once, to one caller. */
enum breaker_change breaker_tell(struct breakers *breakers, const struct breaker_report *report);

struct breaker_counts {
    uint64_t open, half_open; /* now, of versions that were asked for in the last 10 minutes */
    uint64_t opened, closed, probes; /* since the start; a failed probe opens again, uncounted */
};
void breakers_count(const struct breakers *breakers, uint64_t now_us,
                    struct breaker_counts *counts);

#endif
