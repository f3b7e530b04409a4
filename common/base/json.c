/* Keeps JSON trees: cJSON builds them once the text has passed a stricter check. */
#include "common/base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/base/json_text.h"
#include "common/base/memory.h"

#define MAX_DEPTH     100u
#define QUADRATIC_FEW 40 /* members up to which comparing all with all beats sorting */

/* Trees. A struct json is a cJSON under a name that keeps cJSON out of our headers. */

void json_use_wiping_memory(void)
{
    cJSON_Hooks hooks = {.malloc_fn = memory_get, .free_fn = memory_release};

    cJSON_InitHooks(&hooks);
}

static const cJSON *node(const struct json *value)
{
    return (const cJSON *)value;
}

static cJSON *node_mutable(struct json *value)
{
    return (cJSON *)value;
}

/* The made node, or the end of the process: trees are small and built by ourselves. */
static struct json *made(cJSON *value)
{
    REQUIRE(value != NULL);
    return (struct json *)value;
}

/* Most names differ in the first byte. */
static bool same_name(const cJSON *member, const char *name)
{
    return member->string[0] == name[0] && strcmp(member->string, name) == 0;
}

static int by_name(const void *a, const void *b)
{
    const cJSON *const *left = a;
    const cJSON *const *right = b;

    return strcmp((*left)->string, (*right)->string);
}

/* One of two members of the same name directly in this object, or NULL. */
static const cJSON *duplicate_in(const cJSON *object)
{
    size_t count = 0, filled = 0;
    const cJSON **members;
    const cJSON *found = NULL;

    for (const cJSON *member = object->child; member; member = member->next) {
        count++;
        for (const cJSON *other = object->child; count <= QUADRATIC_FEW && other != member;
             other = other->next) {
            if (same_name(member, other->string))
                return member;
        }
    }
    if (count <= QUADRATIC_FEW)
        return NULL;
    members = malloc(count * sizeof(const cJSON *));
    REQUIRE(members != NULL);
    for (const cJSON *member = object->child; member; member = member->next)
        members[filled++] = member;
    qsort(members, count, sizeof(const cJSON *), by_name);
    for (size_t i = 1; i < count && !found; i++) {
        if (by_name(&members[i - 1], &members[i]) == 0)
            found = members[i];
    }
    free(members);
    return found;
}

/* What the grammar allows and we do not, found in the tree. */
struct tree_check {
    bool infinite;          /* a number beyond what a double holds */
    const cJSON *duplicate; /* a member whose name another member has */
};

static void check_tree(const cJSON *value, struct tree_check *check)
{
    if (cJSON_IsNumber(value) && !isfinite(value->valuedouble))
        check->infinite = true;
    if (cJSON_IsObject(value))
        check->duplicate = duplicate_in(value);
    for (const cJSON *child = value->child; child && !check->infinite && check->duplicate == NULL;
         child = child->next)
        check_tree(child, check);
}

/* Counts member names in the order of the text until `target`; true when it was met. */
static bool count_names(const cJSON *value, const cJSON *target, size_t *names)
{
    for (const cJSON *child = value->child; child; child = child->next) {
        if (child == target)
            return true;
        if (cJSON_IsObject(value))
            ++*names;
        if (count_names(child, target, names))
            return true;
    }
    return false;
}

static size_t offset_of_member(struct view text, unsigned max_depth, const cJSON *root,
                               const cJSON *member)
{
    size_t names = 0;

    REQUIRE(count_names(root, member, &names));
    return json_text_member(text, max_depth, names);
}

enum error json_parse(struct view text, unsigned max_depth, struct json **value, size_t *offset)
{
    struct tree_check check = {0};
    size_t unused;
    cJSON *root;

    REQUIRE(max_depth <= MAX_DEPTH);
    *value = NULL;
    if (!offset)
        offset = &unused;
    if (!json_text_good(text, max_depth, offset))
        return ERROR_INVALID;
    *offset = 0;
    /* The check above is stricter than cJSON, which takes control bytes in strings, "01", "1.", any
     * byte up to 32 as space, and what follows the value; it fails only for want of memory. */
    root = cJSON_ParseWithLength(text.data, text.length);
    if (!root)
        return ERROR_NO_MEMORY;
    check_tree(root, &check);
    if (check.duplicate || check.infinite) {
        if (check.duplicate)
            *offset = offset_of_member(text, max_depth, root, check.duplicate);
        cJSON_Delete(root);
        return ERROR_INVALID;
    }
    *value = (struct json *)root;
    return ERROR_NONE;
}

void json_free(struct json *value)
{
    cJSON_Delete(node_mutable(value));
}

enum json_type json_type_of(const struct json *value)
{
    const cJSON *item = node(value);

