/* Asks a version the requests of a check, and tells which rules it breaks. */
#include "managerd/check.h"

#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/escape.h"
#include "common/base/id.h"
#include "managerd/ask.h"
#include "managerd/records.h"
#include "managerd/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES    ((size_t)48 * 1024 * 1024) /* a reply, decoded more than once */
#define BIG_BODY_BYTES ((size_t)512 * 1024)

struct check {
    struct lambda_control *control;
    struct json *version, *requests;
    char *app;
    int64_t deadline_ms;
    uint64_t began_us;
    const bool *stopping;
    void (*on_done)(void *context);
    void *context;

    struct json *shown; /* the requests, as the result shows them */
    enum rule_result results[RULE_COUNT];
    char *why[RULE_COUNT];
    struct json *broken_by[RULE_COUNT]; /* indexes of requests; NULL: none */
    int get_status, head_status;        /* of / ; 0: not asked, or no response */
    unsigned head_index;
    bool lost; /* Lambda cannot be used: the rest is not asked */

    /* The request under way. */
    const struct json *asked;
    unsigned index;
    struct lambda_call *call;
    struct ask_stream stream;
    struct arena arena;
    struct rules rules;
};

/* What HTTP apps should answer somehow; a body may also be {"big": true} or {"binary": true}. */
static const char default_requests[] =
    "[{\"method\":\"GET\",\"path\":\"/\"},"
    "{\"method\":\"HEAD\",\"path\":\"/\"},"
    "{\"method\":\"GET\",\"path\":\"/orchestrator-check/there-is-nothing-here\"},"
    "{\"method\":\"GET\",\"path\":\"/?a=1&a=2&empty=&plus=a+b&caf%C3%A9=%E2%98%95\"},"
    "{\"method\":\"GET\",\"path\":\"/\",\"headers\":{\"Cookie\":\"check=1; other=two\","
    "\"Accept-Language\":\"en\"}},"
    "{\"method\":\"POST\",\"path\":\"/\",\"headers\":{\"Content-Type\":\"application/json\"},"
    "\"body\":\"{\\\"check\\\":true}\"},"
    "{\"method\":\"POST\",\"path\":\"/\",\"headers\":{\"Content-Type\":\"application/"
    "octet-stream\"},"
    "\"bodyBase64\":\"AAECA//+/f8=\"},"
    "{\"method\":\"POST\",\"path\":\"/\",\"headers\":{\"Content-Type\":\"text/"
    "plain\"},\"big\":true}]";

static void next(struct check *check);

struct check *check_start(struct lambda_control *control, const struct json *version,
                          struct view app, const struct json *requests, int64_t deadline_ms,
                          const bool *stopping, void (*on_done)(void *context), void *context)
{
    struct check *check = calloc(1, sizeof *check);
    REQUIRE(check);
    check->control = control;
    check->version = json_copy(version);
    check->app = view_duplicate(app);
    check->deadline_ms =
        deadline_ms ? deadline_ms : 1000 * integer_of(version, "timeoutSeconds") + 1000;
    check->began_us = clock_monotonic_us();
    check->on_done = on_done;
    check->context = context;
    check->stopping = stopping;
    check->shown = json_new_array();
    if (requests)
        check->requests = json_copy(requests);
    else
        REQUIRE(!json_parse(view_of(default_requests), 10, &check->requests, NULL));
    check->asked = json_first(check->requests);
    next(check);
    return check;
}

static void end_request(struct check *check)
{
    ask_stream_release(&check->stream);
    arena_release(&check->arena);
}

void check_free(struct check *check)
{
    if (!check)
        return;
    if (check->call) {
        lambda_cancel(check->call);
        end_request(check);
    }
    for (size_t i = 0; i < RULE_COUNT; i++) {
        free(check->why[i]);
        json_free(check->broken_by[i]);
    }
    json_free(check->version);
    json_free(check->requests);
    json_free(check->shown);
    free(check->app);
    free(check);
}

