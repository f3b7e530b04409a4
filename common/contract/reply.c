/* Turns what a function returned into the response for the client, or says why it is none. */
#include "common/contract/reply.h"

#include "common/base/escape.h"
#include "common/contract/json_scan.h"

#include <string.h>

/* Everything that decoding one reply needs at hand. */
struct decoder {
    enum event_format format;
    bool streamed; /* only the prelude of the reply is decoded */
    struct view payload;
    struct arena *arena;
    struct reply *reply;
    struct buffer *problem;
    size_t header_capacity;
    size_t header_bytes;
    bool length_seen;
    size_t headers_seen;    /* also those that are dropped */
    struct view connection; /* values of the reply's own Connection headers, joined */
};

/* The members that mean something; what is absent or null has no data. */
struct envelope {
    struct json_part status, headers, multi_headers, cookies, body, base64;
    unsigned seen; /* bits of MEMBER_ */
};

enum {
    MEMBER_STATUS = 1 << 0,
    MEMBER_COOKIES = 1 << 3,
    MEMBER_BODY = 1 << 4,
    MEMBER_BASE64 = 1 << 5,
    MEMBER_UNKNOWN = 1 << 6,
    NOT_IN_1_0 = MEMBER_COOKIES | MEMBER_UNKNOWN,
    NOT_IN_PRELUDE = MEMBER_BODY | MEMBER_BASE64 | MEMBER_UNKNOWN
};

static void read_envelope(struct json_scan *scan, struct envelope *envelope);
static enum error read_status(struct decoder *decoder, const struct envelope *envelope);
static enum error read_headers(struct decoder *decoder, const struct envelope *envelope);
static enum error read_body(struct decoder *decoder, const struct envelope *envelope);
static enum error infer(struct decoder *decoder);

static enum error refuse(struct decoder *decoder, enum error error, const char *why)
{
    buffer_append_string(decoder->problem, why);
    return error;
}

static enum error refuse_header(struct decoder *decoder, struct view name, const char *why)
{
    buffer_append_string(decoder->problem, "the reply's header \"");
    buffer_append_view(decoder->problem, view_slice(name, 0, 64));
    buffer_append_string(decoder->problem, "\" ");
    buffer_append_string(decoder->problem, why);
    return ERROR_INVALID;
}

static enum error out_of_memory(struct decoder *decoder)
{
    return refuse(decoder, decoder->arena->error, "the reply needs more memory than it may have");
}

/* One value, and nothing behind it. */
static bool parse_payload(struct view payload, struct json_part *value)
{
    struct json_scan scan;

    if (!utf8_valid(payload))
        return false;
    json_scan_begin(&scan, payload);
    return json_scan_value(&scan, value) && json_scan_done(&scan);
}

/* The same; of an object the envelope is read on the way, as a second pass over megabytes is dear. */
static bool parse_reply(struct view payload, bool *is_object, struct envelope *envelope)
{
    struct json_scan scan;
    struct json_part value;

    if (!utf8_valid(payload))
        return false;
    json_scan_begin(&scan, payload);
    *is_object = json_scan_open(&scan);
    if (*is_object)
        read_envelope(&scan, envelope);
    else
        json_scan_value(&scan, &value);
    return json_scan_done(&scan);
}

enum error reply_decode(enum event_format format, struct view payload, struct arena *arena,
                        struct reply *reply, struct buffer *problem)
{
    struct decoder decoder = {
        .format = format, .payload = payload, .arena = arena, .reply = reply, .problem = problem};
    struct envelope envelope = {.seen = 0};
    bool is_object;
    enum error error;

    *reply = (struct reply){.status = 200};
    if (!parse_reply(payload, &is_object, &envelope))
        return refuse(&decoder, ERROR_INVALID, "the reply is not JSON");
    if (format == EVENT_2_0 && !(envelope.seen & MEMBER_STATUS))
        return infer(&decoder);
    if (!is_object)
        return refuse(&decoder, ERROR_INVALID, "the reply is no JSON object");
    if (format == EVENT_1_0 && envelope.seen & NOT_IN_1_0)
        return refuse(&decoder, ERROR_INVALID,
                      "the reply has members that payload format 1.0 does not know");
    if (format == EVENT_ALB && !(envelope.seen & MEMBER_STATUS))
        return refuse(&decoder, ERROR_INVALID, "the reply has no statusCode");
    error = read_status(&decoder, &envelope);
    if (error == ERROR_NONE)
        error = read_headers(&decoder, &envelope);
    if (error == ERROR_NONE)
        error = read_body(&decoder, &envelope);
    return error;
}

