/* Reads what an app's function printed, page by page, as long as the client wants to hear it. */
#include "managerd/logs.h"

#include "common/base/clock.h"
#include "managerd/cloudwatch.h"
#include "managerd/log_lines.h"
#include "managerd/log_stream.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_START    "/aws/lambda/"
#define PAGE_EVENTS    1000 /* so that a page holds up the loop for a moment only */
#define MAX_TOKEN      8192
#define POLL_MS        1000
#define QUIET_MS       5000
#define FAILING_MS     30000
#define LOOK_BACK_MS   10000
#define TICK_MS        500
#define CROWDED_BYTES  (256u << 10)
#define KNOWN_VERSIONS 32

/* Lives as the call's data. */
struct logs {
    struct call *call;
    struct logs_wish wish;
    struct log_stream stream;
    struct cloudwatch_call *asking;
    struct log_seen seen;
    struct log_streams streams;
    struct buffer token; /* of the next page; empty: from the start */
    char group[sizeof GROUP_START + 140];
    struct {
        char lambda[24];
        int64_t version;
    } known[KNOWN_VERSIONS];
    size_t known_count;
    int64_t latest_ms;              /* the latest line's time */
    char position[LOG_CURSOR_SIZE]; /* behind the latest line that was looked at; empty: none */
    int64_t position_ms;
    int64_t told; /* lines */
    int64_t told_before;
    int64_t pause_ms; /* between looks, when following */
    uint64_t began_us, due_us;
    enum log_end end;
    bool polling;   /* looks again at what was looked at */
    bool published; /* a version of the app is known on Lambda */
    bool gone;
};

static void free_logs(void *data)
{
    struct logs *logs = data;
    cloudwatch_cancel(logs->asking);
    buffer_release(&logs->token);
    logs->call->server->log_readers--;
    free(logs);
}

static void tick_soon(void *context)
{
    struct logs *logs = context;
    event_active(logs->call->timer, 0, 0);
}

/* ---- lines ---- */

struct search {
    struct view lambda_version;
    int64_t version;
};

static bool on_version(struct view key, struct view value, uint64_t revision, void *context)
{
    struct search *search = context;
    struct json *version = NULL;
    (void)key, (void)revision;
    if (record_parse(value, &version))
        return true;
    if (view_equal(text_of(version, "lambdaVersion"), search->lambda_version))
        search->version = integer_of(version, "version");
    json_free(version);
    return true;
}

/* The app's latest version that runs as this Lambda version; 0: none. */
static int64_t version_of(struct logs *logs, struct view lambda_version)
{
    struct search search = {.lambda_version = lambda_version};
    struct key prefix = key_versions(call_app(logs->call));
    for (size_t i = 0; i < logs->known_count; i++)
        if (view_equal_string(lambda_version, logs->known[i].lambda))
            return logs->known[i].version;
    if (lambda_version.length >= sizeof logs->known[0].lambda ||
        state_range(logs->call->server->state, view_of(prefix.text), VIEW(""), on_version, &search))
        return 0;
    if (logs->known_count == KNOWN_VERSIONS)
        logs->known_count = 0;
    snprintf(logs->known[logs->known_count].lambda, sizeof logs->known[0].lambda, "%.*s",
             VIEW_FORMAT(lambda_version));
    logs->known[logs->known_count++].version = search.version;
    return search.version;
}

/* A version that is being deployed prints before its record says where it runs. */
static void forget_unknown_versions(struct logs *logs)
{
    size_t kept = 0;
    for (size_t i = 0; i < logs->known_count; i++)
        if (logs->known[i].version)
            logs->known[kept++] = logs->known[i];
    logs->known_count = kept;
}

static bool is_wanted(const struct logs_wish *wish, const struct log_line *line)
{
    if (wish->lambda_version.length && !view_equal(wish->lambda_version, line->lambda_version))
        return false;
    return !wish->request_id.length || view_equal(wish->request_id, line->request_id) ||
           (line->message.length && memmem(line->message.data, line->message.length,
                                           wish->request_id.data, wish->request_id.length));
}

static void note_position(struct logs *logs, const struct log_line *line)
{
    if (line->time_ms >= logs->position_ms &&
        log_cursor_write(logs->position, line->time_ms, line->id))
        logs->position_ms = line->time_ms;
}

/* False: no more lines are wanted. */
static bool tell_event(struct logs *logs, const struct json *event)
{
    struct log_line line = {.time_ms = integer_of(event, "timestamp"),
                            .message = text_of(event, "message"),
                            .id = text_of(event, "eventId"),
                            .stream = text_of(event, "logStreamName")};
    if (!log_seen_add(&logs->seen, line.id, line.time_ms, logs->polling))
        return true;
    if (view_ends_with(line.message, VIEW("\n")))
        line.message.length--;
    line.request_id = log_streams_request(&logs->streams, line.stream, line.message);
    line.lambda_version = log_stream_version(line.stream);
    if (is_wanted(&logs->wish, &line)) {
        if (!logs->wish.follow && logs->told == logs->wish.limit) {
            logs->latest_ms = line.time_ms;
            return false;
        }
        line.version = version_of(logs, line.lambda_version);
        log_stream_tell(&logs->stream, &line);
        logs->told++;
    }
    if (line.time_ms > logs->latest_ms)
        logs->latest_ms = line.time_ms;
    note_position(logs, &line);
    return true;
}

