/* ROUTE: finds the app of the host and path, and picks the version that serves this request. */
#include "proxyd/steps.h"

static enum progress fail_lookup(struct request *request, enum error error)
{
    if (error == ERROR_NOT_FOUND)
        return request_fail(request, FAULT_UNKNOWN_APP, "no route");
    if (error == ERROR_INVALID)
        return request_fail(request, FAULT_BAD_TARGET, NULL);
    if (error == ERROR_UNREACHABLE)
        return request_fail(request, FAULT_NO_ROUTES, NULL);
    return request_fail(request, FAULT_RECORD_UNREADABLE, error_text(error));
}

static const struct route_version *pick(struct request *request)
{
    const struct route_record *route = &request->route;
    uint16_t weights[ROUTE_MAX_VERSIONS];
    size_t picked;

    for (size_t i = 0; i < route->version_count; i++)
        weights[i] = route->versions[i].weight;
    picked =
        traffic_pick(weights, route->version_count, worker_random(request->worker, TRAFFIC_TOTAL));
    return picked < route->version_count ? &route->versions[picked] : NULL;
}

enum progress route_request(struct request *request)
{
    struct route_query query = {.host = request->host, .path = request->path};
    enum error error = routes_find(request->worker->routes, &query, &request->arena,
                                   &request->found, &request->route);

    if (error != ERROR_NONE)
        return fail_lookup(request, error);
    if (!request->route.enabled)
        return request_fail(request, FAULT_UNKNOWN_APP, "inactive");
    if (request->found.version != 0)
        return request_fail(request, FAULT_UNKNOWN_APP, "no previews");
    request->version = pick(request);
    if (!request->version)
        return request_fail(request, FAULT_UNKNOWN_APP, "no traffic");
    return PROGRESS_NEXT;
}