enum error reply_decode_prelude(struct view text, struct arena *arena, struct reply *reply,
                                struct buffer *problem)
{
    struct decoder decoder = {.format = EVENT_2_0,
                              .streamed = true,
                              .payload = text,
                              .arena = arena,
                              .reply = reply,
                              .problem = problem};
    struct envelope envelope = {.seen = 0};
    bool is_object;
    enum error error;

    *reply = (struct reply){.status = 200};
    if (!parse_reply(text, &is_object, &envelope) || !is_object)
        return ERROR_NOT_FOUND;
    if (envelope.seen & NOT_IN_PRELUDE)
        return refuse(&decoder, ERROR_INVALID,
                      "the prelude has members besides statusCode, headers, multiValueHeaders and "
                      "cookies");
    error = read_status(&decoder, &envelope);
    return error == ERROR_NONE ? read_headers(&decoder, &envelope) : error;
}

/* The last of members of one name counts, as in every common JSON reader. The order of names is
 * that of the bits. */
static void read_envelope(struct json_scan *scan, struct envelope *envelope)
{
    struct json_part *const places[] = {&envelope->status,        &envelope->headers,
                                        &envelope->multi_headers, &envelope->cookies,
                                        &envelope->body,          &envelope->base64};
    static const char *const names[] = {"statusCode", "headers", "multiValueHeaders",
                                        "cookies",    "body",    "isBase64Encoded"};
    struct json_part name, value;

    while (json_scan_member(scan, &name, &value)) {
        size_t i = 0;

        while (i < sizeof(names) / sizeof(*names) && !json_scan_equals(&name, names[i]))
            i++;
        if (i < sizeof(names) / sizeof(*names))
            *places[i] =
                value.type == JSON_NULL && i > 0 ? (struct json_part){.type = JSON_NULL} : value;
        envelope->seen |= 1U << i;
    }
}

/* AWS documents a whole number; its own examples also send one as a string ("200"), and some
 * languages write 200.0. */
static enum error read_status(struct decoder *decoder, const struct envelope *envelope)
{
    const struct json_part *status = &envelope->status;
    struct view digits = status->text;
    size_t dot = view_find(digits, '.');
    uint64_t number = 0;

    if (!(envelope->seen & MEMBER_STATUS))
        return ERROR_NONE;
    if (status->type == JSON_NUMBER && dot != SIZE_MAX) {
        for (size_t i = dot + 1; i < digits.length; i++)
            if (digits.data[i] != '0')
                digits.length = 0;
        digits = view_slice(digits, 0, dot);
    }
    if ((status->type != JSON_NUMBER && status->type != JSON_STRING) ||
        view_to_u64(digits, UINT64_MAX, &number) == ERROR_INVALID)
        return refuse(decoder, ERROR_INVALID, "the reply's statusCode is no whole number");
    if (number < 200 || number > 599 || digits.length != 3)
        return refuse(decoder, ERROR_INVALID, "the reply's statusCode is not from 200 to 599");
    decoder->reply->status = (int)number;
    return ERROR_NONE;
}

/* What a string means: a part of the payload where it can, else in the arena. */
static bool string_view(struct decoder *decoder, const struct json_part *string, struct view *meant)
{
    char *memory;

    *meant = string->text;
    if (!string->escaped)
        return true;
    memory = arena_alloc(decoder->arena, string->text.length);
    if (!memory)
        return false;
    *meant = view_from(memory, json_scan_unescape(string, memory));
    return true;
}

/* RFC 9110 section 5.6.2. */
static bool is_token(struct view name)
{
    for (size_t i = 0; i < name.length; i++) {
        char byte = name.data[i];
        bool alphanumeric = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                            (byte >= '0' && byte <= '9');

        if (!alphanumeric && (!byte || !strchr("!#$%&'*+-.^_`|~", byte)))
            return false;
    }
    return name.length > 0;
}

