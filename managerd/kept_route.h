/*
 * A route that cannot be made as state wants it, since a version's record is damaged or the whole is
 * too large: its versions stay what they were, but who may call it is what state says now. Else a
 * rule would wait, or a revoked key work on, until somebody mends the record. Pure.
 */
#ifndef MANAGERD_KEPT_ROUTE_H
#define MANAGERD_KEPT_ROUTE_H

#include "common/store/route_record.h"

/* Of `route` only what does not hang on its versions, as a record; empty when that fits in none. */
void kept_route_rules(const struct route_record *route, struct buffer *rules);
/* Puts the record `present` with these rules in place of `rules`. ERROR_DAMAGED, ERROR_TOO_BIG,
 * ERROR_INVALID: there is no such record; `rules` is of no use then. */
enum error kept_route_apply(struct view present, struct buffer *rules) MUST_CHECK;

#endif
