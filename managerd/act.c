/* What handlers have to answer, commit and wait with. */
#include "managerd/call.h"

#include "common/base/clock.h"
#include "common/base/escape.h"
#include "managerd/acceptance.h"
#include "managerd/audit.h"
#include "managerd/authorize.h"
#include "managerd/configure.h"
#include "managerd/history.h"
#include "managerd/idempotency.h"
#include "managerd/operation_told.h"
#include "managerd/publish.h"
#include "managerd/validate.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONFLICTS  1000
#define MAX_LIMIT      500
#define DEFAULT_LIMIT  100
#define MAX_PAGE_BYTES (8u << 20) /* one more item may come */
#define ITEMS_BEGIN    "{\"items\":["

static void set_result(struct call *call, int status, struct json *result)
{
    json_free(call->result);
    call->result = result;
    call->status = status;
}

enum progress call_answer(struct call *call, int status, struct json *result)
{
    set_result(call, status, result);
    return PROGRESS_NEXT;
}

static void set_revision(struct call *call, uint64_t revision)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, revision);
    json_set_string(call->result, "revision", view_of(text));
    call->tagged = true;
}

enum progress call_answer_tagged(struct call *call, int status, struct json *result,
                                 uint64_t revision)
{
    set_result(call, status, result);
    set_revision(call, revision);
    return PROGRESS_NEXT;
}

enum progress call_answer_text(struct call *call, int status, const char *type)
{
    call->status = status;
    call->text_type = type;
    return PROGRESS_NEXT;
}

