/* Tests of sandboxes' processes: started, measured, found by a variable, ended. */
#include "tests/unit/deploy/lambda-local/check.h"

#include "deploy/lambda-local/process.h"

#include <poll.h>
#include <unistd.h>

/* Runs a shell command to its end; gives its output and how it ended. */
static const char *run(const char *command, const char *program, char *ending, size_t size)
{
    static char output[4096];
    char *arguments[] = {(char *)(uintptr_t)program, (char *)"-c", (char *)(uintptr_t)command,
                         NULL};
    char *environment[] = {(char *)"MARK=here", (char *)"PATH=/usr/bin:/bin", NULL};
    struct process_plan plan = {arguments, environment, "/tmp"};
    size_t length = 0;
    pid_t pid;
    int pipe_end;

    assert_int_equal(process_start(&plan, &pid, &pipe_end), ERROR_NONE);
    for (;;) {
        struct pollfd ready = {pipe_end, POLLIN, 0};
        ssize_t got;

        assert_int_equal(poll(&ready, 1, 10000), 1);
        got = read(pipe_end, output + length, sizeof output - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    output[length] = '\0';
    close(pipe_end);
    if (!process_ending(process_reap(pid), ending, size))
        snprintf(ending, size, "well");
    return output;
}

static void a_process_has_what_it_was_given_and_nothing_else(void **state)
{
    char ending[64];

    (void)state;
    /* Looked for one by one: a pipe to count them would be one more. */
    assert_string_equal(run("echo $MARK; pwd; for n in 3 4 5 6 7 8 9; do "
                            "[ -e /proc/$$/fd/$n ] && echo $n is open; done; echo error >&2; "
                            "[ $(ps -o sid= -p $$) = $$ ] && echo leader",
                            "/bin/sh", ending, sizeof ending),
                        "here\n/tmp\nerror\nleader\n");
    assert_string_equal(ending, "well");
}

static void endings_are_worded(void **state)
{
    char ending[64];

    (void)state;
    run("exit 3", "/bin/sh", ending, sizeof ending);
    assert_string_equal(ending, "exit status 3");
    run("kill -KILL $$", "/bin/sh", ending, sizeof ending);
    assert_string_equal(ending, "signal: killed");
    run("kill -SEGV $$", "/bin/sh", ending, sizeof ending);
    assert_string_equal(ending, "signal: segmentation fault");
    assert_non_null(strstr(run("", "/nowhere/program", ending, sizeof ending),
                           "cannot execute /nowhere/program: No such file"));
    assert_string_equal(ending, "exit status 127");
}

static void a_process_is_measured_with_its_children(void **state)
{
    char *arguments[] = {(char *)"/bin/sh", (char *)"-c", (char *)"sleep 60 & echo x; wait", NULL};
    char *environment[] = {(char *)"MARK=here", (char *)"PATH=/usr/bin:/bin", NULL};
    struct process_plan plan = {arguments, environment, "/tmp"};
    struct process_memory memory;
    char value[8], byte;
    struct pollfd ready;
    pid_t pid;

    (void)state;
    assert_int_equal(process_start(&plan, &pid, &ready.fd), ERROR_NONE);
    ready.events = POLLIN;
    assert_int_equal(poll(&ready, 1, 10000), 1);
    assert_int_equal(read(ready.fd, &byte, 1), 1);
    assert_true(process_measure(pid, &memory));
    assert_in_range(memory.resident_bytes, 100000, 100000000);
    assert_in_range(memory.anonymous_bytes, 1, (uint64_t)memory.resident_bytes);
    assert_true(process_variable(pid, "MARK", value, sizeof value));
    assert_string_equal(value, "here");
    assert_false(process_variable(pid, "MAR", value, sizeof value));
    assert_false(process_variable(pid, "MARK", value, 4)); /* no room */
    process_kill(pid);
    process_reap(pid);
    assert_false(process_measure(pid, &memory));
    close(ready.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_has_what_it_was_given_and_nothing_else),
        cmocka_unit_test(endings_are_worded),
        cmocka_unit_test(a_process_is_measured_with_its_children),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
