/* The only place that turns a call's outcome into HTTP: result, text or problem; headers. */
#ifndef MANAGERD_RESPOND_H
#define MANAGERD_RESPOND_H

struct call;

void respond_to_call(struct call *call);

#endif
