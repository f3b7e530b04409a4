/* The call that looks at the keys of an app's token issuer. */
#include "managerd/endpoints/endpoints.h"

#include "managerd/call.h"
#include "managerd/issuers.h"

enum progress issuer_refresh(struct call *call)
{
    struct issuers *issuers = call->server->issuers;
    struct record app;
    if (!call_read_app(call, &app))
        return PROGRESS_FAIL;
    bool good = call_precondition(call, app.revision);
    record_release(&app);
    if (!good)
        return PROGRESS_FAIL;
    if (!issuers_refresh(issuers, call_app(call)))
        return call_fail(call, PROBLEM_CONFLICT,
                         "The app asks for no tokens; set access.jwt first.");
    struct json *shown = issuers_show(issuers, call_app(call));
    return call->idempotency_key[0] ? call_commit(call, 200, shown, false)
                                    : call_answer(call, 200, shown);
}
