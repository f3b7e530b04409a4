/* Keeps lists of names, and finds one in a list that is in order. */
#include "managerd/names.h"

#include <stdlib.h>
#include <string.h>

void names_add(struct names *names, struct view name)
{
    if (names->count == names->capacity) {
        names->capacity = names->capacity ? 2 * names->capacity : 64;
        names->list = realloc(names->list, names->capacity * sizeof *names->list);
        REQUIRE(names->list);
    }
    names->list[names->count++] = view_duplicate(name);
}

void names_release(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct names){0};
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void names_sort(struct names *names)
{
    if (names->count)
        qsort(names->list, names->count, sizeof *names->list, compare);
}

bool names_has(const struct names *sorted, const char *name)
{
    return sorted->count &&
           bsearch(&name, sorted->list, sorted->count, sizeof *sorted->list, compare);
}
