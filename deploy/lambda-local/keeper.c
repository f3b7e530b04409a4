/* Waits until lambda-local is gone, then kills what bears its mark. */
#include "deploy/lambda-local/keeper.h"

#include "deploy/lambda-local/process.h"
#include "deploy/lambda-local/runtimes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ROUNDS 100
#define PAUSE_US   10000

/* Marks are the instance, a slash, and the sandbox. */
static bool bears_mark(pid_t pid, const char *instance)
{
    char mark[RUNTIME_MARK_SIZE];

    return process_variable(pid, RUNTIME_MARK_VARIABLE, mark, sizeof mark) &&
           view_starts_with(view_of(mark), view_of(instance));
}

static unsigned kill_marked(const char *instance)
{
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    unsigned killed = 0;

    while (processes && (entry = readdir(processes))) {
        uint64_t pid;

        if (view_to_u64(view_of(entry->d_name), INT32_MAX, &pid) != ERROR_NONE || pid < 2 ||
            !bears_mark((pid_t)pid, instance))
            continue;
        kill((pid_t)pid, SIGKILL);
        killed++;
    }
    if (processes)
        closedir(processes);
    return killed;
}

static _Noreturn void keep(int line, const char *instance)
{
    char byte;
    ssize_t got;

    prctl(PR_SET_NAME, "lambda-keeper");
    setsid();
    /* Whoever ends lambda-local politely may ask its whole family; the keeper goes last. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    do
        got = read(line, &byte, 1);
    while (got > 0 || (got < 0 && errno == EINTR));
    for (int round = 0; round < MAX_ROUNDS && kill_marked(instance) > 0; round++)
        usleep(PAUSE_US);
    _exit(0);
}

enum error keeper_start(struct keeper *keeper, const char *instance)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_from_errno(errno);
    keeper->pid = fork();
    if (keeper->pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return error_from_errno(errno);
    }
    if (keeper->pid == 0) {
        dup2(ends[0], 0);
        close_range(1, ~0U, 0); /* standard output too: whoever reads it waits for its end */
        keep(0, instance);
    }
    close(ends[0]);
    keeper->line = ends[1];
    return ERROR_NONE;
}

void keeper_stop(struct keeper *keeper)
{
    close(keeper->line);
    while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
