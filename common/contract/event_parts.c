/* Gathers headers and query parameters by name, and writes them the ways events want them. */
#include "common/contract/event_parts.h"

#include "common/base/escape.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Up to here each pair is compared with each; more are sorted, so that a query of thousands of
 * names costs no quadratic time. */
#define COMPARE_EACH_MAX 24

static enum error gather_header(struct event_pairs *pairs, const struct event_header *header,
                                enum event_names names);
static enum error gather_parameter(struct event_pairs *pairs, struct view parameter, bool decode);
static void link_repeats(struct event_pairs *pairs, bool ignore_case);

static enum error pairs_init(struct event_pairs *pairs, size_t most, size_t text_bytes)
{
    pairs->items = pairs->at_hand;
    pairs->count = 0;
    buffer_init(&pairs->text, text_bytes);
    if (!buffer_reserve(&pairs->text, text_bytes))
        return pairs->text.error;
    if (most > EVENT_PAIRS_AT_HAND) {
        pairs->items = calloc(most, sizeof(*pairs->items));
        if (!pairs->items) {
            buffer_release(&pairs->text);
            return ERROR_NO_MEMORY;
        }
    }
    return ERROR_NONE;
}

void event_pairs_release(struct event_pairs *pairs)
{
    if (pairs->items != pairs->at_hand)
        free(pairs->items);
    buffer_release(&pairs->text);
}

/* Most bytes that a byte of a name can become in JSON ("\u0001"). */
#define ESCAPED_MAX 6

enum error event_pairs_from_headers(struct event_pairs *pairs, const struct event_request *request,
                                    enum event_names names)
{
    size_t text_bytes = 0;
    enum error error;

    for (size_t i = 0; i < request->header_count; i++)
        text_bytes += (1 + ESCAPED_MAX) * request->headers[i].name.length;
    error = pairs_init(pairs, request->header_count, text_bytes);
    if (error != ERROR_NONE)
        return error;
    for (size_t i = 0; i < request->header_count && error == ERROR_NONE; i++)
        error = gather_header(pairs, &request->headers[i], names);
    if (error != ERROR_NONE) {
        event_pairs_release(pairs);
        return error;
    }
    link_repeats(pairs, true);
    return ERROR_NONE;
}

enum error event_pairs_from_query(struct event_pairs *pairs, struct view query, bool decode)
{
    struct view rest = query, parameter;
    size_t most = 1;
    enum error error;

    if (query.length > SIZE_MAX / 16)
        return ERROR_TOO_BIG;
    for (size_t i = 0; i < query.length; i++)
        most += query.data[i] == '&';
    error = pairs_init(pairs, most, (1 + ESCAPED_MAX) * query.length);
    while (error == ERROR_NONE && view_split(&rest, '&', &parameter))
        if (parameter.length) {
            error = gather_parameter(pairs, parameter, decode);
            if (error != ERROR_NONE)
                event_pairs_release(pairs);
        }
    if (error == ERROR_NONE)
        link_repeats(pairs, false);
    return error;
}

/* Writes the name into the pairs' text, ready for JSON. */
static enum error add_pair(struct event_pairs *pairs, struct view name, struct view value)
{
    size_t start = pairs->text.length;

    json_escape(&pairs->text, name);
    pairs->items[pairs->count++] = (struct event_pair){
        .name = view_slice(buffer_view(&pairs->text), start, SIZE_MAX), .value = value};
    return pairs->text.error;
}

static char to_lower(char byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return (char)(byte - 'A' + 'a');
    return byte;
}

static char to_upper(char byte)
{
    if (byte >= 'a' && byte <= 'z')
        return (char)(byte - 'a' + 'A');
    return byte;
}

/* API Gateway writes these in title case, whatever the client sent. */
static bool rest_writes_in_title_case(struct view name)
{
    return view_equal_nocase(name, VIEW("Host")) || view_equal_nocase(name, VIEW("User-Agent")) ||
           view_equal_nocase(name, VIEW("X-Amzn-Trace-Id")) ||
           view_equal_nocase(view_slice(name, 0, 12), VIEW("X-Forwarded-"));
}

