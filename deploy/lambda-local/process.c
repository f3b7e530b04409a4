/* Starts sandboxes' processes, and reads from /proc what they use. */
#include "deploy/lambda-local/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_DESCENDANTS   256
#define MAX_CHILDREN      4096
#define ENVIRONMENT_BYTES (128 * 1024)
#define MAX_FILES         1024 /* as on Lambda */

/* Between vfork and exec, in the child, which uses our memory while we wait: it changes none of it
 * that we look at afterwards. */
static _Noreturn void become(const struct process_plan *plan, int output, pid_t parent)
{
    struct rlimit no_core = {0, 0}, files = {MAX_FILES, MAX_FILES};
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t none;
    int nothing;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    setsid();
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &normal, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setrlimit(RLIMIT_CORE, &no_core);
    setrlimit(RLIMIT_NOFILE, &files);
    nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, 0);
    dup2(output, 1);
    dup2(output, 2);
    close_range(3, ~0U, 0);
    if (chdir(plan->folder) == 0)
        execve(plan->arguments[0], plan->arguments, plan->environment);
    dprintf(2, "cannot execute %s: %s\n", plan->arguments[0], strerror(errno));
    _exit(127);
}

/* vfork: no copy of our page tables (we may be large just then), and when we go on the child is the
 * new program already, so that its memory is its own. No signal may run our handlers in it. */
static pid_t start(const struct process_plan *plan, int output)
{
    pid_t parent = getpid(), child;
    sigset_t all, former;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    child = vfork();
    if (child == 0)
        become(plan, output, parent);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    return child;
}

enum error process_start(const struct process_plan *plan, pid_t *pid, int *output)
{
    pid_t child;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_from_errno(errno);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    child = start(plan, ends[1]);
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return ERROR_FULL;
    }
    *pid = child;
    *output = ends[0];
    return ERROR_NONE;
}

void process_kill(pid_t pid)
{
    REQUIRE(pid > 1);
    kill(-pid, SIGKILL); /* fails before the child has made its group: hence the second */
    kill(pid, SIGKILL);
}

pid_t process_ended(void)
{
    siginfo_t info = {0};

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? info.si_pid : 0;
}

int process_reap(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* -- /proc -- */

static bool read_small(const char *path, char *out, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (file < 0)
        return false;
    got = read(file, out, size - 1);
    close(file);
    if (got < 0)
        return false;
    out[got] = '\0';
    return true;
}

static bool measure_one(pid_t pid, struct process_memory *memory)
{
    enum { SIZE, RESIDENT, SHARED, COUNT };
    uint64_t pages[COUNT];
    char path[64], text[256];
    struct view rest, number;
    int64_t page = sysconf(_SC_PAGESIZE);

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    if (!read_small(path, text, sizeof text))
        return false;
    rest = view_of(text);
    for (int i = 0; i < COUNT; i++) {
        if (!view_split(&rest, ' ', &number) ||
            view_to_u64(number, INT64_MAX / page, &pages[i]) != ERROR_NONE)
            return false;
    }
    memory->resident_bytes += (int64_t)pages[RESIDENT] * page;
    memory->anonymous_bytes += (int64_t)(pages[RESIDENT] - pages[SHARED]) * page;
    return true;
}

static size_t children_of(pid_t pid, pid_t *out, size_t most)
{
    char path[80], text[32768], *at = text, *end;
    size_t count = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    if (!read_small(path, text, sizeof text))
        return 0;
    while (count < most) {
        long child = strtol(at, &end, 10);

        if (end == at || *end != ' ' || child <= 1) /* the last may have been cut */
            break;
        out[count++] = (pid_t)child;
        at = end;
    }
    return count;
}

bool process_measure(pid_t pid, struct process_memory *memory)
{
    pid_t family[MAX_DESCENDANTS] = {pid};
    size_t count = 1;

    memset(memory, 0, sizeof *memory);
    if (!measure_one(pid, memory))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            measure_one(family[i], memory);
        count += children_of(family[i], family + count, MAX_DESCENDANTS - count);
    }
    return true;
}

void process_children(void (*visit)(pid_t pid, void *context), void *context)
{
    pid_t children[MAX_CHILDREN];
    size_t count = children_of(getpid(), children, MAX_CHILDREN);

    for (size_t i = 0; i < count; i++)
        visit(children[i], context);
}

/* Variables are NUL-ended one after the other. */
bool process_variable(pid_t pid, const char *name, char *out, size_t size)
{
    static char block[ENVIRONMENT_BYTES];
    size_t length = 0, name_length = strlen(name);
    char path[64];
    ssize_t got;
    int file;

    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    while (length < sizeof block && (got = read(file, block + length, sizeof block - length)) > 0)
        length += (size_t)got;
    close(file);
    for (size_t at = 0; at < length;) {
        size_t item = strnlen(block + at, length - at);

        if (item > name_length && item - name_length <= size && block[at + name_length] == '=' &&
            memcmp(block + at, name, name_length) == 0) {
            memcpy(out, block + at + name_length + 1, item - name_length - 1);
            out[item - name_length - 1] = '\0';
            return true;
        }
        at += item + 1;
    }
    return false;
}

/* -- how it ended -- */

const char *process_ending(int status, char *out, size_t size)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{SIGKILL, "killed"},
                 {SIGTERM, "terminated"},
                 {SIGSEGV, "segmentation fault"},
                 {SIGABRT, "aborted"},
                 {SIGBUS, "bus error"},
                 {SIGFPE, "floating point exception"},
                 {SIGILL, "illegal instruction"},
                 {SIGPIPE, "broken pipe"},
                 {SIGINT, "interrupt"},
                 {SIGHUP, "hangup"}};
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    snprintf(out, size, "signal: %d", number);
    if (WIFEXITED(status))
        snprintf(out, size, "exit status %d", WEXITSTATUS(status));
    for (size_t i = 0; number && i < sizeof names / sizeof names[0]; i++) {
        if (names[i].number == number)
            snprintf(out, size, "signal: %s", names[i].name);
    }
    return out;
}
