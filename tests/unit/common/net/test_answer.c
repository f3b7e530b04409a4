/* The head of an answer, line by line. */
#include "common/net/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static bool line(struct answer_head *head, const char *text)
{
    return answer_head_line(head, view_of(text));
}

static void a_head_is_complete_with_its_empty_line(void **state)
{
    struct answer_head head;
    struct view value = {0};

    (void)state;
    answer_head_init(&head);
    assert_false(answer_head_find(&head, "A", &value));
    assert_true(line(&head, "HTTP/1.1 418 I am a teapot\r\n"));
    assert_true(head.seen);
    assert_int_equal(head.status, 418);
    assert_true(line(&head, "A:  one \r\n"));
    assert_false(head.complete);
    assert_true(line(&head, "\r\n"));
    assert_true(head.complete);
    assert_true(answer_head_find(&head, "a", &value));
    assert_true(view_equal(value, VIEW("one")));
    answer_head_release(&head);
}

static void an_interim_answer_leaves_nothing_behind(void **state)
{
    struct answer_head head;
    struct view value;

    (void)state;
    answer_head_init(&head);
    line(&head, "HTTP/1.1 103 Early Hints\r\n");
    line(&head, "Link: x\r\n");
    line(&head, "\r\n");
    assert_int_equal(head.status, 0);
    line(&head, "HTTP/1.1 200\r\n");
    assert_int_equal(head.status, 200);
    assert_false(head.complete);
    assert_false(answer_head_find(&head, "Link", &value));
    answer_head_release(&head);
}

static void a_status_line_without_a_status_gives_none(void **state)
{
    static const char *const lines[] = {"HTTP/1.1\r\n", "HTTP/1.1 \r\n", "HTTP/1.1 abc\r\n",
                                        "HTTP/1.1 2x0 OK\r\n"};
    struct answer_head head;

    (void)state;
    answer_head_init(&head);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        line(&head, lines[i]);
        assert_int_equal(head.status, 0);
    }
    answer_head_release(&head);
}

static void lines_beyond_the_ceiling_are_refused(void **state)
{
    struct answer_head head;
    char text[1025];
    unsigned taken = 0;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    answer_head_init(&head);
    line(&head, "HTTP/1.1 200 OK\r\n");
    while (taken < 1000 && line(&head, text))
        taken++;
    assert_int_equal(taken, ANSWER_MAX_HEAD_BYTES / 1024);
    answer_head_release(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_complete_with_its_empty_line),
        cmocka_unit_test(an_interim_answer_leaves_nothing_behind),
        cmocka_unit_test(a_status_line_without_a_status_gives_none),
        cmocka_unit_test(lines_beyond_the_ceiling_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
