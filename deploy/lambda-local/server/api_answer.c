/* How the handlers answer a call: JSON, nothing, bytes, or one of AWS's errors. */
#include "deploy/lambda-local/server/api.h"

#include "common/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_HEADERS 12

void api_answer_bytes(struct api_call *call, int status, const struct incoming_header *headers,
                      size_t header_count, struct view body)
{
    struct incoming_header all[MAX_HEADERS + 2];
    size_t count = 0;
    bool typed = false;

    REQUIRE(!call->answered && header_count <= MAX_HEADERS);
    call->answered = true;
    for (size_t i = 0; i < header_count; i++) {
        typed = typed || view_equal_string(headers[i].name, "Content-Type");
        all[count++] = headers[i];
    }
    if (!typed && status != 204)
        all[count++] = (struct incoming_header){VIEW("Content-Type"), VIEW("application/json")};
    all[count++] = (struct incoming_header){VIEW("x-amzn-RequestId"), view_of(call->request_id)};
    /* The call may die in here. */
    front_reply(call->exchange, status, all, count, body);
}

static void on_writable(struct front_exchange *exchange, void *context)
{
    struct api_call *call = front_data(exchange);

    (void)context;
    if (call->on_writable)
        call->on_writable(call);
}

void api_stream_begin(struct api_call *call, const struct incoming_header *headers,
                      size_t header_count)
{
    struct incoming_header all[MAX_HEADERS + 2];
    size_t count = 0;

    REQUIRE(!call->answered && header_count <= MAX_HEADERS);
    call->answered = call->streaming = true;
    while (count < header_count) {
        all[count] = headers[count];
        count++;
    }
    all[count++] =
        (struct incoming_header){VIEW("Content-Type"), VIEW("application/vnd.amazon.eventstream")};
    all[count++] = (struct incoming_header){VIEW("x-amzn-RequestId"), view_of(call->request_id)};
    front_stream_begin(call->exchange, 200, all, count, on_writable);
}

void api_stream_write(struct api_call *call, struct view bytes)
{
    front_stream_write(call->exchange, bytes);
}

size_t api_stream_unsent(const struct api_call *call)
{
    return front_stream_unsent(call->exchange);
}

void api_stream_end(struct api_call *call)
{
    call->streaming = false;
    /* The call may die in here. */
    front_stream_end(call->exchange);
}

void api_answer(struct api_call *call, int status, struct json *document)
{
    struct buffer text;

    buffer_init(&text, 64 * 1024 * 1024);
    json_print(&text, document);
    json_free(document);
    if (text.error != ERROR_NONE)
        api_refuse(call, REFUSAL_SERVICE, "The answer became too large.");
    else
        api_answer_bytes(call, status, NULL, 0, buffer_view(&text));
    buffer_release(&text);
}

void api_answer_nothing(struct api_call *call, int status)
{
    api_answer_bytes(call, status, NULL, 0, VIEW(""));
}

void api_refuse_logs(struct api_call *call, const char *type, struct view message)
{
    struct incoming_header header = {VIEW("Content-Type"), VIEW("application/x-amz-json-1.1")};
    struct buffer body;
    struct json_writer w;

    buffer_init(&body, 64 * 1024);
    json_begin(&w, &body);
    json_open_object(&w, NULL);
    json_write_string(&w, "__type", view_of(type));
    json_write_string(&w, "message", message);
    json_close_object(&w);
    api_answer_bytes(call, 400, &header, 1, buffer_view(&body));
    buffer_release(&body);
}

static void refuse(struct api_call *call, enum refusal refusal, const char *reason,
                   struct view message)
{
    struct incoming_header headers[2] = {
        {VIEW("x-amzn-ErrorType"), view_of(refusal_name(refusal))},
        {VIEW("Retry-After"), VIEW("1")},
    };
    bool later = refusal_status(refusal) == 429 || refusal_status(refusal) == 503;
    struct buffer body;

    if (api_is_logs(call)) {
        api_refuse_logs(call, refusal_name(refusal), message);
        return;
    }
    if (api_is_sts(call)) {
        api_refuse_sts(call, refusal_status(refusal), refusal_name(refusal), message);
        return;
    }
    buffer_init(&body, 64 * 1024);
    refusal_body(refusal, reason, message, &body);
    api_answer_bytes(call, refusal_status(refusal), headers, later ? 2 : 1, buffer_view(&body));
    buffer_release(&body);
}

void api_refuse(struct api_call *call, enum refusal refusal, const char *format, ...)
{
    char message[4096];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    refuse(call, refusal, NULL, view_of(message));
}

void api_refuse_throttled(struct api_call *call, const char *reason)
{
    refuse(call, REFUSAL_TOO_MANY, reason, VIEW("Rate Exceeded."));
}

bool api_failed(struct api_call *call, enum error error, const char *what)
{
    if (error == ERROR_NONE)
        return false;
    log_write(LOG_ERROR, "api-failed", LOG_STRING("operation", call->operation->name),
              LOG_STRING("what", what), LOG_STRING("error", error_text(error)),
              LOG_STRING("request", call->request_id));
    api_refuse(call, REFUSAL_SERVICE, "%s: %s", what, error_text(error));
    return true;
}
