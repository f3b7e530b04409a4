/*
 * The records of state: their keys, and reading and making them.
 *
 *   apps/NAME             the app: its public members (api.md) and "internal"
 *   domains/HOST          a domain: its public members
 *   certificates/HOST     {"fingerprint", "notAfter", "sealed"}: its certificate and key, encrypted
 *   versions/NAME/NUMBER  a version (number in 10 digits)
 *   operations/ID         an operation: its public members and "work"
 *   queue/NAME/ID         there while the operation is not finished
 *   cancels/ID            there while an operation that somebody cancelled is not finished
 *   slots/NUMBER          app that has this slot in the route store
 *   functions/FUNCTION    app that this Lambda function belongs to
 *   latest/NAME           {"operation", "state", "version"}: the deployment that ended last
 *   observed/NAME         what AWS had of the app, as a sync saw it last (sync.c)
 *   apply/ID/NUMBER       a step of an operation that applies a document, and what it is to make (apply.h)
 *   history/…             changes of apps and domains (history.h)
 *   removed/NAME          the app was removed (compatibility API)
 *   idempotency/HASH      an answer, kept for 24 hours
 *   tokens/ID             a token: its public members and its hash (tokens.h)
 *   tokenuses/ID          when and from where it was last used
 *   audit/NUMBER          a record of the audit (number in 16 digits); chain.h
 *   audithead, auditanchor  where its chain ends, and begins after
 *   secretkey             the id of the key that everything sealed is sealed by (reseal.h)
 *   issuers/HASH          the keys of a token issuer, as last fetched
 *   system                the installation's id
 *   trial                 written while writing fails, to see whether it works again
 *
 * internal of an app: {"slot", "lastVersion", "traffic", "previousTraffic" | null,
 * "trafficChangedAt" (ms), "noTrafficThrough" (version), "noCanaryThrough" (version; absent: none),
 * "canary" (canary.h; absent: none runs), "environment": {"names", "sealed"},
 * "functionClaimed" (a function of ours may exist), "adopted", "deleting" (operation id) | null,
 * "domains" (hosts that lead to it, in order; absent: none), "apiKeys" (access.h; absent: none),
 * "accepted" (expectation.h; absent: nothing was)}
 */
#ifndef MANAGERD_RECORDS_H
#define MANAGERD_RECORDS_H

#include "managerd/state.h"

#define KEY_SIZE 320
struct key {
    char text[KEY_SIZE];
};
struct key key_app(struct view app);
struct key key_domain(struct view host);
struct key key_certificate(struct view host);
struct key key_version(struct view app, int64_t version);
struct key key_versions(struct view app); /* prefix of all */
struct key key_operation(struct view id);
struct key key_queue(struct view app, struct view id);
struct key key_cancel(struct view id);
struct key key_slot(uint32_t slot);
struct key key_function(struct view function);
struct key key_latest(struct view app);
struct key key_observed(struct view app);
struct key key_removed(struct view app);
struct key key_audit(uint64_t sequence);

/* A record read and parsed; json NULL when there is none. */
struct record {
    struct json *json;
    uint64_t revision; /* 0: does not exist */
};
/* ERROR_NOT_FOUND, ERROR_DAMAGED (no JSON), or the store's error; then the record is empty. */
enum error record_read(struct state *state, const char *key, struct record *record) MUST_CHECK;
void record_release(struct record *record);

/* Parses a record's text; ERROR_DAMAGED when it is none. */
enum error record_parse(struct view value, struct json **json) MUST_CHECK;

/* A member of a record that is a text, or an object's own text, found without parsing it all; borrowed from
 * `record`. False: it is neither, is not there, or has escapes: parse it, then. */
bool record_peek(struct view record, const char *member, struct view *value);

/* Borrowed members; an absent object or member gives NULL, "", 0 or false. */
struct view text_of(const struct json *object, const char *member);
int64_t integer_of(const struct json *object, const char *member);
bool truth_of(const struct json *object, const char *member);
/* The member to be changed in place; made an empty object when it is absent. */
struct json *object_in(struct json *object, const char *member);
const struct json *internal_of(const struct json *app);

void set_time(struct json *object, const char *member, int64_t wall_ms);

/* A new app with every default: `settings` (public, complete) is consumed. */
struct json *app_new(struct view name, struct json *settings, uint32_t slot, int64_t now_ms);
/* Gives each versioned member that is absent, or lacks members, its default: in an app or a version. */
void records_fill_versioned(struct json *object);
/* A version that is pending: the versioned members of the app as they are now, frozen. */
struct json *version_new(const struct json *app, int64_t number, struct json *package,
                         struct view description, struct view operation, struct view created_by,
                         int64_t now_ms);

/* Appends SCHEME://HOST[:PORT], scheme and port as in the public URL. */
void url_of_host(struct view public_url, struct view host, struct buffer *out);
/* As the API shows them; app_show consumes the app. */
struct json *app_show(struct json *app, uint64_t revision, struct view public_url,
                      struct view base_domain);
struct json *app_public(const struct json *app, uint64_t revision, struct view public_url,
                        struct view base_domain);
struct json *version_public(const struct json *version, uint64_t revision);
/* What its routes name: its Lambda version, or what there is none of while it is withdrawn, so that nothing
 * else runs in its place; empty: it never had one. */
struct view version_qualifier(const struct json *version);
struct json *operation_public(const struct json *operation);
/* Whether nothing more will happen to it. */
bool operation_finished(const struct json *operation);

#endif