enum progress call_fail(struct call *call, enum problem_type type, const char *format, ...)
{
    char detail[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    call->problem.type = type;
    call->problem.detail = arena_string(&call->arena, view_of(detail));
    return PROGRESS_FAIL;
}

enum progress call_fail_faults(struct call *call)
{
    if (call->endpoint->flags & ENDPOINT_FIRST_API)
        call->problem.status = 400;
    return call_fail(call, PROBLEM_INVALID, "%zu thing%s to correct; see errors.",
                     call->faults.count, call->faults.count == 1 ? "" : "s");
}

enum progress call_fail_error(struct call *call, enum error error)
{
    if (error == ERROR_FULL)
        return call_fail(call, PROBLEM_STORAGE_FULL, "Nothing was changed: no space is left.");
    if (error == ERROR_TOO_BIG)
        return call_fail(call, PROBLEM_TOO_LARGE, "This is more than one record can hold.");
    return call_fail(call, PROBLEM_STORAGE_FAILED, "Stored data: %s.", error_text(error));
}

enum progress call_act(struct call *call)
{
    if (authorize_act(call) == PROGRESS_FAIL)
        return PROGRESS_FAIL;
    return call->endpoint->act(call);
}

/* Committing. */

/* Runs the handler once more, on what is there now. */
static void act_again(struct call *call)
{
    change_clear(&call->change);
    json_free(call->result);
    call->result = NULL;
    call->status = 0;
    call->location = NULL;
    call->follows = NULL;
    call->unchanged = 0;
    json_free(call->operation);
    call->operation = NULL;
    enum progress verdict = call_act(call);
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
}

static void after_commit(struct call *call)
{
    enum progress verdict = call->on_committed ? call->on_committed(call) : PROGRESS_NEXT;
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
}

static void on_published(enum error error, void *context)
{
    struct call *call = context;
    meter_enter(&call->meter);
    meter_add(&call->meter, publish_times(call->server->publisher));
    if (error)
        call_resume(call, call_fail(call, PROBLEM_UNPUBLISHED,
                                    "The change is saved and will be in force soon."));
    else
        after_commit(call);
    meter_leave();
}

static void publish_change(struct call *call)
{
    if (call->publish_domain.length)
        publish_domain(call->server->publisher, call->publish_domain, on_published, call);
    else
        publish_app(call->server->publisher, call_app(call), on_published, call);
}

static void publish_or_go_on(struct call *call)
{
    if (call->publish)
        publish_change(call);
    else
        after_commit(call);
}

static void go_on_after_commit(struct call *call, enum error error, uint64_t revision)
{
    if (error == ERROR_CONFLICT && call->conflicts++ < MAX_CONFLICTS) {
        act_again(call);
        return;
    }
    if (error) {
        call_resume(call, call_fail_error(call, error));
        return;
    }
    if (call->result && call->tagged)
        set_revision(call, call->unchanged ? call->unchanged : revision);
    call->audited = call->change.entry_count > 0;
    if (call->starts)
        operations_accept(call->server->operations, call->operation, revision);
    publish_or_go_on(call);
}

static void on_commit(enum error error, uint64_t revision, void *context)
{
    struct call *call = context;
    meter_enter(&call->meter);
    meter_add(&call->meter, state_times(call->server->state));
    go_on_after_commit(call, error, revision);
    meter_leave();
}

/* One can always delete one's way out of a full store, and go back or out of service meanwhile. */
static void note_urgency(struct call *call)
{
    call->change.urgent =
        view_equal(call->method, VIEW("DELETE")) || call->endpoint->flags & ENDPOINT_URGENT;
}

/* Who changes what, for the history of apps and domains. */
static void note_changes(struct call *call)
{
    const struct history_cause cause = {.by = view_of(call->principal.label),
                                        .action = view_of(call->endpoint->id),
                                        .request = view_of(call->request_id),
                                        .operation = text_of(call->operation, "id")};
    history_note(call->server->state, &call->change, &cause);
}

enum progress call_commit(struct call *call, int status, struct json *result, bool publish)
{
    set_result(call, status, result);
    call->tagged = json_get(result, "revision") != NULL;
    call->publish = publish;
    idempotency_keep(call, status, result);
    note_urgency(call);
    note_changes(call);
    if (call->change.write_count) {
        audit_change(call, status);
        state_commit(call->server->state, &call->change, on_commit, call);
    } else {
        publish_change(call);
    }
    return PROGRESS_WAIT;
}

void call_configure(struct call *call, const struct json *before, const struct json *app)
{
    json_free(call->operation);
    call->operation = configure_after(before, app, view_of(call->principal.label));
    call->starts = call->operation != NULL;
    if (!call->starts)
        return;
    acceptance_queue(&call->change, call->operation);
    call->follows = arena_format(&call->arena, "</v1/operations/%.*s>; rel=\"monitor\"",
                                 VIEW_FORMAT(text_of(call->operation, "id")));
}

enum progress call_start_operation(struct call *call, struct json *operation)
{
    json_free(call->operation);
    call->operation = operation;
    call->starts = true;
    acceptance_queue(&call->change, operation);
    call->on_committed = call_wait_operation;
    idempotency_keep(call, 202, NULL);
    note_urgency(call);
    note_changes(call);
    audit_change(call, 202);
    state_commit(call->server->state, &call->change, on_commit, call);
    return PROGRESS_WAIT;
}

/* Waiting for an operation. */

static enum progress answer_operation(struct call *call)
{
    const struct json *operation = call->operation;
    const struct json *problem = json_get(operation, "problem");
    struct view id = text_of(operation, "id");
    call->location = arena_format(&call->arena, "/v1/operations/%.*s", VIEW_FORMAT(id));
    if (!operation_finished(operation))
        return call_answer(call, 202, operation_told(call->server->state, operation, 0));
    if (json_type_of(problem) != JSON_OBJECT)
        return call_answer(call, 200, operation_told(call->server->state, operation, 0));
    return call_answer(call, (int)integer_of(problem, "status"), json_copy(problem));
}

static enum progress wait_is_over(struct call *call)
{
    state_unwatch(call->watch);
    call->watch = NULL;
    if (call->timer)
        evtimer_del(call->timer);
    return call->on_operation ? call->on_operation(call) : answer_operation(call);
}

static void on_wait_over(evutil_socket_t fd, short what, void *context)
{
    struct call *call = context;
    (void)fd, (void)what;
    meter_enter(&call->meter);
    enum progress verdict = wait_is_over(call);
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
    meter_leave();
}

static void on_operation_changed(void *context)
{
    struct call *call = context;
    struct record record;
    struct key key = key_operation(text_of(call->operation, "id"));
    meter_enter(&call->meter);
    if (record_read(call->server->state, key.text, &record) == ERROR_NONE) {
        json_free(call->operation);
        call->operation = record.json;
        call->operation_revision = record.revision;
        if (operation_finished(call->operation))
            event_active(call->timer, 0, 0);
    }
    meter_leave();
}

enum progress call_wait_operation(struct call *call)
{
    bool waits = call->wait_for_end || call->wait_ms > 0;
    if (operation_finished(call->operation) || !waits || call->server->draining)
        return wait_is_over(call);
    struct key key = key_operation(text_of(call->operation, "id"));
    call->watch = state_watch(call->server->state, key.text, on_operation_changed, call);
    if (!call->timer)
        call->timer = evtimer_new(call->server->base, on_wait_over, call);
    REQUIRE(call->timer);
    struct timeval limit = {.tv_sec = call->wait_ms / 1000, .tv_usec = call->wait_ms % 1000 * 1000};
    if (!call->wait_for_end)
        evtimer_add(call->timer, &limit);
    return PROGRESS_WAIT;
}

/* Reading. */

struct view call_app(const struct call *call)
{
    return call->parameters.values[0];
}

bool call_read_app(struct call *call, struct record *app)
{
    struct key key = key_app(call_app(call));
    enum error error = record_read(call->server->state, key.text, app);
    if (error == ERROR_NOT_FOUND)
        call_fail(call, PROBLEM_APP_NOT_FOUND,
                  "There is no app %.*s. Create it with PUT, or deploy to it.",
                  VIEW_FORMAT(call_app(call)));
    else if (error)
        call_fail_error(call, error);
    return error == ERROR_NONE;
}

bool call_refuse_deleting(struct call *call, const struct json *app)
{
    if (json_type_of(json_get(internal_of(app), "deleting")) != JSON_STRING)
        return false;
    call_fail(call, PROBLEM_CONFLICT, "The app is being deleted (operation %.*s).",
              VIEW_FORMAT(text_of(internal_of(app), "deleting")));
    return true;
}

bool call_query(struct call *call, const char *name, struct view *value)
{
    struct view rest = call->query, pair;
    bool found = false;
    while (!found && call->query.length && view_split(&rest, '&', &pair)) {
        size_t equals = view_find(pair, '=');
        struct buffer decoded;
        buffer_init(&decoded, 8192);
        if (!percent_decode(&decoded, view_slice(pair, 0, equals), true, true) &&
            view_equal_string(buffer_view(&decoded), name)) {
            buffer_clear(&decoded);
            found = equals == SIZE_MAX ||
                    !percent_decode(&decoded, view_slice(pair, equals + 1, SIZE_MAX), true, true);
            *value = arena_copy(&call->arena, buffer_view(&decoded));
        }
        buffer_release(&decoded);
    }
    return found;
}

bool call_precondition(struct call *call, uint64_t revision)
{
    struct view list;
    if (incoming_header(call->incoming, "If-Match", &list) && !if_match_holds(list, revision)) {
        if (revision)
            call_fail(call, PROBLEM_PRECONDITION_FAILED,
                      "The revision is %" PRIu64 " now; read it again and redo the change.",
                      revision);
        else
            call_fail(call, PROBLEM_PRECONDITION_FAILED, "It does not exist.");
        return false;
    }
    if (!view_equal(call->method, VIEW("GET")) &&
        incoming_header(call->incoming, "If-None-Match", &list) && if_match_holds(list, revision)) {
        call_fail(call, PROBLEM_PRECONDITION_FAILED, "It exists already.");
        return false;
    }
    return true;
}

bool call_precondition_untagged(struct call *call)
{
    struct view list;
    bool none =
        incoming_header(call->incoming, "If-None-Match", &list) && view_find(list, '*') != SIZE_MAX;
    if (none || (incoming_header(call->incoming, "If-Match", &list) &&
                 !view_equal(view_trim(list), VIEW("*")))) {
        call_fail(call, PROBLEM_PRECONDITION_FAILED,
                  "This resource has no ETag that a change could be based on.");
        return false;
    }
    return true;
}

struct view call_expiry(struct call *call)
{
    struct view text;
    int64_t expires_at_ms = 0;
    char kept[CLOCK_RFC3339_SIZE];
    if (!json_get_string(call->body, "expiresAt", &text))
        return VIEW("");
    if (clock_parse_rfc3339(text, &expires_at_ms))
        fault_pointer(&call->faults, "/expiresAt", "must be a time by RFC 3339");
    else if (expires_at_ms <= clock_wall_ms())
        fault_pointer(&call->faults, "/expiresAt", "must lie in the future");
    clock_format_rfc3339(expires_at_ms, kept);
    return arena_copy(&call->arena, view_of(kept));
}

struct view call_choice(struct call *call, const char *name, const char *choices)
{
    struct view value, rest = view_of(choices), choice;
    if (!call_query(call, name, &value))
        return VIEW("");
    while (view_split(&rest, '|', &choice))
        if (view_equal(choice, value))
            return value;
    fault_parameter(&call->faults, name, "must be one of %s", choices);
    return VIEW("");
}

bool call_page(struct call *call, struct page *page, bool (*is_name)(struct view name))
{
    struct view text;
    uint64_t limit = DEFAULT_LIMIT;
    struct buffer after;
    page->after = VIEW("");
    if (call_query(call, "limit", &text) && (view_to_u64(text, MAX_LIMIT, &limit) || limit == 0))
        fault_parameter(&call->faults, "limit", "must be from 1 to %d", MAX_LIMIT);
    page->limit = (unsigned)limit;
    buffer_init(&after, STATE_MAX_KEY);
    if (call_query(call, "cursor", &text)) {
        if (hex_decode(&after, text) || after.length == 0 || !is_name(buffer_view(&after)))
            fault_parameter(&call->faults, "cursor", "must be a nextCursor of this list");
        else
            page->after = arena_copy(&call->arena, buffer_view(&after));
    }
    buffer_release(&after);
    if (call->faults.count)
        call_fail_faults(call);
    return call->faults.count == 0;
}

bool call_add_item(struct call *call, struct json *item)
{
    buffer_append_string(&call->text, call->text.length ? "," : ITEMS_BEGIN);
    json_print(&call->text, item);
    json_free(item);
    return call->text.length < MAX_PAGE_BYTES;
}

bool call_add_text(struct call *call, struct view item)
{
    buffer_append_string(&call->text, call->text.length ? "," : ITEMS_BEGIN);
    buffer_append_view(&call->text, item);
    return call->text.length < MAX_PAGE_BYTES;
}

enum progress call_answer_items(struct call *call, struct view next)
{
    if (!call->text.length)
        buffer_append_string(&call->text, ITEMS_BEGIN);
    buffer_append_string(&call->text, "],\"nextCursor\":");
    if (next.length) {
        buffer_append_byte(&call->text, '"');
        hex_encode(&call->text, next.data, next.length);
        buffer_append_byte(&call->text, '"');
    } else {
        buffer_append_string(&call->text, "null");
    }
    buffer_append_byte(&call->text, '}');
    if (call->text.error)
        return call_fail_error(call, call->text.error);
    return call_answer_text(call, 200, "application/json");
}

enum progress call_answer_page(struct call *call, struct json *items, struct view next)
{
    struct json *result = json_new_object();
    struct buffer cursor;
    buffer_init(&cursor, 2 * STATE_MAX_KEY);
    json_set(result, "items", items);
    if (next.length) {
        hex_encode(&cursor, next.data, next.length);
        json_set_string(result, "nextCursor", buffer_view(&cursor));
    } else {
        json_set_null(result, "nextCursor");
    }
    buffer_release(&cursor);
    return call_answer(call, 200, result);
}
