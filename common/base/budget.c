/* Finds out how much memory the machine, or the control group, lets this process have. */
#include "common/base/budget.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* The number in a file; UINT64_MAX without one ("max" is how a group says that it has no limit). */
static uint64_t number_in(const char *path)
{
    unsigned long long number = 0;
    FILE *file = fopen(path, "re");
    bool found = file && fscanf(file, "%llu", &number) == 1;

    if (file)
        fclose(file);
    return found ? (uint64_t)number : UINT64_MAX;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Version 2: the limit of the group and of each one above it counts. */
static uint64_t group_bytes(void)
{
    char group[PATH_BYTES], path[PATH_BYTES + 64], line[PATH_BYTES + 8];
    uint64_t bytes = number_in("/sys/fs/cgroup/memory.max");
    FILE *file = fopen("/proc/self/cgroup", "re");

    group[0] = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "0::/", 4) == 0)
            snprintf(group, sizeof group, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    }
    if (file)
        fclose(file);
    for (char *end = group + strlen(group); end && end > group; end = strrchr(group, '/')) {
        *end = 0;
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
        bytes = least(bytes, number_in(path));
    }
    return least(bytes, number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes")); /* version 1 */
}

uint64_t budget_machine_bytes(void)
{
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    return least(machine, group_bytes());
}
