/*
 * Drift: what AWS has that is not what was deployed, and what is to be done about it. Pure: what is
 * expected and what was observed in, findings and steps out. Looking is observe.h's, doing sync.c's.
 *
 * A picture is what we set of a function or of a Lambda version, as one object: {"code", "runtime",
 * "handler", "architecture", "memoryMb", "timeoutSeconds", "role", "environment": {"names",
 * "fingerprint"}, and Lambda's own settings (lambda_settings.h)} (picture.h). A member that is absent is not
 * known, and not compared; so it is with settings that are younger than a version.
 *
 * Expected (expectation.h): {"defaultRole", "adopted", "accepted"?: {"version", "picture"}, "versions":
 *   [{"version", "usable", "withdrawn", "live", "needed", "lambdaVersion", "stamp", "picture"}]}: the
 *   versions that have ended, in rising order. Usable: ready, and its Lambda version is known; withdrawn:
 *   lost to an earlier look; live: has traffic; needed: has traffic, or may get it back by itself.
 * Observed (observe.h): {"function": {"exists", "ours", "description", "picture"}, "versions":
 *   [{"version", "exists", "picture"}]}; a version that is not in it was not looked at.
 *
 * Published versions cannot be edited, only be deleted, or be another function's: then they are lost. What
 * is edited is the function itself ($LATEST), which the next deployment starts from.
 */
#ifndef MANAGERD_DRIFT_H
#define MANAGERD_DRIFT_H

#include "common/base/json.h"

/* The version that the function itself is expected to be as: the one whose stamp it carries, or else the
 * newest that was ever ready; 0: none. */
int64_t drift_applied(const struct json *expected, const struct json *observed);

/* [{"kind", "version" | null, "field" | null, "expected" | null, "observed" | null, "live"}], kind being
 *   function-missing    there is no function of that name
 *   function-foreign    it was not made for this app
 *   function-changed    the function itself has another value of `field` than the last deployment gave it
 *   version-missing     the Lambda version of `version` is gone
 *   version-replaced    it is not what was deployed: `field` is the first that tells so
 *   version-withdrawn   it was lost before, is needed, and not made again yet */
struct json *drift_find(const struct json *expected, const struct json *observed);

enum drift_policy {
    DRIFT_ALERT,  /* tells */
    DRIFT_REPAIR, /* puts everything back */
    DRIFT_ACCEPT, /* takes the function's configuration over into the app's settings */
};
bool drift_policy_of(struct view name, enum drift_policy *policy);
const char *drift_policy_name(enum drift_policy policy);

/* The steps that the findings ask for: [{"name", "version"?}], in order. */
struct json *drift_plan(const struct json *expected, const struct json *observed,
                        const struct json *findings, enum drift_policy policy);
/* The findings that stay when all of that is done. */
struct json *drift_left(const struct json *findings, enum drift_policy policy);
/* Whether a version's Lambda version is lost, by the findings. */
bool drift_lost(const struct json *findings, int64_t version);
/* The differing fields of two pictures: [{"field", "expected", "observed"}]. */
struct json *drift_compare(const struct json *expected, const struct json *observed);
/* The picture that the function itself shall have as this version. */
struct json *drift_latest(const struct json *expected, int64_t version);

#endif
