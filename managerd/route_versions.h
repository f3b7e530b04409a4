/* The versions of an app, as its route names them. */
#ifndef MANAGERD_ROUTE_VERSIONS_H
#define MANAGERD_ROUTE_VERSIONS_H

#include "common/store/route_record.h"
#include "managerd/state.h"

/* One version's part of a route, in the arena; false when the version is not there or not ready. */
bool route_version_read(struct state *state, struct view app, int64_t number, int weight,
                        struct arena *arena, struct route_version *version);
/* Versions without traffic that clients may ask for: the newest, as many as a route holds. */
enum error route_previews_add(struct state *state, struct arena *arena,
                              struct route_record *route) MUST_CHECK;

#endif
