/* DECODE: makes the response out of what the function returned, or learns how the function failed. */
#include "proxyd/steps.h"

#include "common/base/json.h"

#define ACCEPTED_MAX_BYTES 1024

/* Lambda has the event: what the client learns is under which ids it runs. */
static enum progress accepted(struct request *request)
{
    static struct reply_header headers[] = {
        {{"Content-Type", 12}, {"application/json", 16}},
        {{"Preference-Applied", 18}, {"respond-async", 13}},
        {{"Cache-Control", 13}, {"no-store", 8}},
    };
    struct json_writer w;
    struct buffer body;

    buffer_init(&body, ACCEPTED_MAX_BYTES);
    json_begin(&w, &body);
    json_open_object(&w, NULL);
    json_write_string(&w, "requestId", view_of(request->id));
    if (request->invocation_id.length)
        json_write_string(&w, "invocationId", request->invocation_id);
    json_close_object(&w);
    request->reply = (struct reply){
        .status = 202,
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .body = arena_copy(&request->arena, buffer_view(&body)),
    };
    buffer_release(&body);
    metrics_add(&request->worker->metrics.async_accepted, 1);
    return PROGRESS_NEXT;
}

static enum progress decode_error(struct request *request, struct view payload)
{
    struct view type = {0}, message = {0};
    bool timed_out = false;

    if (!reply_function_error(payload, &request->arena, &type, &message, &timed_out))
        type = VIEW("without an error object");
    return request_fail(request, timed_out ? FAULT_FUNCTION_TIMEOUT : FAULT_FUNCTION_ERROR,
                        arena_string(&request->arena, view_slice(type, 0, 200)));
}

enum progress decode_request(struct request *request)
{
    struct view payload = view_from(request->payload, request->payload_length);
    struct buffer problem;

    if (request->asynchronous)
        return accepted(request);
    if (request->forwards) {
        request->reply = request->stream.prelude.reply;
        return PROGRESS_NEXT;
    }
    if (request->function_error)
        return decode_error(request, payload);
    buffer_init(&problem, 512);
    enum error error = reply_decode((enum event_format)request->version->payload_format, payload,
                                    &request->arena, &request->reply, &problem);
    const char *why = NULL;
    if (error != ERROR_NONE)
        why = problem.length ? arena_string(&request->arena, buffer_view(&problem))
                             : error_text(error);
    buffer_release(&problem);
    return error == ERROR_NONE ? PROGRESS_NEXT : request_fail(request, FAULT_BAD_REPLY, why);
}
