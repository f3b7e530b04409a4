/*
 * Rotation of the key for what is sealed in state: when the first key of the file is another than at the
 * start before, everything is sealed anew by it before anything else begins. A crash in between does no
 * harm: both keys are still in the file, and the next start goes on. The record "secretkey" has the id of
 * the key that everything is known to be sealed by.
 */
#ifndef MANAGERD_RESEAL_H
#define MANAGERD_RESEAL_H

#include "managerd/secrets.h"
#include "managerd/state.h"

struct jobs;

/* Waits for its commits: there is no loop yet. What no key opens stays as it is, and is told to the
 * log. */
enum error reseal_all(struct state *state, const struct secrets *secrets,
                      struct jobs *store_thread) MUST_CHECK;

#endif