/* The client has had the line with the id `after`, and those of the same millisecond before it: they
 * are noted as seen. False: that line is not on this page, but may be on a later one. */
static bool skip_told(struct logs *logs, const struct json *events)
{
    const struct json *event = json_first(events);
    bool found = false, passed = false;
    for (; event && !found && !passed; event = json_next(event)) {
        passed = integer_of(event, "timestamp") > logs->wish.since_ms;
        found = view_equal(text_of(event, "eventId"), logs->wish.after);
        if (!passed)
            log_seen_add(&logs->seen, text_of(event, "eventId"), integer_of(event, "timestamp"),
                         false);
    }
    if (found)
        logs->wish.after = VIEW("");
    return found;
}

/* ---- pages ---- */

static void end_with(struct logs *logs, enum log_end end)
{
    logs->end = end;
    tick_soon(logs);
}

static void ask_in(struct logs *logs, int64_t delay_ms)
{
    logs->due_us = clock_monotonic_us() + (uint64_t)delay_ms * 1000;
    tick_soon(logs);
}

/* It is not there any more: all of its millisecond are told, rather than none. */
static void begin_anew(struct logs *logs)
{
    memset(&logs->seen, 0, sizeof logs->seen);
    logs->wish.after = VIEW("");
    buffer_clear(&logs->token);
    ask_in(logs, 0);
}

/* For the line that the client had last: its millisecond may fill several pages. */
static void look_on(struct logs *logs, const struct json *events)
{
    const struct json *event = json_first(events);
    bool passed = !logs->token.length || logs->token.error;
    for (; event && !passed; event = json_next(event))
        passed = integer_of(event, "timestamp") > logs->wish.since_ms;
    if (passed)
        begin_anew(logs);
    else
        ask_in(logs, 0);
}

/* Everything that is there was read: ends, or looks again in a while. */
static void read_all(struct logs *logs)
{
    buffer_clear(&logs->token);
    if (!logs->wish.follow) {
        end_with(logs, LOG_END_COMPLETE);
        return;
    }
    logs->pause_ms = logs->told > logs->told_before ? POLL_MS : logs->pause_ms * 3 / 2;
    if (logs->pause_ms > QUIET_MS)
        logs->pause_ms = QUIET_MS;
    logs->told_before = logs->told;
    logs->polling = true;
    ask_in(logs, logs->pause_ms);
}

static void describe(struct call *call, const struct lambda_answer *answer)
{
    call->problem.aws_code = arena_copy(&call->arena, answer->code);
    call->problem.aws_message = arena_copy(&call->arena, answer->message);
    call->problem.aws_request_id = arena_copy(&call->arena, answer->request_id);
}

static void nothing_printed(struct logs *logs)
{
    log_stream_begin(&logs->stream);
    logs->pause_ms = QUIET_MS;
    read_all(logs);
}

static void on_refusal(struct logs *logs, const struct lambda_answer *answer)
{
    struct call *call = logs->call;
    if (answer->outcome == LAMBDA_NOT_FOUND) {
        nothing_printed(logs);
        return;
    }
    if (logs->stream.begun && logs->wish.follow && answer->outcome == LAMBDA_UNAVAILABLE) {
        log_stream_comment(&logs->stream, "CloudWatch Logs cannot be read now");
        logs->pause_ms = logs->pause_ms * 2 > FAILING_MS ? FAILING_MS : logs->pause_ms * 2;
        ask_in(logs, logs->pause_ms);
        return;
    }
    enum progress verdict = call_fail(
        call,
        answer->outcome == LAMBDA_DENIED        ? PROBLEM_AWS_DENIED
        : answer->outcome == LAMBDA_UNAVAILABLE ? PROBLEM_AWS_UNAVAILABLE
                                                : PROBLEM_AWS_REFUSED,
        "The logs cannot be read: %.*s", VIEW_FORMAT(view_slice(answer->message, 0, 400)));
    describe(call, answer);
    if (logs->stream.begun)
        end_with(logs, LOG_END_PROBLEM);
    else
        call_resume(call, verdict);
}

static void on_page(const struct lambda_answer *answer, void *context)
{
    struct logs *logs = context;
    bool more = true;
    logs->asking = NULL;
    if (answer->outcome != LAMBDA_OK) {
        on_refusal(logs, answer);
        return;
    }
    const struct json *events = json_get(answer->json, "events"), *event = json_first(events);
    log_stream_begin(&logs->stream);
    forget_unknown_versions(logs);
    buffer_clear(&logs->token);
    buffer_append_view(&logs->token, text_of(answer->json, "nextToken"));
    if (logs->wish.after.length && !skip_told(logs, events)) {
        look_on(logs, events);
        return;
    }
    for (; event && more; event = json_next(event))
        more = tell_event(logs, event);
    if (!more)
        end_with(logs, LOG_END_LIMIT);
    else if (logs->token.length && !logs->token.error)
        ask_in(logs, 0);
    else
        read_all(logs);
}

