/* Lists, reads, follows and cancels operations. */
#include "managerd/authorize.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/events.h"
#include "managerd/logbook.h"
#include "managerd/operation_told.h"

#include "common/contract/host.h"

#include <stdio.h>
#include <string.h>

static bool may_see(struct view app, void *context)
{
    return call_may_see(context, app);
}

/* The logbook is a commit behind what can be read until its on_done: what has changed since is judged anew. */
static bool still_wanted(const struct logbook_filter *filter, const struct json *operation)
{
    return !filter->state.length || view_equal(text_of(operation, "state"), filter->state);
}

enum progress operation_list(struct call *call)
{
    struct logbook_filter filter = {VIEW(""), VIEW(""), may_see, call};
    struct page page;
    struct view after, next = VIEW("");
    char id[ID_SIZE];
    unsigned count = 0;
    filter.state = call_choice(call, "state", "queued|running|succeeded|failed|cancelled");
    if (call_query(call, "app", &filter.app) && !app_name_valid(filter.app))
        fault_parameter(&call->faults, "app", "must be the name of an app");
    if (!call_page(call, &page, id_valid))
        return PROGRESS_FAIL;
    for (after = page.after; logbook_next(call->server->logbook, after, &filter, id);) {
        struct record record;
        struct key key = key_operation(view_of(id));
        if (count == page.limit) {
            next = after;
            break;
        }
        after = arena_copy(&call->arena, view_of(id));
        enum error error = record_read(call->server->state, key.text, &record);
        if (error && error != ERROR_NOT_FOUND)
            return call_fail_error(call, error);
        if (!error && still_wanted(&filter, record.json)) {
            struct json *told = operation_told(call->server->state, record.json, TOLD_STEPS_MAX);
            record_release(&record);
            count++;
            if (!call_add_item(call, told)) {
                next = after;
                break;
            }
        } else {
            record_release(&record);
        }
    }
    return call_answer_items(call, next);
}

/* The operation that the path names; false: answered. */
static bool read_operation(struct call *call)
{
    struct record record;
    struct view id = call->parameters.values[0];
    enum error error = ERROR_NOT_FOUND;
    if (id_valid(id)) {
        struct key key = key_operation(id);
        error = record_read(call->server->state, key.text, &record);
    }
    if (error == ERROR_NOT_FOUND)
        call_fail(call, PROBLEM_OPERATION_NOT_FOUND, "There is no operation of this id.");
    else if (error)
        call_fail_error(call, error);
    else
        call->operation = record.json, call->operation_revision = record.revision;
    return error == ERROR_NONE;
}

/* Reading is not failing: an operation that failed is told with 200. */
static enum progress show(struct call *call)
{
    return call_answer_tagged(call, 200, operation_told(call->server->state, call->operation, 0),
                              call->operation_revision);
}

enum progress operation_get(struct call *call)
{
    if (!read_operation(call))
        return PROGRESS_FAIL;
    call->on_operation = show;
    return call_wait_operation(call);
}

enum progress operation_events(struct call *call)
{
    if (!read_operation(call))
        return PROGRESS_FAIL;
    if (view_equal(incoming_method(call->incoming), VIEW("HEAD")))
        return call_answer_text(call, 200, "text/event-stream; charset=utf-8");
    return events_stream(call);
}

/* That it came to an end is what was asked for, also when it ended before the wish reached it. */
static enum progress cancelled(struct call *call)
{
    int status = operation_finished(call->operation) ? 200 : 202;
    struct json *shown = operation_told(call->server->state, call->operation, 0);
    if (!call->idempotency_key[0])
        return call_answer(call, status, shown);
    /* The operation is not this call's own: told again is this answer, not what comes of it. */
    json_free(call->operation);
    call->operation = NULL;
    return call_commit(call, status, shown, false);
}

static enum progress refuse(struct call *call, enum error error)
{
    if (error == ERROR_NOT_FOUND)
        return call_fail(call, PROBLEM_CONFLICT, "The operation has ended: it is %.*s.",
                         VIEW_FORMAT(text_of(call->operation, "state")));
    return call_fail(call, PROBLEM_CONFLICT,
                     "The operation has come too far to be cancelled; roll back instead.");
}

/* The wish is on the disk: it holds even if this process ends now. */
static enum progress on_wished(struct call *call)
{
    struct view id = text_of(call->operation, "id");
    enum error error = operations_cancel(call->server->operations, id);
    call->status = 0;
    call->on_committed = NULL;
    change_clear(&call->change);
    snprintf(call->idempotency_key, sizeof call->idempotency_key, "%s", (const char *)call->data);
    if (error)
        return refuse(call, error);
    call->location = arena_format(&call->arena, "/v1/operations/%.*s", VIEW_FORMAT(id));
    call->on_operation = cancelled;
    return call_wait_operation(call);
}

enum progress operation_cancel(struct call *call)
{
    if (!read_operation(call))
        return PROGRESS_FAIL;
    struct view id = text_of(call->operation, "id");
    if (view_equal(text_of(call->operation, "state"), VIEW("cancelled")))
        return cancelled(call);
    if (!call_precondition(call, call->operation_revision))
        return PROGRESS_FAIL;
    enum error error = operations_may_cancel(call->server->operations, id);
    if (error)
        return refuse(call, error);
    operations_pause(call->server->operations,
                     id); /* or quick steps would outrun the wish for ever */
    struct json *mark = json_new_object();
    struct key key = key_operation(id), cancel = key_cancel(id);
    /* Not when it has come further meanwhile. */
    change_compare(&call->change, key.text, call->operation_revision);
    change_put(&call->change, cancel.text, mark);
    json_free(mark);
    /* The answer is kept when it is known, not with the wish. */
    if (!call->data)
        call->data = arena_string(&call->arena, view_of(call->idempotency_key));
    call->idempotency_key[0] = 0;
    call->on_committed = on_wished;
    return call_commit(call, 202, NULL, false);
}
