/* Tells which rules of the contract a reply breaks. */
#include "managerd/rules.h"

#include "common/base/escape.h"
#include "common/contract/json_scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_TEXT_BYTES   ((size_t)8 * 1024 * 1024)
#define REPLY_MOST_BYTES ((size_t)6 * 1024 * 1024)
#define SHOWN_BYTES      100  /* of a name, in a sentence */
#define JUDGED_MAX       1000 /* headers, one by one: more than the decoder ever takes */

/* The members of a reply that are looked at; what is absent has no data. */
struct parts {
    struct json_part status, headers, multi_headers, cookies, body, base64;
    struct view unknown; /* the first member of another name */
};

/* A reply being judged. */
struct judging {
    struct rules *rules;
    enum event_format format;
    bool multi_value;
    bool prelude;
    struct parts parts;
};

const char *rule_name(enum rule rule)
{
    static const char *const names[] = {
#define RULE_NAME(code, name, text) name,
        RULE_LIST(RULE_NAME)
#undef RULE_NAME
    };
    return names[rule];
}

const char *rule_text(enum rule rule)
{
    static const char *const texts[] = {
#define RULE_TEXT(code, name, text) text,
        RULE_LIST(RULE_TEXT)
#undef RULE_TEXT
    };
    return texts[rule];
}

const char *rule_result_name(enum rule_result result)
{
    static const char *const names[] = {"skip", "pass", "fail"};
    return names[result];
}

void rules_begin(struct rules *rules, struct arena *arena)
{
    memset(rules, 0, sizeof *rules);
    rules->arena = arena;
}

void rules_pass(struct rules *rules, enum rule rule)
{
    if (rules->results[rule] == RULE_SKIPPED)
        rules->results[rule] = RULE_PASSED;
}

void rules_fail(struct rules *rules, enum rule rule, const char *format, ...)
{
    char text[600];
    va_list arguments;
    if (rules->results[rule] == RULE_FAILED)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    rules->results[rule] = RULE_FAILED;
    rules->why[rule] = arena_string(rules->arena, view_of(text));
}

bool rules_broken(const struct rules *rules)
{
    for (size_t i = 0; i < RULE_COUNT; i++)
        if (rules->results[i] == RULE_FAILED)
            return true;
    return false;
}

/* Decodes what is put together in `text`, as proxyd would; `why` is the decoder's sentence. `reply`
 * may be NULL. */
static enum error decode(const struct judging *judging, const struct buffer *text,
                         struct reply *reply, char why[300])
{
    struct reply unused;
    struct buffer problem;
    struct arena arena;
    enum error error;

    arena_init(&arena, REPLY_ARENA_BYTES(text->length));
    buffer_init(&problem, 1024);
    if (judging->prelude)
        error = reply_decode_prelude(buffer_view(text), reply ? judging->rules->arena : &arena,
                                     reply ? reply : &unused, &problem);
    else
        error =
            reply_decode(judging->format, buffer_view(text), reply ? judging->rules->arena : &arena,
                         reply ? reply : &unused, &problem);
    snprintf(why, 300, "%.*s", VIEW_FORMAT(buffer_view(&problem)));
    buffer_release(&problem);
    arena_release(&arena);
    return error ? error : text->error;
}

/* One member, beside a good statusCode. `suffix` ends the object. */
static enum error decode_alone(const struct judging *judging, const char *prefix, struct view value,
                               const char *suffix, char why[300])
{
    struct buffer text;

    buffer_init(&text, MAX_TEXT_BYTES);
    buffer_append_string(&text, prefix);
    buffer_append_view(&text, value);
    buffer_append_string(&text, suffix);
    enum error error = decode(judging, &text, NULL, why);
    buffer_release(&text);
    return error;
}

static bool judge_alone(const struct judging *judging, enum rule rule, const char *prefix,
                        struct view value, const char *suffix)
{
    char why[300];
    bool good = decode_alone(judging, prefix, value, suffix, why) == ERROR_NONE;

    if (good)
        rules_pass(judging->rules, rule);
    else
        rules_fail(judging->rules, rule, "%s", why);
    return good;
}

/* The value as it is written, with the quotes of a string. */
static struct view written(const struct json_part *part)
{
    if (part->type != JSON_STRING)
        return part->text;
    return view_from(part->text.data - 1, part->text.length + 2);
}

