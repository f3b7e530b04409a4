/* Describes what calls answer: what they give, and every status that they may refuse with. */
#include "managerd/openapi_parts.h"

#include "managerd/apply.h"
#include "managerd/problem.h"
#include "managerd/resources.h"

#include <stdio.h>
#include <string.h>

bool openapi_gives_tagged(const struct endpoint *endpoint)
{
    return endpoint->gives && !(endpoint->flags & ENDPOINT_LIST) &&
           shape_field(endpoint->gives, VIEW("revision"));
}

bool openapi_creates(const struct endpoint *endpoint)
{
    return strcmp(endpoint->id, "putApp") == 0 || strcmp(endpoint->id, "putDomain") == 0;
}

bool openapi_writes(const struct endpoint *endpoint)
{
    return strcmp(endpoint->method, "GET") != 0;
}

static bool is_post(const struct endpoint *endpoint)
{
    return strcmp(endpoint->method, "POST") == 0;
}

/* Refusals. */

static bool by_all(const struct endpoint *endpoint)
{
    return endpoint != NULL;
}

static bool by_closed(const struct endpoint *endpoint)
{
    return endpoint->role != ROLE_NONE;
}

/* What the path names may be missing, and the operation that a key's first answer named too. */
static bool by_naming(const struct endpoint *endpoint)
{
    return (strchr(endpoint->pattern, '{') && !openapi_creates(endpoint)) ||
           (is_post(endpoint) && endpoint->flags & (ENDPOINT_ACCEPTS | ENDPOINT_PACKAGE));
}

/* An operation that was waited for answers with its own problem; AWS may be asked at once. */
static bool by_waiting(const struct endpoint *endpoint)
{
    if (strcmp(endpoint->id, "readLogs") == 0 || strcmp(endpoint->id, "invoke") == 0)
        return true;
    return openapi_writes(endpoint) && endpoint->flags & (ENDPOINT_ACCEPTS | ENDPOINT_PACKAGE);
}

static const struct refusal {
    int status;
    const char *name; /* of the component */
    bool (*when)(const struct endpoint *endpoint);
} refusals[] = {
    {400, "Unreadable", by_all},
    {401, "Unauthenticated", by_closed},
    {403, "Forbidden", by_all},
    {404, "NotFound", by_naming},
    {409, "Conflict", openapi_writes},
    {412, "PreconditionFailed", openapi_writes},
    {413, "TooLarge", by_all},
    {415, "MediaType", by_all},
    {422, "Invalid", by_all},
    {429, "TooMany", by_closed},
    {500, "Failed", by_all},
    {502, "AwsFailed", by_waiting},
    {503, "Unpublished", openapi_writes},
    {504, "TookTooLong", by_waiting},
    {507, "StorageFull", openapi_writes},
};
#define REFUSALS (sizeof refusals / sizeof refusals[0])

/* What the guard answers before there is a call. */
#define MESSAGE_REFUSED                                                                            \
    "The message was refused before a call was found in it: it came too slowly (408), its target " \
    "or head is too long (414, 431), it expects what is not known (417), its method or coding is " \
    "not known (501), there are too many connections (503), or its version is not spoken (505)."

static void write_problem_content(struct json_writer *w)
{
    json_open_object(w, "content");
    json_open_object(w, "application/problem+json");
    openapi_reference(w, "schema", "schemas", problem_shape.name, "");
}

static void end_problem_content(struct json_writer *w)
{
    json_close_object(w);
    json_close_object(w);
}

/* "app-not-found: There is no such app. …", of all problems with the status. */
static enum problem_type describe_status(struct json_writer *w, int status)
{
    struct buffer text;
    enum problem_type first = PROBLEM_NONE;
    buffer_init(&text, 4096);
    for (unsigned i = PROBLEM_NONE + 1; i < PROBLEM_COUNT; i++) {
        if (problem_status((enum problem_type)i) != status)
            continue;
        if (first == PROBLEM_NONE)
            first = (enum problem_type)i;
        buffer_append_format(&text, "%s%s (`%s`)", text.length ? "; " : "",
                             problem_title((enum problem_type)i),
                             problem_slug((enum problem_type)i));
    }
    buffer_append_string(&text, ".");
    REQUIRE(first != PROBLEM_NONE && !text.error);
    json_write_string(w, "description", buffer_view(&text));
    buffer_release(&text);
    return first;
}

static void write_problem_example(struct json_writer *w, enum problem_type type)
{
    const struct problem problem = {.type = type, .detail = "What to do about it."};
    struct json *document =
        problem_document(&problem, NULL, "01890a5d-ac96-774b-bcce-b302099a8057");
    json_write_tree(w, "example", document);
    json_free(document);
}

static void write_header_reference(struct json_writer *w, const char *name)
{
    openapi_reference(w, name, "headers", name, "");
}

