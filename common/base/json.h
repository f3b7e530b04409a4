/*
 * JSON read and written: a tree over cJSON for what is small and irregular, and a writer that
 * streams for what is hot or large. Only json.c includes cJSON.
 *
 * Trees: json_parse's result is owned by the caller (json_free); what the getters return is
 * borrowed from it. Strings come out as views and never hold a NUL ("\u0000" in input is
 * ERROR_INVALID: cJSON cannot carry it). Numbers are doubles; json_get_integer accepts whole
 * numbers up to 2^53 only. Numbers of more than 63 characters or beyond what a double
 * holds are ERROR_INVALID.
 */
#ifndef COMMON_BASE_JSON_H
#define COMMON_BASE_JSON_H

#include "common/base/bytes.h"

struct json; /* one value of a tree */

/* The whole text must be one value (white space around it is fine), UTF-8, at most `max_depth` deep
 * (<= 100), without duplicate member names. ERROR_INVALID: `*offset` (may be NULL) says near which
 * byte. */
enum error json_parse(struct view text, unsigned max_depth, struct json **value,
                      size_t *offset) MUST_CHECK;
void json_free(struct json *value);

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
enum json_type json_type_of(const struct json *value);
const char *json_type_name(enum json_type type);

/* Member of an object (exact case); NULL when absent or when `object` is NULL or no object. */
const struct json *json_get(const struct json *object, const char *name);
/* These give false (and leave *out alone) when the member is absent, null, or of another type. */
bool json_get_string(const struct json *object, const char *name, struct view *out);
bool json_get_integer(const struct json *object, const char *name, int64_t *out);
bool json_get_number(const struct json *object, const char *name, double *out);
bool json_get_bool(const struct json *object, const char *name, bool *out);
/* The value itself; empty view when it is no string. */
struct view json_string(const struct json *value);
bool json_integer(const struct json *value, int64_t *out);
double json_number(const struct json *value);
bool json_bool(const struct json *value);

/* Walking arrays and objects: first child or NULL, next or NULL, the member's name (empty in
 * arrays). */
const struct json *json_first(const struct json *container);
const struct json *json_next(const struct json *value);
struct view json_name(const struct json *value);
size_t json_count(const struct json *container);

/* Building: out of memory aborts (these are small). A NUL in a text becomes U+FFFD. Setters
 * replace a member of that name, take ownership of `value`, and append at the end otherwise. */
struct json *json_new_object(void);
struct json *json_new_array(void);
struct json *json_new_string(struct view text);
struct json *json_new_integer(int64_t number);
struct json *json_new_number(double number);
struct json *json_new_bool(bool truth);
struct json *json_new_null(void);
struct json *json_copy(const struct json *value);
void json_set(struct json *object, const char *name, struct json *value);
void json_set_string(struct json *object, const char *name, struct view text);
void json_set_integer(struct json *object, const char *name, int64_t number);
void json_set_bool(struct json *object, const char *name, bool truth);
void json_set_null(struct json *object, const char *name);
void json_remove(struct json *object, const char *name);
/* The member, which the object loses; the caller's from now on. NULL: there is none. */
struct json *json_take(struct json *object, const char *name);
void json_append(struct json *array, struct json *value);
bool json_equal(const struct json *a, const struct json *b);
/* RFC 7396: applies `patch` to `target` (consumed) and returns the result. */
struct json *json_merge_patch(struct json *target, const struct json *patch);
/* Compact text, appended. Whole numbers are printed without a fraction. */
void json_print(struct buffer *out, const struct json *value);

/*
 * The writer: commas and quotes are its business, nesting is the caller's. Names must be literals
 * that need no escape. In arrays and at the top `name` is NULL.
 */
struct json_writer {
    struct buffer *out;
    bool comma;
};

void json_begin(struct json_writer *w, struct buffer *out);
void json_open_object(struct json_writer *w, const char *name);
void json_close_object(struct json_writer *w);
void json_open_array(struct json_writer *w, const char *name);
void json_close_array(struct json_writer *w);
/* A member whose name comes from outside and is escaped; follow with a value call whose name is
 * NULL. */
void json_member(struct json_writer *w, struct view name);
void json_write_string(struct json_writer *w, const char *name, struct view text);
void json_write_integer(struct json_writer *w, const char *name, int64_t number);
void json_write_number(struct json_writer *w, const char *name, double number);
void json_write_bool(struct json_writer *w, const char *name, bool truth);
void json_write_null(struct json_writer *w, const char *name);
void json_write_base64(struct json_writer *w, const char *name, struct view bytes);
/* Text that is JSON already. */
void json_write_raw(struct json_writer *w, const char *name, struct view json);
void json_write_tree(struct json_writer *w, const char *name, const struct json *value);

/* Trees are freed by memory_release (memory.h) from now on. Before the first one is made. */
void json_use_wiping_memory(void);

#endif
