/* Makes and ends invocations. */
#include "deploy/lambda-local/invocation.h"

#include "common/base/clock.h"
#include "common/net/front.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct invocation *invocation_new(struct version *version, const char *request_id)
{
    struct invocation *invocation = calloc(1, sizeof *invocation);

    REQUIRE(invocation);
    if (request_id)
        snprintf(invocation->request_id, sizeof invocation->request_id, "%s", request_id);
    else
        id_make(invocation->request_id);
    invocation->version = version_hold(version);
    buffer_init(&invocation->payload, 8 * 1024 * 1024);
    buffer_init(&invocation->reply, INVOCATION_MAX_REPLY_BYTES);
    buffer_init(&invocation->tail, INVOCATION_TAIL_BYTES);
    invocation->queued_us = clock_monotonic_us();
    return invocation;
}

void invocation_free(struct invocation *invocation)
{
    version_release(invocation->version);
    buffer_release(&invocation->payload);
    buffer_release(&invocation->reply);
    buffer_release(&invocation->tail);
    free(invocation->client_context);
    free(invocation);
}

void invocation_word_error(struct invocation *invocation, const char *type, const char *format, ...)
{
    char message[1024];
    struct json_writer w;
    va_list arguments;
    int start = snprintf(message, sizeof message, "RequestId: %s Error: ", invocation->request_id);

    va_start(arguments, format);
    vsnprintf(message + start, sizeof message - (size_t)start, format, arguments);
    va_end(arguments);
    buffer_clear(&invocation->reply);
    json_begin(&w, &invocation->reply);
    json_open_object(&w, NULL);
    json_write_string(&w, "errorType", view_of(type));
    json_write_string(&w, "errorMessage", view_of(message));
    json_close_object(&w);
}

void invocation_finish(struct invocation *invocation, enum invocation_outcome outcome)
{
    if (invocation->on_done)
        invocation->on_done(invocation, outcome, invocation->context);
    invocation_free(invocation);
}

void invocation_forget(struct invocation *invocation)
{
    invocation->on_done = NULL;
    invocation->on_output = NULL;
    invocation->context = NULL;
    invocation_pause(invocation, false);
}

void invocation_pause(struct invocation *invocation, bool paused)
{
    if (invocation->source)
        front_pause(invocation->source, paused);
}
