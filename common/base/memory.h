/*
 * Memory that is wiped before it is given back, so that what passed through a process does not stay in it, where a
 * core or a later error could show it. Off until it is turned on: it costs a pass over all that is freed.
 *
 * What is used by others' libraries, too (they take it as their own allocator): any of it may be freed by free(), and what
 * came from malloc() may be given here. Thread-safe, but for memory_wipe_freed.
 */
#ifndef COMMON_BASE_MEMORY_H
#define COMMON_BASE_MEMORY_H

#include <stddef.h>

/* From now on. Before any other thread begins. */
void memory_wipe_freed(void);

void *memory_get(size_t size);
void *memory_get_zeroed(size_t count, size_t size);
/* As realloc; when it moves, what lay there before is wiped. */
void *memory_resize(void *memory, size_t size);
char *memory_duplicate(const char *text);
/* As free. */
void memory_release(void *memory);
/* Wipes what is kept for another use. */
void memory_forget(void *memory, size_t length);

#endif
