/*
 * The records that the control plane publishes and the data plane reads: meta, settings, route,
 * domain. Plain structs, encode, decode, validate.
 *
 * Decoding copies into the arena; every bound is checked; a damaged record is ERROR_DAMAGED, one
 * with an unknown critical field, or an unknown choice in a known field, ERROR_FROM_FUTURE. What
 * decodes is valid (weights add up, names lawful), so readers need no second check. What is encoded
 * must be valid; records are at most ROUTE_MAX_RECORD bytes.
 */
#ifndef COMMON_STORE_ROUTE_RECORD_H
#define COMMON_STORE_ROUTE_RECORD_H

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/signature.h"

#define ROUTE_WEIGHT_TOTAL        10000
#define ROUTE_MAX_VERSIONS        100
#define ROUTE_MAX_RECORD          65536
#define ROUTE_MAX_API_KEYS        100
#define ROUTE_API_KEY_HASH_BYTES  32
#define ROUTE_MAX_CORS_ORIGINS    100
#define ROUTE_MAX_JWT_NAMES       16 /* of audiences, and of scopes */
#define ROUTE_MAX_JWT_NAME        256
#define ROUTE_MAX_JWT_KEYS        32
#define DOMAIN_MAX_PATHS          256
#define SETTINGS_MAX_BASE_DOMAINS 16

enum route_payload_format { ROUTE_PAYLOAD_1_0 = 1, ROUTE_PAYLOAD_2_0 = 2, ROUTE_PAYLOAD_ALB = 3 };
enum route_response_mode { ROUTE_BUFFERED = 0, ROUTE_STREAM = 1, ROUTE_AUTO = 2 };
enum route_sticky { ROUTE_STICKY_NONE = 0, ROUTE_STICKY_COOKIE = 1, ROUTE_STICKY_ADDRESS = 2 };

struct route_version {
    uint32_t number;
    uint16_t weight; /* of ROUTE_WEIGHT_TOTAL */
    struct view function;
    struct view qualifier;
    enum route_payload_format payload_format;
    enum route_response_mode response_mode;
    bool multi_value;
    uint32_t timeout_s;
};

struct route_api_key {
    struct view id;
    struct view hash;       /* SHA-256 of the key: ROUTE_API_KEY_HASH_BYTES */
    uint64_t expires_at_ms; /* since 1970; 0: never */
};

/* Which tokens open the app; see common/contract/jwt.h, which means the same by these. */
struct route_jwt {
    struct view issuer; /* empty: no token is asked for */
    struct view *audiences;
    size_t audience_count;
    struct view *scopes;
    size_t scope_count;
    unsigned algorithms;
    uint32_t leeway_s;
    struct signature_key *keys; /* none: they are not known yet, and no token is good */
    size_t key_count;
};

/* What pages of other origins may do (common/contract/cors.h says what the members mean). */
struct route_cors {
    struct view *origins; /* at least one */
    size_t origin_count;
    struct view methods, headers, exposed;
    bool has_max_age;
    uint32_t max_age_s;
    bool credentials;
    bool private_network;
};

/* Who may call. Each rule that is there must be met. */
struct route_access {
    /* API keys */
    struct view api_key_header; /* the header that carries the key; empty: no key is asked for */
    struct route_api_key *api_keys;
    size_t api_key_count;
    struct route_cors *cors; /* NULL: that is the function's own matter */
    struct route_jwt jwt;
};

struct route_record {
    struct view app;
    uint32_t slot;
    bool enabled;
    uint64_t revision;
    struct route_version
        *versions; /* weights add up to ROUTE_WEIGHT_TOTAL, or there is no version */
    size_t version_count;
    /* 0 = not set: the daemon's default */
    uint32_t max_in_flight;
    uint64_t rate_milli;
    uint32_t burst;
    uint32_t deadline_ms;
    uint64_t max_body_bytes;
    enum route_sticky sticky;
    bool previews;       /* a preview host reaches any of the versions */
    bool version_header; /* so does the version asked for by header */
    bool respond_async;  /* Prefer: respond-async is granted */
    struct route_access access;
};

void route_record_encode(struct buffer *out, const struct route_record *record);
enum error route_record_decode(struct arena *arena, struct view bytes,
                               struct route_record *record) MUST_CHECK;
/* What both sides must agree on; ERROR_INVALID and one sentence in `problem` (may be NULL) when not.
 */
enum error route_record_validate(const struct route_record *record,
                                 struct buffer *problem) MUST_CHECK;

struct domain_path {
    struct view prefix, app;
    bool strip;
};
struct domain_record {
    struct view host;
    struct domain_path *paths;
    size_t path_count;
    struct view tls_fingerprint;
};
void domain_record_encode(struct buffer *out, const struct domain_record *record);
enum error domain_record_decode(struct arena *arena, struct view bytes,
                                struct domain_record *record) MUST_CHECK;
enum error domain_record_validate(const struct domain_record *record,
                                  struct buffer *problem) MUST_CHECK;

struct settings_record {
    struct view *base_domains;
    size_t base_domain_count;
    struct view public_url;
    bool path_routing;
};
void settings_record_encode(struct buffer *out, const struct settings_record *record);
enum error settings_record_decode(struct arena *arena, struct view bytes,
                                  struct settings_record *record) MUST_CHECK;
enum error settings_record_validate(const struct settings_record *record,
                                    struct buffer *problem) MUST_CHECK;

struct meta_record {
    uint64_t generation;
    struct view installation;
    uint64_t published_at_ms;
};
void meta_record_encode(struct buffer *out, const struct meta_record *record);
enum error meta_record_decode(struct arena *arena, struct view bytes,
                              struct meta_record *record) MUST_CHECK;

#endif
