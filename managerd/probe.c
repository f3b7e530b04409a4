/* Asks a new version for its probe path, before anybody else does. */
#include "managerd/deploy.h"

#include "common/base/clock.h"
#include "common/contract/event.h"
#include "common/contract/reply.h"
#include "managerd/records.h"

#define MAX_EVENT_BYTES 65536

static enum event_format format_of(const struct json *version)
{
    struct view format = text_of(json_get(version, "http"), "payloadFormat");
    return view_equal_string(format, "1.0")   ? EVENT_1_0
           : view_equal_string(format, "alb") ? EVENT_ALB
                                              : EVENT_2_0;
}

static void on_reply(struct operation *operation, const struct lambda_answer *answer)
{
    struct record version;
    struct arena arena;
    struct buffer problem;
    struct reply reply = {0};
    struct key key =
        key_version(view_of(operation->app), integer_of(operation_work(operation), "version"));
    if (answer->outcome != LAMBDA_OK) {
        operation_step_refused(operation, answer, "The new version could not be invoked");
        return;
    }
    if (record_read(operation->environment->state, key.text, &version)) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The version's record cannot be read.");
        return;
    }
    arena_init(&arena, 16u << 20);
    buffer_init(&problem, 1024);
    struct view type = VIEW(""), message = VIEW("");
    bool timed_out = false;
    if (answer->function_error) {
        reply_function_error(answer->body, &arena, &type, &message, &timed_out);
        operation_step_problem(operation, PROBLEM_PROBE_FAILED,
                               "The function failed on the probe: %.*s: %.*s", VIEW_FORMAT(type),
                               (int)(message.length < 300 ? message.length : 300), message.data);
    } else if (view_equal_string(text_of(json_get(version.json, "http"), "responseMode"),
                                 "buffered") &&
               reply_decode(format_of(version.json), answer->body, &arena, &reply, &problem)) {
        operation_step_problem(operation, PROBLEM_PROBE_FAILED,
                               "The answer to the probe is no HTTP response: %.*s",
                               VIEW_FORMAT(buffer_view(&problem)));
    } else if (reply.status >= 500) {
        operation_step_problem(operation, PROBLEM_PROBE_FAILED,
                               "The new version answered the probe with status %d.", reply.status);
    } else if (reply.status) {
        operation_step_done(operation, "Answered with status %d.", reply.status);
    } else {
        operation_step_done(operation, "Answered.");
    }
    buffer_release(&problem);
    arena_release(&arena);
    record_release(&version);
}

static bool encode_probe(struct operation *operation, const struct json *version,
                         struct buffer *event)
{
    struct view path = text_of(json_get(version, "probe"), "path"), query = VIEW("");
    size_t mark = view_find(path, '?');
    if (mark != SIZE_MAX) {
        query = view_slice(path, mark + 1, SIZE_MAX);
        path = view_slice(path, 0, mark);
    }
    struct event_header headers[] = {
        {VIEW("Host"), VIEW("probe.invalid")},
        {VIEW("User-Agent"), VIEW("app-orchestrator-probe")},
        {VIEW("Accept"), VIEW("*/*")},
    };
    struct event_request request = {
        .method = VIEW("GET"),
        .raw_path = path,
        .raw_query = query,
        .protocol = VIEW("HTTP/1.1"),
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .body = VIEW(""),
        .source_ip = VIEW("127.0.0.1"),
        .domain_name = VIEW("probe.invalid"),
        .request_id = view_of(operation->id),
        .time_ms = clock_wall_ms(),
        .app = view_of(operation->app),
        .account_id = VIEW("anonymous"),
        .multi_value = truth_of(json_get(version, "http"), "multiValueHeaders"),
        .target_group_arn = VIEW("arn:aws:elasticloadbalancing:us-east-1:000000000000:"
                                 "targetgroup/probe/0000000000000000"),
    };
    return !event_encode(format_of(version), &request, event);
}

void step_probe(struct operation *operation)
{
    struct record version;
    struct buffer event;
    const struct json *work = operation_work(operation);
    struct key key = key_version(view_of(operation->app), integer_of(work, "version"));
    if (record_read(operation->environment->state, key.text, &version)) {
        operation_step_problem(operation, PROBLEM_STORAGE_FAILED,
                               "The version's record cannot be read.");
        return;
    }
    buffer_init(&event, MAX_EVENT_BYTES);
    if (encode_probe(operation, version.json, &event)) {
        struct lambda_request request = {
            .operation = LAMBDA_INVOKE,
            .function = text_of(json_get(version.json, "function"), "name"),
            .qualifier = text_of(work, "lambdaVersion"),
            .body = &event,
            .deadline_ms = 1000 * (integer_of(version.json, "timeoutSeconds") + 5)};
        operation_send(operation, &request, on_reply);
    } else {
        operation_step_problem(operation, PROBLEM_PROBE_FAILED,
                               "The probe path is no lawful path.");
    }
    buffer_release(&event);
    record_release(&version);
}
