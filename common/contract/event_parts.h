/*
 * What the three event formats are made of: headers and query parameters gathered by name, and the
 * body. For event.c and its formats only.
 */
#ifndef COMMON_CONTRACT_EVENT_PARTS_H
#define COMMON_CONTRACT_EVENT_PARTS_H

#include "common/base/json.h"
#include "common/contract/event.h"

/* One header or query parameter. */
struct event_pair {
    struct view name; /* the inside of a JSON string already */
    struct view value;
    struct event_pair *next; /* of the same name, in the order sent */
    struct event_pair *last; /* of the first one of a name: the last of its row */
    bool repeated;           /* an earlier one has the name */
};

#define EVENT_PAIRS_AT_HAND 48

/* All of them, in the order sent. Values are borrowed from the request or live in `text`. */
struct event_pairs {
    struct event_pair *items;
    size_t count;
    struct buffer text; /* full-grown before the first view into it is made */
    struct event_pair at_hand[EVENT_PAIRS_AT_HAND];
};

/* How header names are written. */
enum event_names {
    EVENT_NAMES_LOWER, /* lower case: 2.0, alb */
    EVENT_NAMES_REST   /* as sent, but for those that API Gateway writes its own way; those that it
                          keeps to itself are left out */
};

/* Gather; names that are equal in JSON are one name. Headers are equal in any case. On any error
 * there is nothing to release. A query that is not to be decoded stays as sent (alb). */
enum error event_pairs_from_headers(struct event_pairs *pairs, const struct event_request *request,
                                    enum event_names names) MUST_CHECK;
enum error event_pairs_from_query(struct event_pairs *pairs, struct view query,
                                  bool decode) MUST_CHECK;
void event_pairs_release(struct event_pairs *pairs);

/* One member: {"name":"value"}, repeats joined with "," (a repeated cookie header with "; ",
 * RFC 9113 section 8.2.3), or the last one's value. */
void event_pairs_write_joined(struct json_writer *w, const char *member,
                              const struct event_pairs *pairs);
void event_pairs_write_last(struct json_writer *w, const char *member,
                            const struct event_pairs *pairs);
/* One member: {"name":["value","value"]}. */
void event_pairs_write_arrays(struct json_writer *w, const char *member,
                              const struct event_pairs *pairs);

/* Value of the first header of that name (any case); the empty view when there is none. */
struct view event_header(const struct event_request *request, const char *name);
/* The first label of the host: what AWS calls the domain's prefix. */
struct view event_domain_prefix(const struct event_request *request);
/* Who pays: the caller's account, or "anonymous". */
struct view event_account(const struct event_request *request);
/* Members `body` and `isBase64Encoded`; the body must not be empty. */
void event_write_body(struct json_writer *w, struct view body, bool base64);

void event_write_2_0(struct json_writer *w, const struct event_request *request,
                     const struct event_pairs *headers, const struct event_pairs *query);
void event_write_1_0(struct json_writer *w, const struct event_request *request,
                     const struct event_pairs *headers, const struct event_pairs *query);
void event_write_alb(struct json_writer *w, const struct event_request *request,
                     const struct event_pairs *headers, const struct event_pairs *query);

#endif