static bool is_field_value(struct view value)
{
    for (size_t i = 0; i < value.length; i++) {
        unsigned char byte = (unsigned char)value.data[i];

        if ((byte < 0x20 && byte != '\t') || byte == 0x7F)
            return false;
    }
    return true;
}

static bool grow_headers(struct decoder *decoder)
{
    size_t capacity = decoder->header_capacity ? 2 * decoder->header_capacity : 16;
    struct reply_header *grown = arena_alloc(decoder->arena, capacity * sizeof(*grown));

    if (!grown)
        return false;
    if (decoder->reply->header_count)
        memcpy(grown, decoder->reply->headers, decoder->reply->header_count * sizeof(*grown));
    decoder->reply->headers = grown;
    decoder->header_capacity = capacity;
    return true;
}

/* What is dropped costs time too. */
#define LENGTH_MAX       999999999999999                 /* fifteen digits, as in requests */
#define HEADERS_SEEN_MAX ((size_t)4 * REPLY_MAX_HEADERS) /* a name and a value are two */

static enum error count_header(struct decoder *decoder, size_t bytes)
{
    decoder->header_bytes += bytes;
    if (++decoder->headers_seen > HEADERS_SEEN_MAX ||
        decoder->header_bytes > REPLY_MAX_HEADER_BYTES)
        return refuse(decoder, ERROR_TOO_BIG, "the reply has too many or too long headers");
    return ERROR_NONE;
}

static enum error append_header(struct decoder *decoder, struct view name, struct view value)
{
    struct reply *reply = decoder->reply;

    if (reply->header_count == REPLY_MAX_HEADERS)
        return refuse(decoder, ERROR_TOO_BIG, "the reply has too many headers");
    if (reply->header_count == decoder->header_capacity && !grow_headers(decoder))
        return out_of_memory(decoder);
    reply->headers[reply->header_count++] = (struct reply_header){name, value};
    return ERROR_NONE;
}

static struct reply_header *find_header(struct reply *reply, struct view name)
{
    for (size_t i = 0; i < reply->header_count; i++)
        if (view_equal_nocase(reply->headers[i].name, name))
            return &reply->headers[i];
    return NULL;
}

static bool is_dropped(struct view name)
{
    return !event_header_passes(name, VIEW("")) ||
           view_equal_nocase(name, VIEW("Content-Length")) || view_equal_nocase(name, VIEW("Date"));
}

/* Remembers which headers are for this hop only. */
static enum error note_connection(struct decoder *decoder, struct view value)
{
    char *joined;

    if (decoder->connection.length == 0) {
        decoder->connection = value;
        return ERROR_NONE;
    }
    joined = arena_format(decoder->arena, "%.*s,%.*s", VIEW_FORMAT(decoder->connection),
                          VIEW_FORMAT(value));
    if (!joined)
        return out_of_memory(decoder);
    decoder->connection = view_of(joined);
    return ERROR_NONE;
}

/* The framing is never taken from it; but to HEAD it tells what only the function knows. */
static void note_length(struct decoder *decoder, struct view value)
{
    struct reply *reply = decoder->reply;
    uint64_t length;

    if (view_to_u64(value, LENGTH_MAX, &length) != ERROR_NONE ||
        (decoder->length_seen && (!reply->has_own_length || length != reply->own_length))) {
        reply->has_own_length = false;
    } else {
        reply->has_own_length = true;
        reply->own_length = length;
    }
    decoder->length_seen = true;
}

/* One header line from whatever the function gave as its value. */
static enum error add_header(struct decoder *decoder, struct view name,
                             const struct json_part *part)
{
    struct reply_header *present;
    struct view value;
    enum error error = count_header(decoder, name.length + part->text.length);

    if (error != ERROR_NONE)
        return error;
    if (part->type == JSON_OBJECT || part->type == JSON_ARRAY)
        return refuse_header(decoder, name, "has a value that is no string, number or boolean");
    if (part->type == JSON_NULL)
        return ERROR_NONE;
    if (!string_view(decoder, part, &value))
        return out_of_memory(decoder);
    if (!is_field_value(value))
        return refuse_header(decoder, name, "has a control character in its value");
    value = view_trim(value);
    if (view_equal_nocase(name, VIEW("Connection")))
        return note_connection(decoder, value);
    if (view_equal_nocase(name, VIEW("Content-Length")))
        note_length(decoder, value);
    if (is_dropped(name))
        return ERROR_NONE;
    /* Two types would leave the choice to the client: the last one counts. */
    present =
        view_equal_nocase(name, VIEW("Content-Type")) ? find_header(decoder->reply, name) : NULL;
    if (present) {
        present->value = value;
        return ERROR_NONE;
    }
    return append_header(decoder, name, value);
}