    if (cJSON_IsObject(item))
        return JSON_OBJECT;
    if (cJSON_IsArray(item))
        return JSON_ARRAY;
    if (cJSON_IsString(item))
        return JSON_STRING;
    if (cJSON_IsNumber(item))
        return JSON_NUMBER;
    return cJSON_IsBool(item) ? JSON_BOOL : JSON_NULL;
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {"null", "boolean", "number", "string", "array", "object"};

    REQUIRE((unsigned)type < sizeof(names) / sizeof(names[0]));
    return names[type];
}

const struct json *json_get(const struct json *object, const char *name)
{
    const cJSON *member = cJSON_IsObject(node(object)) ? node(object)->child : NULL;

    while (member && !same_name(member, name))
        member = member->next;
    return (const struct json *)member;
}

bool json_get_string(const struct json *object, const char *name, struct view *out)
{
    const struct json *member = json_get(object, name);

    if (!cJSON_IsString(node(member)))
        return false;
    *out = json_string(member);
    return true;
}

bool json_get_integer(const struct json *object, const char *name, int64_t *out)
{
    return json_integer(json_get(object, name), out);
}

bool json_get_number(const struct json *object, const char *name, double *out)
{
    const cJSON *member = node(json_get(object, name));

    if (!cJSON_IsNumber(member))
        return false;
    *out = member->valuedouble;
    return true;
}

bool json_get_bool(const struct json *object, const char *name, bool *out)
{
    const cJSON *member = node(json_get(object, name));

    if (!cJSON_IsBool(member))
        return false;
    *out = cJSON_IsTrue(member);
    return true;
}

struct view json_string(const struct json *value)
{
    return cJSON_IsString(node(value)) ? view_of(node(value)->valuestring) : VIEW("");
}

bool json_integer(const struct json *value, int64_t *out)
{
    if (!cJSON_IsNumber(node(value)) || !json_number_is_whole(node(value)->valuedouble))
        return false;
    *out = (int64_t)node(value)->valuedouble;
    return true;
}

double json_number(const struct json *value)
{
    return cJSON_IsNumber(node(value)) ? node(value)->valuedouble : 0;
}

bool json_bool(const struct json *value)
{
    return cJSON_IsTrue(node(value));
}

const struct json *json_first(const struct json *container)
{
    return container ? (const struct json *)node(container)->child : NULL;
}

const struct json *json_next(const struct json *value)
{
    return value ? (const struct json *)node(value)->next : NULL;
}

struct view json_name(const struct json *value)
{
    return value && node(value)->string ? view_of(node(value)->string) : VIEW("");
}

size_t json_count(const struct json *container)
{
    size_t count = 0;

    for (const struct json *child = json_first(container); child; child = json_next(child))
        count++;
    return count;
}

struct json *json_new_object(void)
{
    return made(cJSON_CreateObject());
}

struct json *json_new_array(void)
{
    return made(cJSON_CreateArray());
}

/* A tree's strings end at NUL, so one inside becomes U+FFFD rather than a silent cut. */
struct json *json_new_string(struct view text)
{
    struct buffer clean;
    struct view part;
    struct json *value;

    buffer_init(&clean, SIZE_MAX / 4);
    for (bool first = true; view_split(&text, '\0', &part); first = false) {
        if (!first)
            buffer_append_string(&clean, "\xEF\xBF\xBD");
        buffer_append_view(&clean, part);
    }
    REQUIRE(clean.error == ERROR_NONE);
    value = made(cJSON_CreateString(clean.length ? clean.data : ""));
    buffer_release(&clean);
    return value;
}

struct json *json_new_integer(int64_t number)
{
    return made(cJSON_CreateNumber((double)number));
}

struct json *json_new_number(double number)
{
    return made(cJSON_CreateNumber(number));
}

struct json *json_new_bool(bool truth)
{
    return made(cJSON_CreateBool(truth));
}

struct json *json_new_null(void)
{
    return made(cJSON_CreateNull());
}

/* Takes a node's name away: it is a member no more. */
static void forget_name(cJSON *value)
{
    cJSON_free(value->string);
    value->string = NULL;
}

struct json *json_copy(const struct json *value)
{
    struct json *copy = made(cJSON_Duplicate(node(value), true));

    forget_name(node_mutable(copy));
    return copy;
}

void json_set(struct json *object, const char *name, struct json *value)
{
    REQUIRE(cJSON_IsObject(node(object)) && value != NULL);
    if (json_get(object, name))
        REQUIRE(cJSON_ReplaceItemInObjectCaseSensitive(node_mutable(object), name,
                                                       node_mutable(value)));
    else
        REQUIRE(cJSON_AddItemToObject(node_mutable(object), name, node_mutable(value)));
}

