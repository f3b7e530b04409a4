/* Gathers the lines of a head or trailer and remembers where their fields are. */
#include "common/net/fields.h"

#include <stdlib.h>

#define FIELDS_AT_FIRST 16

void fields_init(struct fields *fields, size_t ceiling)
{
    *fields = (struct fields){0};
    buffer_init(&fields->text, ceiling);
}

void fields_clear(struct fields *fields)
{
    buffer_clear(&fields->text);
    fields->count = 0;
    fields->line_start = 0;
    fields->bytes = 0;
}

void fields_release(struct fields *fields)
{
    buffer_release(&fields->text);
    free(fields->list);
    fields->list = NULL;
    fields->capacity = 0;
    fields_clear(fields);
}

struct view fields_line(const struct fields *fields)
{
    return view_slice(buffer_view(&fields->text), fields->line_start, SIZE_MAX);
}

void fields_end_line(struct fields *fields)
{
    fields->bytes += fields->text.length - fields->line_start + 2;
    fields->line_start = fields->text.length;
}

bool fields_add(struct fields *fields, struct view name, struct view value)
{
    const char *text = fields->text.data;

    if (fields->count == fields->capacity) {
        unsigned capacity = fields->capacity ? fields->capacity * 2 : FIELDS_AT_FIRST;
        struct field *list = realloc(fields->list, capacity * sizeof(*list));

        if (!list)
            return false;
        fields->list = list;
        fields->capacity = capacity;
    }
    fields->list[fields->count++] = (struct field){
        .name_offset = (uint32_t)(name.data - text),
        .name_length = (uint32_t)name.length,
        .value_offset = (uint32_t)(value.data - text),
        .value_length = (uint32_t)value.length,
    };
    return true;
}

bool fields_at(const struct fields *fields, size_t index, struct view *name, struct view *value)
{
    const struct field *field;

    if (index >= fields->count)
        return false;
    field = fields->list + index;
    *name = view_from(fields->text.data + field->name_offset, field->name_length);
    *value = view_from(fields->text.data + field->value_offset, field->value_length);
    return true;
}

bool fields_find(const struct fields *fields, const char *name, struct view *value)
{
    struct view wanted = view_of(name), found, found_value;

    for (size_t i = 0; fields_at(fields, i, &found, &found_value); i++) {
        if (view_equal_nocase(found, wanted)) {
            *value = found_value;
            return true;
        }
    }
    return false;
}