static enum error read_name(struct decoder *decoder, const struct json_part *part,
                            struct view *name)
{
    enum error error = count_header(decoder, 0);

    if (error != ERROR_NONE)
        return error;
    if (!string_view(decoder, part, name))
        return out_of_memory(decoder);
    if (!is_token(*name))
        return refuse(decoder, ERROR_INVALID, "the reply has a header whose name is not lawful");
    return ERROR_NONE;
}

static enum error read_multi_headers(struct decoder *decoder, const struct json_part *headers)
{
    struct json_scan scan, values;
    struct json_part name_part, list, value;
    enum error error = ERROR_NONE;

    json_scan_enter(&scan, headers);
    while (error == ERROR_NONE && json_scan_next(&scan, &name_part, &list)) {
        struct view name;

        error = read_name(decoder, &name_part, &name);
        if (error != ERROR_NONE || list.type == JSON_NULL)
            continue;
        if (list.type != JSON_ARRAY) { /* a REST API takes a single value for a list of one */
            error = add_header(decoder, name, &list);
            continue;
        }
        json_scan_enter(&values, &list);
        while (error == ERROR_NONE && json_scan_next(&values, NULL, &value))
            error = add_header(decoder, name, &value);
    }
    return error;
}

/* Single values come second: a name that has several already is passed over. Names that differ in
 * case alone are two lines, an old way to set two cookies; the same name again is the last one. */
static enum error read_single_headers(struct decoder *decoder, const struct json_part *headers)
{
    struct reply *reply = decoder->reply;
    size_t multi_count = reply->header_count;
    struct json_scan scan;
    struct json_part name_part, value;
    enum error error = ERROR_NONE;

    json_scan_enter(&scan, headers);
    while (error == ERROR_NONE && json_scan_next(&scan, &name_part, &value)) {
        struct reply_header *present;
        struct view name;

        error = read_name(decoder, &name_part, &name);
        if (error != ERROR_NONE)
            continue;
        present = find_header(reply, name);
        if (present && (size_t)(present - reply->headers) < multi_count)
            continue;
        for (size_t i = multi_count; i < reply->header_count; i++)
            if (view_equal(reply->headers[i].name, name)) {
                memmove(&reply->headers[i], &reply->headers[i + 1],
                        (reply->header_count - i - 1) * sizeof(*reply->headers));
                reply->header_count--;
            }
        error = add_header(decoder, name, &value);
    }
    return error;
}

static enum error read_cookies(struct decoder *decoder, const struct json_part *cookies)
{
    struct json_scan scan;
    struct json_part cookie;
    enum error error = ERROR_NONE;

    json_scan_enter(&scan, cookies);
    while (error == ERROR_NONE && json_scan_next(&scan, NULL, &cookie)) {
        if (cookie.type != JSON_STRING)
            return refuse(decoder, ERROR_INVALID, "the reply has a cookie that is no string");
        error = add_header(decoder, VIEW("Set-Cookie"), &cookie);
    }
    return error;
}

static void drop_connection_headers(struct decoder *decoder)
{
    struct reply *reply = decoder->reply;
    size_t kept = 0;

    for (size_t i = 0; i < reply->header_count; i++)
        if (event_header_passes(reply->headers[i].name, decoder->connection))
            reply->headers[kept++] = reply->headers[i];
    reply->header_count = kept;
}

static enum error default_content_type(struct decoder *decoder)
{
    int status = decoder->reply->status;

    if (status == 204 || status == 304 || find_header(decoder->reply, VIEW("Content-Type")))
        return ERROR_NONE;
    return append_header(decoder, VIEW("Content-Type"),
                         decoder->format == EVENT_ALB || decoder->streamed
                             ? VIEW("application/octet-stream")
                             : VIEW("application/json"));
}

