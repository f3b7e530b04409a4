/* Writes the OpenAPI document from the tables that the program itself works by. */
#include "managerd/openapi.h"

#include "common/base/json.h"
#include "managerd/endpoint.h"
#include "managerd/resources.h"

#include <stdio.h>
#include <string.h>

static void write_reference(struct json_writer *w, const char *name, const char *shape)
{
    char path[128];
    snprintf(path, sizeof path, "#/components/schemas/%s", shape);
    json_open_object(w, name);
    json_write_string(w, "$ref", view_of(path));
    json_close_object(w);
}

static void write_media(struct json_writer *w, const char *type, const char *shape)
{
    json_member(w, view_of(type));
    json_open_object(w, NULL);
    write_reference(w, "schema", shape);
    json_close_object(w);
}

static void write_list(struct json_writer *w, const struct shape *shape)
{
    json_member(w, VIEW("application/json"));
    json_open_object(w, NULL);
    json_open_object(w, "schema");
    json_write_string(w, "type", VIEW("object"));
    json_open_object(w, "properties");
    json_open_object(w, "items");
    json_write_string(w, "type", VIEW("array"));
    write_reference(w, "items", shape->name);
    json_close_object(w);
    json_open_object(w, "nextCursor");
    json_open_array(w, "type");
    json_write_string(w, NULL, VIEW("string"));
    json_write_string(w, NULL, VIEW("null"));
    json_close_array(w);
    json_close_object(w);
    json_close_object(w);
    json_open_array(w, "required");
    json_write_string(w, NULL, VIEW("items"));
    json_write_string(w, NULL, VIEW("nextCursor"));
    json_close_array(w);
    json_close_object(w);
    json_close_object(w);
}

static void write_parameter(struct json_writer *w, struct view name, const char *in, bool required,
                            const char *type, const char *description)
{
    json_open_object(w, NULL);
    json_write_string(w, "name", name);
    json_write_string(w, "in", view_of(in));
    if (required)
        json_write_bool(w, "required", true);
    if (description)
        json_write_string(w, "description", view_of(description));
    json_open_object(w, "schema");
    json_write_string(w, "type", view_of(type));
    json_close_object(w);
    json_close_object(w);
}

static const char *const types[] = {
    [SHAPE_STRING] = "string", [SHAPE_INTEGER] = "integer", [SHAPE_NUMBER] = "number",
    [SHAPE_BOOL] = "boolean",  [SHAPE_ANY] = "string",      [SHAPE_OBJECT] = NULL,
    [SHAPE_LIST] = NULL,       [SHAPE_MAP] = NULL,
};

static void write_scalars(struct json_writer *w, const struct shape *shape)
{
    for (size_t i = 0; i < shape->count; i++) {
        const struct shape_field *field = &shape->fields[i];
        if (types[field->kind])
            write_parameter(w, view_of(field->name), "query", false, types[field->kind],
                            field->description);
        else if (field->kind == SHAPE_OBJECT && strcmp(field->name, "http") == 0)
            write_scalars(w, field->of);
        else if (strcmp(field->name, "canary") == 0)
            write_parameter(w, VIEW("canary"), "query", false, "string", field->description);
    }
}

static const char *query_meaning(struct view name)
{
    static const char *const meanings[][2] = {
        {"limit", "1 to 500 items; 100 when absent."},
        {"cursor", "The nextCursor of the page before."},
        {"label", "NAME:VALUE: only those with this label."},
        {"state", "Only those in this state."},
        {"app", "Only those of this app."},
        {"dryRun", "true: answers with the plan (ApplyPlan) and changes nothing."},
        {"prune", "true: what the document does not name is deleted."},
        {"url", "The whole address, as a client writes it."},
        {"method", "The request's method; GET when absent."},
        {"address", "The client's address, which sticky traffic may go by."},
        {"actor", "Only what was done with the token of this id."},
        {"since", "RFC 3339: nothing older. For logs also how long ago: 90s, 15m, 2h, 1d."},
        {"until", "RFC 3339: only what is older. For logs in the forms of since."},
        {"requestId", "Only lines of this invocation."},
        {"version", "Only lines of this version."},
        {"follow", "true: goes on with what is printed from now on, for an hour at most."},
        {"keepFunction", "Leaves the Lambda function alone; the default for adopted ones."},
    };
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (view_equal_string(name, meanings[i][0]))
            return meanings[i][1];
    return NULL;
}

static void write_header_list(struct json_writer *w)
{
    json_open_object(w, NULL);
    json_write_string(w, "name", VIEW("header"));
    json_write_string(w, "in", VIEW("query"));
    json_write_string(w, "description", VIEW("NAME: VALUE, as often as there are headers."));
    json_write_bool(w, "explode", true);
    json_write_raw(w, "schema", VIEW("{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"));
    json_close_object(w);
}