void json_set_string(struct json *object, const char *name, struct view text)
{
    json_set(object, name, json_new_string(text));
}

void json_set_integer(struct json *object, const char *name, int64_t number)
{
    json_set(object, name, json_new_integer(number));
}

void json_set_bool(struct json *object, const char *name, bool truth)
{
    json_set(object, name, json_new_bool(truth));
}

void json_set_null(struct json *object, const char *name)
{
    json_set(object, name, json_new_null());
}

void json_remove(struct json *object, const char *name)
{
    REQUIRE(cJSON_IsObject(node(object)));
    cJSON_DeleteItemFromObjectCaseSensitive(node_mutable(object), name);
}

struct json *json_take(struct json *object, const char *name)
{
    cJSON *member = node_mutable((struct json *)(uintptr_t)json_get(object, name));

    if (!member)
        return NULL;
    cJSON_DetachItemViaPointer(node_mutable(object), member);
    forget_name(member);
    return (struct json *)member;
}

void json_append(struct json *array, struct json *value)
{
    REQUIRE(cJSON_IsArray(node(array)) && value != NULL);
    forget_name(node_mutable(value));
    REQUIRE(cJSON_AddItemToArray(node_mutable(array), node_mutable(value)));
}

static bool equal_objects(const struct json *a, const struct json *b)
{
    const struct json *guess = json_first(b); /* members mostly stand in the same order */

    if (json_count(a) != json_count(b))
        return false;
    for (const struct json *member = json_first(a); member; member = json_next(member)) {
        const struct json *other = guess;

        if (!other || !view_equal(json_name(other), json_name(member)))
            other = json_get(b, node(member)->string);
        if (!other || !json_equal(member, other))
            return false;
        guess = json_next(other);
    }
    return true;
}

static bool equal_arrays(const struct json *a, const struct json *b)
{
    const struct json *left = json_first(a);
    const struct json *right = json_first(b);

    while (left && right && json_equal(left, right)) {
        left = json_next(left);
        right = json_next(right);
    }
    return !left && !right;
}

bool json_equal(const struct json *a, const struct json *b)
{
    double left, right;

    if (!a || !b)
        return a == b;
    if (json_type_of(a) != json_type_of(b))
        return false;
    switch (json_type_of(a)) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        return json_bool(a) == json_bool(b);
    case JSON_NUMBER:
        left = json_number(a);
        right = json_number(b);
        return !(left < right) && !(left > right);
    case JSON_STRING:
        return view_equal(json_string(a), json_string(b));
    case JSON_ARRAY:
        return equal_arrays(a, b);
    case JSON_OBJECT:
        return equal_objects(a, b);
    }
    return false;
}

struct json *json_merge_patch(struct json *target, const struct json *patch)
{
    if (json_type_of(patch) != JSON_OBJECT) {
        json_free(target);
        return json_copy(patch);
    }
    if (!target || json_type_of(target) != JSON_OBJECT) {
        json_free(target);
        target = json_new_object();
    }
    for (const struct json *member = json_first(patch); member; member = json_next(member)) {
        const char *name = node(member)->string;
        cJSON *present;

        if (json_type_of(member) == JSON_NULL) {
            json_remove(target, name);
            continue;
        }
        present = cJSON_GetObjectItemCaseSensitive(node_mutable(target), name);
        if (present && cJSON_IsObject(present) && json_type_of(member) == JSON_OBJECT)
            json_merge_patch((struct json *)present, member); /* stays where it is */
        else
            json_set(target, name, json_merge_patch(NULL, member));
    }
    return target;
}

static void print_container(struct buffer *out, const struct json *value, bool object)
{
    buffer_append_byte(out, object ? '{' : '[');
    for (const struct json *child = json_first(value); child; child = json_next(child)) {
        if (child != json_first(value))
            buffer_append_byte(out, ',');
        if (object) {
            json_append_quoted(out, json_name(child));
            buffer_append_byte(out, ':');
        }
        json_print(out, child);
    }
    buffer_append_byte(out, object ? '}' : ']');
}

void json_print(struct buffer *out, const struct json *value)
{
    enum json_type type = json_type_of(value);

    switch (type) {
    case JSON_NULL:
        buffer_append_string(out, "null");
        break;
    case JSON_BOOL:
        buffer_append_string(out, json_bool(value) ? "true" : "false");
        break;
    case JSON_NUMBER:
        json_append_number(out, json_number(value));
        break;
    case JSON_STRING:
        json_append_quoted(out, json_string(value));
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        print_container(out, value, type == JSON_OBJECT);
        break;
    }
}
