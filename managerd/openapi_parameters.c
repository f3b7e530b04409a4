/* Describes what calls take in their path, query and headers. */
#include "managerd/openapi_parts.h"

#include "managerd/resources.h"

#include <stdio.h>
#include <string.h>

#define ID_EXAMPLE "\"01890a5d-ac96-774b-bcce-b302099a8057\""
#define BOOLEAN    "{\"type\":\"boolean\"}"
#define TEXT       "{\"type\":\"string\"}"
#define TIME       "{\"type\":\"string\",\"format\":\"date-time\"}"
#define APP_NAME   "{\"type\":\"string\",\"pattern\":\"" APP_NAME_PATTERN "\"}"

/* What a parameter means, wherever it is. */
static const struct meaning {
    const char *name;
    const char *schema;
    const char *description;
    const char *example; /* JSON; NULL: there is none that would mean anything elsewhere */
} query_meanings[] =
    {
        {"limit", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":500,\"default\":100}",
         "How many items at most.", "50"},
        {"cursor", TEXT, "The nextCursor of the page before.", NULL},
        {"label", "{\"type\":\"string\",\"pattern\":\"^[^:]+:\"}",
         "NAME:VALUE: only those with this label.", "\"team:web\""},
        {"app", APP_NAME, "Only those of this app.", "\"hello\""},
        {"dryRun", BOOLEAN, "true: answers with the plan and changes nothing.", "true"},
        {"prune", BOOLEAN, "true: what the document does not name is deleted.", "false"},
        {"url", "{\"type\":\"string\",\"minLength\":1}",
         "The whole address, as a client writes it.", "\"http://hello.localhost/orders?x=1\""},
        {"method", TEXT, "The request's method; GET when absent.", "\"POST\""},
        {"header", "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
         "NAME: VALUE, as often as there are headers.", "[\"Cookie: orchestrator_bucket=17\"]"},
        {"address", TEXT, "The client's address, which sticky traffic may go by.", "\"192.0.2.7\""},
        {"actor", TEXT, "Only what was done with the token of this id.", ID_EXAMPLE},
        {"requestId", "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9._-]{1,128}$\"}",
         "Only what was done by the request of this id.", ID_EXAMPLE},
        {"since", TIME, "RFC 3339: nothing older.", "\"2026-01-31T08:00:00.000Z\""},
        {"until", TIME, "RFC 3339: only what is older.", "\"2036-01-31T08:00:00.000Z\""},
        {"keepFunction", BOOLEAN,
         "Whether the Lambda function is left alone; when absent, adopted ones are.", "true"},
},
  path_meanings[] = {
      {"name", APP_NAME, "The app.", "\"hello\""},
      {"version", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000000}",
       "The version's number.", "3"},
      {"host", TEXT,
       "A host name (internationalised ones in their xn-- form), or *. and one of two labels at "
       "least.",
       "\"shop.example.com\""},
      {"id", TEXT, "As the resource tells it.", ID_EXAMPLE},
      {"key", TEXT, "The key's id.", ID_EXAMPLE},
      {"change", TEXT, "The change's id.", ID_EXAMPLE},
      {"file", TEXT, "As /schemas lists it.", "\"event-2.0.json\""},
      {"slug", TEXT, "The last part of a problem's type.", "\"app-not-found\""},
};
/* What they mean for readLogs, when it is something else. */
static const struct meaning log_meanings[] = {
    {"since", TEXT, "Nothing older: RFC 3339, or how long ago: 90s, 15m, 2h, 1d.", "\"15m\""},
    {"after", TEXT, "Only what is behind this: after, as the end of an earlier answer tells it.",
     NULL},
    {"until", TEXT, "Only what is older; in the forms of since.", "\"0s\""},
    {"requestId", "{\"type\":\"string\",\"minLength\":1}", "Only lines of this invocation.",
     ID_EXAMPLE},
    {"version", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000000}",
     "Only lines of this version.", "3"},
    {"limit", "{\"type\":\"integer\",\"minimum\":1}", "How many lines at most.", "50"},
    {"follow", BOOLEAN, "true: goes on with what is printed from now on, for an hour at most.",
     "false"},
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct meaning unknown_meaning = {.schema = TEXT, .description = "As it says."};

static const struct meaning *find_meaning(const struct meaning *meanings, size_t count,
                                          struct view name)
{
    for (size_t i = 0; i < count; i++)
        if (view_equal_string(name, meanings[i].name))
            return &meanings[i];
    return &unknown_meaning;
}

static void write_parameter(struct json_writer *w, const char *in, struct view name,
                            const struct meaning *meaning)
{
    bool in_path = strcmp(in, "path") == 0;
    json_open_object(w, NULL);
    json_write_string(w, "name", name);
    json_write_string(w, "in", view_of(in));
    /* Nothing can be explained without an address; every other query has its default. */
    if (in_path || view_equal(name, VIEW("url")))
        json_write_bool(w, "required", true);
    json_write_string(w, "description", view_of(meaning->description));
    if (view_equal(name, VIEW("header")))
        json_write_bool(w, "explode", true);
    json_write_raw(w, "schema", view_of(meaning->schema));
    if (meaning->example)
        json_write_raw(w, "example", view_of(meaning->example));
    json_close_object(w);
}