static void write_refusal(struct json_writer *w, const struct refusal *refusal)
{
    json_open_object(w, refusal->name);
    enum problem_type type = describe_status(w, refusal->status);
    json_open_object(w, "headers");
    write_header_reference(w, "X-Request-Id");
    if (refusal->status == 401)
        write_header_reference(w, "WWW-Authenticate");
    if (refusal->status == 409 || refusal->status == 429 || refusal->status == 503)
        write_header_reference(w, "Retry-After");
    json_close_object(w);
    write_problem_content(w);
    write_problem_example(w, type);
    end_problem_content(w);
    json_close_object(w);
}

static void write_header_components(struct json_writer *w)
{
    static const char *const headers[][3] = {
        {"X-Request-Id", "string", "The request's own id, or the one it was given."},
        {"Location", "string", "Where the resource, or the operation, is."},
        {"ETag", "string", "The revision, in quotes; strong."},
        {"Idempotency-Replayed", "string", "true: an earlier answer, given again."},
        {"Preference-Applied", "string", "How long it was waited for at most."},
        {"WWW-Authenticate", "string", "Bearer: the scheme that is wanted."},
        {"Retry-After", "integer", "After how many seconds it is worth trying again; not always."},
        {"Vary", "string", "Accept-Encoding: it is compressed when that is asked for."},
    };
    json_open_object(w, "headers");
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        json_open_object(w, headers[i][0]);
        json_write_string(w, "description", view_of(headers[i][2]));
        json_open_object(w, "schema");
        json_write_string(w, "type", view_of(headers[i][1]));
        json_close_object(w);
        json_close_object(w);
    }
    json_close_object(w);
}

void openapi_write_refusals(struct json_writer *w)
{
    write_header_components(w);
    json_open_object(w, "responses");
    for (size_t i = 0; i < REFUSALS; i++)
        write_refusal(w, &refusals[i]);
    json_open_object(w, "MessageRefused");
    json_write_string(w, "description", VIEW(MESSAGE_REFUSED));
    write_problem_content(w);
    end_problem_content(w);
    json_close_object(w);
    json_close_object(w);
}

/* What is asked for. */

/* What calls give that give no resource. */
static const struct document {
    const char *id, *type, *schema;
} documents[] = {
    /* Each line is one of these. */
    {"readLogs", "application/x-ndjson",
     "{\"anyOf\":[{\"$ref\":\"#/components/schemas/LogLine\"},{\"type\":\"object\","
     "\"properties\":{\"end\":{\"$ref\":\"#/components/schemas/LogEnd\"}},"
     "\"required\":[\"end\"],\"additionalProperties\":false}]}"},
    {"followOperation", "text/event-stream", "{\"type\":\"string\"}"},
    {"getMetrics", "text/plain", "{\"type\":\"string\"}"},
    {"getProblem", "text/html", "{\"type\":\"string\"}"},
    {"listSchemas", "application/json",
     "{\"type\":\"object\",\"properties\":{\"schemas\":{\"type\":\"array\",\"items\":{"
     "\"type\":\"string\"}}},\"required\":[\"schemas\"],\"additionalProperties\":false}"},
    {"getSchema", "application/schema+json", "{\"type\":\"object\",\"additionalProperties\":true}"},
    {"getOpenapi", "application/json",
     "{\"type\":\"object\",\"properties\":{\"openapi\":{\"type\":\"string\"},\"info\":{"
     "\"type\":\"object\",\"additionalProperties\":true},\"paths\":{\"type\":\"object\","
     "\"additionalProperties\":true}},\"required\":[\"openapi\",\"info\",\"paths\"],"
     "\"additionalProperties\":true}"},
    {"getHealth", "application/json",
     "{\"type\":\"object\",\"properties\":{\"status\":{\"const\":\"alive\"}},"
     "\"required\":[\"status\"],\"additionalProperties\":false}"},
    {"getReadiness", "application/json",
     "{\"type\":\"object\",\"properties\":{\"status\":{\"enum\":[\"ready\",\"not ready\"]},"
     "\"checks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
     "\"name\":{\"type\":\"string\"},\"ok\":{\"type\":\"boolean\"},"
     "\"detail\":{\"type\":\"string\"}},\"required\":[\"name\",\"ok\"],"
     "\"additionalProperties\":false}}},\"required\":[\"status\",\"checks\"],"
     "\"additionalProperties\":false}"},
};

static const struct document *document_of(const struct endpoint *endpoint)
{
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++)
        if (strcmp(endpoint->id, documents[i].id) == 0)
            return &documents[i];
    return NULL;
}

static void write_page_schema(struct json_writer *w, const struct shape *shape)
{
    json_open_object(w, "schema");
    json_write_string(w, "type", VIEW("object"));
    json_open_object(w, "properties");
    json_open_object(w, "items");
    json_write_string(w, "type", VIEW("array"));
    openapi_reference(w, "items", "schemas", shape->name, "");
    json_close_object(w);
    json_write_raw(w, "nextCursor",
                   VIEW("{\"type\":[\"string\",\"null\"],"
                        "\"description\":\"The cursor of the next page; null: it is the last.\"}"));
    json_close_object(w);
    json_write_raw(w, "required", VIEW("[\"items\",\"nextCursor\"]"));
    json_write_bool(w, "additionalProperties", false);
    json_close_object(w);
}

