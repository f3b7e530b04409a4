/* Records who did what, and lets go of what is old. */
#include "managerd/audit.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/tls.h"
#include "managerd/disclosure.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_MS          250
#define MAX_WAITING       256
#define MINUTE_S          60
#define SWEEP_MINUTES     60
#define STRANGERS_KEPT    8
#define SWEEP_AT_ONCE     500
#define MAX_PATH_RECORDED 512
#define KEPT_WHEN_FULL    20

struct stranger {
    char address[64];
    int64_t count;
};

struct audit {
    struct audit_options options;
    struct change waiting; /* entries without a change of their own */
    struct event *flush, *minute;
    struct stranger strangers[STRANGERS_KEPT];
    int64_t strangers_now; /* since the last record of them */
    struct audit_figures figures;
    uint64_t lost_told;
    unsigned minutes;
    bool sweeping, stopping;
};

static enum error read_place(struct state *state, const char *key, struct chain_place *place)
{
    struct buffer value;
    buffer_init(&value, 4096);
    chain_begin(place);
    enum error error = state_get(state, view_of(key), &value, NULL);
    if (!error)
        error = chain_place_read(buffer_view(&value), place);
    else if (error == ERROR_NOT_FOUND)
        error = ERROR_NONE;
    buffer_release(&value);
    return error;
}

enum error audit_bounds(struct state *state, struct chain_place *anchor, struct chain_place *head)
{
    enum error error = read_place(state, "auditanchor", anchor);
    return error ? error : read_place(state, STATE_CHAIN_HEAD, head);
}

void audit_count(const struct audit *audit, struct audit_figures *figures)
{
    *figures = audit->figures;
}

/* What a change does to records that people care for. */

