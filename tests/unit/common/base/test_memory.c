/* Tests of memory that is wiped when it is given back; that freed memory is empty the black-box tests see. */
#include "tests/unit/common/base/check.h"

#include "common/base/memory.h"

static void resizing_keeps_what_is_in_it(void **state)
{
    char *text = memory_resize(NULL, 8);

    (void)state;
    assert_non_null(text);
    memcpy(text, "1234567", 8);
    for (size_t size = 16; size <= 1 << 20; size *= 2) {
        text = memory_resize(text, size);
        assert_non_null(text);
        assert_string_equal(text, "1234567");
        memset(text + 8, 'x', size - 8);
    }
    text = memory_resize(text, 8);
    assert_string_equal(text, "1234567");
    assert_null(memory_resize(text, 0));
    memory_release(NULL);
    memory_release(memory_duplicate("text"));
    memory_release(memory_get_zeroed(3, 5));
}

static void what_is_kept_is_forgotten_only_when_that_is_on(void **state)
{
    char *kept = memory_get(8);

    (void)state;
    memcpy(kept, "1234567", 8);
    memory_forget(kept, 7);
    assert_string_equal(kept, "1234567");
    memory_wipe_freed();
    memory_forget(kept, 0);
    assert_string_equal(kept, "1234567");
    memory_forget(kept, 7);
    assert_memory_equal(kept, "\0\0\0\0\0\0\0", 8);
    memory_release(kept);
    memory_forget(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resizing_keeps_what_is_in_it),
        cmocka_unit_test(what_is_kept_is_forgotten_only_when_that_is_on),
        cmocka_unit_test(resizing_keeps_what_is_in_it), /* now that it is on */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
