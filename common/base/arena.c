/* Hands out memory that is given back all at once. */
#include "common/base/arena.h"

#include "common/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_BYTES 4096

struct arena_block {
    struct arena_block *next;
    void *adopted; /* a foreign allocation that dies with us, or NULL */
    size_t used;
    size_t size;
    _Alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *arena, size_t ceiling)
{
    *arena = (struct arena){.ceiling = ceiling};
}

void arena_release(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *block = arena->blocks;

        arena->blocks = block->next;
        memory_release(block->adopted);
        memory_release(block);
    }
    arena_init(arena, arena->ceiling);
}

static struct arena_block *add_block(struct arena *arena, size_t bytes)
{
    size_t total = sizeof(struct arena_block) + bytes;
    struct arena_block *block;

    if (total < bytes || total > arena->ceiling - arena->used) {
        arena->error = ERROR_TOO_BIG;
        return NULL;
    }
    block = calloc(1, total);
    if (!block) {
        arena->error = ERROR_NO_MEMORY;
        return NULL;
    }
    block->size = bytes;
    arena->used += total;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t alignment = _Alignof(max_align_t);
    size_t rounded = (size + alignment - 1) & ~(alignment - 1);
    struct arena_block *block = arena->blocks;
    void *memory;

    if (rounded < size) {
        arena->error = ERROR_TOO_BIG;
        return NULL;
    }
    if (!block || block->size - block->used < rounded) {
        bool large = rounded > ARENA_BLOCK_BYTES / 4;

        block = add_block(arena, large ? rounded : ARENA_BLOCK_BYTES - sizeof(*block));
        if (!block)
            return NULL;
        if (large && arena->blocks) { /* keep filling the present small block */
            block->next = arena->blocks->next;
            arena->blocks->next = block;
        } else {
            block->next = arena->blocks;
            arena->blocks = block;
        }
    }
    memory = block->bytes + block->used;
    block->used += rounded;
    return memory;
}

char *arena_string(struct arena *arena, struct view v)
{
    char *copy = arena_alloc(arena, v.length + 1);

    if (copy && v.length)
        memcpy(copy, v.data, v.length);
    return copy;
}

struct view arena_copy(struct arena *arena, struct view v)
{
    char *copy = arena_string(arena, v);

    return (struct view){copy, copy ? v.length : 0};
}

/* Most texts fit into what is left of the block: then they are written once. */
PRINTF_LIKE(2, 0)
static char *format_at_hand(struct arena *arena, const char *format, va_list arguments, int *length)
{
    struct arena_block *block = arena->blocks;
    size_t room = block ? block->size - block->used : 0;
    char *text = block ? block->bytes + block->used : NULL;

    *length = vsnprintf(text, room, format, arguments);
    REQUIRE(*length >= 0);
    if ((size_t)*length < room)
        return arena_alloc(arena, (size_t)*length + 1);
    if (room)
        memset(text, 0, room);
    return NULL;
}

char *arena_format(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    char *text;
    int length;

    va_start(arguments, format);
    text = format_at_hand(arena, format, arguments, &length);
    va_end(arguments);
    if (text)
        return text;
    text = arena_alloc(arena, (size_t)length + 1);
    if (!text)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

void arena_adopt(struct arena *arena, void *allocated)
{
    struct arena_block *block = calloc(1, sizeof(*block));

    REQUIRE(block != NULL);
    block->adopted = allocated;
    if (arena->blocks) {
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    } else {
        arena->blocks = block;
    }
}
