/* The text side of JSON, inside base only: the strict grammar, and how numbers and strings are
 * spelt. json.c puts trees behind it, json_writer.c streams with it. */
#ifndef COMMON_BASE_JSON_TEXT_H
#define COMMON_BASE_JSON_TEXT_H

#include "common/base/bytes.h"

/* Whether the whole text is one value by RFC 8259, in UTF-8, at most `max_depth` deep, without NUL
 * and lone surrogates in strings, numbers of at most 63 characters; else `*offset` is where it
 * breaks. Duplicate names are not looked for. */
bool json_text_good(struct view text, unsigned max_depth, size_t *offset);
/* Where the name of the nth member (from 0, in the order of a good text) begins. */
size_t json_text_member(struct view text, unsigned max_depth, size_t nth);
/* Whether the number is whole and within 2^53, so that an integer holds it exactly. */
bool json_number_is_whole(double number);
/* Whole numbers without fraction, others with as few digits as read back the same; "null" for what
 * JSON has no word for. */
void json_append_number(struct buffer *out, double number);
/* The string with its quotes. */
void json_append_quoted(struct buffer *out, struct view text);

#endif
