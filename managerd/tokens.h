/*
 * The tokens of this installation, in state and in force.
 *
 * tokens/ID {"name", "role", "apps" (scope.h) | null, "hint", "sha256", "createdAt", "createdBy",
 * "expiresAt" | null}; tokenuses/ID {"lastUsedAt", "lastUsedFrom"}. They never change; they are made
 * and revoked. MANAGERD_TOKEN, when it is set, is one more ("admin"), which is in no record.
 *
 * There is always an admin's token of all apps that does not expire, so that nobody is locked out:
 * the last one cannot be revoked, the first one made must be such a one, and when none is left
 * because MANAGERD_TOKEN was taken away, the next start makes one.
 */
#ifndef MANAGERD_TOKENS_H
#define MANAGERD_TOKENS_H

#include "managerd/call.h"

#define TOKENS_SAVE_S 60 /* how often last uses are saved */

extern const struct shape token_shape;
extern const struct shape me_shape; /* endpoints/me.c */

/* Whether it can be a token's id. */
bool token_id_valid(struct view id);
struct key key_token(struct view id);
struct key key_token_use(struct view id);

/* At start: reads them, and makes the first one where one is needed. One sentence in `problem`. */
enum error tokens_prepare(struct server *server, struct buffer *problem) MUST_CHECK;
/* Puts MANAGERD_TOKEN in force, as it is configured now. */
void tokens_use_configured(struct server *server);
/* The caller; nobody, when the token could be guessed and too many wrong ones came from there. Release
 * it. */
void tokens_authenticate(struct server *server, struct view authorization, struct view address,
                         struct principal *principal);
/* Puts the token in force that a commit has made. */
void tokens_learn(struct server *server, struct view id);
/* Puts it out of force, and ends the streams that follow something by it. */
void tokens_forget(struct server *server, const char *id);
/* Saves when they were used; a commit only when there is something new. */
void tokens_save_uses(struct server *server);

/* Whether this one (its record) keeps everybody from being locked out. */
bool token_lasts(const struct json *token);
/* Whether there is another such one than `id`; the change is made to depend on it. */
bool tokens_other_lasts(struct call *call, struct view id);
/* 404. */
enum progress call_fail_token(struct call *call);

#endif
