/* Looks at bytes without owning them, and gathers bytes under a ceiling. */
#include "common/base/bytes.h"

#include "common/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool view_starts_with(struct view whole, struct view start)
{
    return whole.length >= start.length &&
           (start.length == 0 || memcmp(whole.data, start.data, start.length) == 0);
}

bool view_ends_with(struct view whole, struct view end)
{
    return whole.length >= end.length &&
           (end.length == 0 ||
            memcmp(whole.data + whole.length - end.length, end.data, end.length) == 0);
}

int view_compare(struct view a, struct view b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter ? memcmp(a.data, b.data, shorter) : 0;

    if (order != 0)
        return order;
    return (a.length > b.length) - (a.length < b.length);
}

size_t view_find(struct view whole, char byte)
{
    const char *found = whole.length ? memchr(whole.data, byte, whole.length) : NULL;

    return found ? (size_t)(found - whole.data) : SIZE_MAX;
}

struct view view_trim(struct view whole)
{
    while (whole.length && (whole.data[0] == ' ' || whole.data[0] == '\t')) {
        whole.data++;
        whole.length--;
    }
    while (whole.length &&
           (whole.data[whole.length - 1] == ' ' || whole.data[whole.length - 1] == '\t'))
        whole.length--;
    return whole;
}

bool view_split(struct view *rest, char separator, struct view *part)
{
    size_t at;

    if (!rest->data)
        return false;
    at = view_find(*rest, separator);
    if (at == SIZE_MAX) {
        *part = *rest;
        *rest = (struct view){NULL, 0};
    } else {
        *part = view_slice(*rest, 0, at);
        *rest = (struct view){rest->data + at + 1, rest->length - at - 1};
    }
    return true;
}

enum error view_to_u64(struct view digits, uint64_t max, uint64_t *value)
{
    uint64_t sum = 0;

    if (digits.length == 0)
        return ERROR_INVALID;
    for (size_t i = 0; i < digits.length; i++) {
        unsigned digit = (unsigned char)digits.data[i] - (unsigned)'0';

        if (digit > 9)
            return ERROR_INVALID;
        if (sum > (UINT64_MAX - digit) / 10)
            return ERROR_TOO_BIG;
        sum = sum * 10 + digit;
    }
    if (sum > max)
        return ERROR_TOO_BIG;
    *value = sum;
    return ERROR_NONE;
}

char *view_duplicate(struct view v)
{
    char *copy = malloc(v.length + 1);

    REQUIRE(copy != NULL);
    if (v.length)
        memcpy(copy, v.data, v.length);
    copy[v.length] = '\0';
    return copy;
}

void buffer_init(struct buffer *buffer, size_t ceiling)
{
    REQUIRE(ceiling < SIZE_MAX / 2);
    *buffer = (struct buffer){.ceiling = ceiling};
}

void buffer_release(struct buffer *buffer)
{
    memory_release(buffer->data);
    buffer_init(buffer, buffer->ceiling);
}

void buffer_clear(struct buffer *buffer)
{
    memory_forget(buffer->data, buffer->length);
    buffer->length = 0;
    buffer->error = ERROR_NONE;
    if (buffer->data)
        buffer->data[0] = '\0';
}

char *buffer_reserve(struct buffer *buffer, size_t more)
{
    size_t needed, capacity;
    char *grown;

    if (buffer->error != ERROR_NONE)
        return NULL;
    if (more > buffer->ceiling - buffer->length) {
        buffer->error = ERROR_TOO_BIG;
        return NULL;
    }
    needed = buffer->length + more + 1; /* the NUL behind */
    if (needed <= buffer->capacity)
        return buffer->data + buffer->length;
    capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > buffer->ceiling + 1)
        capacity = buffer->ceiling + 1;
    grown = memory_resize(buffer->data, capacity);
    if (!grown) {
        buffer->error = ERROR_NO_MEMORY;
        return NULL;
    }
    buffer->data = grown;
    buffer->capacity = capacity;
    buffer->data[buffer->length] = '\0';
    return buffer->data + buffer->length;
}

void buffer_commit(struct buffer *buffer, size_t written)
{
    REQUIRE(buffer->length + written < buffer->capacity || written == 0);
    buffer->length += written;
    if (buffer->data)
        buffer->data[buffer->length] = '\0';
}

/* In one append, so that a full buffer gets no lone sign. */
static void append_digits(struct buffer *buffer, uint64_t value, bool negative)
{
    char digits[21];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    if (negative)
        digits[--at] = '-';
    buffer_append(buffer, digits + at, sizeof(digits) - at);
}

void buffer_append_u64(struct buffer *buffer, uint64_t value)
{
    append_digits(buffer, value, false);
}

void buffer_append_i64(struct buffer *buffer, int64_t value)
{
    append_digits(buffer, value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value, value < 0);
}

void buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    char *room;
    int length;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    REQUIRE(length >= 0);
    room = buffer_reserve(buffer, (size_t)length);
    if (!room)
        return;
    va_start(arguments, format);
    vsnprintf(room, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer_commit(buffer, (size_t)length);
}

void buffer_consume(struct buffer *buffer, size_t length)
{
    REQUIRE(length <= buffer->length);
    if (length == 0)
        return;
    memmove(buffer->data, buffer->data + length, buffer->length - length);
    buffer->length -= length;
    buffer->data[buffer->length] = '\0';
}

char *buffer_take(struct buffer *buffer, size_t *length)
{
    char *taken = buffer->data ? buffer->data : calloc(1, 1);

    REQUIRE(taken != NULL);
    if (length)
        *length = buffer->length;
    buffer_init(buffer, buffer->ceiling);
    return taken;
}
