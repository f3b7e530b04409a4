/*
 * Which app a request is for, and which version of it: pure, the look-ups are callbacks. The data
 * plane serves with it, the control plane explains with it.
 */
#ifndef COMMON_CONTRACT_ROUTE_H
#define COMMON_CONTRACT_ROUTE_H

#include "common/base/arena.h"
#include "common/base/bytes.h"

struct route_rules {
    const struct view *base_domains; /* lower case, or "*" */
    size_t base_domain_count;
    bool path_routing;
};

struct route_query {
    struct view host; /* as sent */
    struct view path; /* raw, without query */
};

/* One path of a domain, as the look-up gives it. */
struct route_domain_path {
    struct view prefix, app;
    bool strip;
};

/* Finds the domain of exactly this key ("shop.example.com", "*.example.com"): ERROR_NOT_FOUND, or
 * the paths (valid until the next call). */
typedef enum error (*route_find_domain)(struct view key, const struct route_domain_path **paths,
                                        size_t *count, void *context);

enum route_by { ROUTE_BY_NOTHING, ROUTE_BY_DOMAIN, ROUTE_BY_BASE_DOMAIN, ROUTE_BY_PATH };

struct route_found {
    enum route_by by;
    struct view app;      /* in the arena */
    struct view domain;   /* the key that matched, or the base domain ("*" too) */
    struct view path;     /* raw path to forward: stripped where the rule says so; never empty; a
                             part of the query's, or a literal */
    struct view stripped; /* what was taken off the raw path, "" otherwise */
    uint32_t version;     /* asked for by a preview host; 0: by traffic */
};

/* Order: exact domain, wildcard domains (longest first), base domains, path. In a domain the
 * longest prefix wins (prefixes are in path_normalize's form). ERROR_NOT_FOUND: nobody's, or a
 * domain's (by and domain say so) none of whose paths covers this one; ERROR_INVALID: unlawful host
 * or path; errors of the look-up and of the arena pass through. `find_domain` may be NULL: no
 * domains. The arena needs 1 KiB + 3 times the path. */
enum error route_find(const struct route_rules *rules, const struct route_query *query,
                      route_find_domain find_domain, void *context, struct arena *arena,
                      struct route_found *found) MUST_CHECK;

#define TRAFFIC_TOTAL 10000
/* Index of the weight that `bucket` (0–9999) falls into; weights add up to 10,000. SIZE_MAX when
 * there is none. */
size_t traffic_pick(const uint16_t *weights, size_t count, uint32_t bucket);

/* What keeps a client on one version: a bucket, which the client's cookie holds, or which comes of
 * its address (the same wherever it is computed; apps differ). False: no lawful bucket is among the
 * cookies of a Cookie header. */
#define TRAFFIC_COOKIE "orchestrator_bucket"
bool traffic_bucket_of_cookies(struct view cookies, uint32_t *bucket);
uint32_t traffic_bucket_of_address(struct view address, struct view app);

#endif