/* ---- headers ---- */

static struct view meaning(const struct judging *judging, const struct json_part *string)
{
    char *memory = arena_alloc(judging->rules->arena, string->text.length + 1);

    if (!memory)
        return VIEW("");
    return view_from(memory, json_scan_unescape(string, memory));
}

static void judge_dropped(const struct judging *judging, struct view name)
{
    struct rules *rules = judging->rules;

    if (!event_header_passes(name, VIEW("")))
        rules_fail(rules, RULE_CONNECTION_HEADERS, "the header \"%.*s\" concerns the connection",
                   VIEW_FORMAT(view_slice(name, 0, SHOWN_BYTES)));
    if (view_equal_nocase(view_slice(name, 0, 15), VIEW("X-Orchestrator-")))
        rules_fail(rules, RULE_RESERVED_HEADERS, "the header \"%.*s\" is the proxy's",
                   VIEW_FORMAT(view_slice(name, 0, SHOWN_BYTES)));
}

/* `rule` is the one that asks for a single value. */
static void judge_value(const struct judging *judging, enum rule rule, struct view name,
                        const struct json_part *value)
{
    char why[300];

    name = view_slice(name, 0, SHOWN_BYTES);
    if (value->type == JSON_OBJECT || value->type == JSON_ARRAY)
        rules_fail(judging->rules, rule,
                   "\"%.*s\" has a value that is no string, number or boolean", VIEW_FORMAT(name));
    else if (decode_alone(judging, "{\"statusCode\":200,\"headers\":{\"x\":", written(value), "}}",
                          why) == ERROR_INVALID)
        rules_fail(judging->rules, RULE_HEADER_VALUES,
                   "the header \"%.*s\" has a control character in its value", VIEW_FORMAT(name));
    else
        rules_pass(judging->rules, RULE_HEADER_VALUES);
}

static void judge_name(const struct judging *judging, const struct json_part *name)
{
    char why[300];

    if (decode_alone(judging, "{\"statusCode\":200,\"headers\":{", written(name), ":\"\"}}", why) ==
        ERROR_INVALID)
        rules_fail(judging->rules, RULE_HEADER_NAMES, "\"%.*s\" is no token",
                   VIEW_FORMAT(view_slice(name->text, 0, SHOWN_BYTES)));
    else
        rules_pass(judging->rules, RULE_HEADER_NAMES);
    judge_dropped(judging, meaning(judging, name));
}

/* Looking at each of a million would hold up everybody else. */
static bool too_many(const struct judging *judging, unsigned judged)
{
    if (judged <= JUDGED_MAX)
        return false;
    rules_fail(judging->rules, RULE_HEADER_LIMITS, "there are more than %d headers", JUDGED_MAX);
    return true;
}

static void judge_headers(const struct judging *judging, const struct json_part *headers)
{
    unsigned judged = 0;
    struct json_part name, value;
    struct json_scan scan;

    if (headers->type != JSON_OBJECT) {
        rules_fail(judging->rules, RULE_HEADERS, "the reply's headers are no object");
        return;
    }
    json_scan_enter(&scan, headers);
    while (json_scan_next(&scan, &name, &value) && !too_many(judging, ++judged)) {
        judge_name(judging, &name);
        judge_value(judging, RULE_HEADERS, name.text, &value);
    }
    rules_pass(judging->rules, RULE_HEADERS);
    rules_pass(judging->rules, RULE_CONNECTION_HEADERS);
    rules_pass(judging->rules, RULE_RESERVED_HEADERS);
}

static void judge_multi_headers(const struct judging *judging, const struct json_part *headers)
{
    struct json_part name, list, value;
    struct json_scan scan, values;
    unsigned judged = 0;

    if (headers->type != JSON_OBJECT) {
        rules_fail(judging->rules, RULE_MULTI_VALUE_HEADERS,
                   "the reply's multiValueHeaders are no object");
        return;
    }
    json_scan_enter(&scan, headers);
    while (json_scan_next(&scan, &name, &list) && !too_many(judging, ++judged)) {
        judge_name(judging, &name);
        if (list.type != JSON_ARRAY && list.type != JSON_NULL)
            rules_fail(judging->rules, RULE_MULTI_VALUE_HEADERS, "\"%.*s\" has no list",
                       VIEW_FORMAT(view_slice(name.text, 0, SHOWN_BYTES)));
        if (list.type != JSON_ARRAY)
            continue;
        json_scan_enter(&values, &list);
        while (json_scan_next(&values, NULL, &value) && !too_many(judging, ++judged)) {
            judge_value(judging, RULE_MULTI_VALUE_HEADERS, name.text, &value);
        }
    }
    rules_pass(judging->rules, RULE_MULTI_VALUE_HEADERS);
    rules_pass(judging->rules, RULE_CONNECTION_HEADERS);
    rules_pass(judging->rules, RULE_RESERVED_HEADERS);
}