static void write_query(struct json_writer *w, const struct endpoint *endpoint)
{
    struct view rest = view_of(endpoint->query), name;
    if (!endpoint->query)
        return;
    if (strcmp(endpoint->query, "*") == 0) {
        write_scalars(w, endpoint->takes);
        write_parameter(w, VIEW("dryRun"), "query", false, "boolean",
                        "Answers with the plan and changes nothing.");
        return;
    }
    while (view_split(&rest, ' ', &name)) {
        if (view_equal(name, VIEW("header"))) {
            write_header_list(w);
            continue;
        }
        const char *type = view_equal(name, VIEW("limit")) ? "integer"
                           : view_equal(name, VIEW("keepFunction")) ||
                                   view_equal(name, VIEW("dryRun")) ||
                                   view_equal(name, VIEW("prune"))
                               ? "boolean"
                               : "string";
        write_parameter(w, name, "query", view_equal(name, VIEW("url")), type, query_meaning(name));
    }
}

static void write_path_parameters(struct json_writer *w, const char *pattern)
{
    struct view rest = view_of(pattern), part;
    while (view_split(&rest, '/', &part))
        if (view_starts_with(part, VIEW("{"))) {
            struct view name = view_slice(part, 1, part.length - 2);
            write_parameter(w, name, "path", true,
                            view_equal(name, VIEW("version")) ? "integer" : "string", NULL);
        }
}

/* Whether it gives a resource that carries its revision. */
static bool gives_tagged(const struct endpoint *endpoint)
{
    return endpoint->gives && !(endpoint->flags & ENDPOINT_LIST) &&
           shape_field(endpoint->gives, VIEW("revision"));
}

static bool creates(const struct endpoint *endpoint)
{
    return strcmp(endpoint->id, "putApp") == 0 || strcmp(endpoint->id, "putDomain") == 0;
}

static void write_headers(struct json_writer *w, const struct endpoint *endpoint)
{
    bool writes = strcmp(endpoint->method, "GET") != 0;
    if (writes && !(endpoint->flags & ENDPOINT_FIRST_API))
        write_parameter(w, VIEW("If-Match"), "header", false, "string",
                        "The ETag that the change is based on; another: 412.");
    if (creates(endpoint))
        write_parameter(w, VIEW("If-None-Match"), "header", false, "string",
                        "*: only creates; 412 when it exists.");
    if (!writes && gives_tagged(endpoint))
        write_parameter(w, VIEW("If-None-Match"), "header", false, "string",
                        "The ETag that is known; while it holds: 304.");
    if (strcmp(endpoint->method, "POST") == 0)
        write_parameter(w, VIEW("Idempotency-Key"), "header", false, "string",
                        "The same key gives the same answer for 24 hours.");
    if (endpoint->flags & ENDPOINT_ACCEPTS || strcmp(endpoint->id, "getOperation") == 0)
        write_parameter(w, VIEW("Prefer"), "header", false, "string",
                        "wait=N: waits up to N seconds for the end (RFC 7240).");
}

static void write_body(struct json_writer *w, const struct endpoint *endpoint)
{
    if (!endpoint->takes)
        return;
    json_open_object(w, "requestBody");
    json_write_bool(w, "required", endpoint->flags & ENDPOINT_BODY);
    json_open_object(w, "content");
    write_media(w, "application/json", endpoint->takes->name);
    if (endpoint->flags & ENDPOINT_MERGE_PATCH) {
        json_member(w, VIEW("application/merge-patch+json"));
        json_open_object(w, NULL);
        json_open_object(w, "schema");
        json_write_string(w, "type", VIEW("object"));
        json_close_object(w);
        json_close_object(w);
    }
    if (endpoint->flags & ENDPOINT_PACKAGE && endpoint->query) {
        json_member(w, VIEW("application/zip"));
        json_open_object(w, NULL);
        json_open_object(w, "schema");
        json_close_object(w);
        json_close_object(w);
    }
    json_close_object(w);
    json_close_object(w);
}

/* What calls give that give no resource. */
static const char *text_type(const struct endpoint *endpoint)
{
    static const char *const types_by_id[][2] = {
        {"followOperation", "text/event-stream"},
        {"readLogs", "application/x-ndjson"},
        {"getMetrics", "text/plain"},
        {"getProblem", "text/html"},
        {"listSchemas", "application/json"},
        {"getSchema", "application/schema+json"},
        {"getOpenapi", "application/json"},
        {"getHealth", "application/json"},
        {"getReadiness", "application/json"},
    };
    for (size_t i = 0; i < sizeof types_by_id / sizeof types_by_id[0]; i++)
        if (strcmp(endpoint->id, types_by_id[i][0]) == 0)
            return types_by_id[i][1];
    return NULL;
}

