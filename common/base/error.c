/* Names the errors of the world, and stops the process on errors of our own. */
#include "common/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    const char *text;
} errors[] = {
#define ERROR_ROW(code, name, text) {name, text},
    ERROR_LIST(ERROR_ROW)
#undef ERROR_ROW
};

const char *error_name(enum error error)
{
    REQUIRE((unsigned)error < sizeof(errors) / sizeof(errors[0]));
    return errors[error].name;
}

const char *error_text(enum error error)
{
    REQUIRE((unsigned)error < sizeof(errors) / sizeof(errors[0]));
    return errors[error].text;
}

enum error error_from_errno(int number)
{
    switch (number) {
    case 0:
        return ERROR_NONE;
    case ENOMEM:
        return ERROR_NO_MEMORY;
    case ENOENT:
    case ENOTDIR:
        return ERROR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return ERROR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERROR_DENIED;
    case ENOSPC:
    case EDQUOT:
        return ERROR_FULL;
    case EFBIG:
        return ERROR_TOO_BIG;
    case EAGAIN:
    case EBUSY:
        return ERROR_BUSY;
    case ETIMEDOUT:
        return ERROR_TIMEOUT;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return ERROR_UNREACHABLE;
    case ECONNRESET:
    case EPIPE:
        return ERROR_BROKEN;
    default:
        return ERROR_IO;
    }
}

_Noreturn void require_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: requirement failed: %s\n", file, line, condition);
    fflush(stderr);
    abort();
}
