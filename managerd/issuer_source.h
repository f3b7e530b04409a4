/* What the two halves of issuers share: issuers.c knows who uses which source, issuer_look.c looks at
 * them. */
#ifndef MANAGERD_ISSUER_SOURCE_H
#define MANAGERD_ISSUER_SOURCE_H

#include "common/base/crypto.h"
#include "common/base/json.h"
#include "managerd/issuers.h"

#include <event2/util.h>
#include <sys/queue.h>

#define ISSUER_BUCKETS     1024
#define ISSUER_PROBLEM_MAX 400

struct outgoing;
struct outgoing_call;

/* An app that names a source. */
struct user {
    char *app;
    struct source *source;
    LIST_ENTRY(user) in_bucket, in_source;
};
LIST_HEAD(user_list, user);

struct source {
    struct issuers *issuers;
    char id[2 * SHA256_BYTES + 1]; /* of what follows: its key in state */
    char *issuer;
    char *configured_url; /* NULL: by discovery */
    char *url;            /* where the keys are; NULL: not discovered yet */
    struct user_list users;
    LIST_ENTRY(source) all;
    struct json *keys;                                       /* in force; NULL: none */
    char *etag;                                              /* of them; NULL: none */
    int64_t fetched_ms, checked_ms, saved_ms, discovered_ms; /* wall; 0: never */
    unsigned failures;                                       /* since the last success */
    char problem[ISSUER_PROBLEM_MAX];
    struct event *timer;
    struct outgoing_call *call;
    bool address_refused; /* of the call */
    bool again;           /* somebody asked for a look while one was under way */
};

struct issuers {
    struct issuers_options options;
    struct outgoing *outgoing;
    struct publisher *publisher;
    struct user_list buckets[ISSUER_BUCKETS];
    LIST_HEAD(, source) sources;
    uint64_t succeeded, failed;
    bool stopped;
};

/* Looks at the source, now; the timer's callback. */
void source_look(evutil_socket_t fd, short what, void *source);
/* The next look is in so long; not when all is stopping. */
void source_schedule(struct source *source, int64_t delay_ms);
/* Into state, and then into the routes of all that use it. */
void source_save(struct source *source);

#endif
