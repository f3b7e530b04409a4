/*
 * The audit: who did what, from where, with which result, and what it changed. A chain of records
 * (chain.h), audit/NUMBER in state.
 *
 * What a call or a step of an operation changes is recorded by the very commit that changes it: no
 * change is without its record. What was asked for and refused, or changed nothing, is recorded
 * within a second. Tokens that nobody knows are counted, and recorded together each minute.
 *
 * The oldest records are removed by age and number; "auditanchor" is then the place that the chain
 * begins after. "audithead" is its end, written with each record.
 */
#ifndef MANAGERD_AUDIT_H
#define MANAGERD_AUDIT_H

#include "managerd/call.h"
#include "managerd/chain.h"

#define AUDIT_FOLDER "audit/"

struct audit;
struct audit_options {
    struct event_base *base;
    struct state *state;
    int64_t max_age_ms, max_records;
};
struct audit *audit_new(const struct audit_options *options);
/* Writes what waits; then drain the commits, then free. */
void audit_stop(struct audit *audit);
/* Tells the end of the chain to the log. */
void audit_free(struct audit *audit);

/* Before the commit of a call: what it changes, and with which status it will answer. */
void audit_change(struct call *call, int status);
/* After a call: what no commit has recorded. */
void audit_end(struct audit *audit, const struct call *call);
/* Before the commit of an operation's step, unless it changes nothing of interest. */
void audit_operation(struct state *state, const struct json *operation, struct change *change);
/* A token that nobody knows came from this address. */
void audit_stranger(struct audit *audit, struct view address);
/* At start, and then each hour by itself: removes what is too old or too much, and tells the end of the
 * chain to the log. */
void audit_sweep(struct audit *audit);
/* Each few seconds: while state is full, lets go of the older half of the records, so that they are not
 * what keeps it full. The latest twenty stay. */
void audit_make_room(struct audit *audit);

/* Where the chain begins after, and where it ends. */
enum error audit_bounds(struct state *state, struct chain_place *anchor,
                        struct chain_place *head) MUST_CHECK;

/* For metrics. */
struct audit_figures {
    uint64_t strangers; /* calls with tokens that nobody knows */
    uint64_t lost;      /* records of refused calls that were too many to be kept */
};
void audit_count(const struct audit *audit, struct audit_figures *figures);

extern const struct shape audit_shape;
extern const struct shape audit_verification_shape;

#endif
