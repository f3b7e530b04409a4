/*
 * The server as incoming.c (connections and requests' beginnings) and incoming_answer.c (answers and
 * streams) share it. For these two alone.
 */
#ifndef COMMON_NET_INCOMING_SERVER_H
#define COMMON_NET_INCOMING_SERVER_H

#include "common/net/connection.h"
#include "common/net/incoming_request.h"

struct evbuffer;
struct evhttp;

struct incoming {
    struct event_base *base;
    struct incoming_limits limits;
    struct incoming_handlers handlers;
    void *context;
    struct evhttp *http;
    struct tls *tls; /* NULL without TLS */
    struct listener *listener;
    struct connection_set connections;
    struct connection **by_descriptor; /* evhttp names a connection by its socket only */
    size_t descriptor_capacity;
    struct incoming_request_set requests;
    struct evbuffer *out;  /* scratch: the body on its way into evhttp */
    struct buffer strings; /* scratch */
    uint64_t disagreements;
    bool freeing;
};

/* The user has answered a request whose client left. */
void incoming_bury(struct incoming_request *request);

#endif
