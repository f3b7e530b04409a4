/*
 * Sweeping packages: those that no version names any more are removed, a part of the work in each turn of
 * the loop, so that nobody waits however many versions there are.
 *
 * A sweep notes what the versions name, then lists the folder, then removes what was not noted and is not
 * pinned. Versions that are committed meanwhile are noted as they come. Loop thread only.
 */
#ifndef MANAGERD_PACKAGE_SWEEP_H
#define MANAGERD_PACKAGE_SWEEP_H

#include "managerd/state.h"

struct event_base;
struct jobs;
struct package_sweep;
struct packages;

struct package_sweep *package_sweep_new(struct event_base *base, struct state *state,
                                        struct packages *packages, struct jobs *pool);
/* Versions are gone: sweeps, once more if a sweep is under way. NULL is fine. */
void package_sweep_soon(struct package_sweep *sweep);
bool package_sweep_running(const struct package_sweep *sweep);
/* Nothing may be under way in the pool. NULL is fine. */
void package_sweep_free(struct package_sweep *sweep);

#endif
