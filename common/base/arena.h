/*
 * Memory that dies together: whatever is made for one request or one call lives in its arena.
 *
 * Nothing is freed alone. An arena has a ceiling; an allocation beyond it (or when memory runs out)
 * gives NULL and sets `error`, which sticks. Blocks of 4 KiB first, larger for large asks. Not
 * thread-safe.
 */
#ifndef COMMON_BASE_ARENA_H
#define COMMON_BASE_ARENA_H

#include "common/base/bytes.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t used;    /* bytes taken from the system */
    size_t ceiling; /* most bytes to take */
    enum error error;
};

void arena_init(struct arena *arena, size_t ceiling);
void arena_release(struct arena *arena);
/* Zeroed, aligned for any type; NULL beyond the ceiling. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((malloc));
/* A NUL-terminated copy; data is NULL beyond the ceiling. */
struct view arena_copy(struct arena *arena, struct view v);
char *arena_string(struct arena *arena, struct view v);
char *arena_format(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
/* Makes the arena own a malloc'ed block (freed at release). */
void arena_adopt(struct arena *arena, void *allocated);

#endif
