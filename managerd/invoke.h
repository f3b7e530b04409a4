/*
 * Invoking a version once, and what came of it (invoke_answer.h). By Invoke, or, where the version
 * may stream, by InvokeWithResponseStream, as proxyd calls it; never a second time by itself.
 *
 * on_done comes from the loop, once, unless the invocation was freed before.
 */
#ifndef MANAGERD_INVOKE_H
#define MANAGERD_INVOKE_H

#include "managerd/lambda_control.h"
#include "managerd/problem.h"

struct invocation;

#define INVOKE_MAX_RUNNING     8
#define INVOKE_MAX_DEADLINE_MS 901000 /* Lambda's longest timeout, and a second */

/* Takes the event's bytes. `version` is the version's record (copied). */
struct invocation *invocation_start(struct lambda_control *control, const struct json *version,
                                    bool is_request, struct buffer *event, int64_t deadline_ms,
                                    void (*on_done)(void *context), void *context);
/* In on_done: the JSON object that tells what came of it; empty: nothing did, see the problem. Taken
 * by the caller. */
struct buffer invocation_answer(struct invocation *invocation);
/* Why there is no answer; its texts live as long as the invocation. */
const struct problem *invocation_problem(const struct invocation *invocation);
/* Whether the function may have run. */
bool invocation_may_have_run(const struct invocation *invocation);
/* Ends it, also in the middle. NULL is fine. */
void invocation_free(struct invocation *invocation);

#endif
