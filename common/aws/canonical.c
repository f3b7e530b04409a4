/* Puts paths, queries and headers into the one form that signer and server both sign. */
#include "common/aws/canonical.h"

#include <stdlib.h>
#include <string.h>

#define PAIRS_ON_STACK 16

struct pair {
    struct view name, value;
};

static int compare_names(struct view a, struct view b);
static bool unreserved(unsigned char c);
static void encode_segment(struct buffer *out, struct view segment);
static void drop_last_segment(struct buffer *out, size_t start);
static void write_sorted(struct buffer *out, struct pair *pairs, size_t count);
static struct pair cut_pair(struct view text);
static int compare_pairs(const void *a, const void *b);
static bool white(char c);

void canonical_request(struct buffer *out, const struct sigv4_request *request,
                       const struct canonical_headers *list, struct view payload)
{
    for (size_t i = 0; i < request->method.length; i++) {
        char c = request->method.data[i];

        buffer_append_byte(out, (char)(c >= 'a' && c <= 'z' ? c & ~0x20 : c));
    }
    buffer_append_byte(out, '\n');
    if (!request->s3)
        canonical_path(out, request->path);
    else
        buffer_append_view(out, request->path.length ? request->path : VIEW("/"));
    buffer_append_byte(out, '\n');
    canonical_query(out, request->query);
    buffer_append_byte(out, '\n');
    for (size_t i = 0; i < list->count; i++) {
        const struct sigv4_header *header = &list->rows[i];

        if (i && compare_names(list->rows[i - 1].name, header->name) == 0) {
            buffer_append_byte(out, ',');
        } else {
            if (i)
                buffer_append_byte(out, '\n');
            canonical_name(out, header->name);
            buffer_append_byte(out, ':');
        }
        canonical_value(out, header->value);
    }
    buffer_append(out, "\n\n", 2);
    canonical_names(out, list);
    buffer_append_byte(out, '\n');
    buffer_append_view(out, payload);
}

void canonical_names(struct buffer *out, const struct canonical_headers *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (i && compare_names(list->rows[i - 1].name, list->rows[i].name) == 0)
            continue;
        if (i)
            buffer_append_byte(out, ';');
        canonical_name(out, list->rows[i].name);
    }
}

void canonical_path(struct buffer *out, struct view path)
{
    bool absolute = path.length == 0 || path.data[0] == '/';
    size_t start = out->length;
    struct view rest = path.length ? path : VIEW("/");
    struct view segment;

    while (view_split(&rest, '/', &segment)) {
        if (segment.length == 0 || view_equal(segment, VIEW(".")))
            continue;
        if (view_equal(segment, VIEW(".."))) {
            drop_last_segment(out, start);
            continue;
        }
        if (absolute || out->length > start)
            buffer_append_byte(out, '/');
        encode_segment(out, segment);
    }
    if (out->length == start ? absolute : path.data[path.length - 1] == '/')
        buffer_append_byte(out, '/');
}

void canonical_query(struct buffer *out, struct view query)
{
    struct pair few[PAIRS_ON_STACK];
    struct pair *pairs = few;
    struct view rest = query;
    struct view part;
    size_t count = 1;

    if (query.length == 0)
        return;
    for (size_t i = 0; i < query.length; i++)
        count += query.data[i] == '&';
    if (count > PAIRS_ON_STACK) {
        pairs = malloc(count * sizeof(*pairs));
        if (!pairs) {
            out->error = ERROR_NO_MEMORY;
            return;
        }
    }
    count = 0;
    while (view_split(&rest, '&', &part))
        pairs[count++] = cut_pair(part);
    write_sorted(out, pairs, count);
    if (pairs != few)
        free(pairs);
}

void canonical_name(struct buffer *out, struct view name)
{
    char *room = buffer_reserve(out, name.length);

    if (!room)
        return;
    for (size_t i = 0; i < name.length; i++)
        room[i] =
            (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 0x20 : name.data[i]);
    buffer_commit(out, name.length);
}

void canonical_value(struct buffer *out, struct view value)
{
    char *room = buffer_reserve(out, value.length);
    size_t written = 0;
    bool gap = false;

    if (!room)
        return;
    for (size_t i = 0; i < value.length; i++) {
        if (white(value.data[i])) {
            gap = written > 0;
            continue;
        }
        if (gap)
            room[written++] = ' ';
        gap = false;
        room[written++] = value.data[i];
    }
    buffer_commit(out, written);
}

/* Callers give few headers, mostly in order: looking from the end finds the place at once. */
void canonical_insert(struct canonical_headers *list, struct view name, struct view value)
{
    size_t at = list->count++;

    while (at > 0 && compare_names(list->rows[at - 1].name, name) > 0) {
        list->rows[at] = list->rows[at - 1];
        at--;
    }
    list->rows[at] = (struct sigv4_header){name, value};
}

/* Headers that a hop may change on the way (the SDKs' list, aws-contract.md 5.1). */
bool canonical_never_signed(struct view name)
{
    static const struct view names[] = {
        {"connection", 10},
        {"expect", 6},
        {"keep-alive", 10},
        {"proxy-authenticate", 18},
        {"proxy-authorization", 19},
        {"te", 2},
        {"trailer", 7},
        {"transfer-encoding", 17},
        {"upgrade", 7},
        {"user-agent", 10},
        {"x-amzn-trace-id", 15},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].length == name.length && view_equal_nocase(names[i], name))
            return true;
    return false;
}

static int compare_names(struct view a, struct view b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;

    for (size_t i = 0; i < shorter; i++) {
        int left = (unsigned char)a.data[i], right = (unsigned char)b.data[i];

        if (left >= 'A' && left <= 'Z')
            left |= 0x20;
        if (right >= 'A' && right <= 'Z')
            right |= 0x20;
        if (left != right)
            return left - right;
    }
    return (a.length > b.length) - (a.length < b.length);
}

static bool unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void encode_segment(struct buffer *out, struct view segment)
{
    static const char digits[] = "0123456789ABCDEF";
    char *room = segment.length > SIZE_MAX / 4 ? NULL : buffer_reserve(out, segment.length * 3);
    size_t written = 0;

    if (!room)
        return;
    for (size_t i = 0; i < segment.length; i++) {
        unsigned char c = (unsigned char)segment.data[i];

        if (unreserved(c)) {
            room[written++] = (char)c;
        } else {
            room[written++] = '%';
            room[written++] = digits[c >> 4];
            room[written++] = digits[c & 15];
        }
    }
    buffer_commit(out, written);
}

static void drop_last_segment(struct buffer *out, size_t start)
{
    while (out->length > start && out->data[--out->length] != '/')
        ;
}

static void write_sorted(struct buffer *out, struct pair *pairs, size_t count)
{
    if (count > 1)
        qsort(pairs, count, sizeof(*pairs), compare_pairs);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buffer_append_byte(out, '&');
        buffer_append_view(out, pairs[i].name);
        buffer_append_byte(out, '=');
        buffer_append_view(out, pairs[i].value);
    }
}

static struct pair cut_pair(struct view text)
{
    size_t at = view_find(text, '=');

    if (at == SIZE_MAX)
        return (struct pair){text, {"", 0}};
    return (struct pair){view_slice(text, 0, at), view_slice(text, at + 1, SIZE_MAX)};
}

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *left = a, *right = b;
    int order = view_compare(left->name, right->name);

    return order ? order : view_compare(left->value, right->value);
}

/* What Python's str.split() takes for white space among the ASCII bytes that headers may hold. */
static bool white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}