static void judge_all_headers(const struct judging *judging)
{
    const struct parts *parts = &judging->parts;
    struct rules *rules = judging->rules;

    if (parts->headers.text.data)
        judge_headers(judging, &parts->headers);
    if (parts->multi_headers.text.data)
        judge_multi_headers(judging, &parts->multi_headers);
    else if (judging->multi_value && judging->format == EVENT_ALB && parts->headers.text.data)
        rules_fail(rules, RULE_MULTI_VALUE_HEADERS,
                   "with multi-value headers a load balancer looks at multiValueHeaders alone");
    bool good_alone = rules->results[RULE_HEADERS] != RULE_FAILED &&
                      rules->results[RULE_HEADER_NAMES] != RULE_FAILED &&
                      rules->results[RULE_HEADER_VALUES] != RULE_FAILED;
    if (!good_alone || rules->results[RULE_HEADER_LIMITS] == RULE_FAILED)
        return;
    if (parts->headers.text.data && parts->headers.type == JSON_OBJECT)
        judge_alone(judging, RULE_HEADER_LIMITS,
                    "{\"statusCode\":200,\"headers\":", parts->headers.text, "}");
    if (parts->multi_headers.text.data && parts->multi_headers.type == JSON_OBJECT &&
        rules->results[RULE_MULTI_VALUE_HEADERS] == RULE_PASSED)
        judge_alone(judging, RULE_HEADER_LIMITS,
                    "{\"statusCode\":200,\"multiValueHeaders\":", parts->multi_headers.text, "}");
}

/* ---- cookies, body ---- */

static bool cookie_has_name(struct view cookie)
{
    size_t equals = view_find(view_slice(cookie, 0, view_find(cookie, ';')), '=');

    return equals != SIZE_MAX && view_trim(view_slice(cookie, 0, equals)).length > 0;
}

static void judge_cookies(const struct judging *judging)
{
    const struct json_part *cookies = &judging->parts.cookies;
    struct json_part cookie;
    struct json_scan scan;

    if (!cookies->text.data || judging->format == EVENT_1_0) /* there it is an unknown member */
        return;
    if (judging->format == EVENT_ALB) {
        rules_fail(judging->rules, RULE_COOKIES, "cookies are ignored in format alb");
        return;
    }
    if (!judge_alone(judging, RULE_COOKIES, "{\"statusCode\":200,\"cookies\":", written(cookies),
                     "}"))
        return;
    json_scan_enter(&scan, cookies);
    for (unsigned i = 0; json_scan_next(&scan, NULL, &cookie); i++)
        if (!cookie_has_name(meaning(judging, &cookie)))
            rules_fail(judging->rules, RULE_COOKIES, "cookie %u has no name=value", i);
}

static void judge_body(const struct judging *judging)
{
    const struct json_part *body = &judging->parts.body, *base64 = &judging->parts.base64;
    bool flag_good = true, body_good = true;

    if (judging->prelude)
        return;
    if (base64->text.data)
        flag_good = judge_alone(judging, RULE_BASE64_FLAG,
                                "{\"statusCode\":200,\"isBase64Encoded\":", written(base64), "}");
    if (body->text.data)
        body_good =
            judge_alone(judging, RULE_BODY, "{\"statusCode\":200,\"body\":", written(body), "}");
    if (flag_good && body_good && body->text.data && base64->text.data &&
        base64->text.data[0] == 't')
        judge_alone(judging, RULE_BASE64_BODY,
                    "{\"statusCode\":200,\"isBase64Encoded\":true,\"body\":", written(body), "}");
}

/* ---- the whole ---- */

