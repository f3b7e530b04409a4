/* Fuzzes the packets of a hand-over: what is understood can be said again, in the same bytes. */
#include "common/net/handover.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct handover_message message;
    struct buffer problem, again;

    buffer_init(&problem, 1000);
    buffer_init(&again, HANDOVER_MAX_BYTES);
    enum error error = handover_decode(view_from(data, size), &message, &problem);
    REQUIRE((error == ERROR_NONE) == (problem.length == 0));
    if (error == ERROR_NONE) {
        REQUIRE(message.count <= HANDOVER_MAX_SOCKETS);
        REQUIRE(strlen(message.reason) <= HANDOVER_MAX_REASON);
        handover_encode(&message, &again);
        REQUIRE(again.error == ERROR_NONE);
        /* A refusal loses what is not printable, and the version of who said it. */
        if (message.type != HANDOVER_REFUSED)
            REQUIRE(view_equal(buffer_view(&again), view_from(data, size)));
    }
    buffer_release(&problem);
    buffer_release(&again);
    return 0;
}
