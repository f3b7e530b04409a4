/* Checks, completes and describes JSON objects by tables of their members. */
#include "managerd/shape.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEW_MEMBERS 4

void faults_init(struct faults *faults, struct arena *arena)
{
    faults->arena = arena;
    faults->count = 0;
}

static void __attribute__((format(printf, 4, 0)))
add_fault(struct faults *faults, const char *pointer, const char *parameter, const char *format,
          va_list arguments)
{
    char detail[600];
    if (faults->count == FAULTS_MAX)
        return;
    vsnprintf(detail, sizeof detail, format, arguments);
    faults->list[faults->count++] = (struct fault){
        pointer ? arena_string(faults->arena, view_of(pointer)) : NULL,
        parameter ? arena_string(faults->arena, view_of(parameter)) : NULL,
        arena_string(faults->arena, view_of(detail)),
    };
}

void fault_pointer(struct faults *faults, const char *pointer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_fault(faults, pointer ? pointer : "", NULL, format, arguments);
    va_end(arguments);
}

void fault_parameter(struct faults *faults, const char *parameter, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_fault(faults, NULL, parameter, format, arguments);
    va_end(arguments);
}

const struct shape_field *shape_field(const struct shape *shape, struct view name)
{
    for (size_t i = 0; i < shape->count; i++)
        if (view_equal_string(name, shape->fields[i].name))
            return &shape->fields[i];
    return NULL;
}

/* `pointer` plus one reference token, escaped as RFC 6901 section 3 asks. */
static const char *extend(struct faults *faults, const char *pointer, struct view name)
{
    struct buffer text;
    buffer_init(&text, 2048);
    buffer_append_string(&text, pointer);
    buffer_append_byte(&text, '/');
    for (size_t i = 0; i < name.length && i < 200; i++) {
        if (name.data[i] == '~')
            buffer_append_string(&text, "~0");
        else if (name.data[i] == '/')
            buffer_append_string(&text, "~1");
        else
            buffer_append_byte(&text, name.data[i]);
    }
    const char *extended = arena_string(faults->arena, buffer_view(&text));
    buffer_release(&text);
    return extended ? extended : "";
}

static bool in_choices(const char *choices, struct view text)
{
    struct view rest = view_of(choices), choice;
    while (view_split(&rest, '|', &choice))
        if (view_equal(choice, text))
            return true;
    return false;
}

static void check_string(const struct shape_field *field, struct view text, const char *pointer,
                         struct faults *faults)
{
    if (field->choices) {
        if (!in_choices(field->choices, text))
            fault_pointer(faults, pointer, "must be one of %s", field->choices);
    } else if ((int64_t)text.length < field->min) {
        fault_pointer(faults, pointer, "must have at least %lld bytes", (long long)field->min);
    } else if (field->max && (int64_t)text.length > field->max) {
        fault_pointer(faults, pointer, "must have at most %lld bytes", (long long)field->max);
    } else if (field->check && !field->check(text)) {
        fault_pointer(faults, pointer, "%s", field->wants);
    }
}

static void check_number(const struct shape_field *field, const struct json *value,
                         const char *pointer, struct faults *faults)
{
    int64_t whole;
    if (field->kind == SHAPE_INTEGER && !json_integer(value, &whole)) {
        fault_pointer(faults, pointer, "must be a whole number");
        return;
    }
    double number = json_number(value);
    if ((field->min || field->max) &&
        !(number >= (double)field->min && number <= (double)field->max))
        fault_pointer(faults, pointer, "must be from %lld to %lld", (long long)field->min,
                      (long long)field->max);
}

static void check_map(const struct shape_field *field, const struct json *value,
                      const char *pointer, struct faults *faults)
{
    size_t bytes = 0;
    if (field->max && (int64_t)json_count(value) > field->max)
        fault_pointer(faults, pointer, "must have at most %lld members", (long long)field->max);
    for (const struct json *member = json_first(value); member; member = json_next(member)) {
        const char *place = extend(faults, pointer, json_name(member));
        if (json_type_of(member) != JSON_STRING)
            fault_pointer(faults, place, "must be a string, not %s",
                          json_type_name(json_type_of(member)));
        else if (field->max_each && json_string(member).length > (size_t)field->max_each)
            fault_pointer(faults, place, "must have at most %lld bytes",
                          (long long)field->max_each);
        else
            bytes += json_name(member).length + json_string(member).length;
        if (field->check && !field->check(json_name(member)))
            fault_pointer(faults, place, "%s", field->wants);
    }
    if (field->max_bytes && bytes > (size_t)field->max_bytes)
        fault_pointer(faults, pointer, "must have at most %lld bytes of names and values",
                      (long long)field->max_bytes);
}

