/*
 * Scope: which apps a token reaches. A list of names of apps and of prefixes of names ("team-*"), as
 * JSON; NULL or null: all apps. Pure.
 */
#ifndef MANAGERD_SCOPE_H
#define MANAGERD_SCOPE_H

#include "common/base/json.h"

#define SCOPE_MAX_PATTERNS 100

/* The name of an app, or the beginning of one and "*". */
bool scope_pattern_valid(struct view text);
bool scope_is_all(const struct json *scope);
bool scope_holds(const struct json *scope, struct view app);
/* Whether whatever `inner` reaches, `outer` reaches too. */
bool scope_covers(const struct json *outer, const struct json *inner);

#endif
