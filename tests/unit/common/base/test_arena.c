/* Tests of memory that dies together; ASan sees what is not given back. */
#include "tests/unit/common/base/check.h"

#include "common/base/arena.h"

static void memory_is_zeroed_and_aligned(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 20);
    for (size_t size = 0; size < 3000; size += 7) {
        char *memory = arena_alloc(&arena, size);

        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(memory[i], 0);
        memset(memory, 0xAA, size);
    }
    assert_int_equal(arena.error, ERROR_NONE);
    arena_release(&arena);
}

static void allocations_do_not_overlap(void **state)
{
    struct arena arena;
    char *pieces[64];

    (void)state;
    arena_init(&arena, 1 << 20);
    for (int i = 0; i < 64; i++) { /* large ones between small ones */
        pieces[i] = arena_alloc(&arena, i % 5 == 0 ? 5000 : 100);
        memset(pieces[i], i, i % 5 == 0 ? 5000 : 100);
    }
    for (int i = 0; i < 64; i++) {
        assert_int_equal(pieces[i][0], i);
        assert_int_equal(pieces[i][99], i);
    }
    arena_release(&arena);
}

static void an_allocation_beyond_the_ceiling_gives_null_and_the_error_sticks(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 10000);
    assert_non_null(arena_alloc(&arena, 100));
    assert_null(arena_alloc(&arena, 9000));
    assert_int_equal(arena.error, ERROR_TOO_BIG);
    assert_non_null(arena_alloc(&arena, 100)); /* fits the present block */
    assert_int_equal(arena.error, ERROR_TOO_BIG);
    assert_null(arena_string(&arena, (struct view){"x", 20000}));
    assert_true(arena.used <= 10000);
    arena_release(&arena);
    assert_int_equal(arena.error, ERROR_NONE);
}

static void an_absurd_size_does_not_wrap(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, SIZE_MAX);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 15));
    assert_null(arena_alloc(&arena, SIZE_MAX - 31));
    assert_int_equal(arena.error, ERROR_TOO_BIG);
    arena_release(&arena);
}

static void copies_end_in_nul(void **state)
{
    struct arena arena;
    struct view copy;

    (void)state;
    arena_init(&arena, 100000);
    copy = arena_copy(&arena, VIEW("a\0b"));
    check_view(copy, "a\0b");
    assert_int_equal(copy.data[3], '\0');
    assert_string_equal(arena_string(&arena, (struct view){NULL, 0}), "");
    assert_string_equal(arena_format(&arena, "%s-%d", "x", 42), "x-42");
    arena_release(&arena);
}

/* Whether a text fits into what is left of a block or not, it is whole, and what comes behind is zero. */
static void texts_of_every_length_are_whole(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 1000000);
    for (int length = 0; length < 1500; length += 7) {
        char *text = arena_format(&arena, "%*s", length, "");
        char *behind = arena_alloc(&arena, 64);

        assert_int_equal(strlen(text), length);
        assert_int_equal(strspn(text, " "), length);
        for (int i = 0; i < 64; i++)
            assert_int_equal(behind[i], 0);
    }
    arena_release(&arena);
}

static void a_copy_beyond_the_ceiling_is_an_empty_view(void **state)
{
    struct arena arena;
    struct view copy;

    (void)state;
    arena_init(&arena, 10);
    copy = arena_copy(&arena, VIEW("abc"));
    assert_null(copy.data);
    assert_int_equal(copy.length, 0);
    assert_null(arena_format(&arena, "abc"));
    arena_release(&arena);
}

static void adopted_memory_is_freed_with_the_arena(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 100000);
    arena_adopt(&arena, malloc(10));
    assert_non_null(arena_alloc(&arena, 10));
    arena_adopt(&arena, malloc(20));
    assert_non_null(arena_alloc(&arena, 10));
    arena_release(&arena); /* LeakSanitizer tells when one is not */
    assert_null(arena.blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(allocations_do_not_overlap),
        cmocka_unit_test(an_allocation_beyond_the_ceiling_gives_null_and_the_error_sticks),
        cmocka_unit_test(an_absurd_size_does_not_wrap),
        cmocka_unit_test(copies_end_in_nul),
        cmocka_unit_test(texts_of_every_length_are_whole),
        cmocka_unit_test(a_copy_beyond_the_ceiling_is_an_empty_view),
        cmocka_unit_test(adopted_memory_is_freed_with_the_arena),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
