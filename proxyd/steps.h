/* The steps of a request's life, in path order; request.c runs them, one file each. */
#ifndef PROXYD_STEPS_H
#define PROXYD_STEPS_H

#include "proxyd/request.h"

/* ACCEPT: ids, times, and what the client sent, as views. */
enum progress accept_request(struct request *request);
/* ROUTE: host and path -> app, record, version. */
enum progress route_request(struct request *request);
/* AUTHORIZE: whether the caller may call this app. Before admit: who may not takes no place. */
enum progress authorize_request(struct request *request);
/* AUTHORIZE, the rule about tokens: like a step. */
enum progress authorize_bearer(struct request *request);
/* ADMIT: size, rate and in-flight limits; waits a little. Counted out when the request is reaped. */
enum progress admit_request(struct request *request);
/* ADMIT, as soon as a request's head is there: the largest body to take, by the app's limit and what
 * memory allows. */
uint64_t admit_body_limit(struct worker *worker, const struct incoming_head *head,
                          enum guard_reason *over);
/* ADMIT, for accept: the client left; if the request waits it is over, and never invoked. */
void admit_client_left(struct request *request);
/* ADMIT, for the end of the loop: it waits no longer. */
void admit_drop(struct request *request);
/* ENCODE: request -> event. */
enum progress encode_request(struct request *request);
/* SIGN: the Invoke call's URL and headers; the only step that sees secrets. */
enum progress sign_request(struct request *request);
/* INVOKE: the call, its deadline, and further attempts where nothing has run. */
enum progress invoke_request(struct request *request);
/* INVOKE, for forward too: an attempt has succeeded, what failed before it counts no more. */
void invoke_succeeded(struct request *request);
/* DECODE: payload -> response, or the function's error. */
enum progress decode_request(struct request *request);
/* RESPOND: response or fault -> client. Never fails. */
enum progress respond_request(struct request *request);
/* RESPOND, for what was refused before it was a request: what it counts as, and the answer's body. */
enum fault refusal_fault(const struct incoming_refusal *refusal);
void respond_refusal(const struct incoming_refusal *refusal, const struct config *config,
                     struct buffer *body);
/* FORWARD: a streamed reply goes on to the client as it comes; nothing for all others. */
enum progress forward_request(struct request *request);
/* FORWARD, for invoke: bytes of the call; false: no more until the client has taken some. */
bool forward_bytes(struct request *request, struct view bytes);
/* FORWARD, for invoke: the call is over. `fault` says how, when it broke. */
void forward_call_ended(struct request *request, enum fault fault, const char *detail);
/* FORWARD, for respond: what incoming_stream_begin calls. */
void forward_client_ready(void *context);
/* FORWARD, for accept: the client left in the middle; the call is cancelled. */
void forward_client_left(struct request *request);
/* FORWARD, for record: waits while the place of a function that runs on is held. */
enum progress forward_hold(struct request *request);
/* RECORD: access line and metrics, from the struct only. Never fails. */
enum progress record_request(struct request *request);

#endif
