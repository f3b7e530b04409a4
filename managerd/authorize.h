/*
 * What the caller may do: the role and the scope that the endpoint's row asks for. One place for all
 * calls.
 *
 * Apps and hosts are named by whoever calls: out of scope they are 403, whether or not they exist.
 * Operations and tokens have ids, which nobody comes by who may not see them: out of scope they are
 * 404, as if they did not exist. Lists leave out what is out of scope.
 */
#ifndef MANAGERD_AUTHORIZE_H
#define MANAGERD_AUTHORIZE_H

#include "managerd/call.h"

/* By role and path, before the body is looked at. NEXT, or FAIL with 401 or 403. */
enum progress authorize_call(struct call *call);
/* By what the call is about, before each time it acts: NEXT, or FAIL with 403 or 404. */
enum progress authorize_act(struct call *call);
/* Whether the app is in the caller's scope. */
bool call_may_see(const struct call *call, struct view app);
/* Whether all apps are that the domain (its record) leads to. */
bool call_may_see_domain(const struct call *call, const struct json *domain);

#endif
