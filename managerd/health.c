/* Judges how versions fare. */
#include "managerd/health.h"

#include "managerd/drift.h"
#include "managerd/records.h"

static const char *const names[] = {[HEALTH_UNKNOWN] = "unknown",
                                    [HEALTH_HEALTHY] = "healthy",
                                    [HEALTH_DEGRADED] = "degraded",
                                    [HEALTH_FAILING] = "failing"};

const char *health_name(enum health health)
{
    return names[health];
}

static enum health worse(enum health a, enum health b)
{
    return a > b ? a : b;
}

/* Inactive is what AWS makes of functions that nobody called for weeks: the next call wakes them. */
static enum health by_state(const struct json *observed)
{
    struct view state = text_of(observed, "state");
    if (!observed)
        return HEALTH_UNKNOWN;
    if (!truth_of(observed, "exists") || view_equal_string(state, "Failed"))
        return HEALTH_FAILING;
    if (view_equal_string(state, "Pending"))
        return HEALTH_DEGRADED;
    return HEALTH_HEALTHY;
}

static enum health by_calls(const struct json *seen)
{
    double calls = (double)integer_of(seen, "recentCalls");
    double errors = (double)integer_of(seen, "recentErrors");
    if (calls == 0)
        return HEALTH_UNKNOWN;
    if (calls >= HEALTH_FEW && errors > calls / 2)
        return HEALTH_FAILING;
    if (errors > HEALTH_MANY * calls)
        return HEALTH_DEGRADED;
    return HEALTH_HEALTHY;
}

enum health health_of_version(const struct json *findings, int64_t version, bool withdrawn,
                              const struct json *observed, const struct json *seen)
{
    if (withdrawn || drift_lost(findings, version))
        return HEALTH_FAILING;
    return worse(by_state(observed), by_calls(seen));
}

enum health health_of_app(const struct json *versions)
{
    enum health worst = HEALTH_UNKNOWN;
    const struct json *one = json_first(versions);
    for (; one; one = json_next(one))
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (view_equal_string(text_of(one, "health"), names[i]))
                worst = worse(worst, (enum health)i);
    return worst;
}
