/* Writes payload format 1.0, as an API Gateway REST API's proxy integration delivers it. */
#include "common/contract/event_parts.h"

#include "common/base/clock.h"
#include "common/base/escape.h"
#include "common/contract/jwt.h"

/* "/{proxy+}" takes every path but the root, which is a resource of its own. */
static bool is_root(const struct event_request *request)
{
    return view_equal(request->raw_path, VIEW("/"));
}

static struct view resource_of(const struct event_request *request)
{
    return is_root(request) ? VIEW("/") : VIEW("/{proxy+}");
}

/* Who calls is known by address, and by the id of an API key (the key itself is not ours to pass on). */
static void write_identity(struct json_writer *w, const struct event_request *request)
{
    static const char *const unknown[] = {"accessKey",
                                          "accountId",
                                          "apiKey",
                                          "caller",
                                          "clientCert",
                                          "cognitoAuthenticationProvider",
                                          "cognitoAuthenticationType",
                                          "cognitoIdentityId",
                                          "cognitoIdentityPoolId",
                                          "principalOrgId",
                                          "user",
                                          "userArn"};
    struct view user_agent = event_header(request, "user-agent");

    json_open_object(w, "identity");
    for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
        json_write_null(w, unknown[i]);
    if (request->api_key_id.length)
        json_write_string(w, "apiKeyId", request->api_key_id);
    else
        json_write_null(w, "apiKeyId");
    json_write_string(w, "sourceIp", request->source_ip);
    if (user_agent.data)
        json_write_string(w, "userAgent", user_agent);
    else
        json_write_null(w, "userAgent");
    json_close_object(w);
}

/* There is no stage in our paths, as behind a custom domain, so the context's path has none. */
static void write_context(struct json_writer *w, const struct event_request *request)
{
    char time[CLOCK_CLF_SIZE];

    clock_format_clf(request->time_ms, time);
    json_open_object(w, "requestContext");
    json_write_string(w, "accountId", event_account(request));
    json_write_string(w, "apiId", request->app);
    if (request->claims.length) {
        json_open_object(w, "authorizer");
        jwt_write_claims(w, request->claims);
        if (request->scopes_asked) /* typed handlers take a list or nothing, but no null */
            jwt_write_scopes(w, request->claims, true);
        json_close_object(w);
    }
    json_write_string(w, "domainName", request->domain_name);
    json_write_string(w, "domainPrefix", event_domain_prefix(request));
    json_write_string(w, "extendedRequestId", request->request_id);
    json_write_string(w, "httpMethod", request->method);
    write_identity(w, request);
    json_write_string(w, "path", request->raw_path);
    json_write_string(w, "protocol", request->protocol);
    json_write_string(w, "requestId", request->request_id);
    json_write_string(w, "requestTime", view_of(time));
    json_write_integer(w, "requestTimeEpoch", request->time_ms);
    json_write_string(w, "resourceId", is_root(request) ? VIEW("root") : VIEW("proxy"));
    json_write_string(w, "resourcePath", resource_of(request));
    json_write_string(w, "stage", VIEW("$default"));
    json_close_object(w);
}

static void write_query(struct json_writer *w, const struct event_pairs *query)
{
    if (query->count == 0) {
        json_write_null(w, "queryStringParameters");
        json_write_null(w, "multiValueQueryStringParameters");
        return;
    }
    event_pairs_write_last(w, "queryStringParameters", query);
    event_pairs_write_arrays(w, "multiValueQueryStringParameters", query);
}

static void write_path_parameters(struct json_writer *w, const struct event_request *request)
{
    if (is_root(request)) {
        json_write_null(w, "pathParameters");
        return;
    }
    json_open_object(w, "pathParameters");
    json_write_string(w, "proxy",
                      view_slice(request->raw_path,
                                 view_starts_with(request->raw_path, VIEW("/")) ? 1 : 0, SIZE_MAX));
    json_close_object(w);
}

void event_write_1_0(struct json_writer *w, const struct event_request *request,
                     const struct event_pairs *headers, const struct event_pairs *query)
{
    json_write_string(w, "resource", resource_of(request));
    json_write_string(w, "path", request->raw_path);
    json_write_string(w, "httpMethod", request->method);
    event_pairs_write_last(w, "headers", headers);
    event_pairs_write_arrays(w, "multiValueHeaders", headers);
    write_query(w, query);
    write_path_parameters(w, request);
    json_write_null(w, "stageVariables");
    write_context(w, request);
    if (request->body.length) {
        /* A REST API hands over text whatever the type says, until binary types are named. */
        event_write_body(w, request->body, !utf8_valid(request->body));
    } else {
        json_write_null(w, "body");
        json_write_bool(w, "isBase64Encoded", false);
    }
}