static void write_answer_schema(struct json_writer *w, const struct endpoint *endpoint, int status)
{
    const struct document *document = document_of(endpoint);
    if (document) {
        json_write_raw(w, "schema", view_of(document->schema));
    } else if (endpoint->flags & ENDPOINT_LIST) {
        write_page_schema(w, endpoint->gives);
    } else if (strcmp(endpoint->id, "apply") == 0 && status == 200) {
        /* With dryRun the plan is all there is. */
        json_open_object(w, "schema");
        json_open_array(w, "anyOf");
        openapi_reference(w, NULL, "schemas", endpoint->gives->name, "");
        openapi_reference(w, NULL, "schemas", apply_plan_shape.name, "");
        json_close_array(w);
        json_close_object(w);
    } else {
        openapi_reference(w, "schema", "schemas", endpoint->gives->name, "");
    }
}

static void write_answer_headers(struct json_writer *w, const struct endpoint *endpoint, int status)
{
    json_open_object(w, "headers");
    write_header_reference(w, "X-Request-Id");
    if (status == 201 || (endpoint->flags & ENDPOINT_ACCEPTS && openapi_writes(endpoint)))
        write_header_reference(w, "Location");
    if (openapi_gives_tagged(endpoint) && !(endpoint->flags & ENDPOINT_ACCEPTS))
        write_header_reference(w, "ETag");
    if (is_post(endpoint))
        write_header_reference(w, "Idempotency-Replayed");
    if (endpoint->flags & ENDPOINT_ACCEPTS || strcmp(endpoint->id, "getOperation") == 0)
        write_header_reference(w, "Preference-Applied");
    if (endpoint->flags & (ENDPOINT_LIST | ENDPOINT_TEXT | ENDPOINT_PACKED) &&
        strcmp(endpoint->id, "followOperation") != 0 && strcmp(endpoint->id, "readLogs") != 0)
        write_header_reference(w, "Vary");
    json_close_object(w);
}

static void write_answer(struct json_writer *w, const struct json *examples,
                         const struct endpoint *endpoint, int status, const char *description)
{
    char code[8];
    const struct document *document = document_of(endpoint);
    snprintf(code, sizeof code, "%d", status);
    json_open_object(w, code);
    json_write_string(w, "description", view_of(description));
    if (endpoint->gives || document) {
        json_open_object(w, "content");
        json_open_object(w, document ? document->type : "application/json");
        write_answer_schema(w, endpoint, status);
        openapi_write_answer_example(w, examples, endpoint);
        json_close_object(w);
        if (document && strcmp(document->type, "application/x-ndjson") == 0) {
            json_open_object(w, "text/event-stream");
            json_write_raw(w, "schema", VIEW("{\"type\":\"string\"}"));
            json_write_tree(w, "example", json_get(examples, "events"));
            json_close_object(w);
        }
        json_close_object(w);
    }
    write_answer_headers(w, endpoint, status);
    json_close_object(w);
}

static bool has_dry_run(const struct endpoint *endpoint)
{
    const char *query = endpoint->query ? endpoint->query : "";
    return strcmp(query, "*") == 0 || strstr(query, "dryRun");
}

static void write_answers(struct json_writer *w, const struct json *examples,
                          const struct endpoint *endpoint)
{
    write_answer(w, examples, endpoint, endpoint->status,
                 endpoint->status == 202   ? "Accepted: the operation."
                 : endpoint->status == 201 ? "Created."
                 : endpoint->status == 204 ? "Done; there is nothing left to tell."
                                           : "Done.");
    if (endpoint->flags & ENDPOINT_ACCEPTS && openapi_writes(endpoint))
        write_answer(w, examples, endpoint, 200,
                     has_dry_run(endpoint)
                         ? "It has succeeded within the time of Prefer: wait; or, with dryRun, "
                           "what would be done."
                         : "It has succeeded within the time of Prefer: wait.");
    if (openapi_creates(endpoint))
        write_answer(w, examples, endpoint, 201, "Created.");
    if (strcmp(endpoint->id, "getReadiness") == 0)
        write_answer(w, examples, endpoint, 503, "Not ready; the checks say why.");
    if (!openapi_writes(endpoint) && openapi_gives_tagged(endpoint)) {
        json_open_object(w, "304");
        json_write_string(w, "description", VIEW("It is as the If-None-Match knows it."));
        json_open_object(w, "headers");
        write_header_reference(w, "X-Request-Id");
        write_header_reference(w, "ETag");
        json_close_object(w);
        json_close_object(w);
    }
}

void openapi_write_answers(struct json_writer *w, const struct json *examples,
                           const struct endpoint *endpoint)
{
    json_open_object(w, "responses");
    write_answers(w, examples, endpoint);
    for (size_t i = 0; i < REFUSALS; i++) {
        char code[8];
        snprintf(code, sizeof code, "%d", refusals[i].status);
        if (refusals[i].when(endpoint))
            openapi_reference(w, code, "responses", refusals[i].name, "");
    }
    openapi_reference(w, "default", "responses", "MessageRefused", "");
    json_close_object(w);
}
