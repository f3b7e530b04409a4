/* The call that tells what would become of a request. */
#include "managerd/endpoints/endpoints.h"

#include "managerd/call.h"
#include "managerd/explain.h"
#include "managerd/publish.h"

#include "common/base/clock.h"
#include "common/base/escape.h"
#include "common/net/syntax.h"

#define MAX_LINE 8192

/* Each parameter `header`; those that are none are faults. */
static void add_headers(struct call *call, struct explain_request *request)
{
    struct view rest = call->query, pair;
    while (call->query.length && view_split(&rest, '&', &pair)) {
        struct buffer line;
        size_t equals = view_find(pair, '=');
        if (!view_equal(view_slice(pair, 0, equals), VIEW("header")))
            continue;
        buffer_init(&line, MAX_LINE);
        bool bad = equals == SIZE_MAX ||
                   percent_decode(&line, view_slice(pair, equals + 1, SIZE_MAX), true, true);
        if (bad || !explain_add_header(arena_copy(&call->arena, buffer_view(&line)), request))
            fault_parameter(&call->faults, "header",
                            "must be NAME: VALUE, at most %d bytes, at most %d times", MAX_LINE,
                            EXPLAIN_MAX_HEADERS);
        buffer_release(&line);
    }
}

enum progress explain_get(struct call *call)
{
    struct explain_request request = {
        .method = VIEW("GET"), .address = VIEW(""), .now_ms = clock_wall_ms()};
    struct view url;
    const char *fault = "is required: the whole address, as a client writes it";
    if (call_query(call, "url", &url))
        fault = explain_url(url, &request);
    if (fault)
        fault_parameter(&call->faults, "url", "%s", fault);
    if (call_query(call, "method", &request.method) && !syntax_is(request.method, SYNTAX_METHOD))
        fault_parameter(&call->faults, "method", "must be a method in upper case");
    call_query(call, "address", &request.address);
    add_headers(call, &request);
    if (call->faults.count)
        return call_fail_faults(call);
    return call_answer(call, 200,
                       explain(publish_reader(call->server->publisher), &request, &call->arena));
}
