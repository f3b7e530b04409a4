/* Wipes what is freed, when that is turned on. */
#include "common/base/memory.h"

#include "common/base/crypto.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool wipes;

void memory_wipe_freed(void)
{
    wipes = true;
}

void *memory_get(size_t size)
{
    return malloc(size);
}

void *memory_get_zeroed(size_t count, size_t size)
{
    return calloc(count, size);
}

void *memory_resize(void *memory, size_t size)
{
    size_t before = wipes && memory ? malloc_usable_size(memory) : 0;
    void *moved;

    if (before == 0)
        return realloc(memory, size);
    if (size == 0) {
        memory_release(memory);
        return NULL;
    }
    moved = malloc(size);
    if (!moved)
        return NULL;
    memcpy(moved, memory, before < size ? before : size);
    memory_release(memory);
    return moved;
}

char *memory_duplicate(const char *text)
{
    return strdup(text);
}

void memory_release(void *memory)
{
    if (wipes && memory)
        wipe(memory, malloc_usable_size(memory));
    free(memory);
}

void memory_forget(void *memory, size_t length)
{
    if (wipes && length > 0)
        wipe(memory, length);
}
