/* Judges the request line and each header line, and at the end the head as a whole. */
#include "common/net/head.h"

#include "common/net/syntax.h"

#include <string.h>

#define LENGTH_MAX_DIGITS 15 /* Content-Length: far from overflow */

/* ---- the request line, RFC 9112 section 3 ---- */

static bool is_method_served(const struct guard *guard, struct view method)
{
    static const char *const known[] = {"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (view_equal_string(method, known[i]))
            return true;
    }
    return guard->limits->allow_unknown_methods && method.length <= HEAD_METHOD_MAX_BYTES &&
           syntax_is(method, SYNTAX_METHOD) && !view_equal_string(method, "CONNECT") &&
           !view_equal_string(method, "TRACE");
}

/* Finds the authority of "http://authority/path?query" and what follows it. */
static bool split_absolute(struct view target, struct view *authority, struct view *rest)
{
    size_t scheme, end = 0;

    if (view_equal_nocase(view_slice(target, 0, 7), VIEW("http://")))
        scheme = 7;
    else if (view_equal_nocase(view_slice(target, 0, 8), VIEW("https://")))
        scheme = 8;
    else
        return false;
    *rest = view_slice(target, scheme, SIZE_MAX);
    while (end < rest->length && rest->data[end] != '/' && rest->data[end] != '?')
        end++;
    *authority = view_slice(*rest, 0, end);
    *rest = view_slice(*rest, end, SIZE_MAX);
    return syntax_is_host(*authority);
}

static void note_target(struct guard *guard, struct view target)
{
    guard->target_offset = (size_t)(target.data - guard->head.text.data);
    guard->target_length = target.length;
}

static enum guard_reason check_target(struct guard *guard, struct view method, struct view target)
{
    struct view authority, rest;

    if (target.length > guard->limits->max_target_bytes)
        return GUARD_TARGET_TOO_LONG;
    if (!syntax_is_target(target))
        return GUARD_TARGET;
    if (target.data[0] == '/' ||
        (view_equal(target, VIEW("*")) && view_equal(method, VIEW("OPTIONS")))) {
        note_target(guard, target);
        return GUARD_NONE;
    }
    if (!split_absolute(target, &authority, &rest))
        return GUARD_TARGET;
    guard->authority_offset = (size_t)(authority.data - guard->head.text.data);
    guard->authority_length = authority.length;
    note_target(guard, rest);
    return GUARD_NONE;
}

enum guard_reason head_check_request_line(struct guard *guard, struct view line)
{
    size_t first = view_find(line, ' ');
    const char *last = line.length ? memrchr(line.data, ' ', line.length) : NULL;
    struct view method = view_slice(line, 0, first == SIZE_MAX ? line.length : first);
    struct view target, version;
    enum guard_reason reason;

    if (!syntax_is(method, SYNTAX_TOKEN))
        return GUARD_METHOD;
    guard->method_length = method.length;
    if (!is_method_served(guard, method))
        return GUARD_METHOD_UNKNOWN;
    if (!last || last == line.data + first)
        return GUARD_VERSION; /* no version at all: HTTP/0.9 */
    target = view_from(line.data + first + 1, (size_t)(last - line.data) - first - 1);
    version = view_slice(line, (size_t)(last - line.data) + 1, SIZE_MAX);
    reason = check_target(guard, method, target);
    if (reason != GUARD_NONE)
        return reason;
    guard->http_1_0 = view_equal_string(version, "HTTP/1.0");
    return guard->http_1_0 || view_equal_string(version, "HTTP/1.1") ? GUARD_NONE : GUARD_VERSION;
}

/* ---- header lines, RFC 9112 section 5 ---- */

static enum guard_reason note_content_length(struct guard *guard, struct view value)
{
    if (guard->has_length || value.length > LENGTH_MAX_DIGITS ||
        view_to_u64(value, UINT64_MAX, &guard->length) != ERROR_NONE)
        return GUARD_CONTENT_LENGTH;
    guard->has_length = true;
    return GUARD_NONE;
}

static enum guard_reason note_transfer_encoding(struct guard *guard, struct view value)
{
    if (guard->has_coding || guard->http_1_0 || !view_equal_nocase(value, VIEW("chunked")))
        return GUARD_TRANSFER_ENCODING;
    guard->has_coding = true;
    return GUARD_NONE;
}