static void read_parts(struct judging *judging, const struct json_part *object)
{
    struct parts *parts = &judging->parts;
    struct json_part *const places[] = {&parts->status,  &parts->headers, &parts->multi_headers,
                                        &parts->cookies, &parts->body,    &parts->base64};
    static const char *const names[] = {"statusCode", "headers", "multiValueHeaders",
                                        "cookies",    "body",    "isBase64Encoded"};
    struct json_part name, value;
    struct json_scan scan;

    json_scan_enter(&scan, object);
    while (json_scan_next(&scan, &name, &value)) {
        size_t i = 0;

        while (i < sizeof(names) / sizeof(*names) && !json_scan_equals(&name, names[i]))
            i++;
        if (i < sizeof(names) / sizeof(*names))
            *places[i] = value.type == JSON_NULL && i > 0 ? (struct json_part){0} : value;
        else if (!parts->unknown.length)
            parts->unknown = name.text;
        if (judging->prelude && i >= 4 && i < sizeof(names) / sizeof(*names))
            parts->unknown = name.text;
        if (judging->format == EVENT_1_0 && !judging->prelude && i == 3)
            parts->unknown = name.text;
    }
}

static void judge_members(const struct judging *judging)
{
    struct rules *rules = judging->rules;
    struct view unknown = view_slice(judging->parts.unknown, 0, SHOWN_BYTES);

    rules_pass(rules, RULE_ENVELOPE);
    if (unknown.length && (judging->prelude || judging->format == EVENT_1_0))
        rules_fail(rules, RULE_MEMBERS, "\"%.*s\" is not known there", VIEW_FORMAT(unknown));
    else
        rules_pass(rules, RULE_MEMBERS);
    if (judging->parts.status.text.data)
        judge_alone(judging, RULE_STATUS_CODE, "{\"statusCode\":", written(&judging->parts.status),
                    "}");
    else if (judging->format == EVENT_ALB && !judging->prelude)
        rules_fail(rules, RULE_STATUS_CODE, "the reply has no statusCode");
    judge_all_headers(judging);
    judge_cookies(judging);
    judge_body(judging);
}

/* What the response, whole, says of itself. `streamed` bodies are not counted. */
static void judge_response(const struct judging *judging, const struct reply *reply, size_t body)
{
    struct rules *rules = judging->rules;
    struct json_part name, value;
    struct json_scan scan;
    uint64_t length;

    rules->status = reply->status;
    if (reply->status == 204 || reply->status == 304) {
        if (body)
            rules_fail(rules, RULE_NO_BODY, "a reply of status %d has a body of %zu bytes",
                       reply->status, body);
        rules_pass(rules, RULE_NO_BODY);
    }
    if (judging->parts.headers.type != JSON_OBJECT || !judging->parts.headers.text.data ||
        (rules->head && body == 0))
        return;
    json_scan_enter(&scan, &judging->parts.headers);
    while (json_scan_next(&scan, &name, &value)) {
        if (!view_equal_nocase(meaning(judging, &name), VIEW("Content-Length")))
            continue;
        if (view_to_u64(value.text, UINT64_MAX, &length) != ERROR_NONE ||
            (length != body && reply->status != 304))
            rules_fail(rules, RULE_CONTENT_LENGTH, "Content-Length is %.*s, the body has %zu bytes",
                       VIEW_FORMAT(view_slice(value.text, 0, 20)), body);
        rules_pass(rules, RULE_CONTENT_LENGTH);
    }
}

/* The verdict of the whole is the decoder's: what no rule has named yet is named by the last one. */
static void judge_whole(struct judging *judging, struct view text, size_t streamed_body)
{
    struct reply reply = {0};
    struct buffer copy;
    char why[300];

    buffer_init(&copy, MAX_TEXT_BYTES);
    buffer_append_view(&copy, text);
    if (decode(judging, &copy, &reply, why) == ERROR_NONE) {
        rules_pass(judging->rules, RULE_DECODED);
        judge_response(judging, &reply, judging->prelude ? streamed_body : reply.body.length);
    } else if (rules_broken(judging->rules)) {
        judging->rules->results[RULE_DECODED] = RULE_SKIPPED;
    } else {
        rules_fail(judging->rules, RULE_DECODED, "%s", why);
    }
    buffer_release(&copy);
}

