/*
 * Calls and their client from the inside: for outgoing.c, which runs them, and outgoing_easy.c, which
 * dresses libcurl's easy handles for them. Nobody else includes it.
 */
#ifndef COMMON_NET_OUTGOING_CALL_H
#define COMMON_NET_OUTGOING_CALL_H

#include "common/net/answer.h"
#include "common/net/outgoing.h"
#include "common/net/sockets.h"

#include <curl/curl.h>
#include <sys/queue.h>

#define MAX_IDLE_EASY 256 /* easy handles kept for reuse */

enum call_state {
    CALL_WAITING,   /* handed in from inside a libcurl callback: starts with the pump */
    CALL_RUNNING,   /* libcurl has it */
    CALL_CANCELLED, /* from inside a libcurl callback: removed by the pump */
    CALL_DONE,      /* its on_done is due */
    CALL_TELLING,   /* inside its on_done */
};

struct outgoing_call {
    struct outgoing *outgoing;
    enum call_state state;
    bool in_work; /* on the work list: to start, to remove or to resume */
    TAILQ_ENTRY(outgoing_call) all, work;
    CURL *easy;
    char **lines;
    struct curl_slist *headers;      /* an array of nodes that point to the lines */
    struct outgoing_request request; /* its headers are copied into the lines */
    struct socket_user user;
    bool too_big, paused, sent; /* sent: a connection was there, the request went out on it */
    uint64_t body_read;         /* of a body that is made as it goes out */
    struct answer_head head;
    struct buffer body;
    size_t held; /* of it, as the budget knows */
    struct outgoing_result result;
    char reason[CURL_ERROR_SIZE];
};

TAILQ_HEAD(call_list, outgoing_call);

struct outgoing {
    struct outgoing_options options;
    char *ca_file, *user_agent;
    CURLM *multi;
    CURLSH *share; /* TLS sessions: any connection resumes those of any other */
    struct event *timer, *pump;
    struct sockets *sockets;
    struct call_list calls, work, done;
    unsigned active;
    CURL *idle[MAX_IDLE_EASY];
    size_t idle_count;
    bool inside;  /* in a call of libcurl's: its multi handle must not be touched from callbacks */
    bool telling; /* in deliver() */
    bool dying;   /* freed from inside a callback: ends when that is over */
};

/* A handle for the call, with all that is to be known of it; outgoing_undress takes it back. False: its
 * URL or a header cannot be sent. */
bool outgoing_dress(struct outgoing_call *call) MUST_CHECK;
/* The call is out of libcurl: its handle waits for the next one. */
void outgoing_undress(struct outgoing_call *call);

#endif