static enum guard_reason note_host(struct guard *guard, struct view value)
{
    if (guard->has_host)
        return GUARD_HOST_REPEATED;
    if (!syntax_is_host(value))
        return GUARD_HOST_INVALID;
    guard->has_host = true;
    guard->host_index = guard->head.count; /* where it is added next */
    return GUARD_NONE;
}

static enum guard_reason note_expect(struct guard *guard, struct view value)
{
    if (!view_equal_nocase(value, VIEW("100-continue")))
        return GUARD_EXPECTATION;
    guard->expects_continue = !guard->http_1_0; /* RFC 9110 section 10.1.1 */
    return GUARD_NONE;
}

static enum guard_reason note_connection(struct guard *guard, struct view value)
{
    guard->says_close |= syntax_list_has(value, "close");
    guard->says_keep_alive |= syntax_list_has(value, "keep-alive");
    return GUARD_NONE;
}

/* CGI-like readers take these for the real ones. */
static enum guard_reason refuse_name(struct guard *guard, struct view value)
{
    (void)guard;
    (void)value;
    return GUARD_HEADER_NAME;
}

static const struct {
    struct view name;
    enum guard_reason (*note)(struct guard *guard, struct view value);
} framing_fields[] = {
    {{"Host", 4}, note_host},
    {{"Expect", 6}, note_expect},
    {{"Connection", 10}, note_connection},
    {{"Content-Length", 14}, note_content_length},
    {{"Transfer-Encoding", 17}, note_transfer_encoding},
    {{"Content_Length", 14}, refuse_name},
    {{"Transfer_Encoding", 17}, refuse_name},
};
#define FRAMING_FIELDS (sizeof(framing_fields) / sizeof(framing_fields[0]))

/* The place in framing_fields, or FRAMING_FIELDS. */
static size_t framing_field(struct view name)
{
    size_t i = 0;

    while (i < FRAMING_FIELDS && !view_equal_nocase(name, framing_fields[i].name))
        i++;
    return i;
}

enum guard_reason head_split_field(struct view line, struct view *name, struct view *value)
{
    size_t colon = view_find(line, ':');

    if (line.data[0] == ' ' || line.data[0] == '\t')
        return GUARD_HEADER_FOLDED;
    if (colon == SIZE_MAX)
        return GUARD_HEADER_NAME;
    *name = view_slice(line, 0, colon);
    *value = view_trim(view_slice(line, colon + 1, SIZE_MAX));
    return syntax_is(*name, SYNTAX_TOKEN) ? GUARD_NONE : GUARD_HEADER_NAME;
}

bool head_is_framing_field(struct view name)
{
    return framing_field(name) < FRAMING_FIELDS;
}

enum guard_reason head_check_field(struct guard *guard, struct view line)
{
    struct view name, value;
    enum guard_reason reason = head_split_field(line, &name, &value);
    size_t framing;

    if (reason != GUARD_NONE)
        return reason;
    if (guard->head.count >= guard->limits->max_headers)
        return GUARD_TOO_MANY_HEADERS;
    framing = framing_field(name);
    if (framing < FRAMING_FIELDS) {
        reason = framing_fields[framing].note(guard, value);
        if (reason != GUARD_NONE)
            return reason;
    }
    return fields_add(&guard->head, name, value) ? GUARD_NONE : GUARD_HEAD_TOO_LARGE;
}

/* RFC 9112 section 3.2.2: an empty path is sent on as "/". The copy of the authority is ours and
 * compared already, so the slash may go over its last byte. */
static void complete_path(struct guard *guard)
{
    struct view target = guard_target(guard);

    if (target.length == 0 || target.data[0] != '/') {
        guard->target_offset--;
        guard->target_length++;
        guard->head.text.data[guard->target_offset] = '/';
    }
}

enum guard_reason head_check_whole(struct guard *guard)
{
    if (guard->has_length && guard->has_coding)
        return GUARD_LENGTH_AND_CODING;
    if (!guard->has_host && !guard->http_1_0)
        return GUARD_HOST_MISSING;
    if (guard->authority_length) {
        struct view authority = view_slice(buffer_view(&guard->head.text), guard->authority_offset,
                                           guard->authority_length);

        if (guard->has_host && !view_equal_nocase(authority, guard_host(guard)))
            return GUARD_HOST_MISMATCH;
        complete_path(guard);
    }
    if (guard_has_body(guard) && view_equal_string(guard_method(guard), "HEAD"))
        return GUARD_BODY_UNEXPECTED;
    if (guard->length > guard->max_body_bytes)
        return GUARD_BODY_TOO_LARGE;
    return GUARD_NONE;
}