static bool on_any_version(struct view key, struct view value, uint64_t revision, void *context)
{
    bool *published = context;
    struct json *version = NULL;
    (void)key, (void)revision;
    if (record_parse(value, &version))
        return true;
    *published = text_of(version, "lambdaVersion").length > 0;
    json_free(version);
    return !*published;
}

/* An app may name any function. Until a deployment has found it to be the app's own, or made it, or
 * adopted it, what it prints is not for those who may read the app. */
static bool function_is_known(struct logs *logs)
{
    struct key prefix = key_versions(call_app(logs->call));
    struct state *state = logs->call->server->state;
    if (!logs->published &&
        state_range(state, view_of(prefix.text), VIEW(""), on_any_version, &logs->published))
        logs->published = false;
    return logs->published;
}

static void fetch(struct logs *logs)
{
    if (!function_is_known(logs)) {
        nothing_printed(logs);
        return;
    }
    int64_t start_ms = logs->wish.since_ms;
    if (logs->polling && logs->latest_ms - LOOK_BACK_MS > start_ms)
        start_ms = logs->latest_ms - LOOK_BACK_MS;
    if (logs->polling && logs->seen.forgotten_ms > start_ms)
        start_ms = logs->seen.forgotten_ms;
    struct cloudwatch_request request = {.group = view_of(logs->group),
                                         .token = buffer_view(&logs->token),
                                         .start_ms = start_ms,
                                         .end_ms = logs->wish.until_ms,
                                         .limit = PAGE_EVENTS};
    logs->asking = cloudwatch_filter(logs->call->server->cloudwatch, &request, on_page, logs);
}

/* ---- time ---- */

static void finish(struct logs *logs)
{
    struct call *call = logs->call;
    evtimer_del(call->timer);
    cloudwatch_cancel(logs->asking);
    logs->asking = NULL;
    if (logs->gone)
        log_stream_abort(&logs->stream);
    else
        log_stream_end(&logs->stream, logs->end, logs->latest_ms, logs->position);
    call_resume(call, PROGRESS_NEXT);
}

static void look_for_end(struct logs *logs, uint64_t now_us)
{
    struct call *call = logs->call;
    int64_t most_ms = logs->wish.follow ? LOGS_FOLLOW_MS : LOGS_READ_MS;
    /* Whoever may look no more does not get to see the rest. */
    if (principal_ended(&call->principal, clock_wall_ms()))
        logs->gone = true;
    if (logs->end != LOG_END_NONE)
        return;
    if (call->server->draining)
        logs->end = LOG_END_DRAINING;
    else if (now_us - logs->began_us > (uint64_t)most_ms * 1000)
        logs->end = LOG_END_TIME;
}

/* At each tick: ends, says that it is still there, asks for the next page when that is due and the
 * client has room for it. */
static void on_tick(evutil_socket_t fd, short what, void *context)
{
    struct logs *logs = context;
    struct timeval later = {0, TICK_MS * 1000};
    uint64_t now_us = clock_monotonic_us();
    (void)fd, (void)what;
    look_for_end(logs, now_us);
    if (logs->gone || logs->end != LOG_END_NONE) {
        finish(logs);
        return;
    }
    log_stream_comment(&logs->stream, NULL);
    if (!logs->asking && now_us >= logs->due_us &&
        log_stream_unsent(&logs->stream) <= CROWDED_BYTES)
        fetch(logs);
    else if (!logs->asking && logs->due_us > now_us && logs->due_us - now_us < TICK_MS * 1000)
        later.tv_usec = (suseconds_t)(logs->due_us - now_us);
    REQUIRE(evtimer_add(logs->call->timer, &later) == 0);
}

static void on_gone(void *context)
{
    struct logs *logs = context;
    logs->gone = true;
    tick_soon(logs);
}

enum progress logs_stream(struct call *call, const struct logs_wish *wish)
{
    struct logs *logs = calloc(1, sizeof *logs);
    REQUIRE(logs);
    logs->call = call;
    logs->wish = *wish;
    logs->stream = (struct log_stream){
        .call = call, .events = wish->events, .on_writable = tick_soon, .context = logs};
    logs->latest_ms = wish->since_ms;
    logs->began_us = clock_monotonic_us();
    logs->pause_ms = POLL_MS;
    buffer_init(&logs->token, MAX_TOKEN);
    snprintf(logs->group, sizeof logs->group, GROUP_START "%.*s", VIEW_FORMAT(wish->function));
    call->server->log_readers++;
    call->data = logs;
    call->free_data = free_logs;
    call->timer = evtimer_new(call->server->base, on_tick, logs);
    REQUIRE(call->timer);
    incoming_watch(call->incoming, on_gone, logs);
    tick_soon(logs);
    return PROGRESS_WAIT;
}