static void check_list(const struct shape_field *field, const struct json *value,
                       const char *pointer, struct faults *faults)
{
    size_t count = json_count(value), index = 0, bytes = 0;
    if ((int64_t)count < field->min)
        fault_pointer(faults, pointer, "must have at least %lld items", (long long)field->min);
    if (field->max && (int64_t)count > field->max) {
        fault_pointer(faults, pointer, "must have at most %lld items", (long long)field->max);
        return;
    }
    for (const struct json *item = json_first(value); item; item = json_next(item)) {
        char number[24];
        snprintf(number, sizeof number, "%zu", index++);
        const char *place = extend(faults, pointer, view_of(number));
        if (field->of)
            shape_check(field->of, item, place, faults);
        else if (json_type_of(item) != JSON_STRING)
            fault_pointer(faults, place, "must be a string");
        else if (field->check && !field->check(json_string(item)))
            fault_pointer(faults, place, "%s", field->wants);
        else
            bytes += json_string(item).length;
    }
    if (field->max_bytes && bytes > (size_t)field->max_bytes)
        fault_pointer(faults, pointer, "must have at most %lld bytes in all",
                      (long long)field->max_bytes);
}

static const enum json_type wanted_types[] = {
    [SHAPE_STRING] = JSON_STRING, [SHAPE_INTEGER] = JSON_NUMBER, [SHAPE_NUMBER] = JSON_NUMBER,
    [SHAPE_BOOL] = JSON_BOOL,     [SHAPE_OBJECT] = JSON_OBJECT,  [SHAPE_LIST] = JSON_ARRAY,
    [SHAPE_MAP] = JSON_OBJECT,
};

static void check_field(const struct shape_field *field, const struct json *value,
                        const char *pointer, struct faults *faults)
{
    enum json_type type = json_type_of(value);
    if (field->flags & SHAPE_READ_ONLY)
        return;
    if (type == JSON_NULL && field->flags & SHAPE_NULLABLE)
        return;
    if (field->kind == SHAPE_ANY) {
        const char *fault = field->check_value ? field->check_value(value) : NULL;
        if (fault)
            fault_pointer(faults, pointer, "%s", fault);
        return;
    }
    if (type != wanted_types[field->kind]) {
        fault_pointer(faults, pointer, "must be of type %s%s, not %s",
                      json_type_name(wanted_types[field->kind]),
                      field->flags & SHAPE_NULLABLE ? " or null" : "", json_type_name(type));
        return;
    }
    switch (field->kind) {
    case SHAPE_STRING:
        check_string(field, json_string(value), pointer, faults);
        break;
    case SHAPE_INTEGER:
    case SHAPE_NUMBER:
        check_number(field, value, pointer, faults);
        break;
    case SHAPE_OBJECT:
        if (field->of)
            shape_check(field->of, value, pointer, faults);
        break;
    case SHAPE_LIST:
        check_list(field, value, pointer, faults);
        break;
    case SHAPE_MAP:
        check_map(field, value, pointer, faults);
        break;
    case SHAPE_BOOL:
    case SHAPE_ANY:
        break;
    }
}

/* Where there are few members, they are told: what was meant is likely among them. */
static void tell_unknown(const struct shape *shape, const char *place, struct faults *faults)
{
    char members[FEW_MEMBERS * 48] = "";
    size_t length = 0;
    for (size_t i = 0; shape->count <= FEW_MEMBERS && i < shape->count; i++)
        if (!(shape->fields[i].flags & SHAPE_READ_ONLY) && length < sizeof members)
            length += (size_t)snprintf(members + length, sizeof members - length, "%s%s",
                                       length ? ", " : ", which has ", shape->fields[i].name);
    fault_pointer(faults, place, "is not a member of %s%s", shape->name, members);
}

void shape_check(const struct shape *shape, const struct json *object, const char *pointer,
                 struct faults *faults)
{
    if (json_type_of(object) != JSON_OBJECT) {
        fault_pointer(faults, pointer, "must be of type object, not %s",
                      json_type_name(json_type_of(object)));
        return;
    }
    for (const struct json *member = json_first(object); member; member = json_next(member)) {
        const char *place = extend(faults, pointer, json_name(member));
        const struct shape_field *field = shape_field(shape, json_name(member));
        if (!field)
            tell_unknown(shape, place, faults);
        else
            check_field(field, member, place, faults);
    }
    for (size_t i = 0; i < shape->count; i++)
        if (shape->fields[i].flags & SHAPE_REQUIRED && !json_get(object, shape->fields[i].name))
            fault_pointer(faults, extend(faults, pointer, view_of(shape->fields[i].name)),
                          "is required");
}

