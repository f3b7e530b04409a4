/* Tells which members of a record a change has changed. */
#include "managerd/disclosure.h"

#include "managerd/credential.h"

#include <string.h>

#define MAX_POINTER     512
#define MAX_VALUE_BYTES (8u << 20)
#define MAX_DEPTH       16

struct walk {
    struct json *members;
    char pointer[MAX_POINTER];
    size_t length;
    unsigned depth;
    int64_t more;
};

static void print(const struct json *value, struct buffer *text)
{
    buffer_init(text, MAX_VALUE_BYTES);
    json_print(text, value);
}

static struct json *fingerprint_of(struct view text)
{
    char hash[65];
    credential_hash(text, hash);
    return json_new_string(view_from(hash, 32));
}

struct json *disclosure_fingerprint(const struct json *value)
{
    struct buffer text;
    if (!value || json_type_of(value) == JSON_NULL)
        return json_new_null();
    print(value, &text);
    struct json *fingerprint = fingerprint_of(buffer_view(&text));
    buffer_release(&text);
    return fingerprint;
}

/* What nobody should read, not even as it is kept. */
static bool is_hidden(struct view name)
{
    return view_equal(name, VIEW("sealed")) || view_equal(name, VIEW("sha256"));
}

static struct json *shown(const struct json *value, bool hidden)
{
    struct buffer text;
    if (!value)
        return json_new_null();
    print(value, &text);
    struct json *result;
    if (json_type_of(value) == JSON_NULL || (!hidden && text.length <= DISCLOSURE_MAX_BYTES)) {
        result = json_copy(value);
    } else {
        result = json_new_object();
        json_set(result, "fingerprint", fingerprint_of(buffer_view(&text)));
        json_set_integer(result, "bytes", (int64_t)text.length);
    }
    buffer_release(&text);
    return result;
}

static void compare(struct walk *walk, struct view name, const struct json *before,
                    const struct json *after);

/* Steps into a member and back. RFC 6901: ~ is ~0, / is ~1. */
static void compare_member(struct walk *walk, struct view name, const struct json *before,
                           const struct json *after)
{
    size_t length = walk->length;
    struct buffer escaped;
    buffer_init(&escaped, 2 * MAX_POINTER);
    for (size_t i = 0; i < name.length; i++)
        if (name.data[i] == '~' || name.data[i] == '/')
            buffer_append_string(&escaped, name.data[i] == '~' ? "~0" : "~1");
        else
            buffer_append_byte(&escaped, name.data[i]);
    if (escaped.error || length + escaped.length + 2 > sizeof walk->pointer) {
        walk->more++;
    } else {
        walk->pointer[length] = '/';
        if (escaped.length)
            memcpy(walk->pointer + length + 1, escaped.data, escaped.length);
        walk->length = length + 1 + escaped.length;
        walk->depth++;
        compare(walk, name, before, after);
        walk->depth--;
        walk->length = length;
    }
    buffer_release(&escaped);
}

static void compare_objects(struct walk *walk, const struct json *before, const struct json *after)
{
    for (const struct json *one = json_first(before); one; one = json_next(one))
        compare_member(walk, json_name(one), one, json_get(after, json_name(one).data));
    for (const struct json *one = json_first(after); one; one = json_next(one))
        if (!json_get(before, json_name(one).data))
            compare_member(walk, json_name(one), NULL, one);
}

static bool is_object(const struct json *value)
{
    return json_type_of(value) == JSON_OBJECT;
}

static bool is_nothing(const struct json *value)
{
    return !value || json_type_of(value) == JSON_NULL;
}

static void compare(struct walk *walk, struct view name, const struct json *before,
                    const struct json *after)
{
    bool objects = (is_object(before) && (is_object(after) || is_nothing(after))) ||
                   (is_object(after) && is_nothing(before));
    if (is_nothing(before) && is_nothing(after))
        return;
    if (before && after && json_equal(before, after))
        return;
    if (objects && walk->depth < MAX_DEPTH) {
        compare_objects(walk, is_object(before) ? before : NULL, is_object(after) ? after : NULL);
        return;
    }
    if (view_equal(name, VIEW("updatedAt")) || view_equal(name, VIEW("updatedBy")))
        return;
    if (json_count(walk->members) == DISCLOSURE_MAX_MEMBERS) {
        walk->more++;
        return;
    }
    struct json *member = json_new_object();
    json_set_string(member, "pointer", view_from(walk->pointer, walk->length));
    json_set(member, "before", shown(before, is_hidden(name)));
    json_set(member, "after", shown(after, is_hidden(name)));
    json_append(walk->members, member);
}

struct json *disclose(const struct json *before, const struct json *after)
{
    struct walk walk = {.members = json_new_array()};
    compare(&walk, VIEW(""), before, after);
    if (walk.more) {
        struct json *more = json_new_object();
        json_set_string(more, "pointer", VIEW(""));
        json_set_integer(more, "more", walk.more);
        json_append(walk.members, more);
    }
    return walk.members;
}