/* ---- what was found ---- */

static void note(struct check *check, enum rule rule, enum rule_result result, const char *why)
{
    if (result == RULE_SKIPPED)
        return;
    if (check->results[rule] != RULE_FAILED)
        check->results[rule] = result;
    if (result != RULE_FAILED)
        return;
    if (!check->why[rule])
        check->why[rule] = view_duplicate(view_of(why));
    if (!check->broken_by[rule])
        check->broken_by[rule] = json_new_array();
    json_append(check->broken_by[rule], json_new_integer(check->index));
}

static struct view method_of(const struct json *asked)
{
    struct view method = VIEW("GET");
    json_get_string(asked, "method", &method);
    return method;
}

static struct view target_of(const struct json *asked)
{
    struct view target = VIEW("/");
    json_get_string(asked, "path", &target);
    return target;
}

static void remember_status(struct check *check)
{
    if (!view_equal_string(target_of(check->asked), "/") || json_get(check->asked, "headers"))
        return;
    if (view_equal_string(method_of(check->asked), "GET"))
        check->get_status = check->rules.status;
    else if (view_equal_string(method_of(check->asked), "HEAD"))
        check->head_status = check->rules.status, check->head_index = check->index;
}

/* The request is over: its rules go to the check's. */
static void conclude_request(struct check *check, uint64_t took_us)
{
    struct rules *rules = &check->rules;
    struct json *shown = json_new_object(), *broken = json_new_array();
    if (rules->status >= 500)
        rules_fail(rules, RULE_STATUS_BELOW_500, "the answer has the status %d", rules->status);
    else if (rules->status)
        rules_pass(rules, RULE_STATUS_BELOW_500);
    json_set_string(shown, "method", method_of(check->asked));
    json_set_string(shown, "path", target_of(check->asked));
    if (rules->status)
        json_set_integer(shown, "status", rules->status);
    else
        json_set_null(shown, "status");
    json_set_integer(shown, "durationMs", (int64_t)(took_us / 1000));
    for (size_t i = 0; i < RULE_COUNT; i++) {
        note(check, (enum rule)i, rules->results[i], rules->why[i]);
        if (rules->results[i] == RULE_FAILED)
            json_append(broken, json_new_string(view_of(rule_name((enum rule)i))));
    }
    json_set(shown, "broken", broken);
    json_append(check->shown, shown);
    remember_status(check);
}

static void compare_head(struct check *check)
{
    char why[100];
    if (!check->get_status || !check->head_status)
        return;
    check->index = check->head_index;
    if (check->get_status == check->head_status) {
        note(check, RULE_HEAD, RULE_PASSED, NULL);
        return;
    }
    snprintf(why, sizeof why, "GET / is answered with %d, HEAD / with %d", check->get_status,
             check->head_status);
    note(check, RULE_HEAD, RULE_FAILED, why);
}

static struct json *show_rules(struct check *check, struct json *broken)
{
    struct json *rules = json_new_array();
    for (size_t i = 0; i < RULE_COUNT; i++) {
        struct json *shown = json_new_object();
        json_set_string(shown, "rule", view_of(rule_name((enum rule)i)));
        json_set_string(shown, "text", view_of(rule_text((enum rule)i)));
        json_set_string(shown, "result", view_of(rule_result_name(check->results[i])));
        if (check->results[i] == RULE_FAILED) {
            json_append(broken, json_new_string(view_of(rule_name((enum rule)i))));
            json_set_string(shown, "why", view_of(check->why[i]));
            json_set(shown, "requests", json_copy(check->broken_by[i]));
        }
        json_append(rules, shown);
    }
    return rules;
}

