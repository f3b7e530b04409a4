/*
 * History: each change of an app or of a domain, so that it can be read and taken back.
 *
 *   history/apps/NAME/ID, history/domains/HOST/ID
 *     {"id", "from" (the revision before; absent: there was none), "at", "by", "action", "requestId" |
 *      "operation", "kind": "created" | "changed" | "deleted", "changes": differences (difference.h)}
 *
 * The entry is written by the very commit that makes the change. Values of environment variables and
 * private keys are in it as they are in state: sealed. At most HISTORY_MAX entries of a resource, of the
 * last HISTORY_KEPT_MS, are kept; they outlive the resource. While state is full, what is urgent goes
 * without, and what is removed takes its history with it.
 */
#ifndef MANAGERD_HISTORY_H
#define MANAGERD_HISTORY_H

#include "managerd/records.h"
#include "managerd/shape.h"

#define HISTORY_MAX     100
#define HISTORY_KEPT_MS (90ll * 24 * 3600 * 1000)

struct history_cause {
    struct view by, action;
    struct view request, operation; /* empty: none */
};

/* Adds to the change what it changes of apps and domains. Each such write must have its compare: state
 * is read here to see what is there before. */
void history_note(struct state *state, struct change *change, const struct history_cause *cause);
/* The same for a step of an operation (its record). */
void history_note_operation(struct state *state, struct change *change,
                            const struct json *operation);

/* What history compares of a record: an app's settings, and its "traffic", "environment" (sealed) and
 * "apiKeys" (by id); a domain's "paths", "tls" and "certificate" (its record, sealed; NULL: none). */
struct json *history_of_app(const struct json *app);
struct json *history_of_domain(const struct json *domain, const struct json *certificate);
/* The same back into a record. */
void history_into_app(struct json *app, const struct json *image);

struct key key_history(const char *kind, struct view name, struct view id);
/* As the API shows it: without what is sealed or hashed. */
struct json *history_public(const struct json *entry);

extern const struct shape history_shape;
extern const struct shape difference_shape;

#endif