static void write_type(struct json_writer *w, const char *type, const char *schema)
{
    json_member(w, view_of(type));
    json_open_object(w, NULL);
    json_open_object(w, "schema");
    json_write_string(w, "type", view_of(schema));
    json_close_object(w);
    json_close_object(w);
}

/* Each line, or the data of each event, is one of these. */
static void write_log_lines(struct json_writer *w)
{
    json_member(w, VIEW("application/x-ndjson"));
    json_open_object(w, NULL);
    json_open_object(w, "schema");
    json_open_array(w, "anyOf");
    write_reference(w, NULL, "LogLine");
    json_open_object(w, NULL);
    json_write_string(w, "type", VIEW("object"));
    json_open_object(w, "properties");
    json_member(w, VIEW("end"));
    write_reference(w, NULL, "LogEnd");
    json_close_object(w);
    json_close_object(w);
    json_close_array(w);
    json_close_object(w);
    json_close_object(w);
    write_type(w, "text/event-stream", "string");
}

static void write_text_content(struct json_writer *w, const char *type)
{
    json_open_object(w, "content");
    if (strcmp(type, "application/x-ndjson") == 0)
        write_log_lines(w);
    else
        write_type(w, type, strstr(type, "json") ? "object" : "string");
    json_close_object(w);
}

static void write_header(struct json_writer *w, const char *name, const char *description)
{
    json_open_object(w, name);
    json_write_string(w, "description", view_of(description));
    json_open_object(w, "schema");
    json_write_string(w, "type", VIEW("string"));
    json_close_object(w);
    json_close_object(w);
}

static void write_response_headers(struct json_writer *w, const struct endpoint *endpoint,
                                   int status)
{
    json_open_object(w, "headers");
    write_header(w, "X-Request-Id", "The request's own id, or the one it was given.");
    if (status == 201 || endpoint->flags & ENDPOINT_ACCEPTS)
        write_header(w, "Location", "Where the resource, or the operation, is.");
    if (gives_tagged(endpoint) && !(endpoint->flags & ENDPOINT_ACCEPTS))
        write_header(w, "ETag", "The revision, in quotes; strong.");
    if (strcmp(endpoint->method, "POST") == 0)
        write_header(w, "Idempotency-Replayed", "true: an earlier answer, given again.");
    json_close_object(w);
}

/* With dryRun the plan is all there is. */
static void write_operation_or_plan(struct json_writer *w)
{
    json_member(w, VIEW("application/json"));
    json_open_object(w, NULL);
    json_open_object(w, "schema");
    json_open_array(w, "anyOf");
    write_reference(w, NULL, "Operation");
    write_reference(w, NULL, "ApplyPlan");
    json_close_array(w);
    json_close_object(w);
    json_close_object(w);
}

static void write_response(struct json_writer *w, const struct endpoint *endpoint, int status,
                           const char *description)
{
    char code[8];
    snprintf(code, sizeof code, "%d", status);
    json_member(w, view_of(code));
    json_open_object(w, NULL);
    json_write_string(w, "description", view_of(description));
    if (endpoint->gives) {
        json_open_object(w, "content");
        if (endpoint->flags & ENDPOINT_LIST)
            write_list(w, endpoint->gives);
        else if (strcmp(endpoint->id, "apply") == 0 && status == 200)
            write_operation_or_plan(w);
        else
            write_media(w, "application/json", endpoint->gives->name);
        json_close_object(w);
    } else if (text_type(endpoint)) {
        write_text_content(w, text_type(endpoint));
    }
    write_response_headers(w, endpoint, status);
    json_close_object(w);
}

static void write_responses(struct json_writer *w, const struct endpoint *endpoint)
{
    json_open_object(w, "responses");
    write_response(w, endpoint, endpoint->status,
                   endpoint->status == 202 ? "Accepted: the operation." : "Done.");
    if (endpoint->flags & ENDPOINT_ACCEPTS)
        write_response(w, endpoint, 200, "It has succeeded within the time of Prefer: wait.");
    if (creates(endpoint))
        write_response(w, endpoint, 201, "Created.");
    if (strcmp(endpoint->id, "getReadiness") == 0)
        write_response(w, endpoint, 503, "Not ready; the checks say why.");
    if (strcmp(endpoint->method, "GET") == 0 && gives_tagged(endpoint)) {
        json_open_object(w, "304");
        json_write_string(w, "description", VIEW("It is as the If-None-Match knows it."));
        json_close_object(w);
    }
    json_member(w, VIEW("default"));
    json_open_object(w, NULL);
    json_write_string(w, "description", VIEW("A problem document (RFC 9457)."));
    json_open_object(w, "content");
    write_media(w, "application/problem+json", problem_shape.name);
    json_close_object(w);
    json_close_object(w);
    json_close_object(w);
}

