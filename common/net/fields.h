/*
 * The lines of a message's head or trailer as they came, and the fields in them. Line ends are not
 * kept. Offsets, not addresses, are remembered, since the text moves while it grows. It knows
 * nothing of what a line means.
 */
#ifndef COMMON_NET_FIELDS_H
#define COMMON_NET_FIELDS_H

#include "common/base/bytes.h"

struct field {
    uint32_t name_offset, name_length;
    uint32_t value_offset, value_length; /* without the white space around it */
};

struct fields {
    struct buffer text;
    struct field *list;
    unsigned count, capacity;
    size_t line_start; /* where the unfinished line begins in text */
    size_t bytes;      /* of the finished lines, two for each line end included */
};

/* At most `ceiling` bytes of text. */
void fields_init(struct fields *fields, size_t ceiling);
void fields_release(struct fields *fields);
/* Empties it, keeps the memory. */
void fields_clear(struct fields *fields);
/* The unfinished line; borrowed until text is appended. */
struct view fields_line(const struct fields *fields);
/* The unfinished line is finished; the next begins. */
void fields_end_line(struct fields *fields);
/* Both views must lie in the text. False when memory runs out. */
bool fields_add(struct fields *fields, struct view name, struct view value);
bool fields_at(const struct fields *fields, size_t index, struct view *name, struct view *value);
/* The first of that name (any case). */
bool fields_find(const struct fields *fields, const char *name, struct view *value);

#endif
