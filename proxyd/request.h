/*
 * The life of a request: one struct, one table of steps, one function that moves it.
 *
 * The table in request.c is the flow. A step does its work and returns a verdict; it calls no other
 * step and does not know the next. FAIL (with `fault` set) jumps to respond, so that every request
 * ends through respond, record, reap. Nothing is freed in a callback: finished requests are reaped
 * at the end of the turn of the loop. A client's connection and an invocation may each die first;
 * they meet only here.
 */
#ifndef PROXYD_REQUEST_H
#define PROXYD_REQUEST_H

#include "common/aws/sigv4.h"
#include "common/base/arena.h"
#include "common/base/id.h"
#include "common/contract/cors.h"
#include "common/contract/reply.h"
#include "common/contract/route.h"
#include "common/net/incoming.h"
#include "common/net/outgoing.h"
#include "common/store/route_record.h"
#include "proxyd/fault.h"
#include "proxyd/outcome.h"
#include "proxyd/stream.h"
#include "proxyd/worker.h"

struct event;

#define REQUEST_ID_MAX      128
#define REQUEST_EVENT_MAX   (6 * 1024 * 1024)         /* Lambda: 6 MB for a synchronous call */
#define REQUEST_ASYNC_MAX   (1024 * 1024)             /* 1 MB for an asynchronous one */
#define REQUEST_REPLY_MAX   (6 * 1024 * 1024 + 65536) /* the same for replies, and error objects */
#define REQUEST_ARENA_BYTES (32 * 1024 * 1024)        /* a decoded reply may lie in it */

/* What a request waits for before it is let in. */
enum admit_wait { WAIT_NONE, WAIT_TURN, WAIT_PLACE };

/* SIGN_AGAIN is the one step back: invoke learnt that the signature's time was wrong. */
/* ANSWER: `reply` is set, and no function is asked for it. */
enum progress { PROGRESS_NEXT, PROGRESS_WAIT, PROGRESS_FAIL, PROGRESS_ANSWER, PROGRESS_SIGN_AGAIN };

enum step {
    STEP_ACCEPT,
    STEP_ROUTE,
    STEP_AUTHORIZE,
    STEP_ADMIT,
    STEP_ENCODE,
    STEP_SIGN,
    STEP_INVOKE,
    STEP_DECODE,
    STEP_RESPOND,
    STEP_FORWARD,
    STEP_RECORD,
    STEP_COUNT
};

struct request {
    struct worker *worker;
    TAILQ_ENTRY(request) link;
    enum step step;
    bool running; /* inside the engine */
    struct arena arena;
    size_t held; /* of all that is its own, as the budget knows */
    enum fault fault;
    int fault_status;       /* of a refusal; 0: the fault table's */
    const char *detail;     /* for the client, instead of the fault's sentence; NULL: none */
    const char *log_detail; /* more about the fault, for the log only; in the arena or static */

    /* accept */
    struct incoming_request *incoming;      /* NULL: refused before it was one, or answered */
    const struct incoming_refusal *refusal; /* during STEP_ACCEPT of a refused one */
    char id[ID_SIZE];
    struct view public_id; /* X-Request-Id: the client's when lawful, else `id` */
    struct view trace_id;
    struct view method, path, query, host;
    struct view peer;   /* the other end of the connection */
    struct view client; /* the peer, or who stands behind trusted ones */
    bool secure;        /* the client speaks HTTPS, with us or with a trusted peer */
    uint16_t port;      /* that the client reached */
    struct view tls_version, tls_cipher; /* static; empty without TLS */
    struct view location;                /* of a redirect; empty: none */
    uint64_t started_us, received_us;
    int64_t time_ms;
    size_t body_bytes;
    bool client_gone;

    /* route */
    struct route_found found;
    struct route_record route;
    const struct route_version *version;
    bool new_bucket; /* the client is to keep it, by cookie */
    uint32_t bucket;

    /* authorize */
    struct cors_answer cors;             /* what pages of other origins are told */
    const struct route_api_key *api_key; /* of the route: the caller's; NULL: none was asked for */
    struct view claims;                  /* of the caller's token, as JSON; empty: none */
    struct view challenge;               /* of a 401: WWW-Authenticate; empty: none */

    /* admit */
    bool admitted;
    uint64_t share; /* of memory, that its app's other requests cannot have */
    enum admit_wait wait;
    struct queue_waiter waiter;
    struct event *wait_timer;
    uint64_t wait_since_us, wait_until_us; /* monotonic; since: 0 when it did not wait */
    uint64_t turn_at_us;                   /* its turn of the app's rate */
    uint64_t queued_us;

    /* encode */
    bool asynchronous; /* the client prefers it, and the app grants it */
    struct buffer event;

    /* sign */
    struct credentials *credentials;
    const char *target; /* path and query of the call */
    struct incoming_header headers[8];
    size_t header_count;

    /* invoke */
    struct outgoing_call *call;
    struct event *backoff;
    uint64_t deadline_us; /* monotonic; of an app with a deadline of its own it begins at admit */
    unsigned attempts;
    bool signed_again;
    bool stale_seen;       /* one dead kept connection is forgiven without budget */
    bool probe;            /* the call is the one that the version's open breaker let through */
    bool breaker_told;     /* the breaker knows how this attempt went */
    uint64_t attempted_us; /* monotonic: the attempt under way began */
    uint64_t upstream_us;
    struct view invocation_id; /* Lambda's; of an asynchronous call */
    char *payload;             /* the reply's bytes */
    size_t payload_length;
    bool function_error;
    unsigned retry_after_s; /* what Lambda asked for */

    struct stream stream; /* of versions that may stream: what came so far */

    /* decode */
    struct reply reply;

    /* respond */
    int status;
    size_t response_bytes;
    bool body_lent; /* the response's body is being sent from our memory */
    bool lingering; /* over but for that */

    /* forward */
    bool forwards;          /* the reply is a stream: it goes on while `call` brings more */
    bool paused;            /* the client is behind: Lambda waits */
    struct event *timer;    /* the stream's idleness, then how long the place is held */
    uint64_t first_byte_us; /* from the request's start until the response began */
    int64_t hold_ms;        /* the client left a function that may still run */
};

/* Takes in a whole request; the engine runs it at once as far as it goes. */
void request_start(struct worker *worker, struct incoming_request *incoming);
/* What was refused before it was a request: ends through the same door. `refusal` is borrowed during
 * the call. */
void request_refused(struct worker *worker, const struct incoming_refusal *refusal);
/* All values of one header of the request, joined with ", "; NULL data when there is none. */
struct view request_header_values(struct request *request, const char *name);
/* Whether the reply may come in pieces. */
bool request_streams(const struct request *request);
/* A step that waited has its answer. Only from the loop, never from inside a step. */
void request_resume(struct request *request, enum progress progress);
/* For steps: sets the fault and gives PROGRESS_FAIL. `log_detail` may be NULL. */
enum progress request_fail(struct request *request, enum fault fault, const char *log_detail);
/* Frees all that have ended. */
void request_reap(struct worker *worker);
/* The body that respond lent has been sent, or dropped. */
void request_body_returned(struct request *request);
/* The loop ends: frees what is under way, without an answer. Calls out must be gone already. */
void request_drop_all(struct worker *worker);

#endif