static const char *scope_meaning(enum endpoint_scope scope)
{
    static const char *const meanings[] = {
        [ENDPOINT_OF_NO_APP] = "",
        [ENDPOINT_OF_ALL] = ", and a token of all apps",
        [ENDPOINT_OF_APP] = ", and the app among those of the token (else 403)",
        [ENDPOINT_OF_BODY] = ", and the app among those of the token (else 403)",
        [ENDPOINT_OF_LIST] = ", and concerns only the apps of the token",
        [ENDPOINT_OF_OPERATION] = ", and the app among those of the token (else 404)",
        [ENDPOINT_OF_DOMAIN] = ", and every app of it among those of the token (else 403)",
        [ENDPOINT_OF_TOKEN] = ", and its apps among those of the token (else 404)",
    };
    return meanings[scope];
}

static void write_operation(struct json_writer *w, const struct endpoint *endpoint)
{
    char method[8] = "";
    for (size_t i = 0; endpoint->method[i] && i < sizeof method - 1; i++)
        method[i] = (char)(endpoint->method[i] - 'A' + 'a');
    json_member(w, view_of(method));
    json_open_object(w, NULL);
    json_write_string(w, "operationId", view_of(endpoint->id));
    json_write_string(w, "summary", view_of(endpoint->summary));
    if (endpoint->role == ROLE_NONE) {
        json_open_array(w, "security");
        json_close_array(w);
    } else {
        char description[128];
        snprintf(description, sizeof description, "Needs the role %s%s.", role_name(endpoint->role),
                 scope_meaning(endpoint->scope));
        json_write_string(w, "description", view_of(description));
    }
    json_write_string(w, "x-required-role", view_of(role_name(endpoint->role)));
    json_write_string(w, "x-scope", view_of(endpoint_scope_name(endpoint->scope)));
    json_open_array(w, "parameters");
    write_path_parameters(w, endpoint->pattern);
    write_query(w, endpoint);
    write_headers(w, endpoint);
    json_close_array(w);
    write_body(w, endpoint);
    write_responses(w, endpoint);
    json_close_object(w);
}

static bool is_first_of_path(size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(endpoints[i].pattern, endpoints[index].pattern) == 0)
            return false;
    return !(endpoints[index].flags & ENDPOINT_HIDDEN);
}

static void write_paths(struct json_writer *w)
{
    json_open_object(w, "paths");
    for (size_t i = 0; i < endpoint_count; i++) {
        if (!is_first_of_path(i))
            continue;
        json_member(w, view_of(endpoints[i].pattern));
        json_open_object(w, NULL);
        for (size_t j = i; j < endpoint_count; j++)
            if (strcmp(endpoints[j].pattern, endpoints[i].pattern) == 0)
                write_operation(w, &endpoints[j]);
        json_close_object(w);
    }
    json_close_object(w);
}

void openapi_write(struct buffer *out)
{
    struct json_writer w;
    json_begin(&w, out);
    json_open_object(&w, NULL);
    json_write_string(&w, "openapi", VIEW("3.1.0"));
    json_open_object(&w, "info");
    json_write_string(&w, "title", VIEW("app-orchestrator"));
    json_write_string(&w, "version", view_of(RELEASE_VERSION));
    json_write_string(&w, "description",
                      VIEW("Deploys, activates, versions, routes and removes small applications on "
                           "AWS Lambda."));
    json_close_object(&w);
    json_open_array(&w, "security");
    json_open_object(&w, NULL);
    json_open_array(&w, "bearer");
    json_close_array(&w);
    json_close_object(&w);
    json_close_array(&w);
    write_paths(&w);
    json_open_object(&w, "components");
    json_open_object(&w, "securitySchemes");
    json_open_object(&w, "bearer");
    json_write_string(&w, "type", VIEW("http"));
    json_write_string(&w, "scheme", VIEW("bearer"));
    json_close_object(&w);
    json_close_object(&w);
    json_open_object(&w, "schemas");
    for (size_t i = 0; resource_shapes[i]; i++)
        shape_write_schema(resource_shapes[i], &w, resource_shapes[i]->name);
    json_close_object(&w);
    json_close_object(&w);
    json_close_object(&w);
}
