/* The tables of what a check takes and gives. */
#include "managerd/check.h"

#include "common/base/escape.h"
#include "common/net/syntax.h"
#include "managerd/ask.h"
#include "managerd/resources.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *check_headers(const struct json *value)
{
    const struct json *header = json_first(value);
    if (json_type_of(value) != JSON_OBJECT)
        return "must be an object of strings";
    if (json_count(value) > ASK_MAX_HEADERS)
        return "has too many headers";
    for (; header; header = json_next(header)) {
        struct view text = json_string(header);
        if (json_type_of(header) != JSON_STRING)
            return "must be an object of strings";
        if (!syntax_is(json_name(header), SYNTAX_TOKEN))
            return "has a name that is no token";
        for (size_t i = 0; i < text.length; i++)
            if (!(syntax_classes[(unsigned char)text.data[i]] & SYNTAX_VALUE))
                return "has a control character in a value";
    }
    return NULL;
}

static const char *check_base64(const struct json *value)
{
    struct view text = json_string(value);
    struct buffer decoded;
    if (json_type_of(value) != JSON_STRING)
        return "must be a string";
    buffer_init(&decoded, (size_t)1024 * 1024);
    bool good = base64_decode(&decoded, text) == ERROR_NONE;
    buffer_release(&decoded);
    return good ? NULL : "must be base64, of at most 1 MB";
}

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
    {.name = "headers",
     .kind = SHAPE_ANY,
     .check_value = check_headers,
     .schema_json = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}",
     .description = "Names and values; what proxyd adds is added."},
    {.name = "body", .kind = SHAPE_STRING, .max = 1048576, .description = "As text."},
    {.name = "bodyBase64",
     .kind = SHAPE_ANY,
     .check_value = check_base64,
     .schema_json = "{\"type\":\"string\",\"contentEncoding\":\"base64\"}",
     .description = "As bytes; counts instead of body."},
};
static const struct shape request_shape = {.name = "CheckRequest",
                                           .description = "A request of a check.",
                                           .fields = request_fields,
                                           .count = COUNT(request_fields),
                                           .example =
                                               "{\"method\":\"GET\",\"path\":\"/hello?x=1\"}"};

static const struct shape_field check_fields[] = {
    {.name = "version",
     .kind = SHAPE_INTEGER,
     .min = 1,
     .max = 1000000000,
     .description = "Which version; absent: the one with the largest share of the traffic."},
    {.name = "requests",
     .kind = SHAPE_LIST,
     .min = 1,
     .max = CHECK_MAX_REQUESTS,
     .of = &request_shape,
     .description = "What it is asked, one after the other; absent: GET and HEAD of /, an unknown "
                    "path, a query, cookies, and POSTs of JSON, bytes and 512 KB of text."},
};
const struct shape check_shape = {
    .name = "Check",
    .description = "A check of a version against the HTTP contract.",
    .fields = check_fields,
    .count = COUNT(check_fields),
    .example = "{\"version\":3,\"requests\":[{\"method\":\"GET\",\"path\":\"/\"}]}"};

static const struct shape_field result_fields[] = {
    {.name = "version",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = 1000000000,
     .description = "The version that was asked."},
    {.name = "payloadFormat",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .description = "Its payload format."},
    {.name = "responseMode",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .description = "Its response mode."},
    {.name = "passed",
     .kind = SHAPE_BOOL,
     .flags = SHAPE_REQUIRED,
     .description = "Whether no rule is broken."},
    {.name = "broken",
     .kind = SHAPE_LIST,
     .flags = SHAPE_REQUIRED,
     .description = "Names of the rules that are broken."},
    {.name = "rules",
     .kind = SHAPE_ANY,
     .flags = SHAPE_REQUIRED,
     .schema_json =
         "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
         "\"rule\":{\"type\":\"string\"},\"text\":{\"type\":\"string\"},"
         "\"result\":{\"enum\":[\"pass\",\"fail\",\"skip\"]},\"why\":{\"type\":\"string\"},"
         "\"requests\":{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":0}}},"
         "\"required\":[\"rule\",\"text\",\"result\"]}}",
     .description = "Each rule: pass, fail (why, and which requests showed it), or skip: nothing "
                    "was there to judge."},
    {.name = "requests",
     .kind = SHAPE_ANY,
     .flags = SHAPE_REQUIRED,
     .schema_json = "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
                    "\"method\":{\"type\":\"string\"},\"path\":{\"type\":\"string\"},"
                    "\"status\":{\"type\":[\"integer\",\"null\"]},"
                    "\"durationMs\":{\"type\":\"integer\"},"
                    "\"broken\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},"
                    "\"required\":[\"method\",\"path\",\"status\",\"durationMs\",\"broken\"]}}",
     .description = "What was asked; a status of null: no response came of it."},
    {.name = "skippedRequests",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_REQUIRED,
     .min = 0,
     .max = CHECK_MAX_REQUESTS,
     .description = "Requests that were not asked: a minute was over, or Lambda cannot be used."},
};
const struct shape check_result_shape = {.name = "CheckResult",
                                         .description = "What a check found.",
                                         .fields = result_fields,
                                         .count = COUNT(result_fields)};
