/* What the tests of the base shelf share: cmocka with its includes, and checks of views. */
#ifndef TESTS_UNIT_COMMON_BASE_CHECK_H
#define TESTS_UNIT_COMMON_BASE_CHECK_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"

#define check_view(actual, text)                                                                   \
    check_same((actual), VIEW(text), __FILE__, __LINE__) /* text may hold NUL */
#define check_buffer(buffer, text) check_view(buffer_view(buffer), text)

static inline void check_same(struct view actual, struct view expected, const char *file, int line)
{
    if (view_equal(actual, expected))
        return;
    print_error("got \"%.*s\" (%zu bytes), expected \"%.*s\" (%zu bytes)\n", VIEW_FORMAT(actual),
                actual.length, VIEW_FORMAT(expected), expected.length);
    _fail(file, line);
}

#endif
