/*
 * Bytes that are held, against a ceiling: one account for a whole process.
 *
 * Each holder keeps, beside what it holds, how much of it the account knows (`held`, 0 at first), and
 * tells what it holds now; a holder that tells 0 before it goes leaves nothing behind. Relaxed atomics:
 * the ceiling is where no more is taken in, not a wall, as what is under way goes on.
 */
#ifndef COMMON_BASE_BUDGET_H
#define COMMON_BASE_BUDGET_H

#include "common/base/bytes.h"

#include <stdatomic.h>

struct budget {
    uint64_t most;
    _Atomic uint64_t used;
};

/* The holder of `*held` holds `bytes` now. Without a budget (NULL) nothing is counted. */
static inline void budget_hold(struct budget *budget, size_t *held, size_t bytes)
{
    if (!budget || *held == bytes)
        return;
    /* Less is more by a wrap-around. */
    atomic_fetch_add_explicit(&budget->used, (uint64_t)bytes - (uint64_t)*held,
                              memory_order_relaxed);
    *held = bytes;
}

static inline uint64_t budget_used(const struct budget *budget)
{
    return budget ? atomic_load_explicit(&budget->used, memory_order_relaxed) : 0;
}

/* Whether `more` bytes would stay within the ceiling. */
static inline bool budget_has_room(const struct budget *budget, uint64_t more)
{
    uint64_t used = budget_used(budget);

    return !budget || (used <= budget->most && more <= budget->most - used);
}

/* What this process may use of the machine's memory: all of it, or what its control group allows. */
uint64_t budget_machine_bytes(void);

#endif
