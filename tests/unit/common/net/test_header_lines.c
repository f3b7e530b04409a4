/* Header lines as a client library takes them. */
#include "common/net/header_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void lines_are_written_in_order(void **state)
{
    struct incoming_header headers[] = {{VIEW("Host"), VIEW("a.example")},
                                        {VIEW("X-Empty"), VIEW("")},
                                        {VIEW("X-Colon"), VIEW("a:b, c")}};
    char **lines = header_lines_make(headers, 3);

    (void)state;
    assert_non_null(lines);
    assert_string_equal(lines[0], "Host: a.example");
    assert_string_equal(lines[1], "X-Empty;");
    assert_string_equal(lines[2], "X-Colon: a:b, c");
    free(lines);
}

static void no_headers_are_fine(void **state)
{
    char **lines = header_lines_make(NULL, 0);

    (void)state;
    assert_non_null(lines);
    free(lines);
}

static void what_would_be_more_than_one_line_is_refused(void **state)
{
    struct incoming_header bad[] = {{VIEW(""), VIEW("x")},     {VIEW("A:"), VIEW("x")},
                                    {VIEW("A\r"), VIEW("x")},  {VIEW("A"), VIEW("x\r\nB: y")},
                                    {VIEW("A"), VIEW("x\ny")}, {VIEW("A"), VIEW("x\ry")},
                                    {VIEW("A"), VIEW("x\0y")}, {VIEW("A\nB"), VIEW("value")}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_null(header_lines_make(&bad[i], 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_written_in_order),
        cmocka_unit_test(no_headers_are_fine),
        cmocka_unit_test(what_would_be_more_than_one_line_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
