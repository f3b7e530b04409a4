/* How the steps of operations ask AWS, and what they do without an answer. */
#include "managerd/operation.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/log.h"
#include "managerd/ask.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_REPEATS     6
#define REPEAT_FIRST_MS 200

/* 200 ms, doubled each time, the later half of it by chance: those that failed together come apart. */
static int64_t repeat_delay_ms(unsigned repeats)
{
    uint32_t random;
    int64_t whole = (int64_t)REPEAT_FIRST_MS << repeats;
    random_bytes(&random, sizeof random);
    return whole / 2 + (int64_t)random % (whole / 2);
}

static void on_call_done(const struct lambda_answer *answer, void *context)
{
    struct operation *operation = context;
    meter_enter(&operation->meter);
    operation->call = NULL;
    operation->meter.aws_us += clock_monotonic_us() - operation->asked_us;
    bool passes = (answer->outcome == LAMBDA_UNAVAILABLE && operation->repeatable) ||
                  (answer->outcome == LAMBDA_CONFLICT && operation->only_asks);
    if (passes && operation->repeats < MAX_REPEATS) {
        log_write(LOG_INFO, "step-repeated", LOG_STRING("id", operation->id),
                  LOG_STRING("app", operation->app), LOG_INTEGER("repeats", operation->repeats + 1),
                  LOG_VIEW("code", answer->code));
        operation_repeat(operation, repeat_delay_ms(operation->repeats));
    } else {
        operation->on_answer(operation, answer);
    }
    meter_leave();
}

void operation_open_stream(struct operation *operation)
{
    REQUIRE(!operation->stream);
    operation->stream = malloc(sizeof *operation->stream);
    REQUIRE(operation->stream);
    ask_stream_init(operation->stream);
}

void operation_send(struct operation *operation, const struct lambda_request *request,
                    void (*on_answer)(struct operation *operation,
                                      const struct lambda_answer *answer))
{
    REQUIRE(!operation->call);
    operation->on_answer = on_answer;
    /* What changes something knows itself what to do when the function is busy. */
    operation->only_asks = !lambda_operation_changes(request->operation);
    /* What a function says is its own business. */
    operation->repeatable =
        request->operation != LAMBDA_INVOKE && request->operation != LAMBDA_INVOKE_STREAM;
    operation->asked_us = clock_monotonic_us();
    operation->call =
        lambda_send(operation->environment->control, request, on_call_done, operation);
}

void operation_step_refused(struct operation *operation, const struct lambda_answer *answer,
                            const char *what)
{
    static const enum problem_type problems[] = {
        [LAMBDA_OK] = PROBLEM_AWS_FAILED,        [LAMBDA_NOT_FOUND] = PROBLEM_AWS_REFUSED,
        [LAMBDA_CONFLICT] = PROBLEM_AWS_REFUSED, [LAMBDA_REFUSED] = PROBLEM_AWS_REFUSED,
        [LAMBDA_DENIED] = PROBLEM_AWS_DENIED,    [LAMBDA_UNAVAILABLE] = PROBLEM_AWS_UNAVAILABLE,
    };
    char detail[600];
    if (answer->message.length)
        snprintf(detail, sizeof detail, "%s: %.*s", what,
                 (int)(answer->message.length < 400 ? answer->message.length : 400),
                 answer->message.data);
    else if (answer->status == 413)
        snprintf(detail, sizeof detail, "%s: AWS takes no package of this size with a call.", what);
    else
        snprintf(detail, sizeof detail, "%s: AWS answered %d.", what, answer->status);
    operation_step_failed(operation, &(struct problem){.type = problems[answer->outcome],
                                                       .detail = detail,
                                                       .aws_code = answer->code,
                                                       .aws_message = answer->message,
                                                       .aws_request_id = answer->request_id});
}
