/* Runs a command that prints credentials, as credential_process of the SDKs' files names it. */
#include "common/aws/fetch_parts.h"

#include "common/base/crypto.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_MS 60000 /* a human may be asked for a touch of a key; nobody waits longer */

extern char **environ;

struct process_run {
    struct fetch *fetch;
    pid_t pid;
    int out, end; /* its output; what becomes readable when it has ended */
    struct event *out_event, *end_event;
    struct buffer text;
};

static void close_all(struct process_run *run)
{
    if (run->out_event)
        event_free(run->out_event);
    if (run->end_event)
        event_free(run->end_event);
    if (run->out >= 0)
        close(run->out);
    if (run->end >= 0)
        close(run->end);
    if (run->text.data)
        wipe(run->text.data, run->text.capacity);
    buffer_release(&run->text);
    free(run);
}

void fetch_process_end(struct process_run *run)
{
    if (!run)
        return;
    if (run->pid > 0) {
        kill(-run->pid, SIGKILL); /* with all that it has started */
        kill(run->pid, SIGKILL);
        waitpid(run->pid, NULL, 0);
    }
    close_all(run);
}

static void fail(struct fetch *fetch, const char *what, struct view detail)
{
    fetch_blame(fetch, what, detail);
    fetch_finish(fetch, NULL);
}

static void on_deadline(struct fetch *fetch)
{
    fail(fetch, "ran for a minute without an end", VIEW(""));
}

/* Takes what is there; false: the pipe is at its end, or too much has come. */
static bool read_output(struct process_run *run)
{
    for (;;) {
        char *to = buffer_reserve(&run->text, 4096);
        if (!to)
            return false;
        ssize_t got = read(run->out, to, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN;
        if (got == 0)
            return false;
        buffer_commit(&run->text, (size_t)got);
    }
}

static void on_output(evutil_socket_t fd, short events, void *context)
{
    struct process_run *run = context;

    (void)fd;
    (void)events;
    if (read_output(run))
        return;
    if (run->text.error)
        fail(run->fetch, "printed more than 64 KiB", VIEW(""));
    else
        event_del(run->out_event);
}

static void finish(struct fetch *fetch, struct process_run *run, int status)
{
    struct credentials *credentials;
    struct buffer problem;

    buffer_init(&problem, 1024);
    if (WIFSIGNALED(status))
        fail(fetch, "was ended by a signal", VIEW(""));
    else if (WEXITSTATUS(status) != 0)
        fail(fetch, "ended with exit code ",
             view_of(arena_format(&fetch->arena, "%d", WEXITSTATUS(status))));
    else if (credentials_from_json(buffer_view(&run->text), CREDENTIALS_PROCESS, &credentials,
                                   &problem) != ERROR_NONE)
        fail(fetch, "", buffer_view(&problem));
    else
        fetch_finish(fetch, credentials);
    buffer_release(&problem);
}

static void on_end(evutil_socket_t fd, short events, void *context)
{
    struct process_run *run = context;
    struct fetch *fetch = run->fetch;
    int status;

    (void)fd;
    (void)events;
    if (waitpid(run->pid, &status, WNOHANG) != run->pid)
        return;
    run->pid = 0;
    read_output(run); /* what it printed last */
    if (run->text.error)
        fail(fetch, "printed more than 64 KiB", VIEW(""));
    else
        finish(fetch, run, status);
}

/* In a process group of its own, without our blocked signals, with an empty stdin. */
static int spawn(struct process_run *run, char *const *command, int out)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;

    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    REQUIRE(posix_spawn_file_actions_init(&actions) == 0 && posix_spawnattr_init(&attributes) == 0);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    int number = posix_spawnp(&run->pid, command[0], &actions, &attributes, command, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (number != 0)
        run->pid = 0;
    return number;
}

static struct event *watch(struct process_run *run, int fd, event_callback_fn on_event)
{
    struct event *event =
        event_new(run->fetch->fetcher->base, fd, EV_READ | EV_PERSIST, on_event, run);

    REQUIRE(event && event_add(event, NULL) == 0);
    return event;
}

void fetch_process(struct fetch *fetch)
{
    struct process_run *run = calloc(1, sizeof *run);
    int pipes[2];

    REQUIRE(run != NULL);
    fetch->run = run;
    run->fetch = fetch;
    run->out = run->end = -1;
    buffer_init(&run->text, FETCH_ANSWER_MAX);
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        fail(fetch, "cannot be run: ", view_of(strerror(errno)));
        return;
    }
    run->out = pipes[0];
    fcntl(run->out, F_SETFL, O_NONBLOCK);
    int number = spawn(run, fetch->identity->command, pipes[1]);
    close(pipes[1]);
    if (number == 0)
        run->end = pidfd_open(run->pid, 0);
    if (number != 0 || run->end < 0) {
        fail(fetch, "cannot be run: ", view_of(strerror(number ? number : errno)));
        return;
    }
    run->out_event = watch(run, run->out, on_output);
    run->end_event = watch(run, run->end, on_end);
    fetch_pause(fetch, DEADLINE_MS, on_deadline);
}
