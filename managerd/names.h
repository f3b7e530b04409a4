/* A growing list of names, each an own copy. */
#ifndef MANAGERD_NAMES_H
#define MANAGERD_NAMES_H

#include "common/base/bytes.h"

/* All zero is an empty one. */
struct names {
    char **list;
    size_t count, capacity;
};

void names_add(struct names *names, struct view name);
void names_release(struct names *names);
/* In byte order; then names_has can find one. */
void names_sort(struct names *names);
bool names_has(const struct names *sorted, const char *name);

#endif
