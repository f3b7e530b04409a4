/* DECODE: makes the response out of what the function returned, or learns how the function failed. */
#include "proxyd/steps.h"

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
