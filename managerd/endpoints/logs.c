/* Reads what an app's function printed: checks what is asked for, then streams it. */
#include "managerd/endpoints/endpoints.h"
#include "managerd/log_lines.h"
#include "managerd/logs.h"

#include "common/base/clock.h"

#include <string.h>

#define DEFAULT_SINCE_MS (10 * INT64_C(60000))
#define MAX_REQUEST_ID   128

static void read_time(struct call *call, const char *name, int64_t *time_ms)
{
    struct view text;
    if (call_query(call, name, &text) && !log_since_read(text, call->arrived_ms, time_ms))
        fault_parameter(&call->faults, name,
                        "must be a time (RFC 3339), or how long ago: 90s, 15m, 2h, 1d");
}

/* The Lambda version of the app's version that is asked for. */
static void read_version(struct call *call, struct logs_wish *wish)
{
    struct view text;
    uint64_t number;
    struct record version;
    if (!call_query(call, "version", &text))
        return;
    if (view_to_u64(text, 1000000000, &number) || number == 0) {
        fault_parameter(&call->faults, "version", "must be the number of a version");
        return;
    }
    struct key key = key_version(call_app(call), (int64_t)number);
    if (record_read(call->server->state, key.text, &version)) {
        fault_parameter(&call->faults, "version", "is none of this app");
        return;
    }
    wish->lambda_version = arena_copy(&call->arena, text_of(version.json, "lambdaVersion"));
    if (!wish->lambda_version.length)
        fault_parameter(&call->faults, "version", "was never published on Lambda");
    record_release(&version);
}

static void take_cursor(struct call *call, const char *name, struct view text,
                        struct logs_wish *wish)
{
    if (log_cursor_read(text, &wish->since_ms, &wish->after))
        wish->after = arena_copy(&call->arena, wish->after);
    else
        fault_parameter(&call->faults, name, "must be what an earlier answer of this call told");
}

/* A client of server-sent events comes back with the id that it heard last (HTML, section 9.2), and all
 * its parameters. */
static void read_cursor(struct call *call, struct logs_wish *wish)
{
    struct view text, since;
    bool given = call_query(call, "after", &text);
    if (given && call_query(call, "since", &since))
        fault_parameter(&call->faults, "after", "does not go with since");
    else if (given)
        take_cursor(call, "after", text, wish);
    if (wish->events && incoming_header(call->incoming, "Last-Event-ID", &text) && text.length)
        take_cursor(call, "Last-Event-ID", text, wish);
}

static void read_wish(struct call *call, struct logs_wish *wish)
{
    struct view text, accepted;
    uint64_t limit = LOGS_DEFAULT_LINES;
    wish->since_ms = call->arrived_ms - DEFAULT_SINCE_MS;
    read_time(call, "since", &wish->since_ms);
    read_time(call, "until", &wish->until_ms);
    read_version(call, wish);
    wish->follow = view_equal_string(call_choice(call, "follow", "true|false"), "true");
    if (call_query(call, "limit", &text)) {
        if (wish->follow)
            fault_parameter(&call->faults, "limit", "does not go with follow");
        else if (view_to_u64(text, LOGS_MAX_LINES, &limit) || limit == 0)
            fault_parameter(&call->faults, "limit", "must be from 1 to %d", LOGS_MAX_LINES);
    }
    wish->limit = (int64_t)limit;
    if (call_query(call, "requestId", &text)) {
        if (text.length == 0 || text.length > MAX_REQUEST_ID)
            fault_parameter(&call->faults, "requestId", "must have 1 to %d bytes", MAX_REQUEST_ID);
        wish->request_id = text;
    }
    wish->events = incoming_header(call->incoming, "Accept", &accepted) &&
                   memmem(accepted.data, accepted.length, "text/event-stream", 17) != NULL;
    read_cursor(call, wish);
    if (wish->follow && wish->until_ms)
        fault_parameter(&call->faults, "until", "does not go with follow");
    else if (wish->until_ms && wish->until_ms < wish->since_ms)
        fault_parameter(&call->faults, "until", "is before since");
}

enum progress log_get(struct call *call)
{
    struct record app;
    struct logs_wish wish = {.after = VIEW(""), .request_id = VIEW(""), .lambda_version = VIEW("")};
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    wish.function = arena_copy(&call->arena, text_of(json_get(app.json, "function"), "name"));
    record_release(&app);
    read_wish(call, &wish);
    if (call->faults.count)
        return call_fail_faults(call);
    if (view_equal(incoming_method(call->incoming), VIEW("HEAD")))
        return call_answer_text(
            call, 200, wish.events ? "text/event-stream; charset=utf-8" : "application/x-ndjson");
    if (call->server->log_readers >= LOGS_MAX_READERS)
        return call_fail(call, PROBLEM_LOG_READERS_BUSY,
                         "%d readers of logs are being served; try again in a moment.",
                         LOGS_MAX_READERS);
    return logs_stream(call, &wish);
}
