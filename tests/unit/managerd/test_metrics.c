/* Tests that docs/api.md names every figure that the code writes. */
#include "common/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void every_figure_is_on_the_page(void **state)
{
    (void)state;
    struct buffer page, code;
    unsigned found = 0;
    buffer_init(&page, 1 << 20);
    buffer_init(&code, 1 << 20);
    assert_int_equal(file_read(SOURCE_DIR "/docs/api.md", &page), ERROR_NONE);
    assert_int_equal(file_read(SOURCE_DIR "/managerd/metrics.c", &code), ERROR_NONE);
    for (const char *at = code.data; (at = strstr(at, "\"managerd_")); at++) {
        char name[80];
        size_t length = strcspn(at + 1, "\"");
        assert_true(length < sizeof name - 2);
        name[0] = name[length + 1] = '`';
        memcpy(name + 1, at + 1, length);
        name[length + 2] = 0;
        if (strcmp(name, "`managerd_info`") != 0 && !strstr(page.data, name))
            fail_msg("docs/api.md does not name %s", name);
        found++;
    }
    assert_true(found > 10);
    buffer_release(&page);
    buffer_release(&code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_figure_is_on_the_page)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
