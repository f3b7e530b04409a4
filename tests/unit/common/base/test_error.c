/* Tests of error codes and of the check for our own bugs. */
#include "tests/unit/common/base/check.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/error.h"

static void every_code_has_a_name_of_lower_case_and_dashes(void **state)
{
    (void)state;
    for (int code = ERROR_NONE; code <= ERROR_CANCELLED; code++) {
        const char *name = error_name((enum error)code);

        assert_true(strlen(name) > 1);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
        assert_true(strlen(error_text((enum error)code)) > 1);
        for (int other = ERROR_NONE; other < code; other++)
            assert_string_not_equal(name, error_name((enum error)other));
    }
    assert_string_equal(error_name(ERROR_TOO_BIG), "too-big");
    assert_string_equal(error_text(ERROR_TOO_BIG), "larger than its ceiling");
}

static void errno_values_find_their_nearest_code(void **state)
{
    static const struct {
        int number;
        enum error error;
    } rows[] = {
        {0, ERROR_NONE},        {ENOENT, ERROR_NOT_FOUND},  {ENOTDIR, ERROR_NOT_FOUND},
        {EEXIST, ERROR_EXISTS}, {EACCES, ERROR_DENIED},     {EROFS, ERROR_DENIED},
        {ENOSPC, ERROR_FULL},   {EDQUOT, ERROR_FULL},       {ENOMEM, ERROR_NO_MEMORY},
        {EAGAIN, ERROR_BUSY},   {ETIMEDOUT, ERROR_TIMEOUT}, {ECONNREFUSED, ERROR_UNREACHABLE},
        {EPIPE, ERROR_BROKEN},  {EFBIG, ERROR_TOO_BIG},     {EIO, ERROR_IO},
        {EISDIR, ERROR_IO}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(error_from_errno(rows[i].number), rows[i].error);
}

static void a_requirement_that_fails_says_where_and_aborts(void **state)
{
    char text[512] = "";
    int ends[2], status;
    ssize_t got;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        REQUIRE(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    got = read(ends[0], text, sizeof(text) - 1);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(got > 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "test_error.c:"));
    assert_non_null(strstr(text, "1 + 1 == 3"));
}

static void a_requirement_that_holds_does_nothing(void **state)
{
    int evaluated = 0;

    (void)state;
    REQUIRE(++evaluated == 1);
    assert_int_equal(evaluated, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name_of_lower_case_and_dashes),
        cmocka_unit_test(errno_values_find_their_nearest_code),
        cmocka_unit_test(a_requirement_that_fails_says_where_and_aborts),
        cmocka_unit_test(a_requirement_that_holds_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
