/*
 * How a version that has traffic fares, by what AWS tells and what the proxies counted. Pure.
 *
 * Failing: its Lambda version is lost or failed, or more than half of at least HEALTH_FEW recent calls ended
 * with a 5xx. Degraded: more than HEALTH_MANY of them did, or AWS is still preparing it. Unknown: nobody
 * could tell. Recent is the last minute or two.
 */
#ifndef MANAGERD_HEALTH_H
#define MANAGERD_HEALTH_H

#include "common/base/json.h"

#define HEALTH_FEW  5
#define HEALTH_MANY 0.02

enum health { HEALTH_UNKNOWN, HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_FAILING };
const char *health_name(enum health health);

/* `findings`: drift.h; `observed`: of the version; `seen`: {"recentCalls", "recentErrors"}. Each may be
 * NULL: not known. */
enum health health_of_version(const struct json *findings, int64_t version, bool withdrawn,
                              const struct json *observed, const struct json *seen);
/* The worst of its versions ([{"health"}]); unknown when that is all there is. */
enum health health_of_app(const struct json *versions);

#endif
