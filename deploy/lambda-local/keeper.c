/* Waits until lambda-local is gone, then kills what bears its mark. */
#include "deploy/lambda-local/keeper.h"

#include "deploy/lambda-local/runtimes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENVIRONMENT_BYTES (128 * 1024)
#define MAX_ROUNDS        100
#define PAUSE_US          10000

/* Variables are NUL-ended one after the other. */
static bool bears_mark(const char *pid, const char *mark, char *block)
{
    char path[300];
    size_t length = 0, mark_length = strlen(mark) + 1;
    ssize_t got;
    int file;

    snprintf(path, sizeof path, "/proc/%s/environ", pid);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    while (length < ENVIRONMENT_BYTES &&
           (got = read(file, block + length, ENVIRONMENT_BYTES - length)) > 0)
        length += (size_t)got;
    close(file);
    for (size_t at = 0; at + mark_length <= length;) {
        if (memcmp(block + at, mark, mark_length) == 0)
            return true;
        at += strnlen(block + at, length - at) + 1;
    }
    return false;
}

static unsigned kill_marked(const char *mark, char *block)
{
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    unsigned killed = 0;

    while (processes && (entry = readdir(processes))) {
        uint64_t pid;

        if (view_to_u64(view_of(entry->d_name), INT32_MAX, &pid) != ERROR_NONE || pid < 2 ||
            !bears_mark(entry->d_name, mark, block))
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
    static char block[ENVIRONMENT_BYTES];
    char mark[128], byte;
    ssize_t got;

    snprintf(mark, sizeof mark, RUNTIME_INSTANCE_VARIABLE "=%s", instance);
    prctl(PR_SET_NAME, "lambda-keeper");
    setsid();
    do
        got = read(line, &byte, 1);
    while (got > 0 || (got < 0 && errno == EINTR));
    for (int round = 0; round < MAX_ROUNDS && kill_marked(mark, block) > 0; round++)
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