static bool is_audited(struct view key)
{
    static const char *const folders[] = {"apps/", "domains/", "certificates/", "versions/",
                                          "tokens/"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (view_starts_with(key, view_of(folders[i])))
            return true;
    return false;
}

static struct json *describe_write(struct state *state, const struct state_write *write)
{
    char key[STATE_MAX_KEY + 1];
    struct record before = {0};
    struct json *after = NULL, *described = json_new_object();
    memcpy(key, write->key.data, write->key.length);
    key[write->key.length] = 0;
    if (record_read(state, key, &before) != ERROR_NONE)
        before.json = NULL;
    if (write->value.data && record_parse(write->value, &after) != ERROR_NONE)
        after = NULL;
    json_set_string(described, "record", write->key);
    json_set(described, "before", disclosure_fingerprint(before.json));
    json_set(described, "after", disclosure_fingerprint(after));
    if (after && !before.json)
        json_remove(after, "internal"); /* as every new one has it */
    json_set(described, "members", after ? disclose(before.json, after) : json_new_array());
    record_release(&before);
    json_free(after);
    return described;
}

static struct json *describe_change(struct state *state, const struct change *change)
{
    struct json *changes = json_new_array();
    for (size_t i = 0; i < change->write_count; i++)
        if (is_audited(change->writes[i].key))
            json_append(changes, describe_write(state, &change->writes[i]));
    return changes;
}

/* Records */

static void set_text(struct json *record, const char *member, struct view text)
{
    if (text.length)
        json_set_string(record, member, text);
    else
        json_set_null(record, member);
}

static struct json *begin_record(struct view actor, struct view name, struct view role,
                                 struct view from)
{
    struct json *record = json_new_object(), *who = json_new_object();
    set_time(record, "time", clock_wall_ms());
    json_set_string(who, "id", actor);
    set_text(who, "name", name);
    set_text(who, "role", role);
    json_set(record, "actor", who);
    set_text(record, "from", from);
    return record;
}

/* The app that the call is about: by its path, or its body. */
static struct view app_of(const struct call *call)
{
    if (call->endpoint && call->endpoint->scope == ENDPOINT_OF_APP)
        return view_slice(call_app(call), 0, 63);
    if (call->endpoint && call->endpoint->scope == ENDPOINT_OF_BODY)
        return view_slice(text_of(call->body, "name"), 0, 63);
    return text_of(call->operation, "app");
}

static struct json *call_record(const struct call *call, int status)
{
    const struct token *token = call->principal.token;
    const struct tls_shown *shown = call->shown;
    struct json *record = begin_record(
        view_of(call->principal.id), view_of(token ? token->name : ""),
        view_of(role_name(call->principal.role)), view_of(call->peer ? call->peer : ""));
    if (shown) {
        struct json *certificate = json_new_object();
        json_set_string(certificate, "subject", view_of(shown->subject));
        json_set_string(certificate, "fingerprint", view_of(shown->fingerprint));
        json_set(record, "certificate", certificate);
    }
    json_set_string(record, "requestId", view_of(call->request_id));
    json_set_string(record, "endpoint", view_of(call->endpoint ? call->endpoint->id : "none"));
    json_set_string(record, "method", call->method);
    json_set_string(record, "path", view_slice(call->path, 0, MAX_PATH_RECORDED));
    set_text(record, "app", app_of(call));
    json_set_integer(record, "status", status);
    set_text(record, "problem",
             view_of(call->problem.type == PROBLEM_NONE ? "" : problem_slug(call->problem.type)));
    set_text(record, "operation", text_of(call->operation, "id"));
    return record;
}

void audit_change(struct call *call, int status)
{
    struct json *record = call_record(call, status);
    json_set(record, "changes", describe_change(call->server->state, &call->change));
    change_audit(&call->change, record);
    json_free(record);
}

/* "ID (NAME)", as createdBy has it, in its parts. */
static void take_label(struct view label, struct view *id, struct view *name)
{
    size_t space = view_find(label, ' ');
    *id = view_slice(label, 0, space);
    *name = VIEW("");
    if (space != SIZE_MAX && view_ends_with(label, VIEW(")")) && label.length > space + 3)
        *name = view_slice(label, space + 2, label.length - space - 3);
}

void audit_operation(struct state *state, const struct json *operation, struct change *change)
{
    struct view id, name;
    struct json *changes = describe_change(state, change);
    const struct json *problem = json_get(operation, "problem");
    if (!operation_finished(operation) && json_count(changes) == 0) {
        json_free(changes);
        return;
    }
    take_label(text_of(operation, "createdBy"), &id, &name);
    struct json *record = begin_record(id, name, VIEW(""), VIEW(""));
    json_set_null(record, "requestId");
    json_set_string(record, "endpoint", VIEW("operation"));
    json_set_string(record, "method", text_of(operation, "type"));
    json_set_null(record, "path");
    set_text(record, "app", text_of(operation, "app"));
    if (json_type_of(problem) == JSON_OBJECT)
        json_set_integer(record, "status", integer_of(problem, "status"));
    else
        json_set_integer(record, "status", operation_finished(operation) ? 200 : 202);
    struct view slug = text_of(problem, "type");
    if (view_starts_with(slug, VIEW("/problems/")))
        slug = view_slice(slug, sizeof "/problems/" - 1, SIZE_MAX);
    set_text(record, "problem", slug);
    json_set_string(record, "operation", text_of(operation, "id"));
    json_set(record, "changes", changes);
    change_audit(change, record);
    json_free(record);
}

/* What waits for a commit */

static void on_flushed(enum error error, uint64_t revision, void *context)
{
    static struct log_limit limit;
    unsigned held = 0;
    (void)revision, (void)context;
    if (error && log_allow(&limit, 1, &held))
        log_write(LOG_ERROR, "audit-not-written", LOG_STRING("error", error_name(error)),
                  LOG_INTEGER("held", held));
}

static void add_own_record(struct audit *audit, const char *endpoint, struct json *details)
{
    struct json *record = begin_record(VIEW("managerd"), VIEW(""), VIEW(""), VIEW(""));
    json_set_null(record, "requestId");
    json_set_string(record, "endpoint", view_of(endpoint));
    json_set_null(record, "method");
    json_set_null(record, "path");
    json_set_null(record, "app");
    json_set_null(record, "status");
    json_set_null(record, "problem");
    json_set_null(record, "operation");
    json_set(record, "changes", json_new_array());
    json_set(record, "details", details);
    change_audit(&audit->waiting, record);
    json_free(record);
}

static void add_strangers(struct audit *audit)
{
    struct json *details = json_new_object(), *addresses = json_new_array();
    for (size_t i = 0; i < STRANGERS_KEPT && audit->strangers[i].count; i++) {
        struct json *one = json_new_object();
        json_set_string(one, "address", view_of(audit->strangers[i].address));
        json_set_integer(one, "count", audit->strangers[i].count);
        json_append(addresses, one);
    }
    json_set_integer(details, "refused", audit->strangers_now);
    json_set(details, "addresses", addresses);
    add_own_record(audit, "authentication", details);
    memset(audit->strangers, 0, sizeof audit->strangers);
    audit->strangers_now = 0;
}

static void write_waiting(struct audit *audit)
{
    if (audit->figures.lost > audit->lost_told) {
        struct json *details = json_new_object();
        json_set_integer(details, "lost", (int64_t)(audit->figures.lost - audit->lost_told));
        audit->lost_told = audit->figures.lost;
        add_own_record(audit, "audit", details);
    }
    if (audit->waiting.entry_count)
        state_commit(audit->options.state, &audit->waiting, on_flushed, NULL);
    change_clear(&audit->waiting);
}

static void flush_soon(struct audit *audit);

/* While state is full, what waits goes on waiting: it would take the room that is being made. */
static void on_flush(evutil_socket_t fd, short what, void *context)
{
    struct audit *audit = context;
    (void)fd, (void)what;
    if (state_full(audit->options.state))
        flush_soon(audit);
    else
        write_waiting(audit);
}

static void flush_soon(struct audit *audit)
{
    struct timeval soon = {0, FLUSH_MS * 1000};
    if (!event_pending(audit->flush, EV_TIMEOUT, NULL))
        event_add(audit->flush, &soon);
}

static void on_minute(evutil_socket_t fd, short what, void *context)
{
    struct audit *audit = context;
    (void)fd, (void)what;
    if (audit->strangers_now) {
        add_strangers(audit);
        flush_soon(audit);
    }
    if (++audit->minutes % SWEEP_MINUTES == 0)
        audit_sweep(audit);
}

void audit_stranger(struct audit *audit, struct view address)
{
    size_t i = 0;
    audit->figures.strangers++;
    audit->strangers_now++;
    while (i < STRANGERS_KEPT && audit->strangers[i].count &&
           !view_equal_string(address, audit->strangers[i].address))
        i++;
    if (i == STRANGERS_KEPT)
        return; /* counted in the sum */
    snprintf(audit->strangers[i].address, sizeof audit->strangers[i].address, "%.*s",
             VIEW_FORMAT(address));
    audit->strangers[i].count++;
}

/* Reading is recorded only when it was refused. */
static bool is_recorded(const struct call *call)
{
    bool reads = view_equal(call->method, VIEW("GET")) || view_equal(call->method, VIEW("OPTIONS"));
    return call->endpoint && (call->status == 403 || !reads);
}

void audit_end(struct audit *audit, const struct call *call)
{
    bool foreign_page = call->status == 403 && !call->endpoint;
    if (call->status == 401 || foreign_page || call->problem.type == PROBLEM_TOO_MANY_ATTEMPTS) {
        audit_stranger(audit, view_of(call->peer));
        return;
    }
    if (call->audited || !is_recorded(call))
        return;
    if (audit->waiting.entry_count >= MAX_WAITING) {
        audit->figures.lost++;
        return;
    }
    struct json *record = call_record(call, call->status);
    json_set(record, "changes", json_new_array());
    change_audit(&audit->waiting, record);
    json_free(record);
    flush_soon(audit);
}

/* Sweeping */

static void sweep_some(struct audit *audit, bool pressed);

struct sweep {
    struct audit *audit;
    struct change change;
    struct chain_place anchor, head;
    int64_t oldest_ms;
    uint64_t keep; /* so many of the latest */
    unsigned count;
};

static bool on_old(struct view key, struct view value, uint64_t revision, void *context)
{
    struct sweep *sweep = context;
    struct json *record = NULL;
    int64_t time_ms = 0;
    (void)key, (void)revision;
    /* What cannot be read stays, to be seen. */
    if (record_parse(value, &record))
        return false;
    uint64_t sequence = (uint64_t)integer_of(record, "sequence");
    struct view hash = text_of(record, "hash");
    bool aged = clock_parse_rfc3339(text_of(record, "time"), &time_ms) == ERROR_NONE &&
                time_ms < sweep->oldest_ms;
    bool over = sweep->head.sequence - sequence >= sweep->keep;
    bool old = (aged || over) && hash.length == CHAIN_HASH_SIZE - 1 && sweep->count < SWEEP_AT_ONCE;
    if (old) {
        struct key name = key_audit(sequence);
        change_remove(&sweep->change, name.text);
        sweep->anchor.sequence = sequence;
        memcpy(sweep->anchor.hash, hash.data, hash.length);
        sweep->count++;
    }
    json_free(record);
    return old;
}

static void on_swept(enum error error, uint64_t revision, void *context)
{
    struct audit *audit = context;
    (void)revision;
    audit->sweeping = false;
    if (!error && !audit->stopping)
        sweep_some(audit, false);
}

/* Whoever keeps the log elsewhere can tell later whether the whole chain was made anew. */
static void tell_head(struct audit *audit)
{
    struct chain_place anchor, head;
    if (audit_bounds(audit->options.state, &anchor, &head) == ERROR_NONE)
        log_write(LOG_INFO, "audit-head", LOG_INTEGER("sequence", (int64_t)head.sequence),
                  LOG_STRING("hash", head.hash));
}

/* Of what is kept; while state is full, the latest half of it. */
static uint64_t to_keep(const struct audit *audit, const struct sweep *sweep, bool pressed)
{
    uint64_t count = sweep->head.sequence - sweep->anchor.sequence;
    uint64_t most = (uint64_t)audit->options.max_records;
    if (!pressed || count <= KEPT_WHEN_FULL)
        return most;
    uint64_t half = count / 2 > KEPT_WHEN_FULL ? count / 2 : KEPT_WHEN_FULL;
    return half < most ? half : most;
}

static void tell_room_made(struct audit *audit, unsigned count)
{
    struct json *details = json_new_object();
    json_set_integer(details, "letGoWhileFull", count);
    add_own_record(audit, "audit", details);
    flush_soon(audit);
    log_write(LOG_WARN, "audit-gave-way", LOG_INTEGER("records", count));
}

static void sweep_some(struct audit *audit, bool pressed)
{
    struct sweep sweep = {.audit = audit};
    struct buffer anchor;
    sweep.oldest_ms = clock_wall_ms() - audit->options.max_age_ms;
    if (audit->sweeping || audit_bounds(audit->options.state, &sweep.anchor, &sweep.head))
        return;
    sweep.keep = to_keep(audit, &sweep, pressed);
    change_init(&sweep.change);
    struct key first = key_audit(sweep.anchor.sequence + 1);
    enum error error =
        state_range(audit->options.state, VIEW(AUDIT_FOLDER), view_of(first.text), on_old, &sweep);
    if (!error && sweep.count) {
        struct json *place = NULL;
        buffer_init(&anchor, 256);
        chain_place_write(&sweep.anchor, &anchor);
        REQUIRE(record_parse(buffer_view(&anchor), &place) == ERROR_NONE);
        change_put(&sweep.change, "auditanchor", place);
        json_free(place);
        buffer_release(&anchor);
        audit->sweeping = true;
        sweep.change.urgent = true;
        if (pressed)
            tell_room_made(audit, sweep.count);
        state_commit(audit->options.state, &sweep.change, on_swept, audit);
    }
    change_release(&sweep.change);
}

void audit_make_room(struct audit *audit)
{
    if (state_full(audit->options.state))
        sweep_some(audit, true);
}

void audit_sweep(struct audit *audit)
{
    tell_head(audit);
    sweep_some(audit, false);
}

struct audit *audit_new(const struct audit_options *options)
{
    struct timeval minute = {MINUTE_S, 0};
    struct audit *audit = calloc(1, sizeof *audit);
    REQUIRE(audit);
    audit->options = *options;
    change_init(&audit->waiting);
    audit->flush = evtimer_new(options->base, on_flush, audit);
    audit->minute = event_new(options->base, -1, EV_PERSIST, on_minute, audit);
    REQUIRE(audit->flush && audit->minute && event_add(audit->minute, &minute) == 0);
    return audit;
}

void audit_stop(struct audit *audit)
{
    audit->stopping = true;
    if (audit->strangers_now)
        add_strangers(audit);
    write_waiting(audit);
}

void audit_free(struct audit *audit)
{
    if (!audit)
        return;
    tell_head(audit);
    event_free(audit->flush);
    event_free(audit->minute);
    change_release(&audit->waiting);
    free(audit);
}
