/* Writes the tables of what JSON objects hold as JSON Schemas. */
#include "managerd/shape.h"

#define MAX_DEPTH 20

static void write_choices(struct json_writer *w, const char *choices, bool nullable)
{
    struct view rest = view_of(choices), choice;
    json_open_array(w, "enum");
    while (view_split(&rest, '|', &choice))
        json_write_string(w, NULL, choice);
    if (nullable)
        json_write_null(w, NULL);
    json_close_array(w);
}

static void write_bounds(const struct shape_field *field, struct json_writer *w)
{
    static const char *const names[][2] = {
        [SHAPE_STRING] = {"minLength", "maxLength"},      [SHAPE_INTEGER] = {"minimum", "maximum"},
        [SHAPE_NUMBER] = {"minimum", "maximum"},          [SHAPE_LIST] = {"minItems", "maxItems"},
        [SHAPE_MAP] = {"minProperties", "maxProperties"},
    };
    bool number = field->kind == SHAPE_INTEGER || field->kind == SHAPE_NUMBER;
    if (field->kind >= sizeof names / sizeof names[0] || !names[field->kind][0])
        return;
    if (field->min || (number && field->max))
        json_write_integer(w, names[field->kind][0], field->min);
    if (field->max)
        json_write_integer(w, names[field->kind][1], field->max);
}

static bool may_be_null(const struct shape_field *field, enum shape_side side)
{
    return field->flags & SHAPE_NULLABLE || side == SHAPE_PATCHED;
}

static void write_type(const struct shape_field *field, struct json_writer *w, bool nullable)
{
    static const char *const types[] = {
        [SHAPE_STRING] = "string", [SHAPE_INTEGER] = "integer", [SHAPE_NUMBER] = "number",
        [SHAPE_BOOL] = "boolean",  [SHAPE_OBJECT] = "object",   [SHAPE_LIST] = "array",
        [SHAPE_MAP] = "object",
    };
    if (!nullable) {
        json_write_string(w, "type", view_of(types[field->kind]));
        return;
    }
    json_open_array(w, "type");
    json_write_string(w, NULL, view_of(types[field->kind]));
    json_write_string(w, NULL, VIEW("null"));
    json_close_array(w);
}

/* Several schemas with commas between are alternatives; one alone stands for itself. */
static void write_any(const struct shape_field *field, struct json_writer *w, bool nullable)
{
    struct json *schema = NULL;
    bool alone = json_parse(view_of(field->schema_json), MAX_DEPTH, &schema, NULL) == ERROR_NONE;
    if (alone && (!nullable || json_count(schema) == 0)) {
        const struct json *one = json_first(schema);
        for (; one; one = json_next(one)) {
            json_member(w, json_name(one));
            json_write_tree(w, NULL, one);
        }
    } else {
        json_open_array(w, "anyOf");
        json_write_raw(w, NULL, view_of(field->schema_json));
        if (nullable)
            json_write_raw(w, NULL, VIEW("{\"type\":\"null\"}"));
        json_close_array(w);
    }
    json_free(schema);
}

static void write_text_rule(const struct shape_field *field, struct json_writer *w)
{
    if (field->format)
        json_write_string(w, "format", view_of(field->format));
    if (field->pattern)
        json_write_string(w, "pattern", view_of(field->pattern));
}

static void write_map(const struct shape_field *field, struct json_writer *w, enum shape_side side)
{
    if (field->pattern && side == SHAPE_PATCHED) {
        /* What cannot be there may be taken away all the same. */
        json_open_object(w, "patternProperties");
        json_member(w, view_of(field->pattern));
        json_open_object(w, NULL);
        json_write_raw(w, "type", VIEW("[\"string\",\"null\"]"));
        if (field->max_each)
            json_write_integer(w, "maxLength", field->max_each);
        json_close_object(w);
        json_close_object(w);
        json_write_raw(w, "additionalProperties", VIEW("{\"type\":\"null\"}"));
        return;
    }
    if (field->pattern) {
        json_open_object(w, "propertyNames");
        json_write_string(w, "pattern", view_of(field->pattern));
        json_close_object(w);
    }
    json_open_object(w, "additionalProperties");
    if (side == SHAPE_PATCHED)
        json_write_raw(w, "type", VIEW("[\"string\",\"null\"]"));
    else
        json_write_string(w, "type", VIEW("string"));
    if (field->max_each)
        json_write_integer(w, "maxLength", field->max_each);
    json_close_object(w);
}

