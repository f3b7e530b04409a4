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

/* The bucket of a client that is to stay on one version, else a random one. */
static uint32_t choose_bucket(struct request *request)
{
    struct view name, value;
    uint32_t bucket;

    if (request->route.sticky == ROUTE_STICKY_ADDRESS)
        return traffic_bucket_of_address(request->client, request->route.app);
    if (request->route.sticky == ROUTE_STICKY_COOKIE) {
        for (size_t i = 0; incoming_header_at(request->incoming, i, &name, &value); i++)
            if (view_equal_nocase(name, VIEW("Cookie")) &&
                traffic_bucket_of_cookies(value, &bucket))
                return bucket;
        request->new_bucket = true;
    }
    return worker_random(request->worker, TRAFFIC_TOTAL);
}

static const struct route_version *pick(struct request *request)
{
    const struct route_record *route = &request->route;
    uint16_t weights[ROUTE_MAX_VERSIONS];
    size_t picked;

    for (size_t i = 0; i < route->version_count; i++)
        weights[i] = route->versions[i].weight;
    request->bucket = choose_bucket(request);
    picked = traffic_pick(weights, route->version_count, request->bucket);
    return picked < route->version_count ? &route->versions[picked] : NULL;
}

/* The version that the client asked for, by host or by header; 0: none. A host counts where the app
 * allows previews only, a header is ignored where the app does not allow it. */
static enum error asked_version(struct request *request, uint32_t *number)
{
    struct view text;
    uint64_t parsed;

    *number = request->found.version;
    if (*number != 0)
        return request->route.previews ? ERROR_NONE : ERROR_NOT_FOUND;
    if (!request->route.version_header ||
        !incoming_header(request->incoming, "X-Orchestrator-Version", &text))
        return ERROR_NONE;
    if (view_to_u64(text, UINT32_MAX, &parsed) != ERROR_NONE || parsed == 0)
        return ERROR_NOT_FOUND;
    *number = (uint32_t)parsed;
    return ERROR_NONE;
}

static enum progress choose_version(struct request *request)
{
    uint32_t number;
    enum error error = asked_version(request, &number);

    if (error == ERROR_NONE && number == 0) {
        request->version = pick(request);
        return request->version ? PROGRESS_NEXT
                                : request_fail(request, FAULT_UNKNOWN_APP, "no traffic");
    }
    for (size_t i = 0; error == ERROR_NONE && i < request->route.version_count; i++)
        if (request->route.versions[i].number == number)
            request->version = &request->route.versions[i];
    return request->version ? PROGRESS_NEXT
                            : request_fail(request, FAULT_UNKNOWN_APP, "no such version");
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
    return choose_version(request);
}
