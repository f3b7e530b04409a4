/* Writes the OpenAPI document from the tables that the program itself works by. */
#include "managerd/openapi.h"

#include "common/base/json.h"
#include "managerd/apply.h"
#include "managerd/log_stream.h"
#include "managerd/openapi_parts.h"
#include "managerd/resources.h"

#include <stdio.h>
#include <string.h>

void openapi_reference(struct json_writer *w, const char *name, const char *folder,
                       const char *shape, const char *suffix)
{
    char path[128];
    snprintf(path, sizeof path, "#/components/%s/%s%s", folder, shape, suffix);
    json_open_object(w, name);
    json_write_string(w, "$ref", view_of(path));
    json_close_object(w);
}

/* Which calls take, patch and give a shape. */

static bool is_taken(const struct shape *shape)
{
    for (size_t i = 0; i < endpoint_count; i++)
        if (endpoints[i].takes == shape)
            return true;
    return false;
}

static bool is_patched(const struct shape *shape)
{
    for (size_t i = 0; i < endpoint_count; i++)
        if (endpoints[i].takes == shape && endpoints[i].flags & ENDPOINT_MERGE_PATCH)
            return true;
    return false;
}

/* What calls give beside the shapes of the endpoint table. */
static const struct shape *const given_beside[] = {&problem_shape, &apply_plan_shape,
                                                   &log_line_shape, &log_end_shape};

static bool is_given(const struct shape *shape)
{
    for (size_t i = 0; i < sizeof given_beside / sizeof given_beside[0]; i++)
        if (given_beside[i] == shape)
            return true;
    for (size_t i = 0; i < endpoint_count; i++)
        if (endpoints[i].gives == shape)
            return true;
    return false;
}

const char *openapi_suffix(const struct shape *shape, enum shape_side side)
{
    switch (side) {
    case SHAPE_TAKEN:
        return is_given(shape) ? "Input" : "";
    case SHAPE_PATCHED:
        return "Patch";
    case SHAPE_GIVEN:
        return "";
    }
    return "";
}

static void write_schema(struct json_writer *w, const struct shape *shape, enum shape_side side)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s", shape->name, openapi_suffix(shape, side));
    shape_write_schema(shape, w, name, side);
}

static void write_schemas_of(struct json_writer *w, const struct shape *shape)
{
    if (is_given(shape))
        write_schema(w, shape, SHAPE_GIVEN);
    if (is_taken(shape))
        write_schema(w, shape, SHAPE_TAKEN);
    if (is_patched(shape))
        write_schema(w, shape, SHAPE_PATCHED);
}

/* Whether an earlier row has it: the rows before `index`, and of that row what it takes. */
static bool is_written(const struct shape *shape, size_t index, bool gives)
{
    for (size_t i = 0; i < index; i++)
        if (endpoints[i].takes == shape || endpoints[i].gives == shape)
            return true;
    return gives && endpoints[index].takes == shape;
}

static void write_schemas(struct json_writer *w)
{
    json_open_object(w, "schemas");
    for (size_t i = 0; i < sizeof given_beside / sizeof given_beside[0]; i++)
        write_schemas_of(w, given_beside[i]);
    for (size_t i = 0; i < endpoint_count; i++) {
        if (endpoints[i].takes && !is_written(endpoints[i].takes, i, false))
            write_schemas_of(w, endpoints[i].takes);
        if (endpoints[i].gives && !is_written(endpoints[i].gives, i, true))
            write_schemas_of(w, endpoints[i].gives);
    }
    json_close_object(w);
}

/* Calls. */

