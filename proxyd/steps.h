/* The steps of a request's life, in path order; request.c runs them, one file each. */
#ifndef PROXYD_STEPS_H
#define PROXYD_STEPS_H

#include "proxyd/request.h"

/* ACCEPT: ids, times, and what the client sent, as views. */
enum progress accept_request(struct request *request);
/* ROUTE: host and path -> app, record, version. */
enum progress route_request(struct request *request);
/* ADMIT: size, in-flight and rate limits. Counted out when the request is reaped. */
enum progress admit_request(struct request *request);
/* ENCODE: request -> event. */
enum progress encode_request(struct request *request);
/* SIGN: the Invoke call's URL and headers; the only step that sees secrets. */
enum progress sign_request(struct request *request);
/* INVOKE: the call, its deadline, and further attempts where nothing has run. */
enum progress invoke_request(struct request *request);
/* DECODE: payload -> response, or the function's error. */
enum progress decode_request(struct request *request);
/* RESPOND: response or fault -> client. Never fails. */
enum progress respond_request(struct request *request);
/* RESPOND, for what was refused before it was a request: what it counts as, and the answer's body. */
enum fault refusal_fault(const struct incoming_refusal *refusal);
void respond_refusal(const struct incoming_refusal *refusal, const struct config *config,
                     struct buffer *body);
/* RECORD: access line and metrics, from the struct only. Never fails. */
enum progress record_request(struct request *request);

#endif