struct json *check_result(struct check *check)
{
    const struct json *http = json_get(check->version, "http");
    struct json *result = json_new_object(), *broken = json_new_array();
    compare_head(check);
    struct json *rules = show_rules(check, broken);
    json_set_integer(result, "version", integer_of(check->version, "version"));
    json_set_string(result, "payloadFormat", text_of(http, "payloadFormat"));
    json_set_string(result, "responseMode", text_of(http, "responseMode"));
    json_set_bool(result, "passed", json_count(broken) == 0);
    json_set(result, "broken", broken);
    json_set(result, "rules", rules);
    json_set(result, "requests", check->shown);
    json_set_integer(result, "skippedRequests",
                     (int64_t)(json_count(check->requests) - json_count(check->shown)));
    check->shown = NULL;
    return result;
}

/* ---- what came back ---- */

static void judge_failure(struct check *check, struct view type, struct view message,
                          bool timed_out)
{
    struct rules *rules = &check->rules;
    if (timed_out)
        rules_fail(rules, RULE_IN_TIME, "the function ran into its own time limit");
    else if (view_equal_string(type, "Function.ResponseSizeTooLarge"))
        rules_fail(rules, RULE_SIZE, "%.*s", VIEW_FORMAT(view_slice(message, 0, 300)));
    else
        rules_fail(rules, RULE_FUNCTION_ERROR, "%.*s: %.*s", VIEW_FORMAT(view_slice(type, 0, 100)),
                   VIEW_FORMAT(view_slice(message, 0, 300)));
}

/* False: there is nothing to judge. */
static bool judge_call(struct check *check, const struct lambda_answer *answer)
{
    struct rules *rules = &check->rules;
    if (answer->error == ERROR_TIMEOUT) {
        rules_fail(rules, RULE_IN_TIME, "there was no whole answer after %lld ms",
                   (long long)(answer->took_us / 1000));
    } else if (answer->error == ERROR_TOO_BIG) {
        rules_fail(rules, RULE_SIZE, "the reply is larger than 6 MB (6291456 bytes)");
    } else if (answer->outcome != LAMBDA_OK) {
        rules_fail(rules, RULE_INVOKED, "Lambda: %.*s: %.*s",
                   VIEW_FORMAT(view_slice(answer->code, 0, 100)),
                   VIEW_FORMAT(view_slice(answer->message, 0, 300)));
        check->lost = true;
    } else {
        rules_pass(rules, RULE_INVOKED);
        return true;
    }
    return false;
}

static void judge_buffered(struct check *check, const struct lambda_answer *answer)
{
    struct view type = VIEW(""), message = VIEW("");
    bool timed_out = false;
    if (answer->function_error) {
        reply_function_error(answer->body, &check->arena, &type, &message, &timed_out);
        judge_failure(check, type, message, timed_out);
        return;
    }
    rules_pass(&check->rules, RULE_FUNCTION_ERROR);
    rules_pass(&check->rules, RULE_IN_TIME);
    rules_judge_reply(&check->rules, ask_format(check->version),
                      truth_of(json_get(check->version, "http"), "multiValueHeaders"),
                      answer->body);
}

static void judge_streamed(struct check *check)
{
    struct ask_stream *stream = &check->stream;
    struct rules *rules = &check->rules;
    bool whole = event_stream_ended(&stream->decoder);
    if (stream->problem)
        rules_fail(rules, RULE_FRAMES, "%s", stream->problem);
    else if (!whole && !stream->full)
        rules_fail(rules, RULE_FRAMES, "the stream ended without its last message");
    else
        rules_pass(rules, RULE_FRAMES);
    if (stream->failed) {
        judge_failure(check, view_of(stream->code), view_of(stream->details), stream->timed_out);
    } else {
        rules_pass(rules, RULE_FUNCTION_ERROR);
        rules_pass(rules, RULE_IN_TIME);
    }
    if (stream->output.length || (whole && !stream->failed))
        rules_judge_stream(rules, ask_prelude_mode(check->version), ask_format(check->version),
                           truth_of(json_get(check->version, "http"), "multiValueHeaders"),
                           buffer_view(&stream->output));
}

