/* Compares what was deployed with what AWS has, and plans what to do about the differences. */
#include "managerd/drift.h"

#include "managerd/lambda_settings.h"
#include "managerd/records.h"

#include <string.h>

static const char *const fields[] = {"code",         "runtime",     "handler",
                                     "architecture", "memoryMb",    "timeoutSeconds",
                                     "role",         "environment", LAMBDA_SETTING_NAMES};
#define FIELD_COUNT (sizeof fields / sizeof fields[0])

static const char *const policies[] = {
    [DRIFT_ALERT] = "alert", [DRIFT_REPAIR] = "repair", [DRIFT_ACCEPT] = "accept"};

bool drift_policy_of(struct view name, enum drift_policy *policy)
{
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        if (view_equal_string(name, policies[i])) {
            *policy = (enum drift_policy)i;
            return true;
        }
    return false;
}

const char *drift_policy_name(enum drift_policy policy)
{
    return policies[policy];
}

/* ---- looking things up ---- */

static const struct json *version_in(const struct json *object, int64_t number)
{
    const struct json *one = json_first(json_get(object, "versions"));
    while (one && integer_of(one, "version") != number)
        one = json_next(one);
    return one;
}

static bool was_ready(const struct json *version)
{
    return truth_of(version, "usable") || truth_of(version, "withdrawn");
}

int64_t drift_applied(const struct json *expected, const struct json *observed)
{
    struct view description = text_of(json_get(observed, "function"), "description");
    int64_t newest = 0, stamped = 0;
    const struct json *one = json_first(json_get(expected, "versions"));
    for (; one; one = json_next(one)) {
        if (was_ready(one))
            newest = integer_of(one, "version");
        if (description.length && view_equal(text_of(one, "stamp"), description))
            stamped = integer_of(one, "version");
    }
    return stamped ? stamped : newest;
}

struct json *drift_latest(const struct json *expected, int64_t version)
{
    const struct json *of = json_get(version_in(expected, version), "picture");
    const struct json *accepted = json_get(expected, "accepted");
    struct json *picture = of ? json_copy(of) : json_new_object();
    if (!json_get(picture, "role"))
        json_set_string(picture, "role", text_of(expected, "defaultRole"));
    for (size_t i = 0; i < FIELD_COUNT && integer_of(accepted, "version") == version; i++) {
        const struct json *member = json_get(json_get(accepted, "picture"), fields[i]);
        if (member)
            json_set(picture, fields[i], json_copy(member));
    }
    return picture;
}

/* ---- comparing ---- */

/* Of variables only the fingerprint counts: names may come in any order. */
static bool same(const struct json *a, const struct json *b)
{
    if (json_get(a, "fingerprint") && json_get(b, "fingerprint"))
        return view_equal(text_of(a, "fingerprint"), text_of(b, "fingerprint"));
    return json_equal(a, b);
}

struct json *drift_compare(const struct json *expected, const struct json *observed)
{
    struct json *differences = json_new_array();
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct json *wanted = json_get(expected, fields[i]);
        const struct json *found = json_get(observed, fields[i]);
        if (!wanted || !found || same(wanted, found))
            continue;
        struct json *difference = json_new_object();
        json_set_string(difference, "field", view_of(fields[i]));
        json_set(difference, "expected", json_copy(wanted));
        json_set(difference, "observed", json_copy(found));
        json_append(differences, difference);
    }
    return differences;
}

static void add(struct json *findings, const char *kind, const struct json *version,
                const struct json *difference)
{
    static const char *const members[] = {"field", "expected", "observed"};
    struct json *finding = json_new_object();
    json_set_string(finding, "kind", view_of(kind));
    json_set(finding, "version",
             version ? json_new_integer(integer_of(version, "version")) : json_new_null());
    for (size_t i = 0; i < 3; i++) {
        const struct json *member = json_get(difference, members[i]);
        json_set(finding, members[i], member ? json_copy(member) : json_new_null());
    }
    json_set_bool(finding, "live", truth_of(version, "live"));
    json_append(findings, finding);
}

/* A deployment that failed may have left its code behind: nobody's hand did that. */
static bool is_left_behind(const struct json *expected, int64_t applied,
                           const struct json *difference)
{
    const struct json *one = json_first(json_get(expected, "versions"));
    bool found = false;
    if (!view_equal_string(text_of(difference, "field"), "code"))
        return false;
    for (; one && !found; one = json_next(one))
        found =
            integer_of(one, "version") > applied && !was_ready(one) &&
            view_equal(text_of(json_get(one, "picture"), "code"), text_of(difference, "observed"));
    return found;
}

static void find_in_function(const struct json *expected, const struct json *observed,
                             struct json *findings)
{
    int64_t applied = drift_applied(expected, observed);
    if (!applied)
        return;
    struct json *picture = drift_latest(expected, applied);
    struct json *differences =
        drift_compare(picture, json_get(json_get(observed, "function"), "picture"));
    const struct json *one = json_first(differences);
    for (; one; one = json_next(one))
        if (!is_left_behind(expected, applied, one))
            add(findings, "function-changed", NULL, one);
    json_free(differences);
    json_free(picture);
}

