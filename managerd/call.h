/*
 * The call: the short life. One request of the API, from its arrival to its line in the audit log.
 *
 *   accept -> authenticate -> endpoint -> validate -> act -> respond -> audit
 *
 * A step returns next, wait or fail; only the engine in call.c moves a call on. What fails goes
 * straight to respond, so that every call is answered and logged. `act` reads state, then answers,
 * commits, or starts an operation; when its commit meets a conflict, it is simply run again on what
 * is there now, so that a last write wins atomically and an If-Match is looked at once more.
 */
#ifndef MANAGERD_CALL_H
#define MANAGERD_CALL_H

#include "common/net/incoming.h"
#include "managerd/body_cut.h"
#include "managerd/endpoint.h"
#include "managerd/packages.h"
#include "managerd/problem.h"
#include "managerd/records.h"
#include "managerd/server.h"

struct call {
    struct server *server;
    struct incoming_request *incoming;
    uint64_t started_us;
    struct call *next, **link; /* among the server's */
    struct arena arena;
    struct meter meter;
    unsigned step;

    /* accept */
    struct view method; /* HEAD is GET here */
    struct view path, query;
    const char *peer;              /* the client's address */
    const struct tls_shown *shown; /* the client's certificate; NULL: none */
    char request_id[129];
    int64_t arrived_ms;

    /* authenticate */
    struct principal principal;

    /* endpoint */
    const struct endpoint *endpoint;
    struct endpoint_parameters parameters;
    char *allow; /* for 405 and OPTIONS */

    /* validate */
    struct view package;   /* an application/zip body; empty: none */
    struct upload *upload; /* a large body, in a file; NULL: none */
    struct body_cuts cuts; /* the packages that lie in that as base64, and not in: */
    struct json *body;     /* the JSON body; NULL: none */
    struct view event;     /* its member `event` as it is written, null in the tree; empty: none */
    struct faults faults;
    char idempotency_key[65]; /* hash of caller and key; empty: none */
    char fingerprint[65];     /* of the request */

    /* act */
    struct change change;
    bool publish;                /* after the commit, before the answer */
    struct view publish_domain;  /* what to publish instead of the app; empty: the app */
    uint64_t unchanged;          /* the answer's revision when the commit does not change it */
    struct json *operation;      /* the operation that the commit starts, or that is waited for */
    bool starts;                 /* it is new: it begins when it is committed */
    uint64_t operation_revision; /* of the record it was read from */
    enum progress (*on_committed)(struct call *call); /* then; NULL: answer */
    enum progress (*on_operation)(struct call *call); /* when the operation has ended or the wait
                                                         is over; NULL: answer with it */
    int64_t wait_ms;                                  /* Prefer: wait */
    bool wait_for_end;                                /* however long */
    bool dry_run;                                     /* answer with the plan, change nothing */
    struct state_watch *watch;
    struct event *timer;
    void *data; /* the handler's, freed by free_data */
    void (*free_data)(void *data);
    unsigned conflicts;
    bool audited; /* by the commit */

    /* respond */
    struct problem problem;
    int status;
    struct json *result; /* the JSON body; consumed */
    bool tagged;         /* result carries a revision: ETag */
    struct buffer text;  /* another body, of this type: */
    const char *text_type;
    const char *location; /* in the arena */
    const char *follows;  /* a Link to the operation that follows; in the arena; NULL: none */
    bool replayed;
    bool streamed;      /* it has answered by itself */
    const char *action; /* for the audit line: what was done, to what */
};

/* Takes a request. */
void call_begin(struct server *server, struct incoming_request *incoming);
/* Forgets what is unanswered, when the server ends. */
void call_drop_all(struct server *server);
/* Goes on with a call that waits. */
void call_resume(struct call *call, enum progress verdict);

/* Lets the endpoint's function act, if the caller may; once more after each conflict. */
enum progress call_act(struct call *call);

/* For acting. All of them end a handler: `return call_…`. */
enum progress call_answer(struct call *call, int status, struct json *result);
/* With revision and ETag. */
enum progress call_answer_tagged(struct call *call, int status, struct json *result,
                                 uint64_t revision);
enum progress call_answer_text(struct call *call, int status, const char *type);
enum progress call_fail(struct call *call, enum problem_type type, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* 422 with the faults collected. */
enum progress call_fail_faults(struct call *call);
/* The problem for an error of state or publishing. */
enum progress call_fail_error(struct call *call, enum error error);
/* Commits call->change (with the answer, for its Idempotency-Key); publishes the app's route if
 * asked to; then answers with `result`, whose member revision becomes the commit's, or `unchanged`
 * when that is set. */
enum progress call_commit(struct call *call, int status, struct json *result, bool publish);
/* Commits call->change, which holds the operation's records; starts it; answers 202 or waits. */
/* Adds to the change that is about to be committed the operation that has to follow it, by AWS's side
 * (configure.h): `before` as there. The answer's Link names it. */
void call_configure(struct call *call, const struct json *before, const struct json *app);
enum progress call_start_operation(struct call *call, struct json *operation);
/* Waits for an operation that is there already (call->operation), as Prefer says. */
enum progress call_wait_operation(struct call *call);

/* What handlers read. */
struct view call_app(const struct call *call); /* the path's {name}, checked */
/* Where the package lies that the body is (an application/zip), or that this string of it holds. */
struct package_source call_package(const struct call *call);
struct package_source call_package_in(const struct call *call, struct view base64);
/* The app's record; false: answered with 404. */
bool call_read_app(struct call *call, struct record *app);
/* True: it is being deleted, which nothing shall change any more; 409 is set. */
bool call_refuse_deleting(struct call *call, const struct json *app);
/* A query parameter, decoded, in the arena; false: absent. */
bool call_query(struct call *call, const char *name, struct view *value);
/* If-Match and If-None-Match on what exists with this revision (0: nothing). False: 412 is set. */
bool call_precondition(struct call *call, uint64_t revision);
/* The same on what is there and has no revision. */
bool call_precondition_untagged(struct call *call);
/* limit and cursor, which must be one of this list's names by `is_name`; false: faults are set. */
struct page {
    unsigned limit;
    struct view after; /* the last key's name of the page before; empty: from the start */
};
bool call_page(struct call *call, struct page *page, bool (*is_name)(struct view name));
/* When the body's expiresAt is, in the form that is kept; empty: never. A fault is set when it is
 * unreadable, or over. */
struct view call_expiry(struct call *call);
/* A filter whose value must be one of `choices` ("a|b"); a fault is set when it is another. Empty:
 * absent. */
struct view call_choice(struct call *call, const char *name, const char *choices);
/* Long lists are written item by item: no tree of all of them is built. Adds one (consumed); false: the page
 * has become too long to go on, end it with this item. */
bool call_add_item(struct call *call, struct json *item);
/* The same of what is JSON text already. */
bool call_add_text(struct call *call, struct view item);
/* Ends what these two began. */
enum progress call_answer_items(struct call *call, struct view next);
/* {"items", "nextCursor"}; `next` empty: the last page. */
enum progress call_answer_page(struct call *call, struct json *items, struct view next);

#endif