/* One JSON value and nothing behind it. */
static bool parse(struct view text, struct json_part *value)
{
    struct json_scan scan;

    if (!utf8_valid(text))
        return false;
    json_scan_begin(&scan, text);
    return json_scan_value(&scan, value) && json_scan_done(&scan);
}

void rules_judge_reply(struct rules *rules, enum event_format format, bool multi_value,
                       struct view payload)
{
    struct judging judging = {.rules = rules, .format = format, .multi_value = multi_value};
    struct json_part value;

    if (payload.length > REPLY_MOST_BYTES) {
        rules_fail(rules, RULE_SIZE, "the reply has %zu bytes", payload.length);
        return;
    }
    rules_pass(rules, RULE_SIZE);
    if (!parse(payload, &value)) {
        rules_fail(rules, RULE_JSON, "the reply is not JSON");
        return;
    }
    rules_pass(rules, RULE_JSON);
    if (value.type == JSON_OBJECT)
        read_parts(&judging, &value);
    if (format == EVENT_2_0 && !judging.parts.status.text.data) {
        rules_pass(rules, RULE_ENVELOPE); /* the answer itself */
    } else if (value.type != JSON_OBJECT) {
        rules_fail(rules, RULE_ENVELOPE, "the reply is no JSON object");
        return;
    } else {
        judge_members(&judging);
    }
    judge_whole(&judging, payload, 0);
}

/* ---- streams ---- */

static void judge_prelude(struct rules *rules, struct view text, size_t body)
{
    struct judging judging = {.rules = rules, .format = EVENT_2_0, .prelude = true};
    struct json_part value;

    rules_pass(rules, RULE_PRELUDE);
    if (parse(text, &value) && value.type == JSON_OBJECT) {
        rules_pass(rules, RULE_JSON);
        read_parts(&judging, &value);
        judge_members(&judging);
    }
    judge_whole(&judging, text, body);
}

/* A buffered reply that goes out as a stream is the client's to see, envelope and all. */
static bool looks_buffered(struct view output)
{
    struct judging judging = {.format = EVENT_2_0};
    struct json_part value;

    if (!parse(output, &value) || value.type != JSON_OBJECT)
        return false;
    read_parts(&judging, &value);
    return judging.parts.status.text.data != NULL;
}

void rules_judge_stream(struct rules *rules, enum prelude_mode mode, enum event_format format,
                        bool multi_value, struct view output)
{
    struct view rest = output;
    struct prelude prelude;
    struct buffer problem;
    enum error error = ERROR_NONE;

    buffer_init(&problem, 1024);
    prelude_init(&prelude, mode);
    while (prelude.outcome == PRELUDE_PENDING && rest.length && error == ERROR_NONE)
        error = prelude_feed(&prelude, &rest, rules->arena, &problem);
    if (prelude.outcome == PRELUDE_PENDING && error == ERROR_NONE)
        error = prelude_end(&prelude, rules->arena, &problem);
    struct view text =
        view_slice(output, 0, output.length - rest.length - prelude.reply.body.length);
    bool has_prelude = text.length > PRELUDE_NULS && view_find(text, '\0') != SIZE_MAX;
    if (has_prelude) {
        judge_prelude(rules, view_slice(text, 0, view_find(text, '\0')), rest.length);
    } else if (error != ERROR_NONE) {
        rules_fail(rules, RULE_PRELUDE, "%.*s", VIEW_FORMAT(buffer_view(&problem)));
    } else if (prelude.outcome == PRELUDE_BUFFERED) {
        rules_pass(rules, RULE_PRELUDE);
        rules_judge_reply(rules, format, multi_value, output);
    } else if (output.length && output.data[0] == '{' &&
               view_find(view_slice(output, 0, 4 * PRELUDE_MAX_BYTES), '\0') != SIZE_MAX) {
        rules_fail(
            rules, RULE_PRELUDE,
            "the output begins like a prelude, but no JSON object with 8 NUL bytes behind it "
            "stands in the first 16 KB");
    } else if (looks_buffered(output)) {
        rules_fail(rules, RULE_PRELUDE,
                   "the output is a buffered reply, which clients get as it is: envelope and all");
    } else {
        rules_pass(rules, RULE_PRELUDE);
        rules->status = prelude.reply.status;
    }
    prelude_release(&prelude);
    buffer_release(&problem);
}
