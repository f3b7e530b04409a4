/* Moves a version from state to state, in the words that AWS uses. */
#include "deploy/lambda-local/function_state.h"

#include "common/base/clock.h"

#include <event2/event.h>
#include <string.h>

static void set(struct version *version, const char *name, const char *value)
{
    json_set_string(version->configuration, name, view_of(value));
}

void function_state_create(struct version *version, bool wait)
{
    if (!wait) {
        function_state_settle(version);
        return;
    }
    set(version, "State", "Pending");
    set(version, "StateReason", "The function is being created.");
    set(version, "StateReasonCode", "Creating");
    set(version, "LastUpdateStatus", "Successful");
    version_touch(version);
}

void function_state_update(struct version *version, bool wait)
{
    if (!wait) {
        function_state_settle(version);
        return;
    }
    set(version, "State", "Active");
    set(version, "LastUpdateStatus", "InProgress");
    set(version, "LastUpdateStatusReason", "The function is being created.");
    set(version, "LastUpdateStatusReasonCode", "Creating");
    version_touch(version);
}

void function_state_settle(struct version *version)
{
    static const char *const reasons[] = {"StateReason", "StateReasonCode",
                                          "LastUpdateStatusReason", "LastUpdateStatusReasonCode"};

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        json_remove(version->configuration, reasons[i]);
    set(version, "State", "Active");
    set(version, "LastUpdateStatus", "Successful");
    version_touch(version);
}

void function_state_modified(struct json *configuration)
{
    char text[CLOCK_RFC3339_SIZE + 8];

    clock_format_rfc3339(clock_wall_ms(),
                         text); /* "…05.678Z" -> "…05.678+0000", as Lambda writes */
    memcpy(text + strlen(text) - 1, "+0000", 6);
    json_set_string(configuration, "LastModified", view_of(text));
}

void function_state_wait(struct event_base *base, struct version *version, int64_t delay_ms,
                         void (*on_ready)(int, short, void *), void *context)
{
    struct timeval delay = {delay_ms / 1000, delay_ms % 1000 * 1000};

    REQUIRE(!version->ready_timer);
    version->ready_timer = evtimer_new(base, on_ready, context);
    REQUIRE(version->ready_timer);
    evtimer_add(version->ready_timer, &delay);
}
