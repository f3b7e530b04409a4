/*
 * Explains what proxyd does with a request, and why: the same code (common/contract) on the same
 * records of the route store, each consideration noted in the order in which it is made. Nothing is
 * called and nothing is changed.
 *
 * What only a proxy knows (load, its own options, a random number) is not guessed; it is said that it
 * is not known.
 */
#ifndef MANAGERD_EXPLAIN_H
#define MANAGERD_EXPLAIN_H

#include "managerd/shape.h"

#define EXPLAIN_MAX_HEADERS 50

struct store_reader;

struct explain_header {
    struct view name, value;
};

struct explain_request {
    struct view method;
    bool secure;
    struct view host, path, query;
    struct view address; /* the client's; empty: not known */
    struct explain_header headers[EXPLAIN_MAX_HEADERS];
    size_t header_count;
    int64_t now_ms; /* what keys and tokens are judged by */
};

extern const struct shape explanation_shape;

/* Takes "http://HOST[:PORT][/PATH][?QUERY]", https too; a fragment is dropped as browsers do. The views
 * are parts of the text, or literals. NULL, or what is wrong with it. */
const char *explain_url(struct view url, struct explain_request *request);
/* Takes "Name: value". */
bool explain_add_header(struct view line, struct explain_request *request);
/* The explanation, as the shape says; `arena` (1 MiB and more) holds what is looked at meanwhile. */
struct json *explain(struct store_reader *reader, const struct explain_request *request,
                     struct arena *arena);

/* For explain_access.c. */
struct explanation;
struct route_record;
void explain_consider(struct json *considered, const char *what, struct view subject,
                      const char *outcome, const char *format, ...) PRINTF_LIKE(5, 6);
/* What proxyd answers by itself: NULL members when it asks the function. */
struct explain_answer {
    int status; /* 0: the function's */
    const char *fault;
    const char *detail;
};
/* Judges CORS, API keys and tokens; sets `access` (an object) and, when it is refused or answered, the
 * answer. */
void explain_access(const struct route_record *route, const struct explain_request *request,
                    struct arena *arena, struct json *considered, struct json *access,
                    struct explain_answer *answer);

#endif
