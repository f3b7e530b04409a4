/*
 * Operations as the API tells them. Those that apply a document keep what they are to change, and how
 * far they are, in records of their own (apply.h) while they run; here these are their steps.
 */
#ifndef MANAGERD_OPERATION_TOLD_H
#define MANAGERD_OPERATION_TOLD_H

#include "managerd/records.h"

#define TOLD_STEPS_MAX 100 /* in lists and events */

/* What the API shows of an operation (its record). With `most_steps` only so many steps, those around
 * the first that is not done; 0: all. */
struct json *operation_told(struct state *state, const struct json *operation, unsigned most_steps);

/* The steps of an operation that applies a document, from its records or, when it has ended, its own. */
struct json *apply_told_steps(struct state *state, const struct json *operation);

#endif