static enum error gather_header(struct event_pairs *pairs, const struct event_header *header,
                                enum event_names names)
{
    struct view name = header->name;
    bool lower = names == EVENT_NAMES_LOWER;
    char *cased;

    if (!lower && (view_equal_nocase(name, VIEW("Content-Length")) ||
                   view_equal_nocase(name, VIEW("Connection"))))
        return ERROR_NONE;
    if (!lower && !rest_writes_in_title_case(name))
        return add_pair(pairs, name, header->value);
    cased = buffer_reserve(&pairs->text, name.length);
    if (!cased)
        return pairs->text.error;
    for (size_t i = 0; i < name.length; i++) {
        bool upper = !lower && (i == 0 || name.data[i - 1] == '-');

        if (upper)
            cased[i] = to_upper(name.data[i]);
        else
            cased[i] = to_lower(name.data[i]);
    }
    buffer_commit(&pairs->text, name.length);
    return add_pair(pairs, view_from(cased, name.length), header->value);
}

/* A name or value of a query means what a form means by it: "+" is a space. */
static enum error decode_form(struct event_pairs *pairs, struct view raw, struct view *meant)
{
    size_t start = pairs->text.length;
    enum error error;

    *meant = raw;
    if (view_find(raw, '%') == SIZE_MAX && view_find(raw, '+') == SIZE_MAX)
        return ERROR_NONE;
    error = percent_decode(&pairs->text, raw, true, false);
    if (error == ERROR_NONE)
        *meant = view_slice(buffer_view(&pairs->text), start, SIZE_MAX);
    return error;
}

static enum error gather_parameter(struct event_pairs *pairs, struct view parameter, bool decode)
{
    size_t equals = view_find(parameter, '=');
    struct view name = view_slice(parameter, 0, equals);
    struct view value =
        view_slice(parameter, equals == SIZE_MAX ? parameter.length : equals + 1, SIZE_MAX);

    if (decode) {
        enum error error = decode_form(pairs, name, &name);

        if (error == ERROR_NONE)
            error = decode_form(pairs, value, &value);
        if (error != ERROR_NONE)
            return error;
    }
    return add_pair(pairs, name, value);
}

static void link_pair(struct event_pair *first, struct event_pair *pair)
{
    first->last->next = pair;
    first->last = pair;
    pair->repeated = true;
}

/* By name, then in the order sent: the pairs lie in one array. */
static int compare_pairs(const struct event_pair *a, const struct event_pair *b, bool ignore_case)
{
    size_t shorter = a->name.length < b->name.length ? a->name.length : b->name.length;
    int order = 0;

    if (shorter)
        order = ignore_case ? strncasecmp(a->name.data, b->name.data, shorter)
                            : memcmp(a->name.data, b->name.data, shorter);
    if (order == 0)
        order = (a->name.length > b->name.length) - (a->name.length < b->name.length);
    return order ? order : (a > b) - (a < b);
}

static int compare_exactly(const void *a, const void *b)
{
    return compare_pairs(*(struct event_pair *const *)a, *(struct event_pair *const *)b, false);
}

static int compare_in_any_case(const void *a, const void *b)
{
    return compare_pairs(*(struct event_pair *const *)a, *(struct event_pair *const *)b, true);
}

static bool same_name(const struct event_pair *a, const struct event_pair *b, bool ignore_case)
{
    return ignore_case ? view_equal_nocase(a->name, b->name) : view_equal(a->name, b->name);
}

static void link_by_comparing_each(struct event_pairs *pairs, bool ignore_case)
{
    for (size_t i = 1; i < pairs->count; i++)
        for (size_t j = 0; j < i; j++)
            if (!pairs->items[j].repeated &&
                same_name(&pairs->items[j], &pairs->items[i], ignore_case)) {
                link_pair(&pairs->items[j], &pairs->items[i]);
                break;
            }
}