static void on_answer(const struct lambda_answer *answer, void *context)
{
    struct check *check = context;
    check->call = NULL;
    /* A stream may go on for longer than anybody waits: what came of it is judged. */
    bool going_on = answer->error == ERROR_TIMEOUT && check->stream.output.length;
    if (going_on) {
        rules_pass(&check->rules, RULE_INVOKED);
        rules_judge_stream(&check->rules, ask_prelude_mode(check->version),
                           ask_format(check->version), false, buffer_view(&check->stream.output));
    } else if (judge_call(check, answer)) {
        if (ask_streams(check->version))
            judge_streamed(check);
        else
            judge_buffered(check, answer);
    }
    conclude_request(check, answer->took_us);
    end_request(check);
    check->asked = json_next(check->asked);
    check->index++;
    next(check);
}

static bool on_bytes(struct view bytes, void *context)
{
    struct check *check = context;
    return ask_stream_feed(&check->stream, bytes);
}

/* ---- asking ---- */

static struct view body_of(struct check *check, struct buffer *decoded)
{
    struct view text = VIEW("");
    if (json_get_string(check->asked, "bodyBase64", &text)) {
        REQUIRE(base64_decode(decoded, text) == ERROR_NONE); /* the shape has looked at it */
        return buffer_view(decoded);
    }
    if (truth_of(check->asked, "big")) {
        char *room = buffer_reserve(decoded, BIG_BODY_BYTES);
        REQUIRE(room);
        memset(room, 'x', BIG_BODY_BYTES);
        buffer_commit(decoded, BIG_BODY_BYTES);
        return buffer_view(decoded);
    }
    json_get_string(check->asked, "body", &text);
    return text;
}

static enum error encode(struct check *check, struct buffer *event)
{
    struct ask_request request = {.method = method_of(check->asked),
                                  .target = target_of(check->asked),
                                  .user_agent = VIEW("app-orchestrator-check")};
    const struct json *header = json_first(json_get(check->asked, "headers"));
    struct buffer decoded;
    char id[ID_SIZE];
    id_make(id);
    request.id = view_of(id);
    for (; header && request.header_count < ASK_MAX_HEADERS; header = json_next(header))
        request.headers[request.header_count++] =
            (struct event_header){json_name(header), json_string(header)};
    buffer_init(&decoded, 2 * BIG_BODY_BYTES);
    request.body = body_of(check, &decoded);
    enum error error = ask_encode(check->version, view_of(check->app), &request, event);
    buffer_release(&decoded);
    return error;
}

static void next(struct check *check)
{
    int64_t left_ms = CHECK_MAX_MS - (int64_t)((clock_monotonic_us() - check->began_us) / 1000);
    struct buffer event;
    if (!check->asked || left_ms <= 0 || check->lost || *check->stopping) {
        check->on_done(check->context);
        return;
    }
    arena_init(&check->arena, ARENA_BYTES);
    rules_begin(&check->rules, &check->arena);
    check->rules.head = view_equal_string(method_of(check->asked), "HEAD");
    ask_stream_init(&check->stream);
    buffer_init(&event, ASK_MAX_EVENT_BYTES);
    REQUIRE(encode(check, &event) == ERROR_NONE); /* a body of at most 1 MiB */
    bool streams = ask_streams(check->version);
    struct lambda_request request = {
        .operation = streams ? LAMBDA_INVOKE_STREAM : LAMBDA_INVOKE,
        .function = text_of(json_get(check->version, "function"), "name"),
        .qualifier = text_of(check->version, "lambdaVersion"),
        .body = &event,
        .deadline_ms = check->deadline_ms < left_ms ? check->deadline_ms : left_ms,
        .once = true,
        .on_bytes = streams ? on_bytes : NULL};
    check->call = lambda_send(check->control, &request, on_answer, check);
    buffer_release(&event);
}