static void find_in_version(const struct json *version, const struct json *seen,
                            struct json *findings)
{
    if (!truth_of(seen, "exists")) {
        add(findings, "version-missing", version, NULL);
        return;
    }
    struct json *differences =
        drift_compare(json_get(version, "picture"), json_get(seen, "picture"));
    if (json_first(differences))
        add(findings, "version-replaced", version, json_first(differences));
    json_free(differences);
}

struct json *drift_find(const struct json *expected, const struct json *observed)
{
    struct json *findings = json_new_array();
    const struct json *function = json_get(observed, "function");
    bool exists = truth_of(function, "exists");
    bool foreign = exists && !truth_of(function, "ours") && !truth_of(expected, "adopted");
    const struct json *version = json_first(json_get(expected, "versions"));
    if (!drift_applied(expected, observed))
        return findings; /* nothing was ever deployed */
    if (!exists)
        add(findings, "function-missing", NULL, NULL);
    else if (foreign)
        add(findings, "function-foreign", NULL, NULL);
    else
        find_in_function(expected, observed, findings);
    for (; version; version = json_next(version)) {
        const struct json *seen = version_in(observed, integer_of(version, "version"));
        if (truth_of(version, "withdrawn") && truth_of(version, "needed"))
            add(findings, "version-withdrawn", version, NULL);
        else if (truth_of(version, "usable") && !exists)
            add(findings, "version-missing", version, NULL);
        else if (truth_of(version, "usable") && seen)
            find_in_version(version, seen, findings);
    }
    return findings;
}

/* ---- planning ---- */

static bool has_kind(const struct json *findings, const char *kind)
{
    const struct json *one = json_first(findings);
    while (one && !view_equal_string(text_of(one, "kind"), kind))
        one = json_next(one);
    return one != NULL;
}

/* Whether the function itself differs: in its code, or in anything else. */
static bool is_changed(const struct json *findings, bool code)
{
    const struct json *one = json_first(findings);
    for (; one; one = json_next(one)) {
        struct view field = text_of(one, "field");
        bool of_code = view_equal_string(field, "code") || view_equal_string(field, "architecture");
        if (view_equal_string(text_of(one, "kind"), "function-changed") && of_code == code)
            return true;
    }
    return false;
}

bool drift_lost(const struct json *findings, int64_t version)
{
    const struct json *one = json_first(findings);
    while (one && integer_of(one, "version") != version)
        one = json_next(one);
    return one != NULL;
}

static void add_step(struct json *steps, const char *name, int64_t version)
{
    struct json *step = json_new_object();
    json_set_string(step, "name", view_of(name));
    if (version)
        json_set_integer(step, "version", version);
    json_append(steps, step);
}

/* A version that is needed gets a Lambda version again, and its route with it, at once. */
static void add_publication(struct json *steps, int64_t version)
{
    add_step(steps, "update-code", version);
    add_step(steps, "update-configuration", version);
    add_step(steps, "wait-until-ready", version);
    add_step(steps, "publish-version", version);
    add_step(steps, "save-version", version);
    add_step(steps, "publish-routes", 0);
}

static void plan_repair(const struct json *expected, const struct json *observed,
                        const struct json *findings, struct json *steps)
{
    int64_t applied = drift_applied(expected, observed), last = 0;
    bool lost = false;
    const struct json *one = json_first(json_get(expected, "versions"));
    for (; one; one = json_next(one))
        lost |= drift_lost(findings, integer_of(one, "version")) && !truth_of(one, "withdrawn");
    if (lost) {
        add_step(steps, "withdraw-versions", 0);
        add_step(steps, "publish-routes", 0);
    }
    for (one = json_first(json_get(expected, "versions")); one; one = json_next(one)) {
        int64_t version = integer_of(one, "version");
        if (!truth_of(one, "needed") || !drift_lost(findings, version))
            continue;
        last = version;
        add_publication(steps, version);
    }
    bool gone = has_kind(findings, "function-missing") || has_kind(findings, "function-foreign");
    bool code = gone || last || is_changed(findings, true);
    bool configuration = gone || last || is_changed(findings, false);
    if (last == applied || (!code && !configuration))
        return;
    if (code)
        add_step(steps, "update-code", applied);
    add_step(steps, "update-configuration", applied);
    add_step(steps, "wait-until-ready", applied);
}

/* Code cannot be accepted, and the architecture goes with it. */
static bool can_be_accepted(const struct json *finding)
{
    struct view field = text_of(finding, "field");
    return view_equal_string(text_of(finding, "kind"), "function-changed") &&
           !view_equal_string(field, "code") && !view_equal_string(field, "architecture");
}

struct json *drift_left(const struct json *findings, enum drift_policy policy)
{
    struct json *left = json_new_array();
    const struct json *one = json_first(findings);
    for (; one; one = json_next(one))
        if (policy == DRIFT_ALERT || (policy == DRIFT_ACCEPT && !can_be_accepted(one)))
            json_append(left, json_copy(one));
    return left;
}

struct json *drift_plan(const struct json *expected, const struct json *observed,
                        const struct json *findings, enum drift_policy policy)
{
    struct json *steps = json_new_array();
    switch (policy) {
    case DRIFT_ALERT:
        break;
    case DRIFT_REPAIR:
        plan_repair(expected, observed, findings, steps);
        break;
    case DRIFT_ACCEPT:
        if (is_changed(findings, false))
            add_step(steps, "accept-configuration", 0);
        break;
    }
    return steps;
}
