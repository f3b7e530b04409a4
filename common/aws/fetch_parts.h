/* What fetch.c and the ways of asking (fetch_*.c) share; nobody else includes this. */
#ifndef COMMON_AWS_FETCH_PARTS_H
#define COMMON_AWS_FETCH_PARTS_H

#include "common/aws/credentials_answer.h"
#include "common/aws/fetch.h"
#include "common/base/arena.h"
#include "common/net/outgoing.h"

#define FETCH_ANSWER_MAX  65536
#define FETCH_PROBLEM_MAX 2048

struct event;
struct process_run;

struct fetcher {
    struct event_base *base;
    const char *(*variable)(const char *name);
    struct outgoing *outgoing;
    struct buffer instance_token; /* empty: none yet, or none is given here */
    uint64_t instance_token_until_us;
    int64_t clock_offset_ms; /* AWS's time minus ours */
};

enum instance_stage { INSTANCE_TOKEN, INSTANCE_ROLE, INSTANCE_KEYS };

struct fetch {
    struct fetcher *fetcher;
    const struct identity *identity;
    void (*on_done)(struct credentials *credentials, struct view problem, void *context);
    void *context;
    struct arena arena;         /* of all tries */
    struct outgoing_call *call; /* under way */
    struct event *timer;        /* the start, the pause before another try, a process's deadline */
    void (*on_timer)(struct fetch *fetch);
    int64_t tries; /* made so far */
    struct buffer problem;
    /* instance */
    enum instance_stage stage;
    bool renewed; /* the session, once */
    struct view role_name;
    /* roles */
    struct fetch *source;
    struct credentials *signing;
    struct buffer form;
    struct endpoint *endpoint;
    bool clock_corrected;
    /* process */
    struct process_run *run;
};

/* The ways of asking: each ends in fetch_finish, at once or later. */
void fetch_container(struct fetch *fetch);
void fetch_instance(struct fetch *fetch);
void fetch_role(struct fetch *fetch);
void fetch_process(struct fetch *fetch);
void fetch_process_end(struct process_run *run); /* kills what runs; NULL is fine */

/* `then` is called after the pause. */
void fetch_pause(struct fetch *fetch, int64_t ms, void (*then)(struct fetch *fetch));
/* Tells the owner, and frees the fetch. Without credentials `problem` says why. */
void fetch_finish(struct fetch *fetch, struct credentials *credentials);
/* Appends "PROVIDER WHAT: " to an empty problem. */
void fetch_blame(struct fetch *fetch, const char *what, struct view detail);

#endif
