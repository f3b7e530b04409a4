/* The server: owns the loop and everything that lives as long as the process does. */
#ifndef MANAGERD_SERVER_H
#define MANAGERD_SERVER_H

#include "managerd/authenticate.h"
#include "managerd/config.h"
#include "managerd/metrics.h"
#include "managerd/operation.h"

struct api_certificate;
struct call;
struct event_base;
struct incoming;
struct jobs;
struct uploads;
struct logbook;
struct package_sweep;
struct roster;

struct server {
    struct config *config;
    struct event_base *base;
    struct jobs *store_thread; /* one thread: commits and publishing */
    struct jobs *pool;         /* two: hashing, zip checks, big JSON */
    struct state *state;
    struct roster *roster;
    struct logbook *logbook;
    struct issuers *issuers;
    struct publisher *publisher;
    struct lambda_control *control;
    struct cloudwatch *cloudwatch;
    struct caller *caller;
    struct account *account;
    struct packages *packages;
    struct uploads *uploads;
    struct package_sweep *package_sweep;
    struct secrets *secrets;
    struct certificates *certificates;
    struct proxies *proxies;
    struct prune *prune;
    struct observer *observer;
    struct operations *operations;
    struct authenticator *authenticator;
    struct audit *audit;
    struct attempts *attempts;
    struct incoming *incoming;
    struct incoming *health;                 /* without TLS, for probes; NULL: none */
    struct api_certificate *api_certificate; /* NULL: no TLS */
    struct metrics metrics;
    struct call *calls; /* not yet answered */
    unsigned checks;    /* running */
    unsigned log_readers;
    unsigned invocations; /* by /invoke, running */
    char installation[ID_SIZE];
    char *default_role; /* NULL: every app must name one */
    char *openapi;      /* the document, made once */
    size_t openapi_length;
    struct event *signals[3], *sweep, *drain, *uses;
    int64_t swept_ms;
    bool draining;
};

/* Starts everything but the loop. One sentence in `problem`. `api_certificate` (NULL: no TLS) stays the
 * caller's, until after server_stop. */
enum error server_start(struct server *server, struct config *config,
                        struct api_certificate *api_certificate, struct buffer *problem) MUST_CHECK;
/* Runs until it has drained after SIGTERM or SIGINT. */
void server_run(struct server *server);
void server_stop(struct server *server);

#endif