static void write_members(const struct shape *shape, struct json_writer *w, enum shape_side side);

static void write_inside(const struct shape_field *field, struct json_writer *w,
                         enum shape_side side)
{
    if (field->kind == SHAPE_OBJECT && field->of)
        write_members(field->of, w, side);
    else if (field->kind == SHAPE_OBJECT)
        json_write_bool(w, "additionalProperties", true);
    else if (field->kind == SHAPE_MAP)
        write_map(field, w, side);
    else if (field->kind == SHAPE_LIST && field->of)
        /* Merge patches replace lists as wholes. */
        shape_write_schema(field->of, w, "items", side == SHAPE_PATCHED ? SHAPE_TAKEN : side);
    else if (field->kind == SHAPE_LIST) {
        json_open_object(w, "items");
        json_write_string(w, "type", VIEW("string"));
        if (!(field->flags & SHAPE_READ_ONLY))
            write_text_rule(field, w);
        json_close_object(w);
    }
}

void shape_write_field(const struct shape_field *field, struct json_writer *w, const char *name,
                       enum shape_side side)
{
    bool nullable = may_be_null(field, side);
    json_open_object(w, name);
    if (field->kind == SHAPE_ANY)
        write_any(field, w, nullable);
    else
        write_type(field, w, nullable);
    if (field->description)
        json_write_string(w, "description", view_of(field->description));
    if (field->choices)
        write_choices(w, field->choices, nullable);
    if (field->kind == SHAPE_STRING)
        write_text_rule(field, w);
    if (field->default_json && side == SHAPE_TAKEN)
        json_write_raw(w, "default", view_of(field->default_json));
    if (field->flags & SHAPE_READ_ONLY)
        json_write_bool(w, "readOnly", true);
    if (field->flags & SHAPE_SECRET)
        json_write_bool(w, "writeOnly", true);
    write_bounds(field, w);
    write_inside(field, w, side);
    json_close_object(w);
}

static bool is_required(const struct shape_field *field, enum shape_side side)
{
    switch (side) {
    case SHAPE_TAKEN:
        return field->flags & SHAPE_REQUIRED && !(field->flags & SHAPE_READ_ONLY);
    case SHAPE_PATCHED:
        return false;
    case SHAPE_GIVEN:
        return !(field->flags & (SHAPE_SOMETIMES | SHAPE_SECRET));
    }
    return false;
}

static void write_members(const struct shape *shape, struct json_writer *w, enum shape_side side)
{
    bool required = false;
    json_open_object(w, "properties");
    for (size_t i = 0; i < shape->count; i++)
        if (side != SHAPE_GIVEN || !(shape->fields[i].flags & SHAPE_SECRET)) {
            shape_write_field(&shape->fields[i], w, shape->fields[i].name, side);
            required |= is_required(&shape->fields[i], side);
        }
    json_close_object(w);
    json_write_bool(w, "additionalProperties", false);
    if (!required)
        return;
    json_open_array(w, "required");
    for (size_t i = 0; i < shape->count; i++)
        if (is_required(&shape->fields[i], side))
            json_write_string(w, NULL, view_of(shape->fields[i].name));
    json_close_array(w);
}

void shape_write_schema(const struct shape *shape, struct json_writer *w, const char *name,
                        enum shape_side side)
{
    json_open_object(w, name);
    json_write_string(w, "type", VIEW("object"));
    if (shape->description)
        json_write_string(w, "description", view_of(shape->description));
    write_members(shape, w, side);
    json_close_object(w);
}