static void link_repeats(struct event_pairs *pairs, bool ignore_case)
{
    struct event_pair **sorted = NULL;
    struct event_pair *first;

    for (size_t i = 0; i < pairs->count; i++)
        pairs->items[i].last = &pairs->items[i];
    if (pairs->count > COMPARE_EACH_MAX)
        sorted = calloc(pairs->count, sizeof(struct event_pair *));
    if (!sorted) {
        link_by_comparing_each(pairs, ignore_case);
        return;
    }
    for (size_t i = 0; i < pairs->count; i++)
        sorted[i] = &pairs->items[i];
    qsort(sorted, pairs->count, sizeof(struct event_pair *),
          ignore_case ? compare_in_any_case : compare_exactly);
    first = sorted[0];
    for (size_t i = 1; i < pairs->count; i++) {
        if (same_name(first, sorted[i], ignore_case))
            link_pair(first, sorted[i]);
        else
            first = sorted[i];
    }
    free(sorted);
}

/* Calls write for each name once. */
static void write_names(struct json_writer *w, const char *member, const struct event_pairs *pairs,
                        void (*write)(struct buffer *out, const struct event_pair *first))
{
    bool comma = false;

    json_open_object(w, member);
    for (size_t i = 0; i < pairs->count; i++) {
        if (pairs->items[i].repeated)
            continue;
        buffer_append_string(w->out, comma ? ",\"" : "\"");
        buffer_append_view(w->out, pairs->items[i].name);
        buffer_append_string(w->out, "\":");
        write(w->out, &pairs->items[i]);
        comma = true;
    }
    json_close_object(w);
}

static void write_quoted(struct buffer *out, struct view text)
{
    buffer_append_byte(out, '"');
    json_escape(out, text);
    buffer_append_byte(out, '"');
}

static void write_joined(struct buffer *out, const struct event_pair *first)
{
    const char *separator = view_equal_string(first->name, "cookie") ? "; " : ",";

    buffer_append_byte(out, '"');
    for (const struct event_pair *pair = first; pair; pair = pair->next) {
        if (pair != first)
            buffer_append_string(out, separator);
        json_escape(out, pair->value);
    }
    buffer_append_byte(out, '"');
}

static void write_last(struct buffer *out, const struct event_pair *first)
{
    write_quoted(out, first->last->value);
}

static void write_array(struct buffer *out, const struct event_pair *first)
{
    buffer_append_byte(out, '[');
    for (const struct event_pair *pair = first; pair; pair = pair->next) {
        if (pair != first)
            buffer_append_byte(out, ',');
        write_quoted(out, pair->value);
    }
    buffer_append_byte(out, ']');
}

void event_pairs_write_joined(struct json_writer *w, const char *member,
                              const struct event_pairs *pairs)
{
    write_names(w, member, pairs, write_joined);
}

void event_pairs_write_last(struct json_writer *w, const char *member,
                            const struct event_pairs *pairs)
{
    write_names(w, member, pairs, write_last);
}

void event_pairs_write_arrays(struct json_writer *w, const char *member,
                              const struct event_pairs *pairs)
{
    write_names(w, member, pairs, write_array);
}

struct view event_header(const struct event_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (view_equal_nocase(request->headers[i].name, view_of(name)))
            return request->headers[i].value;
    return (struct view){NULL, 0};
}

struct view event_domain_prefix(const struct event_request *request)
{
    struct view host = request->domain_name;

    return host.length && host.data[0] == '[' ? host : view_slice(host, 0, view_find(host, '.'));
}

struct view event_account(const struct event_request *request)
{
    return request->account_id.length ? request->account_id : VIEW("anonymous");
}

void event_write_body(struct json_writer *w, struct view body, bool base64)
{
    /* No body gets shorter in JSON, so what does not fit now never will; and one growth is enough
     * for most. */
    if (!base64 && !buffer_reserve(w->out, body.length))
        return;
    if (base64)
        json_write_base64(w, "body", body);
    else
        json_write_string(w, "body", body);
    json_write_bool(w, "isBase64Encoded", base64);
}