static void write_path_parameters(struct json_writer *w, const char *pattern)
{
    struct view rest = view_of(pattern), part;
    while (view_split(&rest, '/', &part))
        if (view_starts_with(part, VIEW("{"))) {
            struct view name = view_slice(part, 1, part.length - 2);
            write_parameter(w, "path", name,
                            find_meaning(path_meanings, COUNT(path_meanings), name));
        }
}

/* A member of the body that may be a query parameter instead, with a zip as the body. */
static void write_setting(struct json_writer *w, const struct shape_field *field)
{
    static const struct meaning meanings[] = {
        {"traffic", TEXT, "all, none, or {\"percent\": N} as JSON; all when absent.", "\"none\""},
        {"canary", TEXT,
         "The canary as JSON: takes the traffic step by step, as long as it does well.", NULL},
    };
    const struct meaning *meaning = find_meaning(meanings, COUNT(meanings), view_of(field->name));
    if (meaning != &unknown_meaning) {
        write_parameter(w, "query", view_of(field->name), meaning);
        return;
    }
    json_open_object(w, NULL);
    json_write_string(w, "name", view_of(field->name));
    json_write_string(w, "in", VIEW("query"));
    json_write_string(w, "description", view_of(field->description));
    shape_write_field(field, w, "schema", SHAPE_TAKEN);
    json_close_object(w);
}

static void write_settings(struct json_writer *w, const struct shape *shape)
{
    for (size_t i = 0; i < shape->count; i++) {
        const struct shape_field *field = &shape->fields[i];
        bool scalar =
            field->kind != SHAPE_OBJECT && field->kind != SHAPE_LIST && field->kind != SHAPE_MAP;
        if (scalar || strcmp(field->name, "canary") == 0)
            write_setting(w, field);
        else if (strcmp(field->name, "http") == 0)
            write_settings(w, field->of);
    }
}

/* By the states of what is listed. */
static void write_state(struct json_writer *w, const struct endpoint *endpoint)
{
    const struct shape_field *state = shape_field(endpoint->gives, VIEW("state"));
    struct view rest = view_of(state->choices), choice;
    json_open_object(w, NULL);
    json_write_string(w, "name", VIEW("state"));
    json_write_string(w, "in", VIEW("query"));
    json_write_string(w, "description", VIEW("Only those in this state."));
    json_open_object(w, "schema");
    json_write_string(w, "type", VIEW("string"));
    json_open_array(w, "enum");
    while (view_split(&rest, '|', &choice))
        json_write_string(w, NULL, choice);
    json_close_array(w);
    json_close_object(w);
    rest = view_of(state->choices);
    view_split(&rest, '|', &choice);
    json_write_string(w, "example", choice);
    json_close_object(w);
}

static void write_query(struct json_writer *w, const struct endpoint *endpoint)
{
    struct view rest = view_of(endpoint->query ? endpoint->query : ""), name;
    if (endpoint->query && strcmp(endpoint->query, "*") == 0) {
        write_settings(w, endpoint->takes);
        rest = VIEW("dryRun");
    }
    while (rest.length && view_split(&rest, ' ', &name)) {
        if (view_equal(name, VIEW("state")))
            write_state(w, endpoint);
        else if (strcmp(endpoint->id, "readLogs") == 0)
            write_parameter(w, "query", name,
                            find_meaning(log_meanings, COUNT(log_meanings), name));
        else
            write_parameter(w, "query", name,
                            find_meaning(query_meanings, COUNT(query_meanings), name));
    }
}

static void write_header(struct json_writer *w, const char *name, const char *schema,
                         const char *description, const char *example)
{
    const struct meaning meaning = {name, schema, description, example};
    write_parameter(w, "header", view_of(name), &meaning);
}

static void write_headers(struct json_writer *w, const struct endpoint *endpoint)
{
    bool writes = openapi_writes(endpoint);
    if (writes)
        write_header(w, "If-Match", TEXT,
                     "The ETag that the change is based on; another: 412. *: it must be there.",
                     NULL);
    if (openapi_creates(endpoint))
        write_header(w, "If-None-Match", TEXT, "*: only creates; 412 when it exists.", NULL);
    if (!writes && openapi_gives_tagged(endpoint))
        write_header(w, "If-None-Match", TEXT, "The ETag that is known; while it holds: 304.",
                     "\"\\\"17\\\"\"");
    if (strcmp(endpoint->method, "POST") == 0)
        write_header(w, "Idempotency-Key",
                     "{\"type\":\"string\",\"minLength\":1,\"maxLength\":255,"
                     "\"pattern\":\"^[ -~]+$\"}",
                     "The same key gives the same answer for 24 hours.", "\"9f6c2d1e\"");
    if (endpoint->flags & ENDPOINT_ACCEPTS || strcmp(endpoint->id, "getOperation") == 0)
        write_header(w, "Prefer", TEXT, "wait=N: waits up to N seconds for the end (RFC 7240).",
                     "\"wait=30\"");
}

void openapi_write_parameters(struct json_writer *w, const struct endpoint *endpoint)
{
    json_open_array(w, "parameters");
    write_path_parameters(w, endpoint->pattern);
    write_query(w, endpoint);
    write_headers(w, endpoint);
    json_close_array(w);
}
