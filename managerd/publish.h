/*
 * Publishing: the one writer of the route store. Routes and domains are a projection of state.
 *
 * A route is written from what state says when its transaction begins; changes that come meanwhile
 * go into the next one, together. At start everything is compared and only the differences are
 * written, in one transaction. When writing fails it is tried again each second, all of it.
 */
#ifndef MANAGERD_PUBLISH_H
#define MANAGERD_PUBLISH_H

#include "managerd/state.h"

struct event_base;
struct issuers;
struct jobs;
struct publisher;
struct store_reader;

struct publish_options {
    struct event_base *base;
    struct state *state;
    struct jobs *store_thread;
    struct issuers *issuers; /* gives the keys that tokens are signed by; NULL: none are known */
    const char *folder;      /* routes/ */
    size_t map_bytes;        /* 0: the store's default */
    const char *const *base_domains;
    size_t base_domain_count;
    const char *public_url;
    bool path_routing;
    const char *installation;
};

/* Opens the route store and publishes everything before it returns. */
enum error publish_open(const struct publish_options *options, struct publisher **publisher,
                        struct buffer *problem) MUST_CHECK;
/* Nothing may be under way. */
void publish_close(struct publisher *publisher);

/* on_done from the loop, once the app's present state is in force for every reader. */
void publish_app(struct publisher *publisher, struct view app,
                 void (*on_done)(enum error error, void *context), void *context);
/* The same for a domain. */
void publish_domain(struct publisher *publisher, struct view host,
                    void (*on_done)(enum error error, void *context), void *context);

/* Whether the routes agree with state (nothing failed and is waiting to be tried again). */
bool publish_healthy(const struct publisher *publisher);
uint64_t publish_transactions(const struct publisher *publisher);
/* Within on_done: what the transaction took. */
struct store_times publish_times(const struct publisher *publisher);
/* Reads the route store as proxyd does: what is in force. Borrowed; loop thread only. */
struct store_reader *publish_reader(const struct publisher *publisher);

#endif
