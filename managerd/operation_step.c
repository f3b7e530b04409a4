/* What the steps of operations wait by, and fail with. */
#include "common/base/clock.h"
#include "managerd/operation.h"

#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>

#define POLL_FIRST_MS 50
#define POLL_CAP_MS   1000
#define PATIENCE_MS   300000

void operation_after(struct operation *operation, int64_t delay_ms,
                     void (*next)(struct operation *operation))
{
    if (operation_stopped(operation))
        return;
    struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
    operation->on_timer = next;
    REQUIRE(evtimer_add(operation->timer, &delay) == 0);
}

void operation_have_patience(struct operation *operation, int64_t patience_ms)
{
    operation->patience_ms = patience_ms;
}

void operation_poll(struct operation *operation, void (*next)(struct operation *operation),
                    const char *late)
{
    int64_t delay_ms = POLL_FIRST_MS;
    int64_t patience_ms = operation->patience_ms ? operation->patience_ms : PATIENCE_MS;
    if (clock_monotonic_us() - operation->step_began_us > (uint64_t)patience_ms * 1000) {
        operation_step_problem(operation, PROBLEM_TIMEOUT, "%s", late);
        return;
    }
    for (unsigned i = 0; i < operation->polls && delay_ms < POLL_CAP_MS; i++)
        delay_ms *= 2;
    operation->polls++;
    operation_after(operation, delay_ms < POLL_CAP_MS ? delay_ms : POLL_CAP_MS, next);
}

void operation_step_problem(struct operation *operation, enum problem_type type, const char *format,
                            ...)
{
    char detail[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    operation_step_failed(operation, &(struct problem){.type = type, .detail = detail});
}
