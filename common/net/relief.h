/*
 * Memory back from clients that sit on it: when the set's budget is nearly used up, everybody else is
 * turned away, so those go first who would keep theirs for longest. Judged by what their TCP has
 * acknowledged, or sent, between two looks: never by one.
 */
#ifndef COMMON_NET_RELIEF_H
#define COMMON_NET_RELIEF_H

#include "common/net/connection.h"

/*
 * To be called now and then. With less than an eighth of the budget left it cuts, by a reset, whoever at the pace of the last
 * seconds would need longer than write_timeout_ms for what waits for him, and refuses, with 503, bodies
 * that do not come on. Else nothing is looked at.
 */
void relief_tend(struct connection_set *set);

#endif