static void write_body(struct json_writer *w, const struct json *examples,
                       const struct endpoint *endpoint)
{
    const struct shape *shape = endpoint->takes;
    bool patch = endpoint->flags & ENDPOINT_MERGE_PATCH;
    enum shape_side side = patch ? SHAPE_PATCHED : SHAPE_TAKEN;
    if (!shape)
        return;
    json_open_object(w, "requestBody");
    json_write_bool(w, "required", endpoint->flags & ENDPOINT_BODY);
    json_open_object(w, "content");
    for (int i = 0; i < (patch ? 2 : 1); i++) {
        json_open_object(w, i ? "application/merge-patch+json" : "application/json");
        openapi_reference(w, "schema", "schemas", shape->name, openapi_suffix(shape, side));
        openapi_write_request_example(w, examples, endpoint);
        json_close_object(w);
    }
    if (endpoint->flags & ENDPOINT_PACKAGE && endpoint->query)
        json_write_raw(w, "application/zip",
                       VIEW("{\"schema\":{\"contentMediaType\":\"application/zip\","
                            "\"description\":\"The package; its settings are query "
                            "parameters.\"}}"));
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

static const struct {
    const char *part; /* of a pattern */
    const char *name, *description;
} tags[] = {
    {"/history", "History", "What was changed, by whom, and taking it back."},
    {"/versions", "Versions", "What deployments made."},
    {"/traffic", "Traffic", "Which versions serve, with what shares."},
    {"/rollback", "Traffic", NULL},
    {"/deployments", "Deployments", "New versions from packages."},
    {"/logs", "Logs", "What apps printed."},
    {"/keys", "Keys", "API keys of apps that ask for them."},
    {"/v1/apps", "Apps", "The apps and their settings."},
    {"/v1/domains", "Domains", "Hosts, and which app serves which of their paths."},
    {"/v1/operations", "Operations", "Long work, followed and cancelled."},
    {"/v1/tokens", "Tokens", "Who may use this API."},
    {"/v1/audit", "Audit", "Who did what."},
    {"/v1/export", "Declarations", "All apps and domains as one document."},
    {"/v1/apply", "Declarations", NULL},
    {"/apps/", "FirstService", "The first service's calls, kept working."},
    {"/", "System", "How managerd itself is, and its documents."},
};

static const char *tag_of(const struct endpoint *endpoint)
{
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        if (strstr(endpoint->pattern, tags[i].part))
            return tags[i].name;
    return tags[0].name;
}

static void write_tags(struct json_writer *w)
{
    json_open_array(w, "tags");
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        if (tags[i].description) {
            json_open_object(w, NULL);
            json_write_string(w, "name", view_of(tags[i].name));
            json_write_string(w, "description", view_of(tags[i].description));
            json_close_object(w);
        }
    json_close_array(w);
}

static void write_access(struct json_writer *w, const struct endpoint *endpoint)
{
    char description[160];
    if (endpoint->role == ROLE_NONE) {
        json_write_string(w, "description", VIEW("Open without a token."));
        json_open_array(w, "security");
        json_close_array(w);
    } else {
        snprintf(description, sizeof description, "Needs the role %s%s.", role_name(endpoint->role),
                 scope_meaning(endpoint->scope));
        json_write_string(w, "description", view_of(description));
    }
    json_write_string(w, "x-required-role", view_of(role_name(endpoint->role)));
    json_write_string(w, "x-scope", view_of(endpoint_scope_name(endpoint->scope)));
}

static void write_operation(struct json_writer *w, const struct json *examples,
                            const struct endpoint *endpoint)
{
    char method[8] = "";
    for (size_t i = 0; endpoint->method[i] && i < sizeof method - 1; i++)
        method[i] = (char)(endpoint->method[i] - 'A' + 'a');
    json_open_object(w, method);
    json_write_string(w, "operationId", view_of(endpoint->id));
    json_open_array(w, "tags");
    json_write_string(w, NULL, view_of(tag_of(endpoint)));
    json_close_array(w);
    json_write_string(w, "summary", view_of(endpoint->summary));
    write_access(w, endpoint);
    openapi_write_parameters(w, endpoint);
    write_body(w, examples, endpoint);
    openapi_write_answers(w, examples, endpoint);
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
    struct json *examples = openapi_examples_read();
    json_open_object(w, "paths");
    for (size_t i = 0; i < endpoint_count; i++) {
        if (!is_first_of_path(i))
            continue;
        json_open_object(w, endpoints[i].pattern);
        for (size_t j = i; j < endpoint_count; j++)
            if (strcmp(endpoints[j].pattern, endpoints[i].pattern) == 0)
                write_operation(w, examples, &endpoints[j]);
        json_close_object(w);
    }
    json_close_object(w);
    json_free(examples);
}

#define DESCRIPTION                                                                                \
    "Deploys, activates, versions, routes and removes small applications on AWS Lambda.\n\n"       \
    "Every path answers OPTIONS, and HEAD where it has GET; what a path has not is a 405 with "    \
    "Allow. Every answer carries X-Request-Id: the request's own ([A-Za-z0-9._-], 128 at most) "   \
    "or "                                                                                          \
    "one that is made. Members of requests that are unknown are refused (422, with all faults at " \
    "once); those that are readOnly are taken back as they were read, and change nothing. "        \
    "Lengths "                                                                                     \
    "of texts are counted in bytes of UTF-8. Lists and documents are compressed for "              \
    "Accept-Encoding: gzip; Accept is not looked at, as each resource has one form."

static void write_info(struct json_writer *w)
{
    json_open_object(w, "info");
    json_write_string(w, "title", VIEW("app-orchestrator"));
    json_write_string(w, "version", view_of(RELEASE_VERSION));
    json_write_string(w, "summary", VIEW("The control plane's API."));
    json_write_string(w, "description", VIEW(DESCRIPTION));
    json_write_raw(w, "contact", VIEW("{\"name\":\"Whoever runs this installation\"}"));
    json_write_raw(w, "license",
                   VIEW("{\"name\":\"All rights reserved\","
                        "\"identifier\":\"LicenseRef-All-Rights-Reserved\"}"));
    json_close_object(w);
    json_write_raw(w, "servers", VIEW("[{\"url\":\"/\",\"description\":\"This installation.\"}]"));
}

void openapi_write(struct buffer *out)
{
    struct json_writer w;
    json_begin(&w, out);
    json_open_object(&w, NULL);
    json_write_string(&w, "openapi", VIEW("3.1.0"));
    write_info(&w);
    json_write_raw(&w, "security", VIEW("[{\"bearer\":[]}]"));
    write_tags(&w);
    write_paths(&w);
    json_open_object(&w, "components");
    json_write_raw(&w, "securitySchemes",
                   VIEW("{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\","
                        "\"description\":\"A token of this installation. Without any token made or "
                        "configured, managerd on a loopback address takes every call of this "
                        "machine.\"}}"));
    openapi_write_refusals(&w);
    write_schemas(&w);
    json_close_object(&w);
    json_close_object(&w);
}
