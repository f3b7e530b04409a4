/* Puts a damaged route store aside, so that a new one is made from state. */
#include "managerd/routes_folder.h"

#include "common/base/log.h"
#include "common/store/store_check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* The lock file goes with it: it counts the transactions of the old one, and proxies that have that open
 * can tell a new one by it. */
static enum error put_aside(const char *folder, bool exists, struct buffer *problem)
{
    char data[PATH_BYTES], aside[PATH_BYTES], lock[PATH_BYTES];
    if (snprintf(data, sizeof data, "%s/data.mdb", folder) >= (int)sizeof data ||
        snprintf(aside, sizeof aside, "%s/data.mdb.damaged", folder) >= (int)sizeof aside ||
        snprintf(lock, sizeof lock, "%s/lock.mdb", folder) >= (int)sizeof lock)
        return ERROR_TOO_BIG;
    if ((!exists || rename(data, aside) == 0) && (unlink(lock) == 0 || errno == ENOENT))
        return ERROR_NONE;
    buffer_append_format(problem, "%s is %s and cannot be put aside: %s.", data,
                         exists ? "damaged" : "gone", strerror(errno));
    return error_from_errno(errno);
}

enum error routes_folder_heal(const char *folder, struct buffer *problem)
{
    struct buffer damage;
    buffer_init(&damage, 8192);
    enum error error = store_check(folder, NULL, NULL, NULL, &damage);
    if (error == ERROR_DAMAGED)
        log_write(LOG_ERROR, "routes-damaged", LOG_VIEW("problem", buffer_view(&damage)),
                  LOG_STRING("action", "put aside as data.mdb.damaged, made anew from state"));
    bool missing = error == ERROR_NOT_FOUND;
    if (missing && (error = store_check_clear(folder, problem)))
        ;
    else if (missing || error == ERROR_DAMAGED)
        error = put_aside(folder, error == ERROR_DAMAGED, problem);
    else
        error = ERROR_NONE; /* whoever opens it says what else is wrong */
    buffer_release(&damage);
    return error;
}
