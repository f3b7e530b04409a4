/* Gives all apps and domains as one document, written a part in each turn of the loop. */
#include "managerd/apply.h"
#include "managerd/call.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/roster.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#define APPS_A_TURN    50
#define DOMAINS_A_TURN 200
#define MAX_TRIES      3

enum part { APPS, DOMAINS, WRITTEN };

/* The document is of one moment: when an app or a domain is changed while it is written, it is begun again,
 * and at last written in one turn. */
struct export
{
    struct call *call;
    struct state_follower *followers[2];
    bool changed;
    unsigned tries;
    enum part part;
    char next[KEY_SIZE]; /* the app that was written last; the domain to go on with */
    unsigned now;        /* written in this turn */
    bool some;           /* of this part */
    unsigned settled;    /* one more turn: a change that was read may not have been told yet */
};

static void on_changed(struct view key, void *context)
{
    struct export *export = context;
    (void)key;
    export->changed = true;
}

static void begin(struct export *export)
{
    buffer_clear(&export->call->text);
    buffer_append_string(&export->call->text, "{\"apps\":[");
    export->part = APPS;
    export->next[0] = 0;
    export->some = export->changed = false;
    export->settled = 0;
    export->tries++;
}

/* Consumes the item. */
static void write_item(struct export *export, struct json *item)
{
    if (export->some)
        buffer_append_byte(&export->call->text, ',');
    json_print(&export->call->text, item);
    json_free(item);
    export->some = true;
}

/* As a document holds it, with the package that serves. */
static struct json *declare_app(struct state *state, const struct json *app)
{
    struct json *declared = apply_declare_app(app);
    struct buffer live;
    buffer_init(&live, 65);
    apply_live_package(state, app, &live);
    if (live.length)
        json_set_string(object_in(declared, "package"), "sha256", buffer_view(&live));
    buffer_release(&live);
    return declared;
}

static enum error write_app(struct export *export)
{
    struct state *state = export->call->server->state;
    struct record app;
    struct key key = key_app(view_of(export->next));
    enum error error = record_read(state, key.text, &app);
    /* What is being deleted is as good as gone. */
    if (!error && json_type_of(json_get(internal_of(app.json), "deleting")) != JSON_STRING)
        write_item(export, declare_app(state, app.json));
    record_release(&app);
    return error == ERROR_NOT_FOUND ? ERROR_NONE : error;
}

static enum error write_apps(struct export *export)
{
    const struct roster *roster = export->call->server->roster;
    enum error error = ERROR_NONE;
    for (unsigned i = 0; i < APPS_A_TURN && !error; i++) {
        const char *name = roster_next(roster, view_of(export->next), VIEW(""), VIEW(""));
        if (!name) {
            buffer_append_string(&export->call->text, "],\"domains\":[");
            export->part = DOMAINS;
            export->next[0] = 0;
            export->some = false;
            return ERROR_NONE;
        }
        snprintf(export->next, sizeof export->next, "%s", name);
        error = write_app(export);
    }
    return error;
}

static bool on_domain(struct view key, struct view value, uint64_t revision, void *context)
{
    struct export *export = context;
    struct json *domain = NULL;
    (void)revision;
    if (export->now++ == DOMAINS_A_TURN) {
        snprintf(export->next, sizeof export->next, "%.*s", VIEW_FORMAT(key));
        return false;
    }
    if (!record_parse(value, &domain))
        write_item(export, apply_declare_domain(domain));
    json_free(domain);
    return true;
}

static enum error write_domains(struct export *export)
{
    struct key from;
    snprintf(from.text, sizeof from.text, "%s", export->next);
    export->next[0] = 0;
    export->now = 0;
    enum error error = state_range(export->call->server->state, VIEW("domains/"),
                                   view_of(from.text), on_domain, export);
    if (!error && !export->next[0]) {
        buffer_append_string(&export->call->text, "]}");
        export->part = WRITTEN;
    }
    return error;
}

/* One turn, or all that is left when it was begun often enough; WAIT: there is more. */
static enum progress go_on(struct export *export)
{
    static const struct timeval at_once = {0, 0};
    struct call *call = export->call;
    enum error error = ERROR_NONE;
    if (export->changed)
        begin(export);
    while (!error && export->part != WRITTEN) {
        error = export->part == APPS ? write_apps(export) : write_domains(export);
        if (!error)
            error = call->text.error;
        if (export->tries <= MAX_TRIES)
            break;
    }
    if (error)
        return call_fail_error(call, error);
    if (export->part == WRITTEN && (export->settled++ || export->tries > MAX_TRIES))
        return call_answer_text(call, 200, "application/json");
    evtimer_add(call->timer, &at_once); /* an event made active would come before the sockets */
    return PROGRESS_WAIT;
}

static void on_turn(evutil_socket_t fd, short what, void *context)
{
    struct export *export = context;
    struct call *call = export->call;
    (void)fd, (void)what;
    meter_enter(&call->meter);
    enum progress verdict = go_on(export);
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
    meter_leave();
}

static void free_export(void *data)
{
    struct export *export = data;
    state_unfollow(export->followers[0]);
    state_unfollow(export->followers[1]);
    free(export);
}

enum progress export_get(struct call *call)
{
    struct export *export = calloc(1, sizeof *export);
    REQUIRE(export);
    export->call = call;
    export->followers[0] = state_follow(call->server->state, "apps/", on_changed, export);
    export->followers[1] = state_follow(call->server->state, "domains/", on_changed, export);
    call->data = export;
    call->free_data = free_export;
    call->timer = evtimer_new(call->server->base, on_turn, export);
    REQUIRE(call->timer);
    begin(export);
    return go_on(export);
}
