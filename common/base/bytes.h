/*
 * Borrowed views of bytes, and growing buffers with a ceiling.
 *
 * A view owns nothing and need not end in NUL; it is good as long as what it looks at. A buffer
 * owns its bytes and is born with a ceiling: an append that would pass it, or for which memory runs
 * out, appends nothing and sets `error`, which sticks, so that a long row of appends needs one
 * check at the end. Buffers keep a NUL behind their last byte, so data may be read as a C string
 * when it holds no NUL.
 *
 * What each request calls hundreds of times is inline: it was an eighth of a request's own work.
 */
#ifndef COMMON_BASE_BYTES_H
#define COMMON_BASE_BYTES_H

#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct view {
    const char *data;
    size_t length;
};

/* A view of a string literal. */
#define VIEW(literal) ((struct view){"" literal, sizeof(literal) - 1})
/* For printf's "%.*s". */
#define VIEW_FORMAT(v) (int)(v).length, (v).data ? (v).data : ""

/* A view of a C string; NULL gives the empty view. */
static inline struct view view_of(const char *string)
{
    return (struct view){string, string ? strlen(string) : 0};
}

static inline struct view view_from(const void *data, size_t length)
{
    return (struct view){(const char *)data, length};
}

static inline bool view_equal(struct view a, struct view b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static inline bool view_equal_string(struct view a, const char *string)
{
    return view_equal(a, view_of(string));
}

/* ASCII case is ignored. */
static inline bool view_equal_nocase(struct view a, struct view b)
{
    return a.length == b.length && (a.length == 0 || strncasecmp(a.data, b.data, a.length) == 0);
}

bool view_starts_with(struct view whole, struct view start);
bool view_ends_with(struct view whole, struct view end);
/* <0, 0, >0 in byte order. */
int view_compare(struct view a, struct view b);
/* The part from `start` (clamped) of at most `length` bytes. */
static inline struct view view_slice(struct view whole, size_t start, size_t length)
{
    if (start > whole.length)
        start = whole.length;
    if (length > whole.length - start)
        length = whole.length - start;
    return (struct view){whole.data ? whole.data + start : NULL, length};
}

/* Position of the byte, or SIZE_MAX. */
size_t view_find(struct view whole, char byte);
/* Without leading and trailing spaces and tabs. */
struct view view_trim(struct view whole);
/* Cuts the next part before `separator` off `rest`; false when rest is used up (rest->data ==
 * NULL). "a,,b" gives "a", "", "b"; "" gives one "". */
bool view_split(struct view *rest, char separator, struct view *part);
/* Decimal digits only, no sign, no space; ERROR_INVALID, or ERROR_TOO_BIG beyond `max`. */
enum error view_to_u64(struct view digits, uint64_t max, uint64_t *value) MUST_CHECK;
/* A new NUL-terminated copy (malloc); out of memory aborts: only for small things. */
char *view_duplicate(struct view v);

struct buffer {
    char *data; /* NULL until the first append */
    size_t length;
    size_t capacity;
    size_t ceiling;   /* most bytes it may ever hold */
    enum error error; /* ERROR_NONE, ERROR_TOO_BIG or ERROR_NO_MEMORY; sticks until buffer_clear */
};

void buffer_init(struct buffer *buffer, size_t ceiling);
/* Frees the bytes; the buffer may be used again. */
void buffer_release(struct buffer *buffer);
/* Empties it, keeps the memory, clears the error. */
void buffer_clear(struct buffer *buffer);
/* Room for `more` bytes at the end: the address, or NULL (error set). Write there, then
 * buffer_commit. */
char *buffer_reserve(struct buffer *buffer, size_t more);
void buffer_commit(struct buffer *buffer, size_t written);
/* What is true for most appends: the memory is there already. */
static inline bool buffer_has_room(const struct buffer *buffer, size_t more)
{
    return buffer->error == ERROR_NONE && more < buffer->capacity - buffer->length;
}

static inline void buffer_append(struct buffer *buffer, const void *data, size_t length)
{
    if (length == 0 || (!buffer_has_room(buffer, length) && !buffer_reserve(buffer, length)))
        return;
    memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

static inline void buffer_append_view(struct buffer *buffer, struct view v)
{
    buffer_append(buffer, v.data, v.length);
}

static inline void buffer_append_string(struct buffer *buffer, const char *string)
{
    buffer_append_view(buffer, view_of(string));
}

static inline void buffer_append_byte(struct buffer *buffer, char byte)
{
    buffer_append(buffer, &byte, 1);
}

void buffer_append_u64(struct buffer *buffer, uint64_t value);
void buffer_append_i64(struct buffer *buffer, int64_t value);
void buffer_append_format(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);
/* Removes bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t length);
static inline struct view buffer_view(const struct buffer *buffer)
{
    return (struct view){buffer->data, buffer->length};
}

/* Gives the malloc'ed, NUL-terminated bytes to the caller and leaves the buffer empty; never NULL.
 */
char *buffer_take(struct buffer *buffer, size_t *length);

#endif