static enum error read_headers(struct decoder *decoder, const struct envelope *envelope)
{
    bool with_cookies = decoder->format == EVENT_2_0 && envelope->cookies.text.data;
    enum error error = ERROR_NONE;

    if ((envelope->multi_headers.text.data && envelope->multi_headers.type != JSON_OBJECT) ||
        (envelope->headers.text.data && envelope->headers.type != JSON_OBJECT))
        return refuse(decoder, ERROR_INVALID, "the reply's headers are no object");
    if (with_cookies && envelope->cookies.type != JSON_ARRAY)
        return refuse(decoder, ERROR_INVALID, "the reply's cookies are no array");
    if (envelope->multi_headers.text.data)
        error = read_multi_headers(decoder, &envelope->multi_headers);
    if (error == ERROR_NONE && envelope->headers.text.data)
        error = read_single_headers(decoder, &envelope->headers);
    if (error == ERROR_NONE && with_cookies)
        error = read_cookies(decoder, &envelope->cookies);
    if (error != ERROR_NONE)
        return error;
    drop_connection_headers(decoder);
    return default_content_type(decoder);
}

/* Decodes into the arena; a text with escapes is unescaped there first and then decoded over
 * itself. */
static enum error decode_base64(struct decoder *decoder, const struct json_part *body)
{
    char *memory = arena_alloc(decoder->arena, body->text.length + 1);
    struct buffer decoded = {
        .data = memory, .capacity = body->text.length + 1, .ceiling = body->text.length};
    struct view text = body->text;

    if (!memory)
        return out_of_memory(decoder);
    if (body->escaped)
        text = view_from(memory, json_scan_unescape(body, memory));
    if (base64_decode(&decoded, text) != ERROR_NONE)
        return refuse(decoder, ERROR_INVALID, "the reply's body is no base64");
    decoder->reply->body = view_from(memory, decoded.length);
    return ERROR_NONE;
}

static enum error read_body(struct decoder *decoder, const struct envelope *envelope)
{
    const struct json_part *body = &envelope->body, *base64 = &envelope->base64;

    if (base64->text.data && base64->type != JSON_BOOL)
        return refuse(decoder, ERROR_INVALID, "the reply's isBase64Encoded is no boolean");
    if (!body->text.data)
        return ERROR_NONE;
    if (body->type != JSON_STRING)
        return refuse(decoder, ERROR_INVALID, "the reply's body is no string");
    if (base64->text.data && base64->text.data[0] == 't')
        return decode_base64(decoder, body);
    return string_view(decoder, body, &decoder->reply->body) ? ERROR_NONE : out_of_memory(decoder);
}

/* Whatever JSON it is, it is the answer, as it was written. */
static enum error infer(struct decoder *decoder)
{
    decoder->reply->body = decoder->payload;
    return append_header(decoder, VIEW("Content-Type"), VIEW("application/json"));
}

bool reply_has_no_body(struct view method, int status)
{
    return view_equal(method, VIEW("HEAD")) || status < 200 || status == 204 || status == 304;
}

static bool contains(struct view text, const char *part)
{
    return text.length && memmem(text.data, text.length, part, strlen(part)) != NULL;
}

bool reply_function_error(struct view payload, struct arena *arena, struct view *type,
                          struct view *message, bool *timed_out)
{
    struct decoder decoder = {.arena = arena};
    struct json_part value, name;
    struct json_scan scan;
    bool found = false;

    *type = *message = VIEW("");
    *timed_out = false;
    if (!parse_payload(payload, &value) || value.type != JSON_OBJECT)
        return false;
    json_scan_enter(&scan, &value);
    while (json_scan_next(&scan, &name, &value)) {
        struct view *place = json_scan_equals(&name, "errorType")      ? type
                             : json_scan_equals(&name, "errorMessage") ? message
                                                                       : NULL;

        if (!place || value.type != JSON_STRING)
            continue;
        found = true;
        if (!string_view(&decoder, &value, place))
            *place = VIEW("");
    }
    *timed_out = view_equal(*type, VIEW("Sandbox.Timedout")) ||
                 (type->length == 0 && contains(*message, "Task timed out after "));
    return found;
}
