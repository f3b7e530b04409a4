/* The tables of what /invoke takes and gives. */
#include "managerd/invoke_event.h"

#include "common/net/syntax.h"
#include "managerd/invoke.h"
#include "managerd/resources.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A string, or a list of strings, that all are lawful. */
static bool all_are(const struct json *value, bool (*lawful)(struct view text))
{
    const struct json *one = json_type_of(value) == JSON_ARRAY ? json_first(value) : value;
    for (; one; one = one == value ? NULL : json_next(one))
        if (json_type_of(one) != JSON_STRING || !lawful(json_string(one)))
            return false;
    return true;
}

static bool is_header_value(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!(syntax_classes[(unsigned char)text.data[i]] & SYNTAX_VALUE))
            return false;
    return true;
}

static bool is_any_text(struct view text)
{
    return text.length <= ASK_MAX_TARGET_BYTES;
}

static const char *check_headers(const struct json *value)
{
    const struct json *header = json_first(value);
    if (json_type_of(value) != JSON_OBJECT)
        return "must be an object of strings, or of lists of strings";
    for (; header; header = json_next(header)) {
        if (!syntax_is(json_name(header), SYNTAX_TOKEN))
            return "has a name that is no token";
        if (!all_are(header, is_header_value))
            return "must hold strings, or lists of strings, without control characters";
    }
    return NULL;
}

static const char *check_query(const struct json *value)
{
    const struct json *one = json_first(value);
    if (json_type_of(value) == JSON_STRING)
        return json_string(value).length <= ASK_MAX_TARGET_BYTES &&
                       (json_string(value).length == 0 ||
                        syntax_is(json_string(value), SYNTAX_QUERY))
                   ? NULL
                   : "must be a query as clients send it, without its question mark";
    if (json_type_of(value) != JSON_OBJECT)
        return "must be a string, or an object of strings or lists of strings";
    for (; one; one = json_next(one))
        if (!all_are(one, is_any_text))
            return "must hold strings, or lists of strings";
    return NULL;
}

#define STRINGS_SCHEMA                                                                             \
    "{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[{\"type\":\"string\"},"             \
    "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]}}"

static const struct shape_field request_fields[] = {
    {.name = "method",
     .kind = SHAPE_STRING,
     .min = 1,
     .max = 32,
     .check = ask_method_valid,
     .wants = "must be a method, such as GET",
     .description = "GET when absent."},
    {.name = "path",
     .kind = SHAPE_STRING,
     .min = 1,
     .max = ASK_MAX_TARGET_BYTES,
     .check = ask_target_valid,
     .wants = "must be a path, as clients send it, with or without a query",
     .description = "/ when absent."},
    {.name = "query",
     .kind = SHAPE_ANY,
     .check_value = check_query,
     .schema_json = "{\"anyOf\":[{\"type\":\"string\"}," STRINGS_SCHEMA "]}",
     .description = "As clients send it, or names and values, which are encoded."},
    {.name = "headers",
     .kind = SHAPE_ANY,
     .check_value = check_headers,
     .schema_json = STRINGS_SCHEMA,
     .description = "Names and values; what proxyd adds is added."},
    {.name = "body",
     .kind = SHAPE_STRING,
     .max = ASK_MAX_EVENT_BYTES,
     .description = "None: empty."},
    {.name = "isBase64Encoded",
     .kind = SHAPE_BOOL,
     .description = "Whether the body stands in base64."},
};
const struct shape invoke_request_shape = {
    .name = "InvokeRequest",
    .description = "A request as a client would send it.",
    .fields = request_fields,
    .count = COUNT(request_fields),
    .example = "{\"method\":\"GET\",\"path\":\"/hello\",\"query\":{\"x\":\"1\"}}"};

static const struct shape_field invoke_fields[] = {
    {.name = "event",
     .kind = SHAPE_ANY,
     .flags = SHAPE_NULLABLE,
     .schema_json = "{}",
     .description = "What the function gets, as it is. Either this or request."},
    {.name = "request",
     .kind = SHAPE_OBJECT,
     .of = &invoke_request_shape,
     .description = "Becomes the event that proxyd would make of it for this version."},
    {.name = "version",
     .kind = SHAPE_INTEGER,
     .min = 1,
     .max = 1000000000,
     .description = "Which version; absent: the one with the largest share of the traffic."},
    {.name = "deadlineMs",
     .kind = SHAPE_INTEGER,
     .min = 1,
     .max = INVOKE_MAX_DEADLINE_MS,
     .description = "For how long the reply is waited for; absent: as proxyd does."},
};
const struct shape invoke_shape = {.name = "Invoke",
                                   .description = "What a version is called with.",
                                   .fields = invoke_fields,
                                   .count = COUNT(invoke_fields),
                                   .example = "{\"request\":{\"path\":\"/hello\"}}"};

static const struct shape_field result_fields[] = {
    {.name = "version", .kind = SHAPE_INTEGER, .description = "The version that was called."},
    {.name = "lambdaVersion", .kind = SHAPE_STRING, .description = "The same on Lambda."},
    {.name = "payloadFormat", .kind = SHAPE_STRING, .description = "Its payload format."},
    {.name = "responseMode", .kind = SHAPE_STRING, .description = "Its response mode."},
    {.name = "requestId",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .description = "Lambda's id of the invocation, which its log lines have."},
    {.name = "durationMs", .kind = SHAPE_INTEGER, .description = "From the call to its end."},
    {.name = "functionError",
     .kind = SHAPE_ANY,
     .flags = SHAPE_NULLABLE,
     .schema_json = "{\"type\":[\"object\",\"null\"],\"properties\":{\"type\":{\"type\":"
                    "\"string\"},\"message\":{\"type\":\"string\"},\"timedOut\":{\"type\":"
                    "\"boolean\"}}}",
     .description = "How the function failed; null: it did not."},
    {.name = "statusCode",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_NULLABLE,
     .description = "The status that a client would get; null: no response came of it."},
    {.name = "response",
     .kind = SHAPE_ANY,
     .flags = SHAPE_NULLABLE,
     .schema_json = "{\"type\":[\"object\",\"null\"],\"properties\":{\"status\":{\"type\":"
                    "\"integer\"},\"headers\":{\"type\":\"object\",\"additionalProperties\":{"
                    "\"type\":\"array\",\"items\":{\"type\":\"string\"}}},\"body\":{\"type\":"
                    "\"string\"},\"isBase64Encoded\":{\"type\":\"boolean\"}}}",
     .description = "To a request: the response that the reply means."},
    {.name = "contractProblem",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .description = "To a request: why the reply means no response, or not a whole one."},
    {.name = "reply",
     .kind = SHAPE_ANY,
     .schema_json = "{}",
     .description = "The JSON that the function gave, unless response says it all."},
    {.name = "rawReply",
     .kind = SHAPE_ANY,
     .flags = SHAPE_NULLABLE,
     .schema_json = "{\"type\":[\"object\",\"null\"],\"properties\":{\"body\":{\"type\":"
                    "\"string\"},\"isBase64Encoded\":{\"type\":\"boolean\"}}}",
     .description = "The same when it is no JSON."},
    {.name = "cut",
     .kind = SHAPE_STRING,
     .flags = SHAPE_NULLABLE,
     .choices = "size|deadline",
     .description = "Why a stream is not here as a whole; null: it is."},
    {.name = "log", .kind = SHAPE_STRING, .description = "The last 4 KB that were printed."},
};
const struct shape invoke_result_shape = {.name = "InvokeResult",
                                          .description = "What came of calling a version.",
                                          .fields = result_fields,
                                          .count = COUNT(result_fields)};