/* A member of a mutable object, to be changed in place. */
static struct json *member_of(struct json *object, const char *name)
{
    return (struct json *)(uintptr_t)json_get(object, name);
}

void shape_drop_read_only(const struct shape *shape, struct json *object)
{
    for (size_t i = 0; i < shape->count; i++) {
        const struct shape_field *field = &shape->fields[i];
        if (field->flags & SHAPE_READ_ONLY)
            json_remove(object, field->name);
        else if (field->kind == SHAPE_OBJECT && field->of) {
            struct json *member = member_of(object, field->name);
            if (member && json_type_of(member) == JSON_OBJECT)
                shape_drop_read_only(field->of, member);
        }
    }
}

static struct json *default_of(const struct shape_field *field)
{
    struct json *value = NULL;
    if (!field->default_json)
        return NULL;
    REQUIRE(!json_parse(view_of(field->default_json), 10, &value, NULL));
    if (field->kind == SHAPE_OBJECT && field->of && json_type_of(value) == JSON_OBJECT)
        shape_fill(field->of, value);
    return value;
}

void shape_fill(const struct shape *shape, struct json *object)
{
    for (size_t i = 0; i < shape->count; i++) {
        const struct shape_field *field = &shape->fields[i];
        struct json *member = member_of(object, field->name);
        if (!member) {
            struct json *value = default_of(field);
            if (value)
                json_set(object, field->name, value);
        } else if (field->kind == SHAPE_OBJECT && field->of &&
                   json_type_of(member) == JSON_OBJECT) {
            shape_fill(field->of, member);
        }
    }
}

static void merge_map(struct json *target, const struct json *patch)
{
    for (const struct json *member = json_first(patch); member; member = json_next(member)) {
        char *name = view_duplicate(json_name(member));
        if (json_type_of(member) == JSON_NULL)
            json_remove(target, name);
        else
            json_set(target, name, json_copy(member));
        free(name);
    }
}

void shape_merge(const struct shape *shape, struct json *target, const struct json *patch)
{
    for (const struct json *member = json_first(patch); member; member = json_next(member)) {
        const struct shape_field *field = shape_field(shape, json_name(member));
        char *name = view_duplicate(json_name(member));
        struct json *present = member_of(target, name);
        enum json_type type = json_type_of(member);
        bool inner = present && type == JSON_OBJECT && json_type_of(present) == JSON_OBJECT;
        if (field && type == JSON_NULL && !(field->flags & SHAPE_NULLABLE)) {
            struct json *value = default_of(field);
            if (value)
                json_set(target, name, value);
            else
                json_remove(target, name);
        } else if (field && inner && field->kind == SHAPE_OBJECT && field->of) {
            shape_merge(field->of, present, member);
        } else if (field && inner && field->kind == SHAPE_MAP) {
            merge_map(present, member);
        } else {
            json_set(target, name, json_copy(member));
        }
        free(name);
    }
}

static struct json *parse_number(const struct shape_field *field, struct view text)
{
    struct json *value = NULL;
    if (text.length == 0 || text.length > 20 || json_parse(text, 1, &value, NULL))
        return NULL;
    int64_t whole;
    if (json_type_of(value) == JSON_NUMBER &&
        (field->kind == SHAPE_NUMBER || json_integer(value, &whole)))
        return value;
    json_free(value);
    return NULL;
}

struct json *shape_parse(const struct shape_field *field, struct view text, struct faults *faults)
{
    struct json *value = NULL;
    const char *wants = "a string";
    if (field->flags & SHAPE_NULLABLE && view_equal_string(text, "null"))
        return json_new_null();
    switch (field->kind) {
    case SHAPE_STRING:
    case SHAPE_ANY:
        if (field->kind == SHAPE_ANY && view_starts_with(text, VIEW("{")) &&
            !json_parse(text, 10, &value, NULL))
            return value;
        return json_new_string(text);
    case SHAPE_INTEGER:
    case SHAPE_NUMBER:
        wants = field->kind == SHAPE_INTEGER ? "a whole number" : "a number";
        value = parse_number(field, text);
        break;
    case SHAPE_BOOL:
        wants = "true or false";
        if (view_equal_string(text, "true") || view_equal_string(text, "false"))
            value = json_new_bool(text.data[0] == 't');
        break;
    case SHAPE_OBJECT:
    case SHAPE_LIST:
    case SHAPE_MAP:
        wants = "given in a JSON body";
        break;
    }
    if (!value)
        fault_parameter(faults, field->name, "must be %s", wants);
    return value;
}
