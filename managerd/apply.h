/*
 * Declarations: apps and domains as one document, what there is to change to make it true, and the
 * operation that does it, a step and a commit for each app and domain.
 *
 * A change is {"action": "create" | "change" | "deploy" | "delete", "kind": "app" | "domain", "name",
 * "differences" (difference.h)} and, for the operation alone, "wish": of an app {"settings", "environment"
 * (sealed)?, "traffic"?, "package"?}, of a domain {"paths"}. Creations and changes of apps come first, then
 * their deployments, then domains, then deletions of apps, each in order of the document or of names.
 *
 * While the operation runs, each change is a record, apply/ID/NUMBER: its step as the API tells it, and until
 * that is done "wish"; of a deployment that is under way "operation". So a step costs the same however many
 * there are. At the end they become the operation's steps.
 */
#ifndef MANAGERD_APPLY_H
#define MANAGERD_APPLY_H

#include "managerd/apply_package.h"
#include "managerd/records.h"
#include "managerd/secrets.h"
#include "managerd/shape.h"

#define APPLY_MAX_APPS    5000
#define APPLY_MAX_DOMAINS 5000

extern const struct shape declaration_shape;
extern const struct shape apply_plan_shape;

/* What a declared app's environment may be: NULL, or what is wrong. */
const char *apply_check_environment(const struct json *value);

struct apply_context {
    struct state *state;
    const struct secrets *secrets;
    const char *function_prefix;
    const char *const *base_domains;
    size_t base_domain_count;
    bool has_role;                        /* for functions of apps that name none */
    const struct apply_package *packages; /* of each app of the document, in its order */
    struct faults *faults;
};

/* An app as a declaration holds it: no read-only members, environment by names. */
struct json *apply_declare_app(const struct json *app);
struct json *apply_declare_domain(const struct json *domain);

/* The changes that make the document (of the right shape) true, in the order in which they are to be
 * made; with `prune` what it does not name goes. Faults: everything that cannot be, with pointers. */
struct json *apply_changes(const struct apply_context *context, const struct json *document,
                           bool prune);
/* The same for people: without wishes. */
struct json *apply_plan(const struct json *changes);

struct key key_apply(struct view operation, int64_t number);
struct key key_apply_all(struct view operation); /* prefix of all */
/* The image (history.h) of an app as its wish wants it; `app` NULL: a new one. */
struct json *apply_wish_app(const struct json *app, const struct json *wish);

#endif
