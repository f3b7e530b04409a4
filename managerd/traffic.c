/* Computes shares of traffic, in parts of ten thousand. */
#include "managerd/traffic.h"

#include "managerd/records.h"

#include <math.h>
#include <stdio.h>

#define TOTAL 10000

int traffic_weight(double percent)
{
    double weight = percent * 100;
    double whole = round(weight);
    if (!(weight >= 0 && weight <= TOTAL) || fabs(weight - whole) > 1e-6)
        return -1;
    return (int)whole;
}

static void add_share(struct json *versions, int64_t version, int weight)
{
    struct json *share = json_new_object();
    json_set_integer(share, "version", version);
    json_set(share, "percent", json_new_number(weight / 100.0));
    json_append(versions, share);
}

static int weight_of(const struct json *share)
{
    double percent = 0;
    json_get_number(share, "percent", &percent);
    int weight = traffic_weight(percent);
    return weight < 0 ? 0 : weight;
}

struct json *traffic_all(int64_t version, struct view sticky)
{
    struct json *traffic = json_new_object();
    struct json *versions = json_new_array();
    add_share(versions, version, TOTAL);
    json_set(traffic, "versions", versions);
    json_set_string(traffic, "sticky", sticky.length ? sticky : VIEW("none"));
    return traffic;
}

/* Each old share is scaled down; what rounding leaves over goes to the first of them. */
struct json *traffic_split(const struct json *present, int64_t version, double percent)
{
    int weight = traffic_weight(percent);
    if (weight < 0 || weight == TOTAL || !traffic_any(present))
        return traffic_all(version, text_of(present, "sticky"));
    struct json *traffic = json_new_object();
    struct json *versions = json_new_array();
    int left = TOTAL - weight, given = 0, old_total = 0;
    const struct json *old = json_get(present, "versions"), *share;
    for (share = json_first(old); share; share = json_next(share))
        if (integer_of(share, "version") != version)
            old_total += weight_of(share);
    if (old_total == 0) {
        json_free(versions);
        json_free(traffic);
        return traffic_all(version, text_of(present, "sticky"));
    }
    for (share = json_first(old); share; share = json_next(share))
        if (integer_of(share, "version") != version)
            given += weight_of(share) * left / old_total;
    int over = left - given;
    for (share = json_first(old); share; share = json_next(share)) {
        if (integer_of(share, "version") == version)
            continue;
        add_share(versions, integer_of(share, "version"),
                  weight_of(share) * left / old_total + over);
        over = 0;
    }
    add_share(versions, version, weight);
    json_set(traffic, "versions", versions);
    json_set_string(traffic, "sticky", text_of(present, "sticky"));
    return traffic;
}

struct json *traffic_without_zeros(const struct json *traffic)
{
    struct json *serving = json_new_object(), *versions = json_new_array();
    const struct json *share = json_first(json_get(traffic, "versions"));
    for (; share; share = json_next(share))
        if (weight_of(share) > 0)
            add_share(versions, integer_of(share, "version"), weight_of(share));
    json_set(serving, "versions", versions);
    json_set_string(serving, "sticky", text_of(traffic, "sticky"));
    return serving;
}

int traffic_share(const struct json *traffic, int64_t version)
{
    const struct json *share = json_first(json_get(traffic, "versions"));
    for (; share; share = json_next(share))
        if (integer_of(share, "version") == version)
            return weight_of(share);
    return 0;
}

int64_t traffic_largest(const struct json *traffic)
{
    const struct json *share = json_first(json_get(traffic, "versions"));
    int64_t version = 0;
    int most = 0;
    for (; share; share = json_next(share))
        if (weight_of(share) > most) {
            most = weight_of(share);
            version = integer_of(share, "version");
        }
    return version;
}

bool traffic_any(const struct json *traffic)
{
    const struct json *share = json_first(json_get(traffic, "versions"));
    for (; share; share = json_next(share))
        if (weight_of(share) > 0)
            return true;
    return false;
}

void traffic_check(const struct json *traffic, struct faults *faults)
{
    const struct json *versions = json_get(traffic, "versions");
    int total = 0, place = 0;
    bool known = true;
    for (const struct json *share = json_first(versions); share;
         share = json_next(share), place++) {
        double percent = 0;
        int64_t version = integer_of(share, "version");
        json_get_number(share, "percent", &percent);
        int weight = traffic_weight(percent), earlier = 0;
        char pointer[48];
        snprintf(pointer, sizeof pointer, "/versions/%d/percent", place);
        if (weight < 0)
            fault_pointer(faults, pointer, "must have at most two decimals");
        known = known && weight >= 0;
        total += weight;
        const struct json *other = json_first(versions);
        for (; other != share; other = json_next(other))
            earlier += integer_of(other, "version") == version;
        snprintf(pointer, sizeof pointer, "/versions/%d/version", place);
        if (earlier)
            fault_pointer(faults, pointer, "version %lld is named twice", (long long)version);
    }
    /* A sum with what cannot be read would be another one than the caller sees. */
    if (known && total != TOTAL)
        fault_pointer(faults, "/versions", "the percents add up to %d.%02d, not to 100",
                      total / 100, total % 100);
}

bool traffic_equal(const struct json *a, const struct json *b)
{
    const struct json *all[] = {a, b};
    for (int i = 0; i < 2; i++) {
        const struct json *share = json_first(json_get(all[i], "versions"));
        for (; share; share = json_next(share)) {
            int64_t version = integer_of(share, "version");
            if (traffic_share(a, version) != traffic_share(b, version))
                return false;
        }
    }
    return view_equal(text_of(a, "sticky"), text_of(b, "sticky"));
}
