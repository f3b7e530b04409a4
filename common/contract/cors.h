/*
 * Cross-origin resource sharing (WHATWG Fetch, "CORS protocol"): which origins a policy means, and
 * the headers of an answer. Pure.
 *
 * Preflights are answered from the policy alone; the client compares what it asked for with what it
 * is told, so the lists are told whole. A "*" among methods or headers is answered with what was
 * asked for where "*" itself would not be understood: with credentials, and for Authorization.
 */
#ifndef COMMON_CONTRACT_CORS_H
#define COMMON_CONTRACT_CORS_H

#include "common/base/bytes.h"

#define CORS_MAX_HEADERS  8
#define CORS_ORIGIN_BYTES 1024 /* longer origins match nothing */
#define CORS_NUMBER_SIZE  12

struct cors_policy {
    const struct view *origins; /* patterns: see cors_pattern_lawful */
    size_t origin_count;
    struct view methods, headers, exposed; /* "GET, PUT", "*", or empty: none */
    bool has_max_age;
    uint32_t max_age_s;
    bool credentials;     /* never with a pattern that means every host */
    bool private_network; /* public pages may reach an app in a private network */
};

struct cors_request {
    struct view method;
    struct view origin;            /* Origin; empty: none */
    struct view requested_method;  /* Access-Control-Request-Method; empty: none */
    struct view requested_headers; /* Access-Control-Request-Headers */
    bool asks_private_network;     /* Access-Control-Request-Private-Network: true */
};

struct cors_header {
    struct view name, value; /* static, of the policy, of the request, or of the answer's number */
};

struct cors_answer {
    bool preflight; /* to be answered at once, with no content */
    struct cors_header headers[CORS_MAX_HEADERS];
    size_t count;
    char number[CORS_NUMBER_SIZE];
};

/* A star for every origin, a scheme with a star as its host, a scheme with "*." before a name (and a
 * port); or an origin as browsers write it: lower case, no default port, no path. */
bool cors_pattern_lawful(struct view pattern);
/* Whether the pattern means hosts of everybody. */
bool cors_pattern_is_open(struct view pattern);
/* "null" and what is no origin match "*" alone. */
bool cors_pattern_matches(struct view pattern, struct view origin);

/* The answer lives where it is: do not copy it. */
void cors_decide(const struct cors_policy *policy, const struct cors_request *request,
                 struct cors_answer *answer);
/* A header that the answers of a function do not decide about where there is a policy. */
bool cors_owns_header(struct view name);

#endif
