/* Compares JSON objects member by member, and takes differences back. */
#include "managerd/difference.h"

#include "managerd/records.h"

#include <stdlib.h>
#include <string.h>

#define MAX_POINTER 2048

static void compare(const struct json *before, const struct json *after, struct buffer *pointer,
                    const char *const *whole, struct json *list);

static void append_token(struct buffer *pointer, struct view name)
{
    buffer_append_byte(pointer, '/');
    for (size_t i = 0; i < name.length; i++) {
        if (name.data[i] == '~')
            buffer_append_string(pointer, "~0");
        else if (name.data[i] == '/')
            buffer_append_string(pointer, "~1");
        else
            buffer_append_byte(pointer, name.data[i]);
    }
}

static const struct json *member_of(const struct json *object, struct view name)
{
    for (const struct json *one = json_first(object); one; one = json_next(one))
        if (view_equal(json_name(one), name))
            return one;
    return NULL;
}

static bool is_whole(struct view pointer, const char *const *whole)
{
    for (; whole && *whole; whole++)
        if (view_equal_string(pointer, *whole))
            return true;
    return false;
}

static void add(const struct json *before, const struct json *after, struct view pointer,
                struct json *list)
{
    struct json *difference = json_new_object();
    json_set_string(difference, "pointer", pointer);
    if (before)
        json_set(difference, "before", json_copy(before));
    if (after)
        json_set(difference, "after", json_copy(after));
    json_append(list, difference);
}

static void compare_member(const struct json *before, const struct json *after, struct view name,
                           struct buffer *pointer, const char *const *whole, struct json *list)
{
    size_t length = pointer->length;
    append_token(pointer, name);
    bool inner = json_type_of(before) == JSON_OBJECT && json_type_of(after) == JSON_OBJECT &&
                 !is_whole(buffer_view(pointer), whole);
    if (before && after && inner)
        compare(before, after, pointer, whole, list);
    else if (!before || !after || !json_equal(before, after))
        add(before, after, buffer_view(pointer), list);
    pointer->length = length;
}

static void compare(const struct json *before, const struct json *after, struct buffer *pointer,
                    const char *const *whole, struct json *list)
{
    for (const struct json *one = json_first(after); one; one = json_next(one))
        compare_member(member_of(before, json_name(one)), one, json_name(one), pointer, whole,
                       list);
    for (const struct json *one = json_first(before); one; one = json_next(one))
        if (!member_of(after, json_name(one)))
            compare_member(one, NULL, json_name(one), pointer, whole, list);
}

struct json *difference_list(const struct json *before, const struct json *after,
                             const char *const *whole)
{
    struct json *list = json_new_array();
    struct buffer pointer;
    buffer_init(&pointer, MAX_POINTER);
    compare(before, after, &pointer, whole, list);
    buffer_release(&pointer);
    return list;
}

/* One token of a pointer, as a name of its own. */
static char *unescape(struct view token)
{
    char *name = view_duplicate(token);
    size_t length = 0;
    for (size_t i = 0; i < token.length; i++) {
        name[length] = token.data[i];
        if (token.data[i] == '~' && i + 1 < token.length)
            name[length] = token.data[++i] == '1' ? '/' : '~';
        length++;
    }
    name[length] = 0;
    return name;
}

/* The object that holds the pointer's last token, whose name goes to `name` (to be freed). Objects on
 * the way are made when `make`; NULL: one is missing. */
static struct json *find_parent(struct json *object, struct view pointer, bool make, char **name)
{
    struct view rest = view_slice(pointer, 1, SIZE_MAX), token;
    *name = NULL;
    while (object && view_split(&rest, '/', &token)) {
        free(*name);
        *name = unescape(token);
        if (rest.data == NULL)
            return object;
        object = make || json_get(object, *name) ? object_in(object, *name) : NULL;
    }
    return NULL;
}

static bool same(const struct json *a, const struct json *b)
{
    return a && b ? json_equal(a, b) : !a && !b;
}

void difference_revert(struct json *object, const struct json *differences, struct faults *since)
{
    const struct json *one = json_first(differences);
    for (; one; one = json_next(one)) {
        const struct json *before = json_get(one, "before"), *after = json_get(one, "after");
        char *name = NULL;
        struct view pointer = text_of(one, "pointer");
        struct json *parent = find_parent(object, pointer, before != NULL, &name);
        const struct json *present = parent && name ? json_get(parent, name) : NULL;
        if (!same(present, before) && !same(present, after)) {
            char *place = view_duplicate(pointer);
            fault_pointer(since, place, "has been changed again since");
            free(place);
        } else if (before && parent) {
            json_set(parent, name, json_copy(before));
        } else if (present) {
            json_remove(parent, name);
        }
        free(name);
    }
}
